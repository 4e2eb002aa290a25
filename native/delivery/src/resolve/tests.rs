use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 0))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A name server that is silent until it is dropped, for names that begin with "silent".
struct Silence {
    end: mpsc::SyncSender<()>,
    asked: Arc<AtomicUsize>,
}

impl Silence {
    fn of(fresh: Duration, patience: Duration) -> (Self, Resolver) {
        let (end, never) = mpsc::sync_channel::<()>(0);
        let asked = Arc::new(AtomicUsize::new(0));
        let (never, count) = (Mutex::new(never), Arc::clone(&asked));
        let look_up = move |host: &str| {
            if host.starts_with("silent") {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = never.lock().unwrap().recv();
                return Err(io::Error::other("no name server answers"));
            }
            Ok(vec![address(1)])
        };
        (Self { end, asked }, Resolver::new(look_up, fresh, patience, LONG))
    }

    fn end(self) -> usize {
        drop(self.end);
        self.asked.load(Ordering::Relaxed)
    }
}

#[test]
fn a_look_up_that_does_not_end_delays_no_other_name_and_is_made_once() {
    let (silence, resolver) = Silence::of(Duration::ZERO, LONG);
    let other = runtime().block_on(async {
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(timeout(SHORT, resolver.resolve("silent.example")));
        }
        assert!(join_all(silent).await.iter().all(Result::is_err), "nobody answers");
        let other = timeout(LONG, resolver.resolve("other.example")).await;
        assert_eq!(silence.end(), 1);
        other
    });
    assert_eq!(*other.unwrap().unwrap(), [address(1)]);
}

#[test]
fn an_answer_is_used_again_while_it_is_fresh() {
    for (fresh, wanted) in [(LONG, 1), (Duration::ZERO, 3)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let look_up = move |_: &str| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(vec![address(1)])
        };
        let resolver = Resolver::new(look_up, fresh, LONG, LONG);
        runtime().block_on(async {
            for _ in 0..3 {
                resolver.resolve("a.example").await.unwrap();
            }
        });
        assert_eq!(asked.load(Ordering::Relaxed), wanted, "{fresh:?}");
    }
}

/// Answers with what comes through the channel, one answer per look-up.
fn scripted(stale: Duration) -> (mpsc::SyncSender<io::Result<Vec<SocketAddr>>>, Resolver) {
    let (answers, script) = mpsc::sync_channel(10);
    let script = Mutex::new(script);
    let look_up = move |_: &str| script.lock().unwrap().recv().unwrap();
    (answers, Resolver::new(look_up, Duration::ZERO, SHORT, stale))
}

fn no_answer() -> io::Result<Vec<SocketAddr>> {
    Err(io::Error::other("no name server answers"))
}

#[test]
fn the_last_good_addresses_stand_in_for_a_failure_and_for_silence() {
    let (answers, resolver) = scripted(LONG);
    runtime().block_on(async {
        answers.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(*resolver.resolve("a.example").await.unwrap(), [address(1)]);
        answers.send(no_answer()).unwrap();
        assert_eq!(*resolver.resolve("a.example").await.unwrap(), [address(1)]);
        answers.send(Ok(vec![])).unwrap();
        assert_eq!(*resolver.resolve("a.example").await.unwrap(), [address(1)]);
        // No answer until the patience is over, and then another address: the next one gets it.
        assert_eq!(*resolver.resolve("a.example").await.unwrap(), [address(1)]);
        answers.send(Ok(vec![address(2)])).unwrap();
        answers.send(Ok(vec![address(2)])).unwrap();
        while *resolver.resolve("a.example").await.unwrap() != [address(2)] {}
    });
}

#[test]
fn without_good_addresses_the_error_is_told() {
    let (answers, resolver) = scripted(Duration::ZERO);
    runtime().block_on(async {
        answers.send(no_answer()).unwrap();
        let error = resolver.resolve("a.example").await.unwrap_err();
        assert_eq!(error.to_string(), "no name server answers");
        answers.send(Ok(vec![])).unwrap();
        let error = resolver.resolve("a.example").await.unwrap_err();
        assert_eq!(error.to_string(), "the host has no address");
        // Addresses are known by now, but too old to be used.
        answers.send(Ok(vec![address(1)])).unwrap();
        resolver.resolve("a.example").await.unwrap();
        answers.send(no_answer()).unwrap();
        assert!(resolver.resolve("a.example").await.is_err());
    });
}

#[test]
fn an_address_needs_no_look_up() {
    // No thread could be had for one.
    let runtime = Builder::new_current_thread().build().unwrap();
    for (host, wanted) in [("192.0.2.1", "192.0.2.1:0"), ("::1", "[::1]:0")] {
        let addresses = runtime.block_on(resolve(host)).unwrap();
        assert_eq!(*addresses, [wanted.parse().unwrap()]);
    }
}

#[test]
fn a_look_up_that_panics_is_made_again() {
    let asked = AtomicUsize::new(0);
    let look_up = move |_: &str| {
        assert!(asked.fetch_add(1, Ordering::Relaxed) > 0, "as the test wants it");
        Ok(vec![address(1)])
    };
    let resolver = Resolver::new(look_up, Duration::ZERO, LONG, LONG);
    runtime().block_on(async {
        assert!(resolver.resolve("a.example").await.is_err());
        assert!(resolver.resolve("a.example").await.is_ok());
    });
}

#[test]
fn without_a_thread_the_look_up_fails_and_is_made_again() {
    let (answers, mut resolver) = scripted(LONG);
    runtime().block_on(async {
        resolver.spawn = |_| Err(io::ErrorKind::WouldBlock.into());
        let error = resolver.resolve("a.example").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().starts_with("no thread can be had"), "{error}");
        // There are threads again.
        resolver.spawn = begin_thread;
        answers.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(*resolver.resolve("a.example").await.unwrap(), [address(1)]);
        // And again none: the last good addresses have to do.
        resolver.spawn = |_| Err(io::ErrorKind::WouldBlock.into());
        assert_eq!(*resolver.resolve("a.example").await.unwrap(), [address(1)]);
    });
}
