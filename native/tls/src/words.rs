//! Somebody else's words, as far as they are short.

use std::borrow::Cow;

/// The longest cause that is shown, in characters.
const CAUSE_LIMIT: usize = 200;

/// A cause in somebody else's words: they may go on for as long as they like, and have line breaks
/// and commands for a terminal among them, which do not belong into a log.
pub fn cause(words: &str) -> Cow<'static, str> {
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    words.chars().take(CAUSE_LIMIT).map(plain).collect::<String>().into()
}

/// The words, with dots where they were cut off.
pub(super) fn shortened(words: &str, limit: usize) -> Cow<'_, str> {
    match words.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &words[..end]).into(),
        None => words.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_short_and_has_no_control_characters() {
        assert_eq!(cause("a\r\nb\u{1b}[2Jc\u{9b}d\u{7f}e\0\u{e9}"), "a  b [2Jc d e \u{e9}");
        assert_eq!(cause(&"\u{e9}".repeat(300)), "\u{e9}".repeat(200));
    }
}
