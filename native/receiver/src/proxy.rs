//! Stands between clients and a server on loopback, and disturbs what passes, as it is told to.
//!
//! It knows nothing of what is spoken: bytes of a client go up, those of the server come down.

mod carry;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::watch,
    task::JoinSet,
};

use crate::loopback;
use carry::{Line, carry};

/// What connections meet, present ones as well as new ones. By default nothing is disturbed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// No new connection can be made: nobody listens.
    pub refuse: bool,
    /// A new connection is made by the system; it is only looked at after this long.
    pub accept_after: Duration,
    /// What comes, from either side, is swallowed. A connection that has lost something is reset when
    /// this is over, and a new one is not connected to the server at all.
    pub silent: bool,
    /// What passes is this late.
    pub delay: Duration,
    /// No more than this passes in a second, of each connection and direction.
    pub bytes_per_second: Option<usize>,
    /// Every so many pieces of data, one is cut.
    pub cut: Option<(Cut, usize)>,
}

/// How a connection is cut when a piece of data has come. Resets are what TCP calls so, of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A reset in place of what the client has sent.
    ResetBefore,
    /// A reset when the first half of what the client has sent has passed.
    ResetMiddle,
    /// A reset in place of what the server has sent.
    ResetAfter,
    /// The first half of what the server has sent passes, and nothing after it: the client sees an
    /// orderly end. What it sends goes on to the server.
    Truncate,
    /// The same without the first half.
    HalfClose,
}

/// A proxy before one server, on a thread of its own until it is dropped.
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    resets: watch::Sender<u64>,
    server: watch::Sender<SocketAddr>,
    open: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

// === impl Proxy ===

impl Proxy {
    /// Listens before it returns.
    pub fn start(server: u16) -> Self {
        let socket = loopback::listener();
        let address = socket.local_addr().expect("a bound socket has an address");
        let (weather, sees_weather) = watch::channel(Weather::default());
        let (resets, sees_resets) = watch::channel(0);
        let (server, sees_server) = watch::channel(at(server));
        let open = Arc::new(AtomicUsize::new(0));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has room for a runtime");
        let line = Line { weather: sees_weather, resets: sees_resets, pieces: Arc::default() };
        let counter = Arc::clone(&open);
        let thread = thread::Builder::new().name("proxy".into()).spawn(move || {
            runtime.block_on(async move {
                let socket = TcpListener::from_std(socket).expect("the runtime has an I/O driver");
                Exchange { address, line, server: sees_server, open: counter }.run(socket).await;
            });
        });
        let thread = Some(thread.expect("the system has room for a thread"));
        Self { port: address.port(), weather, resets, server, open, thread }
    }

    /// The port it listens on, on 127.0.0.1; always the same.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the weather.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Resets all connections that there are.
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// Sends new connections to another server.
    pub fn route(&self, server: u16) {
        self.server.send_replace(at(server));
    }

    /// How many connections of clients there are.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Whoever watches sees that there is nobody any more.
        self.weather = watch::Sender::new(Weather::default());
        let ended = self.thread.take().map(thread::JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// What accepts connections and has them carried.
struct Exchange {
    address: SocketAddr,
    line: Line,
    server: watch::Receiver<SocketAddr>,
    open: Arc<AtomicUsize>,
}

/// Counts a connection for as long as it is carried.
struct Open(Arc<AtomicUsize>);

// === impl Exchange ===

impl Exchange {
    /// Until the owner of the proxy is gone, and the weather with him.
    async fn run(mut self, socket: TcpListener) {
        let (mut socket, mut carried) = (Some(socket), JoinSet::new());
        let mut weather = self.line.weather.clone();
        loop {
            tokio::select! {
                changed = weather.changed() => match changed {
                    Ok(()) => socket = self.listening(socket, weather.borrow_and_update().refuse).await,
                    Err(_) => return,
                },
                client = accept(socket.as_ref()) => self.welcome(client, &mut carried),
                Some(ended) = carried.join_next() => ended.expect("carrying does not panic"),
            }
        }
    }

    async fn listening(&self, socket: Option<TcpListener>, refuse: bool) -> Option<TcpListener> {
        if refuse {
            return None;
        }
        match socket {
            Some(socket) => Some(socket),
            None => Some(TcpListener::bind(self.address).await.expect("nobody took our port")),
        }
    }

    fn welcome(&mut self, client: TcpStream, carried: &mut JoinSet<()>) {
        let open = Open::one(&self.open);
        let (line, server) = (self.line.clone(), *self.server.borrow_and_update());
        carried.spawn(async move {
            carry(client, server, line).await;
            drop(open);
        });
    }
}

impl Open {
    fn one(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(socket: Option<&TcpListener>) -> TcpStream {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = socket.accept().await {
            return stream;
        }
    }
}

#[cfg(test)]
mod tests;
