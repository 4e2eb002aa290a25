//! A handshake and nothing else, to tell an operator whether a receiver can be reached over TLS.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use thiserror::Error;

use super::explain::explain;
use super::words::cause;
use super::{Settable, TlsOptions};
use event_pusher_settings::InvalidSettings;

/// How long a receiver may take to complain after the handshake. In TLS 1.3 it looks at our
/// certificate only then.
const COMPLAINT: Duration = Duration::from_millis(300);

/// Why there was no connection, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsTrialError {
    /// The options cannot be used.
    #[error(transparent)]
    Options(#[from] InvalidSettings),
    /// They can, but not with this receiver, or not now.
    #[error("{0}")]
    Connection(String),
}

/// Makes a connection, with the patience for each step that is given, and ends it. It blocks.
///
/// # Errors
///
/// See [`TlsTrialError`].
pub fn try_tls(
    host: &str,
    port: u16,
    options: &TlsOptions,
    patience: Duration,
) -> Result<(), TlsTrialError> {
    let tls = options.check()?;
    let named =
        tls.server_name().cloned().map_or_else(|| ServerName::try_from(host.to_owned()), Ok);
    let Ok(name) = named else {
        return Err(TlsTrialError::Connection(format!("{host:?} is no host name")));
    };
    shake(host, port, tls.config, name, patience)
        .map_err(|error| TlsTrialError::Connection(told(&error, tls.settable)))
}

fn shake(
    host: &str,
    port: u16,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    patience: Duration,
) -> io::Result<()> {
    let mut socket = connect(host, port, patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    complaints(&mut connection, &mut socket)
}

fn connect(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Reads what comes of itself after the handshake, tickets for one.
fn complaints(connection: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    let end = Instant::now() + COMPLAINT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        match connection.read_tls(socket) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                connection.process_new_packets().map_err(io::Error::other)?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

fn told(error: &io::Error, settable: Settable) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "timed out".to_owned(),
        _ => explain(error, settable).unwrap_or_else(|| cause(&error.to_string())).into_owned(),
    }
}
