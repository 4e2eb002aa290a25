//! Amazon SNS: `Publish` for one message, `PublishBatch` for several of one topic.
//!
//! A batch is what waits for a topic when a worker is free. A time for it to fill was turned down:
//! with little traffic each message would be late for nothing, and with much the queue fills it. A
//! batch that is refused as a whole is sent again one by one, so that one message cannot take
//! others with it.
//!
//! AWS's own client for Rust was turned down: two calls are needed of it, and it brings retries and
//! time limits beneath ours, whose attempts nobody would count. Only its signatures are used.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>

mod answer;
mod batching;
mod clock;
mod form;
mod probe;
mod remedy;
mod settings;
mod topic;

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use crate::backend::{Backend, BatchLimits};
use event_pusher_tls::Validity;

use crate::client::HttpClient;
use crate::fate::Failure;
use crate::message::Accepted;
use crate::origin::Origin;
use crate::sigv4::Signer;
#[cfg(fuzzing)]
pub(crate) use answer::fuzzing::fuzz;
use answer::{ErrorAnswer, Page};
use batching::Batching;
use clock::Clock;
pub(crate) use probe::probe;
pub use settings::SnsOptions;
pub(crate) use settings::SnsSettings;

/// The most that the body and the attributes of one message, or of all messages of one batch,
/// may weigh: 256 KiB.
const WEIGHT_LIMIT: usize = 256 * 1024;

/// The most entries that a `PublishBatch` request may have.
const BATCH_LIMIT: usize = 10;

/// Publishes to the topics of one account; the destination of a message is a topic ARN.
#[derive(Debug)]
pub struct SnsBackend {
    client: HttpClient,
    signer: Signer,
    endpoint: Url,
    batching: Batching,
    clock: Clock,
    /// For deduplication.
    origin: Origin,
}

/// What came of one request, when a whole answer came.
type Answer<T> = Result<Result<T, ErrorAnswer>, Failure>;

// === impl SnsBackend ===

impl SnsBackend {
    /// A backend that publishes as the settings say.
    pub(crate) fn new(settings: SnsSettings) -> Self {
        Self {
            client: HttpClient::new(&settings.endpoint, &settings.client),
            signer: settings.signer,
            endpoint: settings.endpoint,
            batching: Batching::new(settings.batching),
            clock: Clock::default(),
            origin: Origin::random(),
        }
    }

    async fn publish(&self, accepted: &Accepted) -> Result<(), Failure> {
        if accepted.message.weight() > WEIGHT_LIMIT {
            return Err(Failure::permanent("message is larger than 256 KiB"));
        }
        let body = form::publish(accepted, self.origin);
        let topic = &accepted.message.destination;
        self.request(body, answer::published).await?.map_err(|answer| answer.into_failure(topic))
    }

    async fn publish_batch(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let body = form::publish_batch(batch, self.origin);
        let (count, topic) = (batch.len(), &batch[0].message.destination);
        match self.request(body, |text| answer::batch_published(text, count, topic)).await {
            Ok(Ok(results)) => results,
            Ok(Err(answer)) if answer.is_permanent() || answer.may_be_of_the_action() => {
                if answer.names_unknown_action() {
                    self.batching.pause(Instant::now());
                }
                // One message can be what the whole request was refused for.
                self.publish_each(batch).await
            }
            Ok(Err(answer)) => vec![Err(answer.into_failure(topic)); count],
            Err(failure) => vec![Err(failure); count],
        }
    }

    async fn publish_each(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(batch.len());
        for accepted in batch {
            results.push(self.publish(accepted).await);
        }
        results
    }

    /// Posts a form and reads the answer. If the service refuses the signature for its time, it is
    /// made once more: the service has not looked at the message yet, so that is no new attempt.
    async fn request<T>(&self, form: String, read: impl FnOnce(&str) -> Option<T>) -> Answer<T> {
        let form = Bytes::from(form);
        let signed = self.clock.now();
        let mut page = self.post(form.clone(), signed).await?;
        if page.refused_signature().is_some_and(|date| self.clock.correct(signed, date)) {
            page = self.post(form, self.clock.now()).await?;
        }
        match page.into_text() {
            Ok(text) => {
                read(&text).map(Ok).ok_or(Failure::transient("answer is not what SNS answers"))
            }
            Err(answer) => Ok(Err(answer)),
        }
    }

    /// Signs and posts a form. The signature is made here, for each attempt, because it is only
    /// good for some minutes.
    async fn post(&self, form: Bytes, now: SystemTime) -> Result<Page, Failure> {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form::CONTENT_TYPE));
        self.signer
            .sign_post(self.endpoint.as_str(), &mut headers, &form, now)
            .map_err(|error| Failure::permanent(format!("cannot be signed: {error}")))?;
        let answer = self.client.post(headers, form).await?;
        let text = match text(answer.body) {
            Err(failure) if answer.status.is_success() => return Err(failure),
            // Without success the status counts, whether or not the text can be read.
            text => text.unwrap_or_default(),
        };
        Ok(Page { status: answer.status, headers: answer.headers, text })
    }
}

impl Backend for SnsBackend {
    fn limits(&self) -> BatchLimits {
        if self.batching.is_on(Instant::now()) {
            BatchLimits { events: BATCH_LIMIT, bytes: WEIGHT_LIMIT, per_group: 1 }
        } else {
            BatchLimits::SINGLE
        }
    }

    fn clock_offset(&self) -> i64 {
        self.clock.ahead()
    }

    fn validity(&self) -> Option<Validity> {
        self.client.validity()
    }

    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        match batch {
            [single] => vec![self.publish(single).await],
            _ if self.limits() == BatchLimits::SINGLE => self.publish_each(batch).await,
            _ => self.publish_batch(batch).await,
        }
    }
}

fn text(body: Result<Vec<u8>, Failure>) -> Result<String, Failure> {
    String::from_utf8(body?).map_err(|_| Failure::transient("answer is not UTF-8"))
}
