//! Names of logs as names of directories.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Longer ones are cut, and told apart by a digest.
const LONGEST: usize = 180;

/// The name of the directory: the same for the same bytes, another one for others. Letters, digits,
/// `_` and `-` stay, a dot within the name, too; all else becomes `%` and two hexadecimal digits.
pub(crate) fn directory(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (at, byte) in name.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => text.push(char::from(*byte)),
            b'.' if at > 0 => text.push('.'),
            _ => hex(&mut text, "%", *byte),
        }
    }
    if text.is_empty() {
        // The empty name.
        text.push('%');
    }
    if text.len() > LONGEST {
        text.truncate(LONGEST);
        text.push('~');
        Sha256::digest(name).iter().for_each(|byte| hex(&mut text, "", *byte));
    }
    text
}

fn hex(text: &mut String, before: &str, byte: u8) {
    write!(text, "{before}{byte:02x}").expect("a string takes what is written");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_can_be_read_in_a_listing() {
        let table: [(&[u8], &str); 6] = [
            (b"sns-example.com", "sns-example.com"),
            (b"http example.com 1", "http%20example.com%201"),
            (b"..", "%2e."),
            (b"", "%"),
            (b"a/../b%", "a%2f..%2fb%25"),
            (b"\xff\0", "%ff%00"),
        ];
        for (name, expected) in table {
            assert_eq!(directory(name), expected);
        }
        let long = directory(&[b'a'; 1000]);
        assert!(long.len() == LONGEST + 65 && long.starts_with("aaaa"), "{long}");
        assert_ne!(long, directory(&[b'a'; 999]));
    }

    proptest! {
        #[test]
        fn different_names_have_different_directories(
            one in prop::collection::vec(any::<u8>(), 0..300),
            other in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            prop_assert_eq!(one == other, directory(&one) == directory(&other));
            prop_assert!(directory(&one).len() <= 255 && !directory(&one).contains('/'));
        }
    }
}
