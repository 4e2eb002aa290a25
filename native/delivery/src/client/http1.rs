//! One connection of HTTP/1.1, for one request at a time.
//!
//! hyper speaks it. Whoever waits for an answer polls the connection as well, so it needs no task,
//! and no answer has to wake another one.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep};

use super::answer::{Answer, Broken, request_timeout, transport_failure};
use super::body::{self, whole};
use super::lease::Lease;
use super::post::Post;
use super::wire::{Seen, Socket, Wire};
use crate::fate::Failure;

/// A connection.
pub(super) struct Http1 {
    sender: SendRequest<Full<Bytes>>,
    /// Apart, because it is large.
    connection: Pin<Box<Connection<TokioIo<Wire>, Full<Bytes>>>>,
    seen: Seen,
    /// The connection must not be polled any more.
    ended: bool,
    /// It has brought an answer before.
    kept: bool,
    pub(super) used_at: Instant,
    lease: Lease,
}

// === impl Http1 ===

impl Http1 {
    pub(super) async fn new(socket: Socket, lease: Lease) -> Result<Self, Failure> {
        let (wire, seen) = Wire::new(socket);
        // A status counts, whatever headers follow it. More than 100 of them, or 400 KiB, end the
        // connection, but not what is known of the answer: see `Seen`.
        let (sender, connection) = Builder::new()
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| transport_failure(&error))?;
        let (connection, used_at) = (Box::pin(connection), Instant::now());
        Ok(Self { sender, connection, seen, ended: false, kept: false, used_at, lease })
    }

    /// Whether another request may be sent, as far as can be known.
    pub(super) fn is_ready(&mut self) -> bool {
        self.poll_connection(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready() && !self.lease.is_over(self.used_at)
    }

    /// Tells the receiver, if that can be done at once.
    pub(super) fn close(self) {
        let Self { sender, mut connection, ended, .. } = self;
        drop(sender);
        if !ended {
            let _ = connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Sends a request and waits for its answer, for as long as the limit.
    pub(super) async fn exchange(
        &mut self,
        post: &Post,
        limit: Duration,
    ) -> Result<Answer, Broken> {
        self.seen.begin();
        let mut timer = pin!(sleep(limit));
        let head = self.sender.try_send_request(post.http1());
        let response = match self.drive(head, timer.as_mut()).await {
            Some(Ok(response)) => response,
            Some(Err(error)) => return self.without_head(transport_failure(error.error()), true),
            None => return self.without_head(request_timeout(), false),
        };
        let (head, body) = response.into_parts();
        let body = self.drive(whole(body), timer).await;
        self.kept = true;
        self.used_at = Instant::now();
        let body = body.unwrap_or_else(|| Err(request_timeout()));
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// The status may have come nevertheless. A kept connection that broke before anything came
    /// had most likely been dead; time that ran out is an attempt.
    fn without_head(&mut self, failure: Failure, broke: bool) -> Result<Answer, Broken> {
        // Whatever follows belongs to no other request.
        self.ended = true;
        if let Some(status) = self.seen.status() {
            return Ok(Answer { status, headers: HeaderMap::new(), body: Err(failure) });
        }
        let silent = self.kept && self.seen.is_empty();
        Err(Broken { failure, silent, free: silent && broke })
    }

    /// Polls the connection for what waits for it, until the time is over.
    async fn drive<F: Future>(
        &mut self,
        waiting: F,
        mut timer: Pin<&mut Sleep>,
    ) -> Option<F::Output> {
        let mut waiting = pin!(waiting);
        poll_fn(|context| {
            self.poll_connection(context);
            match waiting.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => timer.as_mut().poll(context).map(|()| None),
            }
        })
        .await
    }

    /// How it ends is told to whoever waits for an answer.
    fn poll_connection(&mut self, context: &mut Context<'_>) {
        if !self.ended {
            self.ended = self.connection.as_mut().poll(context).is_ready();
        }
    }
}

impl body::Incoming for Incoming {
    async fn part(&mut self) -> Option<Result<Bytes, Failure>> {
        loop {
            let frame = match self.frame().await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(transport_failure(&error))),
            };
            // Trailers say nothing to us.
            if let Ok(part) = frame.into_data() {
                return Some(Ok(part));
            }
        }
    }
}
