//! What the broker's answers mean for the messages of a batch.
//!
//! The broker closes the channel at a message that it cannot take. That one is rejected, and those
//! around it are published again on other channels: at most once more, unless there are others of
//! its kind. A message that was behind it had not been looked at.

use std::collections::HashSet;
use std::time::Duration;

use lapin::Error;

use super::cause::{ChannelEnd, blames, cause, cut_in_two};
use crate::backoff::RetrySettings;
use crate::fate::Failure;
use crate::message::Accepted;

/// What is known of one message after it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The broker has it: it confirmed it, or without confirms has read it.
    Taken,
    /// The broker has confirmed it, and given it back: no queue takes it.
    Returned,
    /// The broker refuses it this time.
    Nack,
    /// The channel ended before there was an answer.
    Unknown,
    /// It has no form in AMQP, and was not published.
    Unfit,
}

/// Indices of messages in a batch, in their order. What is published on one channel.
pub(super) type Part = Vec<usize>;

/// A batch and what has become of it so far.
pub(super) struct Progress<'a> {
    batch: &'a [Accepted],
    /// Whether the broker confirms messages.
    confirms: bool,
    results: Vec<Result<(), Failure>>,
    /// What is still to be published. The next part is the last.
    parts: Vec<Part>,
}

// === impl Progress ===

impl<'a> Progress<'a> {
    /// Nothing has been published.
    pub(super) fn new(batch: &'a [Accepted], confirms: bool) -> Self {
        let results = vec![Err(Failure::transient("not published")); batch.len()];
        Self { batch, confirms, results, parts: parts(batch) }
    }

    /// What to publish next.
    pub(super) fn next_part(&mut self) -> Option<Part> {
        self.parts.pop()
    }

    pub(super) fn messages(&self, part: &Part) -> Vec<&'a Accepted> {
        part.iter().map(|&index| &self.batch[index]).collect()
    }

    /// Takes the answers to a part; gives the messages that have none.
    pub(super) fn answered(
        &mut self,
        part: Part,
        answers: &[Answer],
        nack: &RetrySettings,
    ) -> Part {
        let mut open = Part::new();
        for (index, answer) in part.into_iter().zip(answers) {
            let result = match answer {
                Answer::Taken => Ok(()),
                Answer::Returned => Err(Failure::Unroutable {
                    detail: format!(
                        "exchange {:?}: no queue takes it",
                        self.batch[index].message.destination
                    )
                    .into(),
                }),
                Answer::Nack => Err(Failure::Nack {
                    detail: "nack from the broker".into(),
                    wait: self.wait(index, nack),
                }),
                Answer::Unfit => Err(Failure::permanent("routing key is longer than 255 bytes")),
                Answer::Unknown => {
                    open.push(index);
                    continue;
                }
            };
            self.results[index] = result;
        }
        open
    }

    /// How long a message waits that the broker refused, if it does not give it up.
    fn wait(&self, index: usize, nack: &RetrySettings) -> Option<Duration> {
        let accepted = &self.batch[index];
        nack.wait_of(accepted.nacks, accepted.at.elapsed(), fastrand::f64())
    }

    /// Takes the end of a channel on which the open messages were; `alive` tells that the
    /// connection has not ended with it. `false` if the end is not about messages: then nothing
    /// more is published.
    pub(super) fn channel_ended(&mut self, open: Part, error: &Error, alive: bool) -> bool {
        match ChannelEnd::of(error) {
            ChannelEnd::Message => self.reject_one(open, error),
            // The text that cannot be read ends with the connection, and is about this one.
            ChannelEnd::Unreadable if open.len() == 1 && self.is_cut_in_two(open[0]) => {
                let cause = "the broker refuses the routing key, in a text that cannot be read";
                self.results[open[0]] = Err(Failure::permanent(cause));
            }
            // Where nobody waits for answers to each, nobody may know why.
            ChannelEnd::Otherwise if open.len() > 1 && alive && !self.confirms => {
                self.parts.extend(singles(open));
            }
            _ => {
                let failure = Failure::transient(cause(error));
                let left = open.into_iter().chain(self.parts.drain(..).flatten());
                left.for_each(|index| self.results[index] = Err(failure.clone()));
                return false;
            }
        }
        true
    }

    /// One of the open messages is refused for good: the one that the broker names, or, if it names
    /// none, one that has to be found.
    fn reject_one(&mut self, mut open: Part, error: &Error) {
        let blamed = open.iter().position(|&index| blames(error, &self.batch[index].message));
        match blamed.or((open.len() == 1).then_some(0)) {
            Some(at) => {
                self.results[open[at]] = Err(Failure::permanent(cause(error)));
                self.parts.push(open.split_off(at + 1));
                open.truncate(at);
                if self.confirms {
                    self.parts.push(open);
                } else {
                    open.into_iter().for_each(|index| self.results[index] = Ok(()));
                }
            }
            None => self.parts.extend(singles(open)),
        }
        self.parts.retain(|part| !part.is_empty());
    }

    fn is_cut_in_two(&self, index: usize) -> bool {
        is_cut_in_two(&self.batch[index])
    }

    /// What became of each message, in their order.
    pub(super) fn into_results(self) -> Vec<Result<(), Failure>> {
        in_order(self.batch, self.results.into_iter())
    }
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
mod tests;
