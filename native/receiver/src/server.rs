//! The background thread of a server: its runtime, its listener and its end.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    handler::Handler,
    listener::{Command, Listener},
    loopback,
};

/// A server on its own thread; dropping it ends the server.
pub(crate) struct Server {
    address: SocketAddr,
    runtime: Handle,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<thread::JoinHandle<()>>,
}

// === impl Server ===

impl Server {
    /// Listens on a free port before it returns.
    pub(crate) fn start<H: Handler>(
        threads: usize,
        tls: Option<TlsAcceptor>,
        handler: Arc<H>,
    ) -> Self {
        let runtime = runtime(threads);
        let handle = runtime.handle().clone();
        let socket = loopback::listener();
        let address = socket.local_addr().expect("a bound socket has an address");
        let (commands, receiver) = mpsc::channel(1);
        let body = move || {
            runtime.block_on(async move {
                let socket = TcpListener::from_std(socket).expect("the runtime has an I/O driver");
                Listener::new(address, socket, tls, handler).run(receiver).await;
            });
        };
        let thread = thread::Builder::new().name("receiver".into()).spawn(body);
        Self {
            address,
            runtime: handle,
            commands: Some(commands),
            thread: Some(thread.expect("the system has room for a thread")),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn down(&self) {
        self.command(Command::Down);
    }

    pub(crate) fn up(&self) {
        self.command(Command::Up);
    }

    fn command(&self, command: impl FnOnce(std::sync::mpsc::SyncSender<()>) -> Command) {
        let (done, wait) = sync_channel(1);
        let commands = self.commands.as_ref().expect("commands live as long as the server");
        commands.try_send(command(done)).expect("commands come one at a time");
        wait.recv().expect("the server runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.commands = None;
        let ended = self.thread.take().map(thread::JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn runtime(threads: usize) -> Runtime {
    let mut builder =
        if threads > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().expect("the system has room for a runtime")
}
