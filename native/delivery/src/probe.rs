//! What an operator is told of a receiver before anything is delivered to it: each backend goes as far
//! as it can without an event.

use std::borrow::Cow;
use std::fmt::Display;

/// One thing that a probe has found, in words for an operator. They hold no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Works(Cow<'static, str>),
    /// It may be as it should, which only an event shows.
    Unsure(Cow<'static, str>),
    /// Events would not arrive, for this reason.
    Broken(Cow<'static, str>),
}

// === impl Finding ===

impl Finding {
    /// The same, of one of several places.
    pub(crate) fn at(self, place: &impl Display) -> Self {
        let said = |text: Cow<'static, str>| format!("{place}: {text}").into();
        match self {
            Self::Works(text) => Self::Works(said(text)),
            Self::Unsure(text) => Self::Unsure(said(text)),
            Self::Broken(text) => Self::Broken(said(text)),
        }
    }
}
