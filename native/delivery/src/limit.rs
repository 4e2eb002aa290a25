//! A bound on attempts that several pools share: all that send to one outgoing pool of the host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Semaphore, SemaphorePermit};

/// At most so many attempts at once, by whichever pool. Who waits longest is next.
#[derive(Clone, Debug)]
pub(crate) struct Limit(Arc<Semaphore>);

/// By name and size.
type Limits = HashMap<(String, usize), Weak<Semaphore>>;

/// The limits in use.
static LIMITS: Mutex<Option<Limits>> = Mutex::new(None);

// === impl Limit ===

impl Limit {
    /// The limit of this name and size: the same one for all that hold it at the same time.
    pub(crate) fn shared(name: &str, attempts: usize) -> Self {
        let mut limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = limits.get_or_insert_default();
        limits.retain(|_, limit| limit.strong_count() > 0);
        let key = (name.to_owned(), attempts);
        if let Some(limit) = limits.get(&key).and_then(Weak::upgrade) {
            return Self(limit);
        }
        let limit = Arc::new(Semaphore::new(attempts.min(Semaphore::MAX_PERMITS)));
        limits.insert(key, Arc::downgrade(&limit));
        Self(limit)
    }

    pub(crate) async fn acquire(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect("nobody closes the semaphore")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_of_one_name_share_a_limit_and_others_do_not() {
        let first = Limit::shared("shared", 2);
        assert!(Arc::ptr_eq(&first.0, &Limit::shared("shared", 2).0));
        assert!(!Arc::ptr_eq(&first.0, &Limit::shared("another", 2).0));
        assert!(!Arc::ptr_eq(&first.0, &Limit::shared("shared", 3).0), "its size was changed");
    }

    #[tokio::test]
    async fn a_limit_that_nobody_holds_begins_anew() {
        let limit = Limit::shared("forgotten", 1);
        limit.0.acquire().await.unwrap().forget();
        drop(limit);
        assert_eq!(Limit::shared("forgotten", 1).0.available_permits(), 1);
    }
}
