//! Which topics exist, and how their ARNs must look.

use super::refusal::Refusal;

/// Which regions are not of the partition `aws`, by how their names begin:
/// <https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>.
const PARTITIONS: &[(&str, &str)] = &[
    ("cn-", "aws-cn"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
];

/// The topics of one account in one region.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    region: String,
    account_id: String,
    names: Option<Vec<String>>,
}

/// A topic that exists.
#[derive(Clone, Debug)]
pub(crate) struct Topic<'a> {
    pub(crate) arn: &'a str,
    pub(crate) is_fifo: bool,
}

// === impl Topics ===

impl Topics {
    pub(crate) fn new(region: String, account_id: String, names: Option<Vec<String>>) -> Self {
        Self { region, account_id, names }
    }

    pub(crate) fn arn(&self, name: &str) -> String {
        format!("arn:{}:sns:{}:{}:{name}", self.partition(), self.region, self.account_id)
    }

    pub(crate) fn find<'a>(&self, arn: &'a str) -> Result<Topic<'a>, Refusal> {
        let parts: Vec<_> = arn.split(':').collect();
        let &["arn", partition, "sns", region, account, name] = parts.as_slice() else {
            let reason = format!("An ARN must have 6 elements of SNS, not {}", parts.len());
            return Err(Refusal::invalid_parameter(format!("TopicArn Reason: {reason}")));
        };
        let is_fifo = name.ends_with(".fifo");
        if partition != self.partition() || region != self.region || !is_name(name) {
            return Err(Refusal::invalid_parameter("TopicArn"));
        }
        if account != self.account_id {
            let message = format!("User is not authorized to perform: SNS:Publish on: {arn}");
            return Err(Refusal::new(403, "AuthorizationError", message));
        }
        if self.names.as_ref().is_some_and(|names| !names.iter().any(|known| known == name)) {
            return Err(Refusal::new(404, "NotFound", "Topic does not exist"));
        }
        Ok(Topic { arn, is_fifo })
    }

    fn partition(&self) -> &'static str {
        let own = PARTITIONS.iter().find(|(prefix, _)| self.region.starts_with(prefix));
        own.map_or("aws", |(_, partition)| partition)
    }
}

/// Letters, digits, hyphens and underscores, up to 256 characters together with `.fifo`.
fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    !stem.is_empty()
        && name.len() <= 256
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(topics: &Topics, arn: &str) -> String {
        topics.find(arn).unwrap_err().code.into_owned()
    }

    #[test]
    fn an_arn_names_our_region_and_account() {
        let topics = Topics::new("eu-west-1".into(), "123456789012".into(), None);
        assert!(topics.find("arn:aws:sns:eu-west-1:123456789012:any-1_A").is_ok());
        assert!(topics.find("arn:aws:sns:eu-west-1:123456789012:any.fifo").unwrap().is_fifo);
        for arn in [
            "any",
            "arn:aws:sqs:eu-west-1:123456789012:any",
            "arn:aws-cn:sns:eu-west-1:123456789012:any",
            "arn:aws:sns:eu-west-2:123456789012:any",
            "arn:aws:sns:eu-west-1:123456789012:",
            "arn:aws:sns:eu-west-1:123456789012:a.b",
            "arn:aws:sns:eu-west-1:123456789012:any:subscription",
        ] {
            assert_eq!(code(&topics, arn), "InvalidParameter", "{arn}");
        }
        assert_eq!(code(&topics, "arn:aws:sns:eu-west-1:210987654321:any"), "AuthorizationError");
    }

    #[test]
    fn a_topic_that_is_not_listed_is_not_found() {
        let topics =
            Topics::new("cn-north-1".into(), "123456789012".into(), Some(vec!["known".into()]));
        assert!(topics.find(&topics.arn("known")).is_ok());
        assert_eq!(code(&topics, &topics.arn("unknown")), "NotFound");
    }
}
