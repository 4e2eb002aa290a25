//! The connections to one receiver: which one a request takes, and when there are more of them.
//!
//! Over HTTP/1.1 each request has a connection of its own, and leaves it for another one. Over
//! HTTP/2 requests share connections, and there is another one as soon as the streams of those
//! that are there are taken: a pool has as many requests under way as it has workers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::answer::{Answer, Broken};
use super::connector::{Connector, Opened};
use super::http1::Http1;
use super::http2::{Http2, Stream};
use super::post::Post;
use crate::fate::Failure;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// The time limits of a request.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// For its connection, or its stream.
    pub(super) opening: Duration,
    /// From then on, to the end of the answer.
    pub(super) answer: Duration,
}

/// Connections to one receiver.
pub(super) struct Pool {
    connector: Connector,
    limits: Limits,
    /// How many idle connections of HTTP/1.1 there may be.
    most_idle: usize,
    state: Mutex<State>,
}

struct State {
    protocol: Protocol,
    /// HTTP/1.1; the one used last is the last.
    idle: Vec<Http1>,
    /// HTTP/2.
    shared: Vec<Arc<Http2>>,
    openings: Vec<Awaited>,
    /// What drives the connections of HTTP/2, and the sweeper. All end with the pool.
    tasks: JoinSet<()>,
    sweeping: bool,
}

/// What the receiver spoke last.
#[derive(Clone, Copy)]
enum Protocol {
    /// Nobody knows. One connection tells.
    Unknown,
    Http1,
    /// With so many requests at a time on a connection.
    Http2(usize),
}

/// A connection that is being made, for all who wait for it. They drive it, and fail with it.
type Opening = Shared<BoxFuture<'static, Result<(), Failure>>>;

/// As long as anybody waits.
struct Awaited {
    opening: WeakShared<BoxFuture<'static, Result<(), Failure>>>,
    by: usize,
}

/// What a request is to do next.
enum Turn {
    Http1(Http1),
    Http2(Stream),
    /// To make a connection of its own.
    Open,
    /// To wait for one to share, and to look again.
    Wait(Opening),
}

// === impl Pool ===

impl Pool {
    /// Without HTTP/2, everything is HTTP/1.1 from the beginning.
    pub(super) fn new(connector: Connector, limits: Limits, most_idle: usize, http2: bool) -> Self {
        let state = State {
            protocol: if http2 { Protocol::Unknown } else { Protocol::Http1 },
            idle: Vec::new(),
            shared: Vec::new(),
            openings: Vec::new(),
            tasks: JoinSet::new(),
            sweeping: false,
        };
        Self { connector, limits, most_idle, state: Mutex::new(state) }
    }

    /// Makes a connection for nobody.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        self.connector.open().await.map(drop)
    }

    /// Sends a request over a connection that is there, or over a new one.
    pub(super) async fn exchange(self: &Arc<Self>, post: &Post) -> Result<Answer, Broken> {
        let began = Instant::now();
        let result = loop {
            match self.turn() {
                Turn::Http1(mut connection) => {
                    // It may have ended while it was idle.
                    if connection.is_ready() {
                        break self.over_http1(connection, post).await;
                    }
                    connection.close();
                }
                Turn::Http2(stream) => break self.over_http2(stream, post).await,
                Turn::Wait(opening) => opening.await?,
                Turn::Open => match self.connector.open().await? {
                    Opened::Http1(connection) => break self.over_http1(connection, post).await,
                    opened @ Opened::Http2(..) => self.keep(opened),
                },
            }
        };
        if result.as_ref().is_err_and(|broken| broken.silent) {
            self.suspect(began);
        }
        result
    }

    async fn over_http1(
        self: &Arc<Self>,
        mut connection: Http1,
        post: &Post,
    ) -> Result<Answer, Broken> {
        let answer = connection.exchange(post, self.limits.answer).await?;
        if answer.body.is_ok() && connection.is_ready() {
            self.keep(Opened::Http1(connection));
        }
        Ok(answer)
    }

    async fn over_http2(&self, stream: Stream, post: &Post) -> Result<Answer, Broken> {
        let Limits { opening, answer } = self.limits;
        let result = stream.exchange(post, opening, answer).await;
        if result.is_err() && !stream.is_ready() {
            self.lock().shared.retain(|other| !stream.is_on(other));
        }
        result
    }

    fn turn(self: &Arc<Self>) -> Turn {
        let mut state = self.lock();
        if let Some(connection) = state.idle.pop() {
            return Turn::Http1(connection);
        }
        if let Some(stream) = state.shared.iter().find_map(Stream::on) {
            return Turn::Http2(stream);
        }
        let enough_for = match state.protocol {
            Protocol::Http1 => return Turn::Open,
            Protocol::Http2(streams) => streams,
            Protocol::Unknown => usize::MAX,
        };
        state.openings.retain(|awaited| awaited.opening.upgrade().is_some());
        for awaited in state.openings.iter_mut().filter(|awaited| awaited.by < enough_for) {
            if let Some(opening) = awaited.opening.upgrade() {
                awaited.by += 1;
                return Turn::Wait(opening);
            }
        }
        let opening = self.opening();
        if let Some(weak) = opening.downgrade() {
            state.openings.push(Awaited { opening: weak, by: 1 });
        }
        Turn::Wait(opening)
    }

    fn opening(self: &Arc<Self>) -> Opening {
        let pool = Arc::clone(self);
        async move {
            let opened = pool.connector.open().await?;
            pool.keep(opened);
            Ok(())
        }
        .boxed()
        .shared()
    }

    /// Takes in a connection.
    fn keep(self: &Arc<Self>, opened: Opened) {
        let mut guard = self.lock();
        let state = &mut *guard;
        match opened {
            Opened::Http1(connection) => {
                state.protocol = Protocol::Http1;
                if state.idle.len() < self.most_idle {
                    state.idle.push(connection);
                }
            }
            Opened::Http2(connection, driver) => {
                state.protocol = Protocol::Http2(connection.streams());
                state.shared.push(Arc::new(connection));
                while state.tasks.try_join_next().is_some() {}
                state.tasks.spawn(driver);
            }
        }
        if !state.sweeping {
            state.sweeping = true;
            state.tasks.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Gives up what has brought no answer since then.
    fn suspect(&self, since: Instant) {
        let mut state = self.lock();
        state.idle.retain(|connection| connection.used_at >= since);
        state.shared.retain(|connection| connection.used_at() >= since);
    }

    /// Gives up what is too old, too long idle, or ended. Whether anything is left.
    fn sweep(&self) -> bool {
        let mut state = self.lock();
        let old: Vec<_> = state.idle.extract_if(.., |connection| !connection.is_ready()).collect();
        state.shared.retain(|connection| connection.is_ready());
        state.sweeping = !state.idle.is_empty() || !state.shared.is_empty();
        let sweeping = state.sweeping;
        drop(state);
        old.into_iter().for_each(Http1::close);
        sweeping
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}
