//! What the service does with one request: faults first, then signature, limits and topics.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use tokio::time::sleep;

use super::{
    Action, Received, SnsConfig, answer, batch,
    draft::{Draft, MAX_SIZE},
    fifo::{Deduplication, Receipt},
    form::Form,
    refusal::Refusal,
    signature::Verifier,
    sink,
    topic::{Topic, Topics},
};
use crate::{
    Fault,
    fault::Script,
    gate::Gate,
    inbox::Inbox,
    journal::{Journal, Stats},
    listener::{AnswerBody, Ending, Flood, Handler},
};

pub(crate) struct Service {
    config: SnsConfig,
    verifier: Verifier,
    deduplication: Deduplication,
    pub(crate) topics: Topics,
    pub(crate) script: Script,
    pub(crate) gate: Gate,
    pub(crate) inbox: Inbox<Received>,
    pub(crate) journal: Journal,
}

/// A status and a body; the body of success lists what was accepted.
type Answer = (u16, String);

// === impl Service ===

impl Service {
    pub(crate) fn new(config: SnsConfig) -> Self {
        let region = config.region.clone();
        let account = config.account_id.clone();
        Self {
            verifier: Verifier { credentials: config.credentials.clone(), region: region.clone() },
            deduplication: Deduplication::default(),
            topics: Topics::new(region, account, config.topics.clone()),
            script: Script::default(),
            gate: Gate::new(),
            inbox: Inbox::new(),
            journal: Journal::new(),
            config,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { waiting: self.gate.waiting(), ..self.journal.stats() }
    }

    fn is_sink(&self) -> bool {
        !self.config.verify && !self.config.capture
    }

    fn process(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
        fault: &Fault,
        request: u64,
    ) -> Answer {
        if self.is_sink() {
            let (xml, messages) = sink::answer(body);
            self.journal.accept(messages);
            return (200, xml);
        }
        match self.check_and_publish(path, headers, body, fault, request) {
            Ok(xml) => (200, xml),
            Err(refusal) => (refusal.status, answer::refused(&refusal, request)),
        }
    }

    fn check_and_publish(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
        fault: &Fault,
        request: u64,
    ) -> Result<String, Refusal> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return Err(Refusal::malformed("Content-Type is not a form"));
        }
        if self.config.verify {
            self.verifier.verify(path, headers, body, SystemTime::now())?;
        }
        let form = Form::parse(body)?;
        if form.get("Version") != Some("2010-03-31") {
            return Err(Refusal::new(400, "NoSuchVersion", "Version must be 2010-03-31"));
        }
        match form.require("Action")? {
            "Publish" => self.publish(&form, request),
            "PublishBatch" if *fault != Fault::NoBatch => self.publish_batch(&form, fault, request),
            _ => Err(Refusal::new(400, "InvalidAction", "The action is not valid")),
        }
    }

    fn publish(&self, form: &Form, request: u64) -> Result<String, Refusal> {
        let topic = self.topics.find(form.require("TopicArn")?)?;
        let draft = Draft::parse(form, &topic)?;
        if draft.size > MAX_SIZE {
            return Err(Refusal::invalid_parameter("Message too long"));
        }
        let receipt = self.accept(&topic, draft, Action::Publish, 1, request);
        Ok(answer::published(&receipt, request))
    }

    fn publish_batch(&self, form: &Form, fault: &Fault, request: u64) -> Result<String, Refusal> {
        let topic = self.topics.find(form.require("TopicArn")?)?;
        let entries = batch::entries(form, &topic)?;
        let count = entries.len();
        let mut answers = Vec::with_capacity(count);
        for (index, (id, draft)) in entries.into_iter().enumerate() {
            let result = match (failure(fault, index), draft) {
                (Some(failure), _) => Err(failure),
                (None, Err(refusal)) => {
                    let sender = refusal.is_senders_fault();
                    Err((refusal.code.into_owned(), sender))
                }
                (None, Ok(draft)) => {
                    Ok(self.accept(&topic, draft, Action::PublishBatch, count, request))
                }
            };
            match fault {
                Fault::DropEntry(dropped) if *dropped == index => (),
                Fault::WrongIds => answers.push((format!("nobody-{id}"), result)),
                _ => answers.push((id, result)),
            }
        }
        Ok(answer::batch_published(&answers, request))
    }

    fn accept(
        &self,
        topic: &Topic<'_>,
        draft: Draft,
        action: Action,
        batch_size: usize,
        request: u64,
    ) -> Receipt {
        let number = self.journal.stats().messages + 1;
        let message_id = format!("00000000-0000-0000-0000-{number:012x}");
        let (receipt, new) = match &draft.deduplication {
            Some(id) => self.deduplication.admit(topic.arn, id, Instant::now(), message_id),
            None => (Receipt { message_id, sequence: None }, true),
        };
        if new {
            self.journal.accept(1);
            if self.config.capture {
                self.inbox.put(Received {
                    topic_arn: topic.arn.to_owned(),
                    message: draft.message,
                    attributes: draft.attributes,
                    group: draft.group,
                    deduplication: draft.deduplication,
                    message_id: receipt.message_id.clone(),
                    action,
                    batch_size,
                    request,
                });
            }
        }
        receipt
    }
}

impl Handler for Service {
    fn connected(&self) -> u64 {
        self.journal.connect()
    }

    async fn handle(
        &self,
        connection: u64,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Ending> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Err(Ending::Reset) };
        let body = body.to_bytes();
        let fault = self.script.next();
        let visit = if self.is_sink() {
            self.journal.count()
        } else {
            let (action, ids) = described(&body);
            self.journal.record(connection, action, ids, fault.clone())
        };
        self.gate.pass(|| self.journal.touch()).await;
        if !self.config.delay.is_zero() {
            sleep(self.config.delay).await;
        }
        let process = || self.process(head.uri.path(), &head.headers, &body, &fault, visit.number);
        let (status, xml) = match &fault {
            Fault::Reset => return Err(Ending::Reset),
            Fault::Close => return Err(Ending::Bytes(Bytes::new())),
            Fault::NotHttp => return Err(Ending::Bytes(Bytes::from_static(b"220 no HTTP\r\n"))),
            Fault::HalfAnswer => return Err(Ending::Bytes(half(&process().1))),
            Fault::Hang => std::future::pending().await,
            Fault::Garbage => (200, "this is <no XML".to_owned()),
            Fault::HugeAnswer => {
                visit.answered(200);
                return Ok(Response::new(Either::Right(Flood::new())));
            }
            Fault::Status(status, code) | Fault::StatusRetryAfter(status, code, _) => {
                let refusal = Refusal::new(*status, code.clone(), "as the script wants");
                (*status, answer::refused(&refusal, visit.number))
            }
            Fault::Slow(time) => {
                sleep(*time).await;
                process()
            }
            _ => process(),
        };
        visit.answered(status);
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(xml))));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        if let Fault::StatusRetryAfter(_, _, wait) = &fault
            && let Ok(wait) = wait.parse()
        {
            response.headers_mut().insert(RETRY_AFTER, wait);
        }
        Ok(response)
    }
}

/// The code and the guilt that a fault gives to the entry with this index.
fn failure(fault: &Fault, index: usize) -> Option<(String, bool)> {
    let Fault::FailEntries(entries) = fault else { return None };
    let entry = entries.iter().find(|(failing, ..)| *failing == index)?;
    Some((entry.1.clone(), entry.2))
}

/// The action and the ids of the entries, for the log.
fn described(body: &Bytes) -> (String, Vec<String>) {
    let Ok(form) = Form::parse(body) else { return (String::new(), Vec::new()) };
    let action = form.get("Action").unwrap_or_default().to_owned();
    let entries = form.list("PublishBatchRequestEntries.member").unwrap_or_default();
    (action, entries.iter().map(|entry| entry.get("Id").unwrap_or_default().to_owned()).collect())
}

/// An answer that announces twice as much as it has.
fn half(xml: &str) -> Bytes {
    let whole = xml.len();
    let body = &xml[..whole / 2];
    Bytes::from(format!("HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n\r\n{body}"))
}
