//! What the service does with one request: faults first, then signature, limits and topics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{CONTENT_TYPE, DATE, HeaderValue},
};
use tokio::sync::futures::Notified;

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
    body::AnswerBody,
    handler::{Connection, Ending, Handler},
    stage::Stage,
};

pub(crate) struct Service {
    config: SnsConfig,
    verifier: Verifier,
    deduplication: Deduplication,
    pub(crate) clock_ahead: AtomicI64,
    pub(crate) topics: Topics,
    pub(crate) stage: Arc<Stage<Received>>,
}

/// A status and a body; the body of success lists what was accepted.
type Answer = (u16, Bytes);

// === impl Service ===

impl Service {
    pub(crate) fn new(config: SnsConfig) -> Self {
        let region = config.region.clone();
        let account = config.account_id.clone();
        Self {
            verifier: Verifier { credentials: config.credentials.clone(), region: region.clone() },
            deduplication: Deduplication::default(),
            clock_ahead: config.clock_ahead.into(),
            topics: Topics::new(region, account, config.topics.clone()),
            stage: Arc::new(Stage::new(config.delay)),
            config,
        }
    }

    fn now(&self) -> SystemTime {
        let ahead = self.clock_ahead.load(Ordering::Relaxed);
        let distance = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
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
            self.stage.journal.accept(messages);
            return (200, xml.into());
        }
        match self.check_and_publish(path, headers, body, fault, request) {
            Ok(xml) => (200, xml.into()),
            Err(refusal) => (refusal.status, answer::refused(&refusal, request).into()),
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
            self.verifier.verify(path, headers, body, self.now())?;
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
        let number = self.stage.journal.stats().messages + 1;
        let message_id = format!("00000000-0000-0000-0000-{number:012x}");
        let (receipt, new) = match &draft.deduplication {
            Some(id) => self.deduplication.admit(topic.arn, id, Instant::now(), message_id),
            None => (Receipt { message_id, sequence: None }, true),
        };
        if new {
            self.stage.journal.accept(1);
            if self.config.capture {
                self.stage.inbox.put(Received {
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
        self.stage.journal.connect()
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
        let body = body.to_bytes();
        let fault = self.stage.script.next();
        let visit = if self.is_sink() {
            self.stage.journal.count()
        } else {
            let (action, ids) = described(&body);
            self.stage.journal.record(connection.id, action, ids, fault.clone())
        };
        let number = visit.number;
        let mut response = self
            .stage
            .answer(
                visit,
                &fault,
                || self.process(head.uri.path(), &head.headers, &body, &fault, number),
                |status, code| {
                    let refusal = Refusal::new(status, code.to_owned(), "as the script wants");
                    answer::refused(&refusal, number).into()
                },
            )
            .await?;
        let date = HeaderValue::from_str(&httpdate::fmt_http_date(self.now()));
        response.headers_mut().insert(DATE, date.expect("a date is visible ASCII"));
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
