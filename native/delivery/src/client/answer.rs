//! What came of a request.

use std::error::Error;
use std::io;

use event_pusher_tls::{Settable, explain};
use http::{HeaderMap, StatusCode};

use crate::fate::{self, Failure};

/// An answer. Its status counts, whatever becomes of the rest: the receiver has the request.
#[derive(Debug)]
pub struct Answer {
    /// The final status.
    pub status: StatusCode,
    /// The headers; none if they could not be read.
    pub headers: HeaderMap,
    /// The body, if it came whole and is not longer than 64 KiB.
    pub body: Result<Vec<u8>, Failure>,
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) failure: Failure,
    /// The connection was kept from an earlier request, and nothing came: others that were kept
    /// may be as dead.
    pub(super) silent: bool,
    /// Another try, over a connection that is not suspected, costs no attempt.
    pub(super) free: bool,
}

/// The time limit of a request is over.
pub(super) fn request_timeout() -> Failure {
    Failure::transient("request timeout")
}

/// No connection of TLS: as whatever breaks, worth another try.
pub(super) fn tls_failure(error: &io::Error, settable: Settable) -> Failure {
    explain(error, settable).map_or_else(|| transport_failure(error), Failure::transient)
}

/// Something broke: worth another try, whatever it was.
pub(super) fn transport_failure(error: &(dyn Error + 'static)) -> Failure {
    // The innermost cause names the fact.
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Failure::transient(fate::cause(&cause.to_string()))
}

// === impl Broken ===

impl From<Failure> for Broken {
    /// Nothing was sent.
    fn from(failure: Failure) -> Self {
        Self { failure, silent: false, free: false }
    }
}
