//! Publishes a batch and tells what became of each message.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::{MaybeDone, join_all, maybe_done};
use lapin::options::{BasicPublishOptions, BasicQosOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, ChannelState, Confirmation, Error, ErrorKind};

use super::answer::{Answer, Progress};
use super::cause::{ChannelEnd, cause_at};
use super::connection::OpenConnection;
use super::settings::{Declare, RabbitSettings};
use super::state::{Event, ExchangeEvent, StateCell};
use crate::fate::Failure;
use crate::message::Accepted;
use crate::origin::Origin;

/// AMQP's delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// Makes the attempts of all workers.
#[derive(Debug)]
pub(super) struct Publisher {
    settings: Arc<RabbitSettings>,
    state: Arc<StateCell>,
    origin: Origin,
}

/// What became of messages on one channel.
struct Attempt {
    /// For each message, in their order.
    answers: Vec<Answer>,
    /// Why the channel ended, if it did.
    end: Option<Error>,
}

/// What a write gives: a confirm to wait for. `None` if the message has no form in AMQP.
type Written = Option<Result<lapin::PublisherConfirm, Error>>;

// === impl Publisher ===

impl Publisher {
    pub(super) fn new(settings: Arc<RabbitSettings>, state: Arc<StateCell>) -> Self {
        Self { settings, state, origin: Origin::random() }
    }

    /// One attempt at messages of one exchange, on one channel after the other.
    pub(super) async fn publish(
        &self,
        connection: &OpenConnection,
        exchange: usize,
        batch: &[Accepted],
    ) -> Vec<Result<(), Failure>> {
        let mut progress = Progress::new(batch, self.settings.confirms);
        while let Some(part) = progress.next_part() {
            let messages = progress.messages(&part);
            let Attempt { answers, end } = self.attempt(connection, exchange, &messages).await;
            let open = progress.answered(part, &answers, &self.settings.nack);
            if let Some(error) = end
                && !progress.channel_ended(open, &error, connection.is_alive())
            {
                self.tell(exchange, self.meaning(exchange, &error));
            }
        }
        progress.into_results()
    }

    /// Publishes messages on one channel.
    async fn attempt(
        &self,
        connection: &OpenConnection,
        exchange: usize,
        batch: &[&Accepted],
    ) -> Attempt {
        let lease = match connection.channel_for(exchange).await {
            Ok(lease) => lease,
            Err(error) => {
                return Attempt { answers: vec![Answer::Unknown; batch.len()], end: Some(error) };
            }
        };
        let attempt = self.publish_on(&lease.channel, exchange, batch).await;
        if attempt.end.is_none() {
            connection.give_back(lease.channel);
            self.tell(exchange, ExchangeEvent::Taken);
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
        let barrier = self.barrier(channel).await;
        let written = writes.iter_mut().map(|write| take(write.as_mut()));
        let mut attempt = Attempt::read(written, barrier).await;
        if attempt.end.is_none() && !channel.status().connected() {
            let closed = ErrorKind::InvalidChannelState(ChannelState::Closed, "publish");
            attempt.end = Some(closed.into());
        }
        attempt
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

    /// Ends when the message is in the socket; what it gives ends when the broker has confirmed it.
    async fn write(&self, channel: &Channel, exchange: usize, accepted: &Accepted) -> Written {
        let exchange = &self.settings.exchanges[exchange];
        let routing_key = accepted.message.group.as_deref().unwrap_or_default();
        let routing_key = ShortString::try_new(routing_key).ok()?;
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_message_id(self.origin.id(accepted).into())
            .with_timestamp(accepted_at(accepted));
        if exchange.durable {
            properties = properties.with_delivery_mode(PERSISTENT);
        }
        let options = BasicPublishOptions { mandatory: self.settings.mandatory, immediate: false };
        let name = exchange.name.as_str().into();
        let body = &accepted.message.body;
        Some(channel.basic_publish(name, routing_key, options, body, properties).await)
    }

    /// What the end of a channel says about the exchange.
    fn meaning(&self, exchange: usize, error: &Error) -> ExchangeEvent {
        let refused = || {
            ExchangeEvent::PublishingRefused(cause_at(&self.settings.exchanges[exchange], error))
        };
        match ChannelEnd::of(error) {
            ChannelEnd::Refused => refused(),
            // Nobody here makes it.
            ChannelEnd::Missing if self.settings.declare == Declare::None => refused(),
            ChannelEnd::Missing => ExchangeEvent::Missing,
            ChannelEnd::Otherwise | ChannelEnd::Unreadable | ChannelEnd::Message => {
                ExchangeEvent::ChannelEnded
            }
        }
    }

    fn tell(&self, exchange: usize, event: ExchangeEvent) {
        self.state.apply(Event::Exchange(exchange, event));
    }
}

/// What an ended write gives.
fn take(write: Pin<&mut MaybeDone<impl Future<Output = Written>>>) -> Written {
    write.take_output().expect("all writes have ended")
}

/// In seconds since 1970.
fn accepted_at(accepted: &Accepted) -> u64 {
    let at = SystemTime::now().checked_sub(accepted.at.elapsed()).unwrap_or(UNIX_EPOCH);
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

// === impl Attempt ===

impl Attempt {
    /// Waits for the confirm of each message; `barrier` is the answer to what was asked behind them.
    async fn read(written: impl Iterator<Item = Written>, barrier: Result<(), Error>) -> Self {
        let mut end = barrier.err();
        let mut answers = Vec::new();
        for written in written {
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
                Ok(Confirmation::Ack(Some(_))) => Answer::Returned,
                Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => Answer::Taken,
                Err(error) => {
                    end.get_or_insert(error);
                    Answer::Unknown
                }
            });
        }
        Self { answers, end }
    }
}
