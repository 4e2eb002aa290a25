//! What an operator is told of a receiver before anything is delivered to it: each backend goes as far
//! as it can without an event.

use std::borrow::Cow;

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
