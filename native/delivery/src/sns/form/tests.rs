use tokio::time::Instant;

use super::*;
use crate::message::Attribute;

const ORIGIN: Origin = Origin::new(0xabc);

fn accepted(topic: &str, body: &str, group: Option<&str>) -> Accepted {
    let attributes = Box::new([
        Attribute { name: "s".into(), value: AttributeValue::String("ä b".into()) },
        Attribute { name: "n".into(), value: AttributeValue::Number("-1.5e3".into()) },
        Attribute { name: "b".into(), value: AttributeValue::Binary([0, 255, 62].into()) },
    ]);
    let message = Message {
        destination: topic.into(),
        body: body.to_owned().into(),
        attributes: if group.is_none() { attributes } else { Box::default() },
        group: group.map(Into::into),
    };
    Accepted { id: 7, at: Instant::now(), nacks: 0, attempts: 0, message, hold: None }
}

#[test]
fn publish_names_action_topic_message_and_typed_attributes() {
    let form = publish(&accepted("arn:aws:sns:r:1:t", "{\"a\": \"~é\"}", None), ORIGIN);
    let wanted = [
        "Action=Publish",
        "Version=2010-03-31",
        "TopicArn=arn%3Aaws%3Asns%3Ar%3A1%3At",
        "Message=%7B%22a%22%3A%20%22~%C3%A9%22%7D",
        "MessageAttributes.entry.1.Name=s",
        "MessageAttributes.entry.1.Value.DataType=String",
        "MessageAttributes.entry.1.Value.StringValue=%C3%A4%20b",
        "MessageAttributes.entry.2.Name=n",
        "MessageAttributes.entry.2.Value.DataType=Number",
        "MessageAttributes.entry.2.Value.StringValue=-1.5e3",
        "MessageAttributes.entry.3.Name=b",
        "MessageAttributes.entry.3.Value.DataType=Binary",
        "MessageAttributes.entry.3.Value.BinaryValue=AP8%2B",
    ];
    assert_eq!(form.split('&').collect::<Vec<_>>(), wanted);
}

#[test]
fn a_batch_numbers_its_entries_from_one_and_ids_from_zero() {
    let batch = [accepted("t.fifo", "1", Some("alice")), accepted("t.fifo", "2", Some("bob"))];
    let form = publish_batch(&batch, ORIGIN);
    let wanted = [
        "Action=PublishBatch",
        "Version=2010-03-31",
        "TopicArn=t.fifo",
        "PublishBatchRequestEntries.member.1.Id=0",
        "PublishBatchRequestEntries.member.1.Message=1",
        "PublishBatchRequestEntries.member.1.MessageGroupId=alice",
        "PublishBatchRequestEntries.member.1.MessageDeduplicationId=0000000000000abc-7",
        "PublishBatchRequestEntries.member.2.Id=1",
        "PublishBatchRequestEntries.member.2.Message=2",
        "PublishBatchRequestEntries.member.2.MessageGroupId=bob",
        "PublishBatchRequestEntries.member.2.MessageDeduplicationId=0000000000000abc-7",
    ];
    assert_eq!(form.split('&').collect::<Vec<_>>(), wanted);
}

#[test]
fn only_fifo_topics_get_a_group() {
    let form = publish(&accepted("standard", "1", Some("alice")), ORIGIN);
    assert!(!form.contains("MessageGroupId") && !form.contains("Deduplication"), "{form}");
}

#[test]
fn a_group_that_sns_would_refuse_is_sent_as_its_digest() {
    assert_eq!(group_id("alice@localhost"), "alice@localhost");
    for group in ["jürgen@localhost", "a b", "", &"x".repeat(129)] {
        let id = group_id(group);
        assert_eq!(id.len(), 64, "{group}");
        assert_eq!(id, group_id(group));
    }
    assert_ne!(group_id("jürgen@localhost"), group_id("jurgen @localhost"));
}
