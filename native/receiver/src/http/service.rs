//! What the receiver of webhooks does with one request: keeps it, then answers as scripted.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::HOST,
    http::{request::Parts, uri::Authority},
};
use tokio::sync::futures::Notified;

use super::{HttpConfig, HttpReceived};
use crate::{
    Fault,
    body::AnswerBody,
    handler::{Connection, Ending, Handler},
    stage::Stage,
};

pub(crate) struct Service {
    capture: bool,
    streams: u32,
    pub(crate) stage: Arc<Stage<HttpReceived>>,
}

// === impl Service ===

impl Service {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let stage = Arc::new(Stage::new(config.delay));
        Self { capture: config.capture, streams: config.streams, stage }
    }
}

impl Handler for Service {
    fn connected(&self) -> u64 {
        self.stage.journal.connect()
    }

    fn streams(&self) -> u32 {
        self.streams
    }

    fn farewell(&self) -> Notified<'_> {
        self.stage.farewell.notified()
    }

    async fn handle(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Ending> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Err(Ending::Reset) };
        let fault = self.stage.script.next();
        let visit = if self.capture {
            let action = format!("{} {}", head.method, head.uri.path());
            let visit = self.stage.journal.record(connection.id, action, Vec::new(), fault.clone());
            let received = received(connection, head, body.to_bytes(), visit.number, fault.clone());
            self.stage.inbox.put(received);
            visit
        } else {
            self.stage.journal.count()
        };
        let process = || {
            self.stage.journal.accept(1);
            (200, Bytes::new())
        };
        let refuse = |_, text: &str| Bytes::copy_from_slice(text.as_bytes());
        self.stage.answer(visit, &fault, process, refuse).await
    }
}

fn received(
    connection: &Connection,
    head: Parts,
    body: Bytes,
    request: u64,
    fault: Fault,
) -> HttpReceived {
    HttpReceived {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        authority: authority(&head),
        version: head.version,
        headers: headers(&head.headers),
        body,
        connection: connection.id,
        request,
        client_certificate: connection.client_certificate,
        server_name: connection.server_name.clone(),
        arrived: SystemTime::now(),
        fault,
    }
}

fn authority(head: &Parts) -> Option<String> {
    let header = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or(head.uri.authority().map(Authority::as_str)).map(str::to_owned)
}

fn headers(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
