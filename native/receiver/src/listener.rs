//! Sockets: accepts connections, speaks HTTP on them and ends them as badly as asked.

use std::{
    future::Future,
    net::SocketAddr,
    panic,
    sync::{Arc, OnceLock, mpsc::SyncSender},
};

use bytes::Bytes;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::body::AnswerBody;

/// What a server does with the requests on its connections.
pub(crate) trait Handler: Send + Sync + 'static {
    /// A new connection; returns its id.
    fn connected(&self) -> u64;

    /// Answers a request, or ends its connection.
    fn handle(
        &self,
        connection: u64,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Ending>> + Send;
}

/// The end of a connection in place of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection ends without an answer")]
pub(crate) enum Ending {
    /// TCP RST.
    Reset,
    /// These bytes, then a clean close.
    Bytes(Bytes),
}

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
            None => _ = self.connections.spawn(converse(stream, id, handler)),
            Some(tls) => {
                _ = self.connections.spawn(async move {
                    // A client that refuses our certificate has not asked for anything.
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, id, handler).await;
                    }
                });
            }
        }
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

async fn converse<S: Wire>(stream: S, id: u64, handler: Arc<impl Handler>) {
    let ending = OnceLock::new();
    let service = service_fn(|request| {
        let (handler, ending) = (&handler, &ending);
        Box::pin(async move {
            handler.handle(id, request).await.inspect_err(|end| _ = ending.set(end.clone()))
        })
    });
    let mut http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // What goes wrong here is either an ending of ours or the client's affair.
    _ = std::future::poll_fn(|context| http.poll_without_shutdown(context)).await;
    let stream = http.into_parts().io.into_inner();
    finish(stream, ending.into_inner()).await;
}

async fn finish<S: Wire>(mut stream: S, ending: Option<Ending>) {
    match ending {
        Some(Ending::Reset) => {
            _ = stream.tcp().set_zero_linger();
            return;
        }
        Some(Ending::Bytes(bytes)) => _ = stream.write_all(&bytes).await,
        None => (),
    }
    _ = stream.shutdown().await;
}

/// A stream that knows its socket.
trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
