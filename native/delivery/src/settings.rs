//! Settings of a pool, checked once: after that nobody checks again.

use std::fmt;
use std::num::NonZeroUsize;
use thiserror::Error;

use crate::limit::Limit;
use crate::retry::RetrySettings;

/// Every complaint about a set of settings, each naming the field, what is allowed and what came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Error)]
pub struct InvalidSettings(pub Vec<String>);

/// How much a pool may hold and how hard it tries.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// How many deliveries may be in flight at once.
    pub workers: NonZeroUsize,
    /// Bounds the attempts under way together with those of other pools.
    pub limit: Option<Limit>,
    /// How many messages may wait for a worker.
    pub max_events: NonZeroUsize,
    /// How many bytes the waiting messages may occupy.
    pub max_bytes: NonZeroUsize,
    /// How often and when a failed attempt is repeated.
    pub retry: RetrySettings,
}

/// More workers than this are surely a mistake: each is a connection to the receiver.
const MAX_WORKERS: u64 = 10_000;

/// The queue takes 16 bytes for each place when it is made.
const MAX_EVENTS: u64 = 10_000_000;

// === impl PoolSettings ===

impl PoolSettings {
    /// Checks plain numbers, complaining in the names of the configuration's keys. `workers_key` is
    /// the key of the number of workers.
    ///
    /// # Errors
    ///
    /// Every number out of range is named.
    pub fn new(
        workers_key: &str,
        workers: u64,
        max_events: u64,
        max_bytes: u64,
        retry: RetrySettings,
    ) -> Result<Self, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let workers = complaints.number(workers_key, workers, MAX_WORKERS);
        let max_events = complaints.number("queue.max_events", max_events, MAX_EVENTS);
        let max_bytes = complaints.number("queue.max_bytes", max_bytes, i64::MAX as u64);
        complaints.into_result(Self { workers, limit: None, max_events, max_bytes, retry })
    }
}

// === impl InvalidSettings ===

impl InvalidSettings {
    /// Adds a complaint: the field, what is allowed, what came.
    pub fn complain(&mut self, field: &str, allowed: impl fmt::Display, got: impl fmt::Display) {
        self.0.push(format!("{field}: must be {allowed}, got {got}"));
    }

    /// A single complaint.
    pub fn one(field: &str, allowed: impl fmt::Display, got: impl fmt::Display) -> Self {
        let mut complaints = Self::default();
        complaints.complain(field, allowed, got);
        complaints
    }

    /// Takes over the complaints about a part of the settings, or returns the part.
    pub fn keep<T>(&mut self, part: Result<T, Self>) -> Option<T> {
        part.map_err(|complaints| self.0.extend(complaints.0)).ok()
    }

    /// The settings, if nothing was complained about.
    ///
    /// # Errors
    ///
    /// All complaints so far.
    pub fn into_result<T>(self, settings: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(settings) } else { Err(self) }
    }

    pub(crate) fn number(&mut self, field: &str, value: u64, max: u64) -> NonZeroUsize {
        match usize::try_from(value).ok().and_then(NonZeroUsize::new) {
            Some(number) if value <= max => number,
            _ => {
                self.complain(field, format_args!("from 1 to {max}"), value);
                NonZeroUsize::MIN
            }
        }
    }
}

/// A URL, or what should have been one, as a complaint may show it: without a user, a password, a
/// query or a fragment.
pub(crate) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['@', '?', '#']) => (format!("{scheme}://"), rest),
        _ => (String::new(), url),
    };
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    match rest.find(['?', '#']) {
        Some(end) => format!("{:?}", format!("{scheme}{user}{}***", &rest[..=end])),
        None => format!("{:?}", format!("{scheme}{user}{rest}")),
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AT_ONCE: RetrySettings =
        RetrySettings { count: Some(0), base: Duration::ZERO, max: Duration::ZERO };

    #[test]
    fn a_url_is_shown_without_secrets() {
        let table = [
            ("ftp://example.com/a", "\"ftp://example.com/a\""),
            ("https://user:pw@example.com/a", "\"https://***@example.com/a\""),
            ("user:p/w?#@w@example.com", "\"***@example.com\""),
            ("https://user:p://w@example.com", "\"https://***@example.com\""),
            ("us@er://pw@example.com", "\"***@example.com\""),
            ("example.com/?token=pw#a", "\"example.com/?***\""),
            ("example.com/#pw", "\"example.com/#***\""),
            ("a\nb", "\"a\\nb\""),
        ];
        for (url, shown) in table {
            assert_eq!(without_secrets(url), shown, "{url}");
        }
    }

    #[test]
    fn all_complaints_come_at_once_and_name_the_field() {
        let complaints = PoolSettings::new("pool_size", 0, 0, 1, AT_ONCE).unwrap_err().0;
        assert_eq!(
            complaints,
            [
                "pool_size: must be from 1 to 10000, got 0",
                "queue.max_events: must be from 1 to 10000000, got 0",
            ]
        );
    }
}
