//! From settings to an open AMQP connection, within a time limit.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_compat::Compat;
use lapin::runtime::default_runtime;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, Error};
use rustls::pki_types::ServerName;
use tcp_stream::RustlsConnector;
use tokio::time::timeout;

use super::greeting::strange;
use super::nodes::Node;
use super::settings::RabbitSettings;
use crate::dial::dial;

/// For name look-up, TCP and TLS, and then once more for AMQP's own handshake: for all nodes together,
/// so that silent ones do not keep from one that would answer, but so much for each.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_FOR_EACH: Duration = Duration::from_secs(3);

/// As the server's own client has it, in seconds.
const HEARTBEAT: u16 = 10;

/// Ends a connection's socket when it is dropped: this is a second handle of it. The client serves each
/// connection on a thread of its own, which only ends with the socket.
#[derive(Debug)]
pub(super) struct SocketGuard(TcpStream);

type Stream = AsyncTcpStream<Compat<tokio::net::TcpStream>>;

pub(super) async fn connect(
    settings: &RabbitSettings,
    node: &Node,
) -> Result<(Connection, SocketGuard), Error> {
    let patience = patience(settings.login.nodes.len());
    let (stream, guard) = within(patience, reach(settings, node)).await?;
    match within(patience, open(settings, node, stream)).await {
        Ok(connection) => Ok((connection, guard)),
        // Whatever a broker says of itself is better than a guess.
        Err(error) if settings.tls.is_none() && !error.is_amqp_error() => {
            let strange = strange(&node.host, node.port).await;
            Err(strange.map_or(error, |text| io::Error::other(text).into()))
        }
        Err(error) => Err(error),
    }
}

fn patience(nodes: usize) -> Duration {
    (PATIENCE / nodes.try_into().unwrap_or(u32::MAX)).max(PATIENCE_FOR_EACH)
}

async fn within<T>(
    patience: Duration,
    attempt: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let attempted = timeout(patience, attempt).await;
    attempted.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

async fn reach(settings: &RabbitSettings, node: &Node) -> Result<(Stream, SocketGuard), Error> {
    let socket = dial(&node.host, node.port).await?;
    let guard = SocketGuard(socket.as_fd().try_clone_to_owned()?.into());
    let stream = AsyncTcpStream::Plain(Compat::new(socket));
    let Some(tls) = &settings.tls else { return Ok((stream, guard)) };
    let connector = RustlsConnector::from(tls.config());
    let name = tls.server_name().map(ServerName::to_str);
    Ok((stream.into_rustls(&connector, name.as_deref().unwrap_or(&node.host)).await?, guard))
}

/// The client would reach the broker as well; but of an attempt at that which fails, it leaves a task
/// behind for ever (lapin 4.12).
async fn open(settings: &RabbitSettings, node: &Node, stream: Stream) -> Result<Connection, Error> {
    let stream = Mutex::new(Some(stream));
    let connector = async move |_, _| {
        let taken = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| Error::from(io::Error::from(io::ErrorKind::ConnectionAborted)))
    };
    let uri = uri(settings, node);
    Connection::connector(uri, default_runtime()?, connector, properties(settings)).await
}

fn uri(settings: &RabbitSettings, node: &Node) -> AMQPUri {
    let login = &settings.login;
    let userinfo = AMQPUserInfo {
        username: login.username.clone(),
        password: login.password.expose().to_owned(),
    };
    AMQPUri {
        // Only the connector above looks at it.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority { userinfo, host: node.host.clone(), port: node.port },
        vhost: login.virtual_host.clone(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT), ..AMQPQueryString::default() },
    }
}

fn properties(settings: &RabbitSettings) -> ConnectionProperties {
    ConnectionProperties::default()
        .with_connection_name(settings.login.connection_name.as_str().into())
}

// === impl SocketGuard ===

impl Drop for SocketGuard {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
