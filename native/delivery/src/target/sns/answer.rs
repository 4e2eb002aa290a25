//! What SNS answers, and what an answer means for a message.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use roxmltree::{Document, Node};

use crate::outcome::Failure;
use crate::retry_after::retry_after;

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

/// The longest error code that is shown to an operator.
const CODE_LIMIT: usize = 64;

/// An answer other than success.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: Option<String>,
    retry_after: Option<Duration>,
}

/// Whether the answer to `Publish` confirms the message: it names the message's new id.
pub(super) fn published(text: &str) -> Option<()> {
    let document = Document::parse(text).ok()?;
    message_id(document.root_element()).then_some(())
}

/// The result of each of `count` entries in the answer to `PublishBatch`. An answer that lacks an
/// entry, or has one twice, is no answer.
pub(super) fn batch_published(text: &str, count: usize) -> Option<Vec<Result<(), Failure>>> {
    let document = Document::parse(text).ok()?;
    let mut results = vec![None; count];
    for list in document.descendants().filter(Node::is_element) {
        let result: fn(Node<'_, '_>) -> Option<Result<(), Failure>> = match list.tag_name().name() {
            "Successful" => |entry| message_id(entry).then_some(Ok(())),
            "Failed" => |entry| Some(Err(entry_failure(entry))),
            _ => continue,
        };
        for entry in list.children().filter(Node::is_element) {
            let index: usize = child_text(entry, "Id")?.parse().ok()?;
            let slot = results.get_mut(index)?;
            if slot.replace(result(entry)?).is_some() {
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

fn entry_failure(entry: Node<'_, '_>) -> Failure {
    let code = child_text(entry, "Code").map_or_else(|| "no code".to_owned(), shown);
    let senders_fault = child_text(entry, "SenderFault") == Some("true");
    if senders_fault && !is_transient_code(&code) {
        Failure::permanent(code)
    } else {
        Failure::transient(code)
    }
}

/// Only the code and not the message of an error is kept: a message may repeat content.
fn shown(code: &str) -> String {
    let plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
    code.chars().filter(plain).take(CODE_LIMIT).collect()
}

fn is_transient_code(code: &str) -> bool {
    THROTTLING.contains(&code) || SERVICE_FAULTS.contains(&code)
}

fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| is_named(*child, name))?.text().map(str::trim)
}

/// Services differ in the namespace of their answers: the local name decides.
fn is_named(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, text: &str) -> Self {
        let document = Document::parse(text).ok();
        let code = document.as_ref().and_then(|document| {
            let mut nodes = document.descendants();
            nodes.find(|node| is_named(*node, "Code"))?.text().map(|code| shown(code.trim()))
        });
        Self { status, code, retry_after: retry_after(headers, SystemTime::now()) }
    }

    pub(super) fn is_permanent(&self) -> bool {
        if self.code.as_deref().is_some_and(is_transient_code) {
            return false;
        }
        match self.status.as_u16() {
            408 | 429 => false,
            501 => true,
            status => status < 500,
        }
    }

    /// Whether the service does not know the action. One that is not SNS may say so by status.
    pub(super) fn names_unknown_action(&self) -> bool {
        match self.code.as_deref() {
            Some(code) => UNKNOWN_ACTION.contains(&code),
            None => matches!(self.status.as_u16(), 404 | 405 | 501),
        }
    }

    pub(super) fn into_failure(self) -> Failure {
        let status = self.status.as_u16();
        let detail = match &self.code {
            Some(code) => format!("{status} {code}"),
            None => status.to_string(),
        };
        if self.is_permanent() {
            Failure::permanent(detail)
        } else {
            Failure::Transient { detail: detail.into(), retry_after: self.retry_after }
        }
    }
}

#[cfg(test)]
mod tests;
