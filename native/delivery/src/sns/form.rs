//! The request bodies of the SNS query API.

use std::fmt::Write;

use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest, Sha256};

use super::topic::is_fifo;
use crate::message::{Accepted, AttributeValue, Message};
use crate::origin::Origin;

pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

const VERSION: &str = "2010-03-31";

/// Everything but the unreserved characters of RFC 3986 is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Group and deduplication ids may be no longer than this.
const ID_LIMIT: usize = 128;

/// The body of a `Publish` request.
pub(super) fn publish(accepted: &Accepted, origin: Origin) -> String {
    let mut form = Form::new("Publish", accepted.message.weight());
    form.parameter("TopicArn", accepted.message.destination.as_bytes());
    form.message("", accepted, origin);
    form.0
}

/// The body of a `PublishBatch` request. The id of an entry is its position, from 0.
pub(super) fn publish_batch(batch: &[Accepted], origin: Origin) -> String {
    let weight = batch.iter().map(|accepted| accepted.message.weight()).sum();
    let mut form = Form::new("PublishBatch", weight);
    if let Some(first) = batch.first() {
        form.parameter("TopicArn", first.message.destination.as_bytes());
    }
    for (index, accepted) in batch.iter().enumerate() {
        let prefix = format!("PublishBatchRequestEntries.member.{}.", index + 1);
        form.parameter(&format!("{prefix}Id"), index.to_string().as_bytes());
        form.message(&prefix, accepted, origin);
    }
    form.0
}

/// The body of a `GetTopicAttributes` request.
pub(super) fn topic_attributes(topic: &str) -> String {
    let mut form = Form::new("GetTopicAttributes", topic.len());
    form.parameter("TopicArn", topic.as_bytes());
    form.0
}

struct Form(String);

// === impl Form ===

impl Form {
    fn new(action: &str, weight: usize) -> Self {
        let mut form = String::with_capacity(256 + weight + weight / 2);
        let _ = write!(form, "Action={action}&Version={VERSION}");
        Self(form)
    }

    fn parameter(&mut self, name: &str, value: &[u8]) {
        let _ = write!(self.0, "&{name}={}", percent_encode(value, RESERVED));
    }

    fn message(&mut self, prefix: &str, accepted: &Accepted, origin: Origin) {
        let Message { destination, body, attributes, group } = &accepted.message;
        self.parameter(&format!("{prefix}Message"), body);
        for (index, attribute) in attributes.iter().enumerate() {
            let entry = format!("{prefix}MessageAttributes.entry.{}.", index + 1);
            self.parameter(&format!("{entry}Name"), attribute.name.as_bytes());
            self.value(&format!("{entry}Value."), &attribute.value);
        }
        if let (true, Some(group)) = (is_fifo(destination), group) {
            self.parameter(&format!("{prefix}MessageGroupId"), group_id(group).as_bytes());
            // The same in each attempt: SNS drops what it has seen within five minutes.
            let id = origin.id(accepted);
            self.parameter(&format!("{prefix}MessageDeduplicationId"), id.as_bytes());
        }
    }

    fn value(&mut self, prefix: &str, value: &AttributeValue) {
        self.parameter(&format!("{prefix}DataType"), value.data_type().as_bytes());
        match value {
            AttributeValue::Binary(bytes) => {
                self.parameter(
                    &format!("{prefix}BinaryValue"),
                    BASE64_STANDARD.encode(bytes).as_bytes(),
                );
            }
            AttributeValue::String(text) | AttributeValue::Number(text) => {
                self.parameter(&format!("{prefix}StringValue"), text.as_bytes());
            }
        }
    }
}

/// The group itself where SNS permits its characters and length, else a digest of it.
fn group_id(group: &str) -> String {
    if (1..=ID_LIMIT).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_graphic()) {
        return group.to_owned();
    }
    hex::encode(Sha256::digest(group))
}

#[cfg(test)]
mod tests;
