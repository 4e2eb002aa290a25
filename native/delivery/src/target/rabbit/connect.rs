//! From settings to an open AMQP connection, within a time limit.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_compat::Compat;
use lapin::runtime::default_runtime;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, Error};
use tcp_stream::RustlsConnector;
use tokio::time::timeout;

use super::greeting::strange;
use super::settings::RabbitSettings;
use crate::dial::dial;

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
        let hold = Arc::clone(&breaker.0);
        async move |_, _| {
            let connecting = async {
                let socket = dial(&login.host, login.port).await?;
                Hold::keep(&hold, &socket)?;
                let stream = AsyncTcpStream::Plain(Compat::new(socket));
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
    match opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
        Ok(connection) => Ok((connection, breaker)),
        // Whatever a broker says of itself is better than a guess.
        Err(error) if settings.tls.is_none() && !error.is_amqp_error() && breaker.has_socket() => {
            let login = &settings.login;
            let strange = strange(&login.host, login.port).await;
            Err(strange.map_or(error, |text| io::Error::other(text).into()))
        }
        Err(error) => Err(error),
    }
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
    fn has_socket(&self) -> bool {
        Hold::lock(&self.0).socket.is_some()
    }
}

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
