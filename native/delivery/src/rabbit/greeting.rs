//! What it is that answers at a port instead of a broker.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::dial::dial;

/// Nothing waits for it but the next attempt to connect.
const PATIENCE: Duration = Duration::from_secs(2);

/// The beginning of AMQP 0-9-1, and what makes an HTTP server answer at once.
const QUESTION: &[u8] = b"AMQP\x00\x00\x09\x01\r\n\r\n";

/// In words for an operator, with the remedy; `None` if nothing strange answers.
///
/// A broker says nothing before its client has, and what the AMQP client makes of an answer that is
/// none of AMQP does not name it. So this asks once more, on a connection of its own.
pub(super) async fn strange(host: &str, port: u16) -> Option<&'static str> {
    timeout(PATIENCE, async {
        let mut socket = dial(host, port).await.ok()?;
        socket.write_all(QUESTION).await.ok()?;
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).await.ok()?;
        name(answer)
    })
    .await
    .ok()?
}

pub(super) fn name(answer: [u8; 4]) -> Option<&'static str> {
    match &answer {
        // The method frame of a broker, on the channel 0.
        [1, 0, 0, _] => None,
        // An alert of TLS, whatever its version.
        [21, 3, _, _] => Some(
            "the port expects TLS: set the section tls, or the port for plain connections, usually \
             5672",
        ),
        b"HTTP" => Some(
            "an HTTP server answers at the port: AMQP is usually at port 5672, with TLS at 5671",
        ),
        b"AMQP" => Some("the broker does not speak AMQP 0-9-1 at the port"),
        _ => Some("something else than AMQP 0-9-1 answers at the port"),
    }
}
