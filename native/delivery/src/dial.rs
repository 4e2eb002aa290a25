//! A TCP connection to a host, whichever of its addresses answers first.
//!
//! <https://www.rfc-editor.org/rfc/rfc8305>: addresses are tried in turn, IPv6 and IPv4 mixed, and
//! the next one begins before the one before it has failed. So an address that is silent costs a
//! moment and not the time limit.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resolve::resolve;

/// The head start of each address,
/// <https://www.rfc-editor.org/rfc/rfc8305#section-8>.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to a host, which is a name or an address without brackets. The caller sets a time
/// limit.
///
/// # Errors
///
/// The host has no address, or none of them takes the connection: the last error is told.
pub(crate) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = resolve(host).await?;
    let socket = race(mixed(&addresses, port)).await?;
    // What is written is meant to be sent: parts of a message wait for nothing.
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The families in turn, beginning with the preferred one, and each in the order preferred.
fn mixed(addresses: &[SocketAddr], port: u16) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(addresses.len());
    while mixed.len() < addresses.len() {
        mixed.extend(one.next());
        mixed.extend(other.next());
    }
    for address in &mut mixed {
        address.set_port(port);
    }
    mixed
}

/// The first connection that is made. The others are given up.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    loop {
        attempts.extend(waiting.next().map(TcpStream::connect));
        let ended = match waiting.len() {
            0 => attempts.next().await,
            _ => timeout(HEAD_START, attempts.next()).await.ok().flatten(),
        };
        match ended {
            Some(Ok(socket)) => return Ok(socket),
            Some(Err(reason)) => error = reason,
            None if attempts.is_empty() => return Err(error),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::Instant;

    use super::*;

    /// Far longer than a head start.
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn listener(address: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address that answers nothing: the kernel holds as many connections as it may.
    struct Silent {
        address: SocketAddr,
        _listener: TcpListener,
        _filling: Vec<TcpStream>,
    }

    async fn silent() -> Silent {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        while let Ok(taken) = timeout(HEAD_START, TcpStream::connect(address)).await {
            filling.push(taken.unwrap());
        }
        Silent { address, _listener: listener, _filling: filling }
    }

    async fn refusing() -> SocketAddr {
        let (listener, address) = listener("127.0.0.1:0").await;
        drop(listener);
        address
    }

    #[tokio::test]
    async fn a_silent_address_costs_a_head_start() {
        let (silent, (_listener, good)) = (silent().await, listener("127.0.0.2:0").await);
        let began = Instant::now();
        let socket = timeout(PATIENCE, race(vec![silent.address, good])).await.unwrap().unwrap();
        assert_eq!(socket.peer_addr().unwrap(), good);
        assert!(began.elapsed() >= HEAD_START, "the silent one had its chance");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_nothing() {
        let (_listener, good) = listener("127.0.0.2:0").await;
        let began = Instant::now();
        let socket = race(vec![refusing().await, refusing().await, good]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), good);
        assert!(began.elapsed() < HEAD_START);
    }

    #[tokio::test]
    async fn the_last_error_is_told_when_no_address_answers() {
        let error = race(vec![refusing().await, refusing().await]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_host_is_an_address_or_a_name() {
        let (_listener, good) = listener("127.0.0.1:0").await;
        for host in ["127.0.0.1", "localhost"] {
            let socket = dial(host, good.port()).await.unwrap();
            assert_eq!(socket.peer_addr().unwrap(), good, "{host}");
            assert!(socket.nodelay().unwrap());
        }
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let mixed = |addresses: &[&str]| {
            let given: Vec<SocketAddr> =
                addresses.iter().map(|address| address.parse().unwrap()).collect();
            mixed(&given, 7).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            mixed(&["[::1]:0", "[::2]:0", "[::3]:0", "1.0.0.1:0"]),
            ["[::1]:7", "1.0.0.1:7", "[::2]:7", "[::3]:7"]
        );
        assert_eq!(mixed(&["1.0.0.1:0", "[::1]:0"]), ["1.0.0.1:7", "[::1]:7"]);
        assert!(mixed(&[]).is_empty());
    }
}
