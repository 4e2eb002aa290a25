//! A connection as a stream of bytes, in TLS or not, and the beginning of what came through it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use event_pusher_tls::{Settable, explain};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How much of an answer is remembered: interim answers and a status line.
const REMEMBERED: usize = 4096;

/// A stream of bytes.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Settable),
}

/// A socket that remembers how the current answer begins.
pub(super) struct Wire {
    socket: Socket,
    seen: Seen,
}

/// The beginning of the current answer of HTTP/1.1. From here its status is read where the parser
/// refuses something else in its head, or where the head breaks off.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<u8>>>);

// === impl Wire ===

impl Wire {
    pub(super) fn new(socket: Socket) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { socket, seen: seen.clone() }, seen)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        self.seen.add(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

// === impl Seen ===

impl Seen {
    /// Forgets the answer before.
    pub(super) fn begin(&self) {
        self.lock().clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The status of the answer, if its line has come; interim ones are skipped,
    /// <https://www.rfc-editor.org/rfc/rfc9110#section-15.2>.
    pub(super) fn status(&self) -> Option<StatusCode> {
        let seen = self.lock();
        let mut rest = &seen[..];
        loop {
            let status = status(rest)?;
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Some(status);
            }
            rest = behind_head(rest)?;
        }
    }

    pub(super) fn add(&self, bytes: &[u8]) {
        let mut seen = self.lock();
        let room = REMEMBERED.saturating_sub(seen.len());
        seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The status in a line as `HTTP/1.1 200 OK`.
fn status(bytes: &[u8]) -> Option<StatusCode> {
    let line = bytes.trim_ascii_start().strip_prefix(b"HTTP/1.")?;
    let [b'0'..=b'9', b' ', rest @ ..] = line else { return None };
    let [a, b, c, b' ' | b'\r' | b'\n', ..] = rest.trim_ascii_start() else { return None };
    StatusCode::from_bytes(&[*a, *b, *c]).ok()
}

/// What follows an empty line.
fn behind_head(bytes: &[u8]) -> Option<&[u8]> {
    let end = |gap: &[u8]| Some(bytes.windows(gap.len()).position(|part| part == gap)? + gap.len());
    let end = [end(b"\r\n\r\n"), end(b"\n\n")].into_iter().flatten().min()?;
    Some(&bytes[end..])
}

// === impl Socket ===

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(socket, settable) => {
                explained(Pin::new(socket).poll_read(context, buffer), *settable)
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(socket, settable) => {
                explained(Pin::new(socket).poll_write(context, bytes), *settable)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Self::Tls(socket, settable) => {
                explained(Pin::new(socket).poll_write_vectored(context, slices), *settable)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(socket, _) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(socket, settable) => {
                explained(Pin::new(socket).poll_flush(context), *settable)
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(socket, settable) => {
                explained(Pin::new(socket).poll_shutdown(context), *settable)
            }
        }
    }
}

/// In TLS 1.3, a receiver complains about us only after the handshake. An error of TLS is put into
/// words here, because HTTP/2 keeps nothing but the text of an error.
fn explained<T>(polled: Poll<io::Result<T>>, settable: Settable) -> Poll<io::Result<T>> {
    polled.map_err(|error| match explain(&error, settable) {
        Some(cause) => io::Error::new(error.kind(), cause),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(answer: &[u8]) -> Option<u16> {
        let seen = Seen::default();
        for byte in answer {
            seen.add(&[*byte]);
        }
        seen.status().map(|status| status.as_u16())
    }

    #[test]
    fn the_status_is_read_as_soon_as_it_has_come() {
        for (answer, status) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(200)),
            (b"HTTP/1.0 404\n", Some(404)),
            (b"\r\nHTTP/1.1  503 \xffwhatever", Some(503)),
            (b"HTTP/1.1 200 ", Some(200)),
            (b"HTTP/1.1 200", None),
            (b"HTTP/1.1 2000 OK\r\n", None),
            (b"HTTP/2 200 OK\r\n", None),
            (b"220 no HTTP\r\n", None),
            (b"", None),
        ] {
            assert_eq!(seen(answer), status, "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn interim_answers_are_skipped() {
        for (answer, status) in [
            (&b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 \r\n"[..], Some(204)),
            (b"HTTP/1.1 100 Continue\n\nHTTP/1.1 102 \n\nHTTP/1.1 201 Created\n", Some(201)),
            (b"HTTP/1.1 100 Continue\r\n\r\n", None),
            (b"HTTP/1.1 101 Switching Protocols\r\n", Some(101)),
        ] {
            assert_eq!(seen(answer), status, "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn no_more_is_remembered_than_a_status_takes() {
        let seen = Seen::default();
        seen.add(&[b'x'; REMEMBERED - 1]);
        seen.add(b"yz");
        assert_eq!(seen.lock().len(), REMEMBERED);
        seen.begin();
        assert!(seen.is_empty());
    }
}
