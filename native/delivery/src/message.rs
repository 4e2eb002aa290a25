//! What is delivered: a destination, a body and attributes, owned by the pool.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::disk::Hold;

/// One message to one destination. Neither content nor the destination, which may be a path with a
/// token, shows in its `Debug` form.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Message {
    /// Where it goes, in the words of the backend: a topic ARN for SNS, an exchange for RabbitMQ.
    pub destination: Box<str>,
    /// The bytes to deliver.
    pub body: Bytes,
    /// Named values that travel beside the body: headers for HTTP.
    pub attributes: Box<[Attribute]>,
    /// Messages of one destination and group keep the order in which they were pushed. Messages
    /// without a group have no order. For RabbitMQ, the group is the routing key.
    pub group: Option<Box<str>>,
}

/// A named value beside the body.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Attribute {
    /// Its name, unique within a message.
    pub name: Box<str>,
    /// Its typed value.
    pub value: AttributeValue,
}

/// The types that Amazon SNS has for message attributes. Others take the bytes.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub enum AttributeValue {
    /// UTF-8 text.
    String(Box<str>),
    /// A number in its decimal text form.
    Number(Box<str>),
    /// Any bytes.
    Binary(Box<[u8]>),
}

/// A message that a pool has accepted and now answers for.
#[derive(Debug)]
pub struct Accepted {
    /// Unique within the pool, and the same in each attempt.
    pub id: u64,
    /// When the pool accepted it.
    pub at: Instant,
    /// How often it has waited because of a [nack](crate::Failure::Nack), of its own or of one
    /// before it in its group.
    pub nacks: u32,
    /// How many attempts at it have failed, and may not be the last.
    pub attempts: u32,
    /// The message itself.
    pub message: Message,
    /// Keeps it on disk as well.
    pub(crate) hold: Option<Hold>,
}

// === impl Accepted ===

impl Accepted {
    /// Lets the disk forget it: it has ended.
    pub(crate) fn release(&self) {
        if let Some(hold) = &self.hold {
            hold.end();
        }
    }
}

// === impl Message ===

impl Message {
    /// What the message weighs for a receiver's limits, in bytes: its body and the names, types
    /// and values of its attributes.
    pub fn weight(&self) -> usize {
        self.body.len() + self.attributes.iter().map(Attribute::weight).sum::<usize>()
    }

    /// About what the message occupies in memory while it waits, in bytes.
    pub fn footprint(&self) -> usize {
        let group = self.group.as_ref().map_or(0, |group| group.len());
        let attributes = self.attributes.len() * size_of::<Attribute>();
        size_of::<Accepted>() + self.destination.len() + self.weight() + attributes + group
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("weight", &self.weight()).finish_non_exhaustive()
    }
}

// === impl Attribute ===

impl Attribute {
    fn weight(&self) -> usize {
        self.name.len() + self.value.data_type().len() + self.value.as_bytes().len()
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attribute").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl AttributeValue ===

impl AttributeValue {
    /// The name of its type in the SNS API.
    pub fn data_type(&self) -> &'static str {
        match self {
            Self::String(_) => "String",
            Self::Number(_) => "Number",
            Self::Binary(_) => "Binary",
        }
    }

    /// Its bytes, before any encoding.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::String(text) | Self::Number(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_content() {
        let message = Message {
            destination: "path?with=secret".into(),
            body: Bytes::from_static(b"a secret"),
            attributes: Box::new([Attribute {
                name: "name".into(),
                value: AttributeValue::String("another secret".into()),
            }]),
            group: Some("alice".into()),
        };
        let shown = format!("{message:?} {:?}", message.attributes);
        assert!(shown.contains("weight"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("alice"), "{shown}");
    }

    #[test]
    fn weight_counts_names_types_and_values_of_attributes() {
        let message = Message {
            destination: "topic".into(),
            body: Bytes::from_static(b"12345"),
            attributes: Box::new([Attribute {
                name: "abc".into(),
                value: AttributeValue::Number("42".into()),
            }]),
            group: None,
        };
        assert_eq!(message.weight(), 5 + 3 + "Number".len() + 2);
    }
}
