//! From settings to an open AMQP connection, within a time limit.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
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

/// A second handle of the connection's socket. The client serves each connection on a thread of
/// its own, which only ends with the socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker(Arc<Mutex<Option<TcpStream>>>);

pub(super) async fn connect(settings: &RabbitSettings) -> Result<(Connection, Breaker), Error> {
    let breaker = Breaker::default();
    let runtime = default_runtime()?;
    let connector = {
        let (login, tls) = (settings.login.clone(), settings.tls.clone());
        let (breaker, runtime) = (breaker.clone(), runtime.clone());
        async move |_, _| {
            let connecting = async {
                let host = (login.host.as_str(), login.port);
                let addresses: Vec<_> = lookup_host(host).await?.collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(socket) = &stream {
                    socket.get_ref().set_nodelay(true)?;
                    breaker.hold(socket.get_ref())?;
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
    // Whatever the failure was, nobody may go on reading from this socket.
    opened.map(|connection| (connection, breaker.clone())).inspect_err(|_| breaker.trip())
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

impl Breaker {
    fn hold(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        Ok(())
    }

    /// Ends the socket, and with it whoever waits for it.
    pub(super) fn trip(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
