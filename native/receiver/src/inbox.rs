//! What was accepted and not yet looked at: filled by the server, emptied by the test.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Beyond this many unread items the server stops, loudly, instead of eating all memory.
const CAPACITY: usize = 1_000_000;

#[derive(Debug)]
pub(crate) struct Inbox<T> {
    items: Mutex<VecDeque<T>>,
    filled: Notify,
}

// === impl Inbox ===

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self { items: Mutex::default(), filled: Notify::new() }
    }

    pub(crate) fn put(&self, item: T) {
        let mut items = self.items();
        assert!(items.len() < CAPACITY, "nobody reads the inbox: {CAPACITY} messages wait in it");
        items.push_back(item);
        drop(items);
        self.filled.notify_waiters();
    }

    pub(crate) fn take_all(&self) -> Vec<T> {
        self.items().drain(..).collect()
    }

    pub(crate) async fn take(&self) -> T {
        loop {
            let filled = self.filled.notified();
            if let Some(item) = self.items().pop_front() {
                return item;
            }
            filled.await;
        }
    }

    fn items(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
