//! What every server has, whatever it speaks: its script, gate, inbox and journal, and the way of
//! a request through them. [`Controls`](crate::Controls) steers it, a handler plays on it.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{HeaderName, LOCATION, RETRY_AFTER},
};
use tokio::{sync::Notify, time::sleep};

use crate::{
    Fault, Stats,
    body::AnswerBody,
    fault::Script,
    gate::Gate,
    handler::Ending,
    inbox::Inbox,
    journal::{Journal, Visit},
};

pub(crate) struct Stage<T> {
    delay: Duration,
    pub(crate) script: Script,
    pub(crate) gate: Gate,
    pub(crate) inbox: Inbox<T>,
    pub(crate) journal: Journal,
    pub(crate) farewell: Notify,
}

// === impl Stage ===

impl<T> Stage<T> {
    /// Every answer takes at least this long.
    pub(crate) fn new(delay: Duration) -> Self {
        Self {
            delay,
            script: Script::default(),
            gate: Gate::new(),
            inbox: Inbox::new(),
            journal: Journal::new(),
            farewell: Notify::new(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { waiting: self.gate.waiting(), ..self.journal.stats() }
    }

    /// Answers a request, or does not, as its fault wants.
    ///
    /// `process` does what was asked for and returns the answer; `refuse` writes the body of a
    /// refusal with this status and code.
    pub(crate) async fn answer(
        &self,
        visit: Visit<'_>,
        fault: &Fault,
        process: impl FnOnce() -> (u16, Bytes),
        refuse: impl FnOnce(u16, &str) -> Bytes,
    ) -> Result<Response<AnswerBody>, Ending> {
        self.gate.pass(|| self.journal.touch()).await;
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
        let (status, body) = match fault {
            Fault::Reset => return Err(Ending::Reset),
            Fault::Close => return Err(Ending::Bytes(Bytes::new())),
            Fault::NotHttp => return Err(Ending::Bytes(Bytes::from_static(b"220 no HTTP\r\n"))),
            Fault::HalfAnswer => return Err(Ending::Bytes(half(&substance(process().1)))),
            Fault::Raw(answer) => {
                process();
                return Err(Ending::Bytes(Bytes::copy_from_slice(answer)));
            }
            Fault::Hang => std::future::pending().await,
            Fault::Garbage => (200, whole(Bytes::from_static(b"this is <no XML"))),
            Fault::HugeAnswer => (200, AnswerBody::flood()),
            Fault::EndlessAnswer => (200, AnswerBody::trickle()),
            Fault::Redirect(_) => (302, whole(Bytes::new())),
            Fault::Chunked => {
                let (status, body) = process();
                (status, AnswerBody::chunks(&substance(body)))
            }
            Fault::Status(status, code) | Fault::StatusRetryAfter(status, code, _) => {
                (*status, whole(refuse(*status, code)))
            }
            Fault::Slow(time) => {
                sleep(*time).await;
                processed(process())
            }
            _ => processed(process()),
        };
        visit.answered(status);
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        if let Some((name, value)) = header(fault)
            && let Ok(value) = value.parse()
        {
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }
}

fn whole(body: Bytes) -> AnswerBody {
    AnswerBody::whole(body)
}

fn processed((status, body): (u16, Bytes)) -> (u16, AnswerBody) {
    (status, whole(body))
}

/// The header that a fault adds to its answer.
fn header(fault: &Fault) -> Option<(HeaderName, &str)> {
    match fault {
        Fault::StatusRetryAfter(_, _, wait) => Some((RETRY_AFTER, wait)),
        Fault::Redirect(location) => Some((LOCATION, location)),
        _ => None,
    }
}

/// Something to break off or to cut into pieces, even if the answer is empty.
fn substance(body: Bytes) -> Bytes {
    if body.is_empty() { Bytes::from_static(b"an answer of no meaning") } else { body }
}

/// An answer that announces twice as much as it has.
fn half(body: &[u8]) -> Bytes {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body[..body.len() / 2]].concat().into()
}
