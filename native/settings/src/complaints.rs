//! Complaints, in the words of the configuration.

use std::fmt;
use std::num::NonZeroUsize;

use thiserror::Error;

/// Every complaint about a set of settings, each naming the field, what is allowed and what came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Error)]
pub struct InvalidSettings(pub Vec<String>);

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

    /// A number from 1 to `max`, or 1 after a complaint.
    pub fn number(&mut self, field: &str, value: u64, max: u64) -> NonZeroUsize {
        match usize::try_from(value).ok().and_then(NonZeroUsize::new) {
            Some(number) if value <= max => number,
            _ => {
                self.complain(field, format_args!("from 1 to {max}"), value);
                NonZeroUsize::MIN
            }
        }
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}
