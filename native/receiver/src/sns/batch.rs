//! The rules for `PublishBatch` as a whole; each entry is a draft of its own.

use std::collections::HashSet;

use super::{
    draft::{Draft, MAX_SIZE},
    form::Form,
    refusal::Refusal,
    topic::Topic,
};

const MAX_ENTRIES: usize = 10;

/// An entry with its id: a draft, or why it is none.
pub(crate) type Entry = (String, Result<Draft, Refusal>);

pub(crate) fn entries(form: &Form, topic: &Topic<'_>) -> Result<Vec<Entry>, Refusal> {
    let items = form.list("PublishBatchRequestEntries.member")?;
    let entries = items
        .iter()
        .map(|item| Ok((id(item)?, Draft::parse(item, topic))))
        .collect::<Result<Vec<_>, Refusal>>()?;
    match entries.len() {
        0 => return Err(refused("EmptyBatchRequest", "the batch is empty")),
        1..=MAX_ENTRIES => (),
        _ => return Err(refused("TooManyEntriesInBatchRequest", "more than 10 entries")),
    }
    let distinct: HashSet<_> = entries.iter().map(|(id, _)| id).collect();
    if distinct.len() < entries.len() {
        return Err(refused("BatchEntryIdsNotDistinct", "two entries have the same id"));
    }
    let size: usize = entries.iter().filter_map(|(_, it)| Some(it.as_ref().ok()?.size)).sum();
    if size > MAX_SIZE {
        return Err(refused("BatchRequestTooLong", "more than 262144 bytes"));
    }
    Ok(entries)
}

fn id(item: &Form) -> Result<String, Refusal> {
    let id = item.get("Id").unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=80).contains(&id.len()) && id.bytes().all(plain) {
        Ok(id.to_owned())
    } else {
        Err(refused("InvalidBatchEntryId", "an id has 1 to 80 letters, digits, hyphens"))
    }
}

fn refused(code: &'static str, message: &str) -> Refusal {
    Refusal::new(400, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(ids: &[&str], message: &str) -> Result<usize, String> {
        let mut body = String::from("x=y");
        for (index, id) in ids.iter().enumerate() {
            let prefix = format!("&PublishBatchRequestEntries.member.{}.", index + 1);
            body += &format!("{prefix}Id={id}{prefix}Message={message}");
        }
        let topic = Topic { arn: "arn:aws:sns:eu-west-1:123456789012:any", is_fifo: false };
        match entries(&Form::parse(body.as_bytes()).unwrap(), &topic) {
            Ok(entries) => Ok(entries.len()),
            Err(refusal) => Err(refusal.code.into_owned()),
        }
    }

    #[test]
    fn a_batch_has_one_to_ten_entries_with_distinct_ids() {
        let ids = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
        assert_eq!(code(&ids[..10], "x"), Ok(10));
        assert_eq!(code(&ids, "x"), Err("TooManyEntriesInBatchRequest".into()));
        assert_eq!(code(&[], "x"), Err("EmptyBatchRequest".into()));
        assert_eq!(code(&["a", "a"], "x"), Err("BatchEntryIdsNotDistinct".into()));
        assert_eq!(code(&["a b"], "x"), Err("InvalidBatchEntryId".into()));
    }

    #[test]
    fn a_batch_is_bounded_as_a_whole() {
        let half = "x".repeat(MAX_SIZE / 2);
        assert_eq!(code(&["a", "b"], &half), Ok(2));
        assert_eq!(code(&["a", "b"], &format!("{half}x")), Err("BatchRequestTooLong".into()));
    }
}
