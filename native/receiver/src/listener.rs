//! Sockets: accepts connections, and watches what is spoken on them.

use std::{
    net::SocketAddr,
    panic,
    sync::{Arc, mpsc::SyncSender},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{conversation, handler::Handler};

/// What the owner of a listener may ask for; answered when it is done.
pub(crate) enum Command {
    /// Refuse connections and drop the present ones.
    Down(SyncSender<()>),
    /// Accept connections again, on the same port.
    Up(SyncSender<()>),
}

pub(crate) struct Listener<H> {
    address: SocketAddr,
    socket: Option<TcpListener>,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    connections: JoinSet<()>,
}

// === impl Listener ===

impl<H: Handler> Listener<H> {
    pub(crate) fn new(
        address: SocketAddr,
        socket: TcpListener,
        tls: Option<TlsAcceptor>,
        handler: Arc<H>,
    ) -> Self {
        Self { address, socket: Some(socket), tls, handler, connections: JoinSet::new() }
    }

    /// Serves until the sender of commands is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                stream = accept(self.socket.as_ref()) => self.welcome(stream),
                Some(ended) = self.connections.join_next() => {
                    // A failed assertion of ours must fail the test, not only its connection.
                    if let Err(error) = ended && error.is_panic() {
                        panic::resume_unwind(error.into_panic());
                    }
                }
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        let done = match command {
            Command::Down(done) => {
                self.socket = None;
                self.connections.shutdown().await;
                done
            }
            Command::Up(done) => {
                if self.socket.is_none() {
                    let socket = TcpListener::bind(self.address).await;
                    self.socket = Some(socket.expect("nobody took our port meanwhile"));
                }
                done
            }
        };
        // Whoever asked may be gone by now.
        let _ = done.send(());
    }

    fn welcome(&mut self, stream: TcpStream) {
        let id = self.handler.connected();
        let handler = Arc::clone(&self.handler);
        // Only latency is at stake.
        let _ = stream.set_nodelay(true);
        match self.tls.clone() {
            None => self.connections.spawn(conversation::plain(stream, id, handler)),
            Some(tls) => self.connections.spawn(conversation::secured(stream, tls, id, handler)),
        };
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
