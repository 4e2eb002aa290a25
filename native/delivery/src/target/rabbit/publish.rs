//! Publishes a batch on one channel and tells what became of each message.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::{join_all, maybe_done};
use lapin::options::{BasicPublishOptions, BasicQosOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, ChannelState, Confirmation, Error, ErrorKind};

use super::RabbitTarget;
use super::cause::{Closed, blames, cause, closed, cut_in_two};
use super::session::Session;
use super::settings::Declare;
use super::state::Standing;
use crate::message::Accepted;
use crate::outcome::Failure;

/// AMQP's delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// What is known of one message after it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The broker has it: it confirmed it, or without confirms has read it.
    Taken,
    /// The broker refuses it this time.
    Nack,
    /// The channel ended before there was an answer.
    Unknown,
    /// It has no form in AMQP, and was not published.
    Unfit,
}

/// What became of messages on one channel.
struct Attempt {
    /// For each message, in their order.
    answers: Vec<Answer>,
    /// Why the channel ended, if it did.
    end: Option<Error>,
}

/// Indices of messages in a batch, in their order.
type Part = Vec<usize>;

// === impl RabbitTarget ===

impl RabbitTarget {
    /// One attempt at messages of one exchange.
    ///
    /// The broker closes the channel at a message that it cannot take. That one is rejected, and
    /// those around it are published again on other channels: at most once more, unless there are
    /// others of its kind. A message that was behind it had not been looked at.
    pub(super) async fn publish(
        &self,
        session: &Session,
        exchange: usize,
        batch: &[Accepted],
    ) -> Vec<Result<(), Failure>> {
        let mut results = vec![Err(Failure::transient("not published")); batch.len()];
        // The next one is the last.
        let mut parts = parts(batch);
        while let Some(part) = parts.pop() {
            let messages: Vec<_> = part.iter().map(|&index| &batch[index]).collect();
            let attempt = self.attempt(session, exchange, &messages).await;
            let mut open = Part::new();
            for (&index, answer) in part.iter().zip(&attempt.answers) {
                match self.result(*answer, &batch[index]) {
                    Some(result) => results[index] = result,
                    None => open.push(index),
                }
            }
            let Some(error) = attempt.end else { continue };
            match closed(&error) {
                Closed::Message => {
                    let blamed =
                        open.iter().position(|&index| blames(&error, &batch[index].message));
                    let cause = Err(Failure::permanent(cause(&error)));
                    match (blamed, open.len()) {
                        (Some(at), _) => {
                            results[open[at]] = cause;
                            parts.push(open.split_off(at + 1));
                            open.truncate(at);
                            if self.settings.confirms {
                                parts.push(open);
                            } else {
                                open.into_iter().for_each(|index| results[index] = Ok(()));
                            }
                        }
                        (None, 1) => results[open[0]] = cause,
                        (None, _) => parts.extend(singles(open)),
                    }
                }
                // The text that cannot be read ends with the connection, and is about this one.
                Closed::Unreadable if open.len() == 1 && is_cut_in_two(&batch[open[0]]) => {
                    let cause = "the broker refuses the routing key, in a text that cannot be read";
                    results[open[0]] = Err(Failure::permanent(cause));
                }
                // Where nobody waits for answers to each, nobody may know why.
                Closed::Otherwise
                    if open.len() > 1 && session.is_alive() && !self.settings.confirms =>
                {
                    parts.extend(singles(open));
                }
                about => {
                    self.note(exchange, about, &error);
                    let failure = Failure::transient(cause(&error));
                    let left = open.into_iter().chain(parts.drain(..).flatten());
                    left.for_each(|index| results[index] = Err(failure.clone()));
                }
            }
        }
        in_order(batch, results.into_iter())
    }

    /// `None` if it has to be published again to know.
    fn result(&self, answer: Answer, accepted: &Accepted) -> Option<Result<(), Failure>> {
        match answer {
            Answer::Taken => Some(Ok(())),
            Answer::Nack => Some(Err(Failure::Nack {
                detail: "nack from the broker".into(),
                wait: self.settings.nack.wait(accepted.nacks, fastrand::f64()),
            })),
            Answer::Unfit => Some(Err(Failure::permanent("routing key is longer than 255 bytes"))),
            Answer::Unknown => None,
        }
    }

    /// Publishes messages on one channel.
    async fn attempt(&self, session: &Session, exchange: usize, batch: &[&Accepted]) -> Attempt {
        let lease = match session.channel_for(exchange).await {
            Ok(lease) => lease,
            Err(error) => {
                return Attempt { answers: vec![Answer::Unknown; batch.len()], end: Some(error) };
            }
        };
        let attempt = self.publish_on(&lease.channel, exchange, batch).await;
        if attempt.end.is_none() {
            session.give_back(lease.channel);
            self.change(exchange, |standing| match standing {
                // It takes what it has refused before.
                Standing::Tried(_) => Some(Standing::Ready),
                _ => None,
            });
        }
        attempt
    }

    async fn publish_on(&self, channel: &Channel, exchange: usize, batch: &[&Accepted]) -> Attempt {
        let mut writes: Vec<_> = batch
            .iter()
            .map(|accepted| Box::pin(maybe_done(self.write(channel, exchange, accepted))))
            .collect();
        // A message is handed over when its write is first polled: this is the order on the wire.
        for write in &mut writes {
            let _ = write.as_mut().now_or_never();
        }
        join_all(writes.iter_mut().map(Pin::as_mut)).await;
        let mut end = self.barrier(channel).await.err();
        let mut answers = Vec::with_capacity(batch.len());
        for write in &mut writes {
            let written = write.as_mut().take_output().expect("all writes have ended");
            let confirmed = match written {
                Some(Ok(confirm)) => confirm.await,
                Some(Err(error)) => Err(error),
                None => {
                    answers.push(Answer::Unfit);
                    continue;
                }
            };
            answers.push(match confirmed {
                Ok(Confirmation::Nack(_)) => Answer::Nack,
                Ok(Confirmation::NotRequested) if end.is_some() => Answer::Unknown,
                Ok(Confirmation::Ack(_) | Confirmation::NotRequested) => Answer::Taken,
                Err(error) => {
                    end.get_or_insert(error);
                    Answer::Unknown
                }
            });
        }
        if end.is_none() && !channel.status().connected() {
            end = Some(ErrorKind::InvalidChannelState(ChannelState::Closed, "publish").into());
        }
        Attempt { answers, end }
    }

    /// Where no message is confirmed, a question behind them all: the broker reads in order, so its
    /// answer says that it has read them. The client would let it overtake what is not in the
    /// socket yet. If the broker closes the channel before it is asked, nobody learns why.
    async fn barrier(&self, channel: &Channel) -> Result<(), Error> {
        if self.settings.confirms {
            return Ok(());
        }
        // Nothing is consumed on the channel, so this changes nothing.
        channel.basic_qos(0, BasicQosOptions::default()).await
    }

    /// Notes what the end of a channel says about the exchange.
    fn note(&self, exchange: usize, about: Closed, error: &Error) {
        match about {
            Closed::Refused => self.refuse(exchange, error),
            // Nobody here makes it.
            Closed::Missing if self.settings.declare == Declare::None => {
                self.refuse(exchange, error);
            }
            Closed::Missing => self
                .change(exchange, |standing| standing.is_ready().then_some(Standing::Undeclared)),
            // It may be missing. A refusal that somebody else has seen says more.
            Closed::Otherwise | Closed::Unreadable | Closed::Message => self
                .change(exchange, |standing| {
                    (*standing == Standing::Ready).then_some(Standing::Undeclared)
                }),
        }
    }

    /// Nothing is published to the exchange until somebody may have mended it.
    fn refuse(&self, exchange: usize, error: &Error) {
        self.change(exchange, |_| {
            let name = &self.settings.exchanges[exchange].name;
            Some(Standing::NotWritable(format!("exchange {name:?}: {}", cause(error)).into()))
        });
    }

    /// Ends when the message is in the socket; what it gives ends when the broker has confirmed it.
    async fn write(
        &self,
        channel: &Channel,
        exchange: usize,
        accepted: &Accepted,
    ) -> Option<Result<lapin::PublisherConfirm, Error>> {
        let exchange = &self.settings.exchanges[exchange];
        let routing_key = accepted.message.group.as_deref().unwrap_or_default();
        let routing_key = ShortString::try_new(routing_key).ok()?;
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_message_id(format!("{:016x}-{}", self.origin, accepted.id).into())
            .with_timestamp(accepted_at(accepted));
        if exchange.durable {
            properties = properties.with_delivery_mode(PERSISTENT);
        }
        let (name, options) = (exchange.name.as_str().into(), BasicPublishOptions::default());
        let body = &accepted.message.body;
        Some(channel.basic_publish(name, routing_key, options, body, properties).await)
    }

    /// Tells the workers how an exchange stands, and the keeper if it is a change.
    fn change(&self, exchange: usize, change: impl FnOnce(&Standing) -> Option<Standing>) {
        let changed = self.state.send_if_modified(|state| {
            let standing = &mut state.exchanges[exchange];
            change(standing).map(|new| *standing = new).is_some()
        });
        if changed {
            self.changed.notify_one();
        }
    }
}

/// In seconds since 1970.
fn accepted_at(accepted: &Accepted) -> u64 {
    let at = SystemTime::now().checked_sub(accepted.at.elapsed()).unwrap_or(UNIX_EPOCH);
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// All messages as one part, but for those whose refusal the broker could not tell: each of them goes
/// alone. The first part is the last.
fn parts(batch: &[Accepted]) -> Vec<Part> {
    let mut parts = Vec::<Part>::new();
    let mut alone = true;
    for (index, accepted) in batch.iter().enumerate() {
        match parts.last_mut() {
            Some(part) if !alone && !is_cut_in_two(accepted) => part.push(index),
            _ => parts.push(vec![index]),
        }
        alone = is_cut_in_two(accepted);
    }
    parts.reverse();
    parts
}

fn is_cut_in_two(accepted: &Accepted) -> bool {
    accepted.message.group.as_deref().is_some_and(cut_in_two)
}

/// Each message a part of its own, the first one last.
fn singles(part: Part) -> impl Iterator<Item = Part> {
    part.into_iter().rev().map(|index| vec![index])
}

/// What comes after a failure under the same routing key is published again, too: better twice
/// than in another order.
fn in_order(
    batch: &[Accepted],
    results: impl Iterator<Item = Result<(), Failure>>,
) -> Vec<Result<(), Failure>> {
    let mut failed = HashSet::new();
    let result = |(accepted, result): (&Accepted, Result<(), Failure>)| {
        let routing_key = accepted.message.group.clone();
        match result {
            Ok(()) if failed.contains(&routing_key) => {
                Err(Failure::transient("published again to keep the order"))
            }
            Err(Failure::Transient { .. } | Failure::Nack { wait: Some(_), .. }) => {
                failed.insert(routing_key);
                result
            }
            _ => result,
        }
    };
    batch.iter().zip(results).map(result).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::message::Message;

    fn accepted(id: u64, routing_key: &str) -> Accepted {
        let message = Message {
            destination: "chat".into(),
            body: "body".into(),
            attributes: Box::default(),
            group: Some(routing_key.into()),
        };
        Accepted { id, at: Instant::now(), nacks: 0, message }
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
}
