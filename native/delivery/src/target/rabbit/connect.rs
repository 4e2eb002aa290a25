//! From settings to an open AMQP connection, within a time limit.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::runtime::default_runtime;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, Error};
use tcp_stream::RustlsConnector;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::settings::RabbitSettings;

/// For name look-up, TCP and TLS, and then once more for AMQP's own handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// As the server's own client has it, in seconds.
const HEARTBEAT: u16 = 10;

/// Ends a connection's socket when it is dropped. The client serves each connection on a thread of
/// its own, which only ends with the socket.
#[derive(Debug, Default)]
pub(super) struct Breaker(Arc<Mutex<Hold>>);

/// A second handle of the socket, once there is one.
#[derive(Debug, Default)]
struct Hold {
    socket: Option<TcpStream>,
    tripped: bool,
}

pub(super) async fn connect(settings: &RabbitSettings) -> Result<(Connection, Breaker), Error> {
    let breaker = Breaker::default();
    let runtime = default_runtime()?;
    let connector = {
        let (login, tls) = (settings.login.clone(), settings.tls.clone());
        let (hold, runtime) = (Arc::clone(&breaker.0), runtime.clone());
        async move |_, _| {
            let connecting = async {
                let host = (login.host.as_str(), login.port);
                let addresses: Vec<_> = lookup_host(host).await?.collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(socket) = &stream {
                    socket.get_ref().set_nodelay(true)?;
                    Hold::keep(&hold, socket.get_ref())?;
                }
                match &tls {
                    Some(tls) => {
                        let connector = RustlsConnector::from(Arc::clone(&tls.config));
                        stream.into_rustls(&connector, &tls.server_name).await
                    }
                    None => Ok(stream),
                }
            };
            let connected = timeout(PATIENCE, connecting).await;
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Error::from)
        }
    };
    let opening = Connection::connector(uri(settings), runtime, connector, properties(settings));
    let opened = timeout(2 * PATIENCE, opening).await;
    let opened = opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
    opened.map(|connection| (connection, breaker))
}

fn uri(settings: &RabbitSettings) -> AMQPUri {
    let login = &settings.login;
    let userinfo =
        AMQPUserInfo { username: login.username.clone(), password: login.password.clone() };
    AMQPUri {
        // Only the connector above looks at it.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority { userinfo, host: login.host.clone(), port: login.port },
        vhost: login.virtual_host.clone(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT), ..AMQPQueryString::default() },
    }
}

fn properties(settings: &RabbitSettings) -> ConnectionProperties {
    ConnectionProperties::default()
        .with_connection_name(settings.login.connection_name.as_str().into())
}

// === impl Breaker ===

impl Drop for Breaker {
    fn drop(&mut self) {
        let mut hold = Hold::lock(&self.0);
        hold.tripped = true;
        if let Some(socket) = hold.socket.take() {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

// === impl Hold ===

impl Hold {
    /// Fails if nobody wants the connection any more.
    fn keep(hold: &Mutex<Self>, socket: &impl AsFd) -> io::Result<()> {
        let mut hold = Self::lock(hold);
        if hold.tripped {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        hold.socket = Some(TcpStream::from(socket.as_fd().try_clone_to_owned()?));
        Ok(())
    }

    fn lock(hold: &Mutex<Self>) -> MutexGuard<'_, Self> {
        hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
