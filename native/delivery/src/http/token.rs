//! A token in a file, which somebody else renews.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_pusher_settings::{InvalidSettings, whole_file};
use http::HeaderValue;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::credentials::authorization;
use crate::fate::Failure;

/// How often the file is read at most.
const FRESH: Duration = Duration::from_secs(1);

/// More than any receiver takes in a header.
const LIMIT: u64 = 16 * 1024;

/// A token that goes with each attempt, as the file has it then, or had it a moment ago.
pub(super) struct TokenFile {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    header: Result<HeaderValue, Failure>,
    read_at: Instant,
}

// === impl TokenFile ===

impl TokenFile {
    /// Reads the file for the first time.
    pub(super) fn open(path: &str) -> Result<Self, InvalidSettings> {
        let path = PathBuf::from(path);
        let header = read(&path).map_err(|error| {
            let got = format_args!("{path:?}: {error}");
            InvalidSettings::one("bearer_token_file", "a readable file with a token", got)
        })?;
        let known = Mutex::new(Known { header: Ok(header), read_at: Instant::now() });
        Ok(Self { path, known })
    }

    /// The value of the header `authorization`. Whoever asks when it is time reads the file; the others
    /// take what was read before.
    pub(super) async fn header(&self) -> Result<HeaderValue, Failure> {
        {
            let mut known = self.known();
            if known.read_at.elapsed() < FRESH {
                return known.header.clone();
            }
            known.read_at = Instant::now();
        }
        let path = self.path.clone();
        let read = spawn_blocking(move || read(&path)).await;
        let read = read.unwrap_or_else(|_| Err(io::Error::other("no thread to read it")));
        let header =
            read.map_err(|error| Failure::transient(format!("no bearer_token_file: {error}")));
        self.known().header.clone_from(&header);
        header
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A token has no blanks; those around it do not belong to it.
fn read(path: &Path) -> io::Result<HeaderValue> {
    let content = whole_file(path, LIMIT)?;
    let token = content.trim_ascii();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(io::Error::other("not one token of visible ASCII characters"));
    }
    Ok(authorization("Bearer", &String::from_utf8_lossy(token)))
}

#[cfg(test)]
mod tests {
    use std::env::temp_dir;
    use std::fs;

    use tokio::time::advance;

    use super::*;

    /// A file that is gone with the test.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str, token: &str) -> Self {
            let path = temp_dir().join(format!("event_pusher-{name}-{}", std::process::id()));
            fs::write(&path, token).unwrap();
            Self(path)
        }

        fn open(&self) -> Result<TokenFile, InvalidSettings> {
            TokenFile::open(self.0.to_str().unwrap())
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_read_again_after_a_moment() {
        let file = Temporary::new("again", "one\n");
        let token = file.open().unwrap();
        assert_eq!(token.header().await.unwrap(), "Bearer one");
        fs::write(&file.0, " two").unwrap();
        advance(FRESH - Duration::from_millis(1)).await;
        assert_eq!(token.header().await.unwrap(), "Bearer one");
        advance(Duration::from_millis(1)).await;
        assert_eq!(token.header().await.unwrap(), "Bearer two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_gone_for_a_while_makes_attempts_fail_that_may_be_repeated() {
        let file = Temporary::new("gone", "one");
        let token = file.open().unwrap();
        fs::remove_file(&file.0).unwrap();
        for _ in 0..2 {
            advance(FRESH).await;
            for _ in 0..2 {
                let failure = token.header().await.unwrap_err();
                assert!(matches!(failure, Failure::Transient { .. }), "{failure:?}");
                let told = "no bearer_token_file: No such file or directory (os error 2)";
                assert_eq!(failure.to_string(), told);
            }
        }
        fs::write(&file.0, "back").unwrap();
        advance(FRESH).await;
        assert_eq!(token.header().await.unwrap(), "Bearer back");
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        let long = "x".repeat(16 * 1024 + 1);
        for (content, told) in [
            ("", "not one token of visible ASCII characters"),
            ("pl4nted one", "not one token of visible ASCII characters"),
            ("pl4nted\u{e4}", "not one token of visible ASCII characters"),
            (&long, "longer than 16384 bytes"),
        ] {
            let file = Temporary::new("refused", content);
            let complaint = file.open().unwrap_err().to_string();
            let begin = "bearer_token_file: must be a readable file with a token, got \"/";
            assert!(complaint.starts_with(begin) && complaint.ends_with(told), "{complaint}");
            assert!(!complaint.contains("pl4nted"), "{complaint}");
        }
        let complaint = TokenFile::open("/dev/null").unwrap_err().to_string();
        assert!(complaint.ends_with("got \"/dev/null\": not a regular file"), "{complaint}");
    }

    #[test]
    fn debug_output_shows_no_token() {
        let shown = format!("{:?}", Temporary::new("debug", "pl4nted").open().unwrap());
        assert!(shown.contains("debug") && !shown.contains("pl4nted"), "{shown}");
    }
}
