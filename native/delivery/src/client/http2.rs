//! One connection of HTTP/2, for as many requests at a time as the receiver allows.
//!
//! h2 speaks it, without the client that hyper puts around it: that one takes any number of
//! requests, and does not tell when one of them gets its stream, from where on time counts.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream};
use tokio::time::{Instant, sleep, timeout};

use super::answer::{Answer, Broken, request_timeout, transport_failure};
use super::body::{self, whole};
use super::lease::Lease;
use super::post::Post;
use super::wire::Socket;
use crate::fate::Failure;

/// What the headers of an answer may weigh: as much as over HTTP/1.1.
const HEADERS_LIMIT: u32 = 400 * 1024;

/// How often a connection is asked whether it is alive, while requests wait for it.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// After so many requests without an answer, with no answer between them, a connection is given up.
const TIMEOUTS: u32 = 2;

/// A connection that requests share.
pub(super) struct Http2 {
    sender: SendRequest<Bytes>,
    vitals: Arc<Vitals>,
    began: Instant,
    /// When the latest answer came, in milliseconds after the beginning.
    used_at: AtomicU64,
    lease: Lease,
    /// Requests without an answer since the latest answer.
    timeouts: AtomicU32,
    /// It has brought an answer before.
    kept: AtomicBool,
}

/// What is known of a connection to those who use it and to the task that drives it.
#[derive(Default)]
struct Vitals {
    requests: AtomicUsize,
    ended: AtomicBool,
    /// Why it was given up.
    dead: OnceLock<&'static str>,
}

/// A place for one request on a connection.
pub(super) struct Stream(Arc<Http2>);

// === impl Http2 ===

impl Http2 {
    /// Waits for the receiver to say how many requests it takes at a time. The future drives the
    /// connection and ends with it.
    pub(super) async fn new(
        socket: Socket,
        lease: Lease,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), Failure> {
        let (sender, mut connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(0)
            .max_header_list_size(HEADERS_LIMIT)
            .handshake(socket)
            .await
            .map_err(|error| transport_failure(&error))?;
        poll_fn(|context| match Pin::new(&mut connection).poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(Failure::transient("connection closed"))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(transport_failure(&error))),
            Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let vitals = Arc::new(Vitals::default());
        let driver = drive(connection, Arc::clone(&vitals));
        let began = Instant::now();
        let (used_at, timeouts, kept) = Default::default();
        Ok((Self { sender, vitals, began, used_at, lease, timeouts, kept }, driver))
    }

    /// How many requests it takes at a time; one even if the receiver takes none just now.
    pub(super) fn streams(&self) -> usize {
        self.sender.current_max_send_streams().max(1)
    }

    pub(super) fn used_at(&self) -> Instant {
        self.began + Duration::from_millis(self.used_at.load(Ordering::Relaxed))
    }

    /// Whether another request may be sent, as far as can be known.
    pub(super) fn is_ready(&self) -> bool {
        let idle = self.vitals.requests.load(Ordering::Relaxed) == 0;
        let used_at = if idle { self.used_at() } else { Instant::now() };
        !self.vitals.ended.load(Ordering::Relaxed)
            && self.timeouts.load(Ordering::Relaxed) < TIMEOUTS
            && !self.lease.is_over(used_at)
    }

    fn answered(&self) {
        let age = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_at.fetch_max(age, Ordering::Relaxed);
        self.timeouts.store(0, Ordering::Relaxed);
        self.kept.store(true, Ordering::Relaxed);
    }
}

// === impl Stream ===

impl Stream {
    /// A place, if the connection has one.
    pub(super) fn on(connection: &Arc<Http2>) -> Option<Self> {
        if !connection.is_ready() {
            return None;
        }
        let streams = connection.streams();
        let one_more = |requests| (requests < streams).then_some(requests + 1);
        let requests = &connection.vitals.requests;
        let taken = requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Self(Arc::clone(connection)))
    }

    pub(super) fn is_on(&self, connection: &Arc<Http2>) -> bool {
        Arc::ptr_eq(&self.0, connection)
    }

    /// Whether its connection is good for other requests.
    pub(super) fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// Sends a request and waits for its answer. It may have to wait for its stream, for as long
    /// as the first limit; from then on the second one counts.
    pub(super) async fn exchange(
        &self,
        post: &Post,
        opening: Duration,
        limit: Duration,
    ) -> Result<Answer, Broken> {
        let kept = self.0.kept.load(Ordering::Relaxed);
        let opened = timeout(opening, self.opened(post)).await;
        let response = match opened {
            Ok(opened) => opened.map_err(|error| self.broken(&error, kept))?,
            Err(_) => return Err(Failure::transient("the receiver takes no requests").into()),
        };
        let mut timer = pin!(sleep(limit));
        let response = match select(response, timer.as_mut()).await {
            Either::Left((response, _)) => response.map_err(|error| self.broken(&error, kept))?,
            Either::Right(_) => return Err(self.timed_out(kept)),
        };
        self.0.answered();
        let (head, body) = response.into_parts();
        let body = match select(pin!(whole(body)), timer).await {
            Either::Left((body, _)) => body,
            Either::Right(_) => Err(request_timeout()),
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// A request that has its stream.
    async fn opened(&self, post: &Post) -> Result<ResponseFuture, h2::Error> {
        let mut sender = self.0.sender.clone();
        let empty = post.body.is_empty();
        let (response, mut body) = sender.send_request(post.http2(), empty)?;
        if !empty {
            body.send_data(Bytes::clone(&post.body), true)?;
        }
        poll_fn(|context| sender.poll_ready(context)).await?;
        Ok(response)
    }

    /// One request alone may be what the receiver cannot answer; after several, all that was kept
    /// is suspected.
    fn timed_out(&self, kept: bool) -> Broken {
        self.0.timeouts.fetch_add(1, Ordering::Relaxed);
        let silent = kept && !self.0.is_ready();
        Broken { failure: request_timeout(), silent, free: false }
    }

    /// A request that the receiver has not processed by its own words costs nothing, nor does one
    /// on a kept connection that is gone. Of one that was given up, nobody knows.
    fn broken(&self, error: &h2::Error, kept: bool) -> Broken {
        if let Some(dead) = self.0.vitals.dead.get() {
            return Broken { failure: Failure::transient(*dead), silent: true, free: false };
        }
        // What h2 itself makes of an answer that it cannot read says nothing about the request.
        let refused = error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        let leaving = error.is_remote() && error.is_go_away();
        let gone = kept && (error.is_io() || leaving);
        let failure = transport_failure(error);
        Broken { failure, silent: gone, free: refused || leaving || gone }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.vitals.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl body::Incoming for RecvStream {
    async fn part(&mut self) -> Option<Result<Bytes, Failure>> {
        let part = self.data().await?;
        if let Ok(part) = &part {
            // The stream may have ended meanwhile.
            let _ = self.flow_control().release_capacity(part.len());
        }
        Some(part.map_err(|error| transport_failure(&error)))
    }
}

/// Drives a connection until it ends, or until nobody answers at its other end.
async fn drive(mut connection: Connection<Socket, Bytes>, vitals: Arc<Vitals>) {
    let pings = connection.ping_pong().expect("nobody has taken it");
    // What the connection ends with is told to those who wait for answers.
    let silence = silence(pings, &vitals, PING_INTERVAL, PING_TIMEOUT);
    select(pin!(connection), pin!(silence)).await;
    vitals.ended.store(true, Ordering::Relaxed);
}

/// Ends when the receiver does not answer a ping: that TCP acknowledges it is not enough.
async fn silence(mut pings: PingPong, vitals: &Vitals, interval: Duration, patience: Duration) {
    loop {
        sleep(interval).await;
        if vitals.requests.load(Ordering::Relaxed) == 0 {
            continue;
        }
        if !matches!(timeout(patience, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            let _ = vitals.dead.set("no answer to a ping");
            return;
        }
    }
}

#[cfg(test)]
mod tests;
