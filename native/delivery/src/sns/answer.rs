//! What SNS answers, and what an answer means for a message.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>

use std::fmt;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{DATE, HeaderMap};
use roxmltree::{Document, Node};

use super::remedy::{is_forbidden, remedy};
use crate::client::{Verdict, may_be_away, retry_after, verdict};
use crate::fate::Failure;

/// Codes by which SNS asks to slow down, whatever the status.
const THROTTLING: &[&str] = &[
    "KMSThrottling",
    "KMSThrottlingException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes of faults that are the service's own, whatever the status.
const SERVICE_FAULTS: &[&str] =
    &["InternalError", "InternalFailure", "RequestTimeout", "ServiceUnavailable"];

/// Codes by which a service says that it does not know `PublishBatch`.
const UNKNOWN_ACTION: &[&str] = &[
    "ActionNotFound",
    "InvalidAction",
    "MissingAction",
    "NotImplemented",
    "UnknownAction",
    "UnknownOperation",
    "UnknownOperationException",
    "UnsupportedOperation",
];

/// Codes of a signature that is refused, maybe for its time.
/// <https://aws.amazon.com/blogs/developer/clock-skew-correction/>
const BAD_SIGNATURE: &[&str] = &[
    "AuthFailure",
    "InvalidSignatureException",
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

/// The longest error code that is shown to an operator.
const CODE_LIMIT: usize = 64;

/// A whole answer, as it came.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// An answer other than success.
#[derive(Debug)]
pub(super) struct ErrorAnswer {
    status: StatusCode,
    /// What SNS answers has one. What has none was written by something on the way to SNS.
    error: Option<ServiceError>,
    retry_after: Option<Duration>,
}

/// What went wrong, in the words of SNS.
struct ServiceError {
    code: String,
    /// Not to be shown: it may repeat content.
    message: String,
}

/// Whether the answer to `Publish` confirms the message: it names the message's new id.
pub(super) fn published(text: &str) -> Option<()> {
    let document = Document::parse(text).ok()?;
    message_id(document.root_element()).then_some(())
}

/// Whether the answer to `GetTopicAttributes` is one.
pub(super) fn described(text: &str) -> Option<()> {
    let document = Document::parse(text).ok()?;
    is_named(document.root_element(), "GetTopicAttributesResponse").then_some(())
}

/// The result of each of `count` entries in the answer to `PublishBatch`. An answer that lacks an
/// entry, or has one twice, is no answer.
pub(super) fn batch_published(
    text: &str,
    count: usize,
    topic: &str,
) -> Option<Vec<Result<(), Failure>>> {
    let document = Document::parse(text).ok()?;
    let mut results = vec![None; count];
    for list in document.descendants().filter(Node::is_element) {
        let result = match list.tag_name().name() {
            "Successful" => |entry, _: &str| message_id(entry).then_some(Ok(())),
            "Failed" => |entry, topic: &str| Some(Err(entry_failure(entry, topic))),
            _ => continue,
        };
        for entry in list.children().filter(Node::is_element) {
            let index: usize = child_text(entry, "Id")?.parse().ok()?;
            let slot = results.get_mut(index)?;
            if slot.replace(result(entry, topic)?).is_some() {
                return None;
            }
        }
    }
    results.into_iter().collect()
}

fn message_id(node: Node<'_, '_>) -> bool {
    let id = node.descendants().find(|node| is_named(*node, "MessageId"));
    id.and_then(|id| id.text()).is_some_and(|id| !id.trim().is_empty())
}

fn entry_failure(entry: Node<'_, '_>, topic: &str) -> Failure {
    let senders_fault = child_text(entry, "SenderFault") == Some("true");
    let error = ServiceError::read(entry);
    let told = error.as_ref().map_or_else(|| "no code".to_owned(), |error| error.told(topic));
    if senders_fault && !error.as_ref().is_some_and(ServiceError::is_transient) {
        Failure::permanent(told)
    } else if error.is_some_and(|error| error.is_throttling()) {
        Failure::busy(told, None)
    } else {
        Failure::transient(told)
    }
}

/// Only the code and not the message of an error is kept: a message may repeat content.
fn shown(code: &str) -> String {
    let plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
    code.chars().filter(plain).take(CODE_LIMIT).collect()
}

fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| is_named(*child, name))?.text().map(str::trim)
}

/// Services differ in the namespace of their answers: the local name decides.
fn is_named(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

// === impl Page ===

impl Page {
    /// The text, or why the service refuses.
    pub(super) fn into_text(self) -> Result<String, ErrorAnswer> {
        if self.status.is_success() { Ok(self.text) } else { Err(self.error_answer()) }
    }

    /// The service's date, where it refuses the signature.
    pub(super) fn refused_signature(&self) -> Option<SystemTime> {
        if self.status.is_success() {
            return None;
        }
        let error = self.error_answer().error?;
        let date = self.headers.get(DATE)?.to_str().ok()?;
        let date = httpdate::parse_http_date(date.trim()).ok()?;
        BAD_SIGNATURE.contains(&error.code.as_str()).then_some(date)
    }

    fn error_answer(&self) -> ErrorAnswer {
        ErrorAnswer::read(self.status, &self.headers, &self.text)
    }
}

// === impl ServiceError ===

impl ServiceError {
    /// The one that has its code among the children of the node.
    fn read(node: Node<'_, '_>) -> Option<Self> {
        let code = shown(child_text(node, "Code")?);
        let message = child_text(node, "Message").unwrap_or_default().to_owned();
        (!code.is_empty()).then_some(Self { code, message })
    }

    fn is_transient(&self) -> bool {
        self.is_throttling() || self.is_fault_of_service()
    }

    fn is_throttling(&self) -> bool {
        THROTTLING.contains(&self.code.as_str())
    }

    fn is_fault_of_service(&self) -> bool {
        SERVICE_FAULTS.contains(&self.code.as_str())
    }

    /// The code, and what to mend if that is known.
    fn told(&self, topic: &str) -> String {
        match remedy(&self.code, &self.message, topic) {
            Some(remedy) => format!("{}: {remedy}", self.code),
            None => self.code.clone(),
        }
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceError").field(&self.code).finish()
    }
}

// === impl ErrorAnswer ===

impl ErrorAnswer {
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, text: &str) -> Self {
        let document = Document::parse(text).ok();
        let error = document
            .as_ref()
            .and_then(|document| document.descendants().find_map(ServiceError::read));
        Self { status, error, retry_after: retry_after(headers, SystemTime::now()) }
    }

    /// What SNS refuses once, it refuses again, unless it says otherwise. A page of something else,
    /// as of a balancer whose services are away, is another matter; but a redirect and a limit of
    /// size stay.
    pub(super) fn is_permanent(&self) -> bool {
        match &self.error {
            Some(error) => !error.is_transient() && verdict(self.status) == Verdict::Refused,
            None => self.status.is_redirection() || self.status == StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// Whether the service says that it does not know the action.
    pub(super) fn names_unknown_action(&self) -> bool {
        self.error.as_ref().is_some_and(|error| UNKNOWN_ACTION.contains(&error.code.as_str()))
    }

    /// Whether the service knows who asks, and does not let them.
    pub(super) fn is_forbidden(&self) -> bool {
        self.error.as_ref().is_some_and(|error| is_forbidden(&error.code))
    }

    /// Whether another action might be known: a service that is not SNS may say so by status.
    pub(super) fn may_be_of_the_action(&self) -> bool {
        self.error.is_none() && matches!(self.status.as_u16(), 404 | 405 | 501)
    }

    /// By its status, unless SNS says more.
    fn may_be_away(&self) -> bool {
        match &self.error {
            Some(error) if error.is_throttling() => false,
            Some(error) if error.is_fault_of_service() => self.retry_after.is_none(),
            _ => may_be_away(self.status, self.retry_after),
        }
    }

    /// As the end or the retry of a message to this topic.
    pub(super) fn into_failure(self, topic: &str) -> Failure {
        let status = self.status.as_u16();
        let detail = match &self.error {
            Some(error) => format!("{status} {}", error.told(topic)),
            None if status < 500 => format!("{status}, which is no answer of SNS"),
            None => status.to_string(),
        };
        if self.is_permanent() {
            Failure::permanent(detail)
        } else {
            let (retry_after, away) = (self.retry_after, self.may_be_away());
            Failure::Transient { detail: detail.into(), retry_after, away }
        }
    }
}

#[cfg(fuzzing)]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;
