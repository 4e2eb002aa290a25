use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPError, AMQPSoftError};
use tokio::time::Instant;

use super::*;
use crate::backoff::RetryEnd;
use crate::message::Message;

const NACK: RetrySettings =
    RetrySettings { end: RetryEnd::Count(1), base: Duration::ZERO, max: Duration::ZERO };

fn accepted(id: u64, routing_key: &str) -> Accepted {
    let message = Message {
        destination: "chat".into(),
        body: "body".into(),
        attributes: Box::default(),
        group: Some(routing_key.into()),
    };
    Accepted { id, at: Instant::now(), nacks: 0, attempts: 0, message, hold: None }
}

fn batch<const N: usize>(keys: [&str; N]) -> [Accepted; N] {
    keys.map(|key| accepted(0, key))
}

fn refusal(kind: AMQPSoftError, text: &str) -> Error {
    ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
}

/// The refusal of a routing key, which names it.
fn topic(key: &str) -> Error {
    let text = format!("ACCESS_REFUSED - access to topic '{key}' in exchange 'chat' in vhost '/'");
    refusal(AMQPSoftError::ACCESSREFUSED, &text)
}

/// An answer that is none of AMQP: what should be text is no UTF-8.
fn unreadable() -> Error {
    let error = lapin::types::parsing::parse_short_string(&[1, 0xff][..]).unwrap_err();
    ErrorKind::ParsingError(error).into()
}

/// What is published next, and what has become of each message so far, in a letter: taken, rejected
/// or failed.
fn state(mut progress: Progress<'_>) -> (Vec<Part>, String) {
    let parts = std::iter::from_fn(|| progress.next_part()).collect();
    let letter = |result: &Result<(), Failure>| match result {
        Ok(()) => 't',
        Err(Failure::Permanent { .. }) => 'r',
        Err(_) => 'f',
    };
    (parts, progress.results.iter().map(letter).collect())
}

#[test]
fn what_the_end_of_a_channel_means_for_each_message() {
    let unnamed = refusal(AMQPSoftError::PRECONDITIONFAILED, "PRECONDITION_FAILED - no reason");
    let missing = refusal(AMQPSoftError::NOTFOUND, "NOT_FOUND - no exchange 'chat' in vhost '/'");
    let otherwise = refusal(AMQPSoftError::RESOURCELOCKED, "RESOURCE_LOCKED");
    let batch = batch(["a", "b", "c", "d"]);
    // The first message of the batch was answered; the others were not.
    for (error, confirms, alive, about_messages, parts, results) in [
        // The one that is named is rejected. Those around it are published again; without
        // confirms, those before it were taken.
        (topic("c"), true, true, true, vec![vec![1], vec![3]], "tfrf"),
        (topic("c"), false, true, true, vec![vec![3]], "ttrf"),
        (topic("d"), true, true, true, vec![vec![1, 2]], "tffr"),
        (topic("b"), false, true, true, vec![vec![2, 3]], "trff"),
        // None is named, so each goes alone.
        (unnamed, true, true, true, vec![vec![1], vec![2], vec![3]], "tfff"),
        // Nobody may know why, where nobody waits for confirms.
        (otherwise.clone(), false, true, true, vec![vec![1], vec![2], vec![3]], "tfff"),
        (otherwise.clone(), true, true, false, vec![], "tfff"),
        // Not about messages: nothing is published any more.
        (otherwise, false, false, false, vec![], "tfff"),
        (missing, false, true, false, vec![], "tfff"),
    ] {
        let mut progress = Progress::new(&batch, confirms);
        let part = progress.next_part().unwrap();
        let answers = [Answer::Taken, Answer::Unknown, Answer::Unknown, Answer::Unknown];
        let open = progress.answered(part, &answers, &NACK);
        assert_eq!(open, [1, 2, 3]);
        let case = format!("{error}, confirms: {confirms}, alive: {alive}");
        assert_eq!(progress.channel_ended(open, &error, alive), about_messages, "{case}");
        assert_eq!(state(progress), (parts, results.to_owned()), "{case}");
    }
}

#[test]
fn a_message_that_is_alone_is_the_one_that_is_refused() {
    let batch = batch(["a"]);
    let mut progress = Progress::new(&batch, true);
    let open = progress.next_part().unwrap();
    let unnamed = refusal(AMQPSoftError::PRECONDITIONFAILED, "PRECONDITION_FAILED - no reason");
    assert!(progress.channel_ended(open, &unnamed, true));
    assert_eq!(state(progress), (vec![], "r".into()));
}

#[test]
fn what_was_to_come_fails_with_what_was_under_way() {
    let odd = format!("{}é", "o".repeat(217));
    let batch = batch(["a", &odd, "b"]);
    let mut progress = Progress::new(&batch, true);
    let open = progress.next_part().unwrap();
    let lost = ErrorKind::MissingHeartbeatError.into();
    assert!(!progress.channel_ended(open, &lost, false));
    let failure = Err(Failure::transient("heartbeats are missing"));
    assert_eq!(progress.into_results(), vec![failure; 3]);
}

#[test]
fn an_answer_that_cannot_be_read_is_about_a_key_that_was_cut_in_two() {
    let odd = format!("{}é", "o".repeat(217));
    for (key, rejected) in [(odd.as_str(), true), ("a", false)] {
        let batch = batch([key]);
        let mut progress = Progress::new(&batch, true);
        let open = progress.next_part().unwrap();
        assert_eq!(progress.channel_ended(open, &unreadable(), false), rejected, "{key}");
    }
}

#[test]
fn each_answer_is_a_result() {
    let batch = batch(["a", "b", "c"]);
    let mut progress = Progress::new(&batch, true);
    let part = progress.next_part().unwrap();
    let answers = [Answer::Taken, Answer::Nack, Answer::Unfit];
    assert!(progress.answered(part, &answers, &NACK).is_empty());
    let nack = Failure::Nack { detail: "nack from the broker".into(), wait: Some(Duration::ZERO) };
    let unfit = Failure::permanent("routing key is longer than 255 bytes");
    assert_eq!(progress.into_results(), [Ok(()), Err(nack), Err(unfit)]);
}

#[test]
fn with_a_bound_of_age_a_nack_gives_up_what_would_be_that_old_and_counts_nothing() {
    let hour = Duration::from_secs(3600);
    let nack = RetrySettings::new(Some(1), Some(hour), 1000, 300_000);
    let mut batch = batch(["a", "b"]);
    batch.iter_mut().for_each(|accepted| accepted.nacks = 1000);
    batch[1].at = Instant::now().checked_sub(hour).unwrap();
    let mut progress = Progress::new(&batch, true);
    let part = progress.next_part().unwrap();
    progress.answered(part, &[Answer::Nack, Answer::Nack], &nack);
    let [Err(Failure::Nack { wait: Some(wait), .. }), Err(Failure::Nack { wait: None, .. })] =
        &progress.into_results()[..]
    else {
        panic!("one waits and one is given up");
    };
    assert!(*wait <= Duration::from_secs(300));
}

#[test]
fn a_key_that_the_broker_would_cut_in_two_goes_alone() {
    let odd = format!("{}é", "o".repeat(217));
    let batch = ["a", "b", &odd, &odd, "c", "d"].map(|key| accepted(0, key));
    assert_eq!(parts(&batch), [vec![4, 5], vec![3], vec![2], vec![0, 1]]);
    assert!(parts(&[]).is_empty());
}

#[test]
fn what_follows_a_failure_under_the_same_key_is_published_again() {
    let batch = ["alice", "alice", "bob", "alice", "bob"].map(|key| accepted(0, key));
    let nack = Failure::Nack { detail: "nack".into(), wait: Some(Duration::from_secs(1)) };
    for failure in [Failure::transient("channel is closed"), nack] {
        let results = [Ok(()), Err(failure), Ok(()), Ok(()), Ok(())];
        let done: Vec<_> =
            in_order(&batch, results.into_iter()).iter().map(Result::is_ok).collect();
        assert_eq!(done, [true, false, true, false, true]);
    }
}

#[test]
fn a_message_that_is_given_up_does_not_hold_up_the_next() {
    let batch = ["alice", "alice"].map(|key| accepted(0, key));
    let given_up = Failure::Nack { detail: "nack".into(), wait: None };
    for failure in [Failure::permanent("too large"), given_up] {
        let results = [Err(failure), Ok(())];
        let done: Vec<_> =
            in_order(&batch, results.into_iter()).iter().map(Result::is_ok).collect();
        assert_eq!(done, [false, true]);
    }
}
