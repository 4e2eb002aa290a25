//! What a FIFO topic remembers: sequence numbers, and which messages it has seen lately.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a deduplication id is remembered.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// What the client is told about a message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) message_id: String,
    pub(crate) sequence: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Deduplication {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    seen: HashMap<(String, String), (Instant, Receipt)>,
    last_sequence: u64,
}

// === impl Deduplication ===

impl Deduplication {
    /// The receipt of a message, and whether the message is new.
    pub(crate) fn admit(
        &self,
        topic: &str,
        id: &str,
        now: Instant,
        message_id: String,
    ) -> (Receipt, bool) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.seen.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        let key = (topic.to_owned(), id.to_owned());
        if let Some((_, receipt)) = memory.seen.get(&key) {
            return (receipt.clone(), false);
        }
        memory.last_sequence += 1;
        let receipt = Receipt { message_id, sequence: Some(memory.last_sequence) };
        memory.seen.insert(key, (now, receipt.clone()));
        (receipt, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_gets_the_receipt_of_the_first_for_five_minutes() {
        let topic = Deduplication::default();
        let start = Instant::now();
        let first = topic.admit("t", "d", start, "1".into());
        assert!(first.1);
        // 4:59: the same message again
        let again = topic.admit("t", "d", start + WINDOW - Duration::from_secs(1), "2".into());
        assert_eq!(again, (first.0.clone(), false));
        // 5:00: forgotten
        let later = topic.admit("t", "d", start + WINDOW, "3".into());
        assert_eq!(later, (Receipt { message_id: "3".into(), sequence: Some(2) }, true));
    }

    #[test]
    fn topics_do_not_share_ids() {
        let topics = Deduplication::default();
        let now = Instant::now();
        assert!(topics.admit("t", "d", now, "1".into()).1);
        assert!(topics.admit("u", "d", now, "2".into()).1);
    }
}
