//! Ports for servers that go down and come back at the same place.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below the range from which the system takes ports for connections. A client that keeps trying to
/// connect to a server that is down could get that very port to connect from, and reach himself.
const BELOW_THE_RANGE_OF_THE_SYSTEM: std::ops::Range<u16> = 20_000..32_768;

/// A socket that listens at a free port of loopback.
pub(crate) fn listener() -> TcpListener {
    for _ in BELOW_THE_RANGE_OF_THE_SYSTEM {
        let port = fastrand::u16(BELOW_THE_RANGE_OF_THE_SYSTEM);
        if let Ok(socket) = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            socket.set_nonblocking(true).expect("a socket can be made nonblocking");
            return socket;
        }
    }
    panic!("loopback has no free port");
}
