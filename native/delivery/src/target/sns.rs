//! Amazon SNS: `Publish` for one message, `PublishBatch` for several of one topic.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>

mod answer;
mod form;
mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use crate::client::{ClientSettings, HttpClient};
use crate::message::Accepted;
use crate::outcome::Failure;
use crate::sigv4::Signer;
use crate::target::{BatchLimits, Target};
use answer::Refusal;
pub use settings::{SnsOptions, SnsSettings};

/// The most that the body and the attributes of one message, or of all messages of one batch,
/// may weigh: 256 KiB.
const WEIGHT_LIMIT: usize = 256 * 1024;

/// The most entries that a `PublishBatch` request may have.
const BATCH_LIMIT: usize = 10;

/// Publishes to the topics of one account; the destination of a message is a topic ARN.
#[derive(Debug)]
pub struct SnsTarget {
    client: HttpClient,
    signer: Signer,
    endpoint: Url,
    batching: AtomicBool,
    /// Tells the messages of this target from those of any other one, for deduplication.
    origin: u64,
}

/// What came of one request, when a whole answer came.
type Answer<T> = Result<Result<T, Refusal>, Failure>;

// === impl SnsTarget ===

impl SnsTarget {
    /// A target that publishes as the settings say.
    pub fn new(settings: SnsSettings, client: &ClientSettings) -> Self {
        Self {
            client: HttpClient::new(&settings.endpoint, None, client),
            signer: settings.signer,
            endpoint: settings.endpoint,
            batching: AtomicBool::new(settings.batching),
            origin: fastrand::u64(..),
        }
    }

    async fn publish(&self, accepted: &Accepted) -> Result<(), Failure> {
        if accepted.message.weight() > WEIGHT_LIMIT {
            return Err(Failure::permanent("message is larger than 256 KiB"));
        }
        let body = form::publish(accepted, self.origin);
        self.request(body, answer::published).await?.map_err(Refusal::into_failure)
    }

    async fn publish_batch(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let body = form::publish_batch(batch, self.origin);
        let count = batch.len();
        match self.request(body, |text| answer::batch_published(text, count)).await {
            Ok(Ok(results)) => results,
            Ok(Err(refusal)) if refusal.is_permanent() => {
                if refusal.names_unknown_action() {
                    self.batching.store(false, Ordering::Relaxed);
                }
                // One message can be what the whole request was refused for.
                self.publish_each(batch).await
            }
            Ok(Err(refusal)) => vec![Err(refusal.into_failure()); count],
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

    /// Signs and posts a form and reads the answer. The signature is made here, for each attempt,
    /// because it is only good for some minutes.
    async fn request<T>(&self, form: String, read: impl FnOnce(&str) -> Option<T>) -> Answer<T> {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form::CONTENT_TYPE));
        self.signer
            .sign_post(self.endpoint.as_str(), &mut headers, form.as_bytes(), SystemTime::now())
            .map_err(|error| Failure::permanent(format!("cannot be signed: {error}")))?;
        let answer = self.client.post(headers, Bytes::from(form)).await?;
        let text = text(answer.body);
        if answer.status.is_success() {
            read(&text?).map(Ok).ok_or(Failure::transient("answer is not what SNS answers"))
        } else {
            // Its status counts, whether or not the text can be read.
            let text = text.unwrap_or_default();
            Ok(Err(Refusal::read(answer.status, &answer.headers, &text)))
        }
    }
}

impl Target for SnsTarget {
    fn limits(&self) -> BatchLimits {
        if self.batching.load(Ordering::Relaxed) {
            BatchLimits { events: BATCH_LIMIT, bytes: WEIGHT_LIMIT, per_group: 1 }
        } else {
            BatchLimits::SINGLE
        }
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
