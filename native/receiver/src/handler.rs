//! What a server does with requests: the seam between connections and services.

use std::future::Future;

use bytes::Bytes;
use hyper::{Request, Response, body::Incoming};
use tokio::sync::futures::Notified;

use crate::body::AnswerBody;

/// What a server does with the requests on its connections.
pub(crate) trait Handler: Send + Sync + 'static {
    /// A new connection; returns its id.
    fn connected(&self) -> u64;

    /// How many requests a connection of HTTP/2 may have under way.
    fn streams(&self) -> u32 {
        200
    }

    /// Comes when clients are asked to go away.
    fn farewell(&self) -> Notified<'_>;

    /// Answers a request, or ends its connection.
    fn handle(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Ending>> + Send;
}

/// What a handler may know about the connection of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    /// From 1.
    pub(crate) id: u64,
    /// The client has shown a certificate, and it was good.
    pub(crate) client_certificate: bool,
    /// The server name that the client asked for in the handshake.
    pub(crate) server_name: Option<String>,
}

/// The end of a connection in place of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection ends without an answer")]
pub(crate) enum Ending {
    /// TCP RST.
    Reset,
    /// These bytes, then a clean close.
    Bytes(Bytes),
}
