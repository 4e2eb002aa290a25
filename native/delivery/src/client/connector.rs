//! How a connection is made: name, TCP, TLS, and the version of HTTP that is spoken through it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use event_pusher_tls::Settable;
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::answer::{tls_failure, transport_failure};
use super::http1::Http1;
use super::http2::Http2;
use super::lease::Lease;
use super::wire::Socket;
use crate::dial::dial;
use crate::fate::Failure;

/// So an idle connection that is dead is noticed in about a minute, and a firewall sees that one
/// that lives is in use.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long what was sent may go without an acknowledgement of TCP.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Makes connections to one receiver.
pub(super) struct Connector {
    host: String,
    port: u16,
    tls: Option<Tls>,
    limit: Duration,
}

struct Tls {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
    settable: Settable,
}

/// A connection, of the version of HTTP that both sides want.
pub(super) enum Opened {
    Http1(Http1),
    /// With what drives it.
    Http2(Http2, Driver),
}

/// To be polled until the connection ends.
pub(super) type Driver = BoxFuture<'static, ()>;

// === impl Connector ===

impl Connector {
    /// For the host and the port of a URL; with TLS if its scheme is `https`. `name` is what the
    /// receiver is called in TLS, if not by the host.
    pub(super) fn new(
        url: &Url,
        tls: ClientConfig,
        name: Option<ServerName<'static>>,
        settable: Settable,
        limit: Duration,
    ) -> Self {
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        };
        let tls = (url.scheme() == "https").then(|| Tls {
            connector: TlsConnector::from(Arc::new(tls)),
            name: name.or_else(|| ServerName::try_from(host.clone()).ok()),
            settable,
        });
        Self { host, port: url.port_or_known_default().unwrap_or_default(), tls, limit }
    }

    /// A connection, if it can be had within the time limit.
    pub(super) async fn open(&self) -> Result<Opened, Failure> {
        let opening = async {
            let (socket, http2) = self.connect().await?;
            let lease = Lease::begin();
            if http2 {
                let (connection, driver) = Http2::new(socket, lease).await?;
                Ok(Opened::Http2(connection, Box::pin(driver)))
            } else {
                Ok(Opened::Http1(Http1::new(socket, lease).await?))
            }
        };
        match timeout(self.limit, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::transient("connect timeout")),
        }
    }

    /// A stream of bytes, and whether it is for HTTP/2.
    async fn connect(&self) -> Result<(Socket, bool), Failure> {
        let socket = self.dial().await.map_err(|error| transport_failure(&error))?;
        let Some(tls) = &self.tls else { return Ok((Socket::Plain(socket), false)) };
        let name =
            tls.name.clone().ok_or_else(|| Failure::transient("the host is no name in TLS"))?;
        let connected = tls.connector.connect(name, socket).await;
        let socket = connected.map_err(|error| tls_failure(&error, tls.settable))?;
        let http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Socket::Tls(Box::new(socket), tls.settable), http2))
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let socket = dial(&self.host, self.port).await?;
        keep_alive(&socket)?;
        Ok(socket)
    }
}

fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}
