//! Publishes a batch on one channel and tells what became of each message.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::{join_all, maybe_done};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Error};

use super::RabbitTarget;
use super::cause::{Closed, cause, closed};
use super::session::Session;
use super::state::Standing;
use crate::message::Accepted;
use crate::outcome::Failure;

/// AMQP's delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// What the broker said of one message, or `None` if it has no form in AMQP.
type Answer = Option<Result<Confirmation, Error>>;

// === impl RabbitTarget ===

impl RabbitTarget {
    /// One attempt at messages of one exchange.
    pub(super) async fn publish(
        &self,
        session: &Session,
        exchange: usize,
        batch: &[Accepted],
    ) -> Vec<Result<(), Failure>> {
        let channel = match session.take_channel().await {
            Ok(channel) => channel,
            Err(error) => return vec![Err(Failure::transient(cause(&error))); batch.len()],
        };
        let answers = self.publish_on(&channel, exchange, batch).await;
        if channel.status().connected() {
            session.return_channel(channel).await;
            self.change(exchange, |standing| match standing {
                // It takes what it has refused before.
                Standing::Tried(_) => Some(Standing::Ready),
                _ => None,
            });
            return in_order(batch, answers.iter().map(result));
        }
        let error = answers.iter().find_map(|answer| answer.as_ref()?.as_ref().err());
        let cause = error.map_or("channel is closed".into(), cause);
        match error.map_or(Closed::Otherwise, closed) {
            // Several messages, and one of them is to blame.
            Closed::Impossible if batch.len() > 1 => {
                return Box::pin(self.publish_each(session, exchange, batch, &answers)).await;
            }
            Closed::Impossible => return vec![Err(Failure::permanent(cause))],
            Closed::Refused => self.change(exchange, |_| {
                let name = &self.settings.exchanges[exchange].name;
                Some(Standing::NotWritable(format!("exchange {name:?}: {cause}").into()))
            }),
            Closed::Missing => self
                .change(exchange, |standing| standing.is_ready().then_some(Standing::Undeclared)),
            // Where nobody waits for answers, nobody knows why: it may be missing. A refusal that
            // somebody else has seen says more.
            Closed::Otherwise => self.change(exchange, |standing| {
                (*standing == Standing::Ready).then_some(Standing::Undeclared)
            }),
        }
        in_order(batch, answers.iter().map(result))
    }

    /// One by one, those that have not been confirmed before.
    async fn publish_each(
        &self,
        session: &Session,
        exchange: usize,
        batch: &[Accepted],
        answers: &[Answer],
    ) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(batch.len());
        for (single, answer) in batch.chunks(1).zip(answers) {
            match result(answer) {
                Ok(()) => results.push(Ok(())),
                Err(_) => results.extend(self.publish(session, exchange, single).await),
            }
        }
        in_order(batch, results.into_iter())
    }

    async fn publish_on(
        &self,
        channel: &Channel,
        exchange: usize,
        batch: &[Accepted],
    ) -> Vec<Answer> {
        let mut writes: Vec<_> = batch
            .iter()
            .map(|accepted| Box::pin(maybe_done(self.write(channel, exchange, accepted))))
            .collect();
        // A message is handed over when its write is first polled: this is the order on the wire.
        for write in &mut writes {
            let _ = write.as_mut().now_or_never();
        }
        join_all(writes.iter_mut().map(Pin::as_mut)).await;
        let mut answers = Vec::with_capacity(batch.len());
        for write in &mut writes {
            answers.push(match write.as_mut().take_output().expect("all writes have ended") {
                Some(Ok(confirm)) => Some(confirm.await),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
        answers
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

fn result(answer: &Answer) -> Result<(), Failure> {
    match answer {
        Some(Ok(Confirmation::Ack(_) | Confirmation::NotRequested)) => Ok(()),
        Some(Ok(Confirmation::Nack(_))) => Err(Failure::transient("nack from the broker")),
        Some(Err(error)) => Err(Failure::transient(cause(error))),
        None => Err(Failure::permanent("routing key is longer than 255 bytes")),
    }
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
            Err(Failure::Transient { .. }) => {
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
    use std::time::Instant;

    use super::*;
    use crate::message::Message;

    fn accepted(id: u64, routing_key: &str) -> Accepted {
        let message = Message {
            destination: "chat".into(),
            body: "body".into(),
            attributes: Box::default(),
            group: Some(routing_key.into()),
        };
        Accepted { id, at: Instant::now(), message }
    }

    #[test]
    fn what_follows_a_failure_under_the_same_key_is_published_again() {
        let batch = ["alice", "alice", "bob", "alice", "bob"].map(|key| accepted(0, key));
        let results = [Ok(()), Err(Failure::transient("nack")), Ok(()), Ok(()), Ok(())];
        let done: Vec<_> =
            in_order(&batch, results.into_iter()).iter().map(Result::is_ok).collect();
        assert_eq!(done, [true, false, true, false, true]);
    }

    #[test]
    fn a_rejected_message_does_not_hold_up_the_next() {
        let batch = ["alice", "alice"].map(|key| accepted(0, key));
        let results = [Err(Failure::permanent("too large")), Ok(())];
        let done: Vec<_> =
            in_order(&batch, results.into_iter()).iter().map(Result::is_ok).collect();
        assert_eq!(done, [false, true]);
    }
}
