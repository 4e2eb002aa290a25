//! One message as a client asks to publish it, checked against everything but its size.

use super::{
    attributes::{AttributeValue, Attributes},
    form::Form,
    refusal::Refusal,
    topic::Topic,
};

/// The most bytes of a message with its attributes, and of all messages of a batch together.
pub(crate) const MAX_SIZE: usize = 262_144;

#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) message: String,
    pub(crate) attributes: Vec<(String, AttributeValue)>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication: Option<String>,
    pub(crate) size: usize,
}

// === impl Draft ===

impl Draft {
    pub(crate) fn parse(form: &Form, topic: &Topic) -> Result<Self, Refusal> {
        let message = form.get("Message").unwrap_or_default();
        if message.is_empty() {
            return Err(Refusal::invalid_parameter("Empty message"));
        }
        check_structure(form.get("MessageStructure"), message)?;
        let attributes = Attributes::parse(form)?;
        let draft = Self {
            size: message.len() + attributes.size,
            message: message.to_owned(),
            attributes: attributes.values,
            group: identifier(form, "MessageGroupId")?,
            deduplication: identifier(form, "MessageDeduplicationId")?,
        };
        draft.check_order(topic)?;
        Ok(draft)
    }

    fn check_order(&self, topic: &Topic) -> Result<(), Refusal> {
        let complaint = match (topic.is_fifo, &self.group, &self.deduplication) {
            (true, None, _) => "The MessageGroupId parameter is required for FIFO topics",
            (true, _, None) => {
                "The topic should either have ContentBasedDeduplication enabled or \
                 MessageDeduplicationId provided explicitly"
            }
            (false, _, Some(_)) => {
                "MessageDeduplicationId Reason: The request includes MessageDeduplicationId \
                 parameter that is not valid for this topic type"
            }
            _ => return Ok(()),
        };
        Err(Refusal::invalid_parameter(complaint))
    }
}

/// With the structure `json`, the message holds a body per protocol and one by default.
fn check_structure(structure: Option<&str>, message: &str) -> Result<(), Refusal> {
    let complaint = match structure {
        None | Some("") => return Ok(()),
        Some("json") => match serde_json::from_str(message) {
            Ok(serde_json::Value::Object(bodies)) => match bodies.get("default") {
                Some(serde_json::Value::String(_)) => return Ok(()),
                _ => "Message Structure - No default entry in JSON message body",
            },
            _ => "Message Structure - JSON message body failed to parse",
        },
        Some(_) => "MessageStructure",
    };
    Err(Refusal::invalid_parameter(complaint))
}

/// 1 to 128 letters, digits and marks of ASCII.
fn identifier(form: &Form, name: &str) -> Result<Option<String>, Refusal> {
    let Some(value) = form.get(name) else { return Ok(None) };
    if (1..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(value.to_owned()))
    } else {
        Err(Refusal::invalid_parameter(format!("{name} Reason: 1 to 128 letters, digits, marks")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(body: &str, is_fifo: bool) -> Result<Draft, Refusal> {
        let form = Form::parse(body.as_bytes()).unwrap();
        Draft::parse(&form, &Topic { arn: "arn:aws:sns:eu-west-1:123456789012:any", is_fifo })
    }

    #[test]
    fn a_message_is_not_empty() {
        assert_eq!(draft("Message=x", false).unwrap().size, 1);
        assert_eq!(draft("Message=", false).unwrap_err().code, "InvalidParameter");
        assert_eq!(draft("Subject=x", false).unwrap_err().code, "InvalidParameter");
    }

    #[test]
    fn structured_messages_need_a_default() {
        assert!(draft(r#"MessageStructure=json&Message={"default":"x"}"#, false).is_ok());
        for message in [r#"{"user_id":"a"}"#, r#"{"default":1}"#, "[1]", "x"] {
            let refused = draft(&format!("MessageStructure=json&Message={message}"), false);
            assert_eq!(refused.unwrap_err().code, "InvalidParameter", "{message}");
        }
        assert!(draft("MessageStructure=xml&Message=x", false).is_err());
    }

    #[test]
    fn a_fifo_topic_needs_group_and_deduplication() {
        assert!(draft("Message=x&MessageGroupId=g&MessageDeduplicationId=d", true).is_ok());
        assert!(draft("Message=x&MessageDeduplicationId=d", true).is_err());
        assert!(draft("Message=x&MessageGroupId=g", true).is_err());
        assert!(draft("Message=x&MessageGroupId=a%20b&MessageDeduplicationId=d", true).is_err());
        let long = "d".repeat(129);
        let body = format!("Message=x&MessageGroupId=g&MessageDeduplicationId={long}");
        assert!(draft(&body, true).is_err());
    }

    #[test]
    fn a_standard_topic_takes_a_group_but_no_deduplication() {
        assert!(draft("Message=x&MessageGroupId=g", false).is_ok());
        assert!(draft("Message=x&MessageDeduplicationId=d", false).is_err());
    }
}
