//! Messages that wait one behind the other, and an index of the first of each row.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::message::Accepted;

/// Messages that wait one behind the other.
#[derive(Debug)]
pub(super) struct Row {
    place: Place,
    waiting: VecDeque<Box<Accepted>>,
}

/// Which row it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) destination: Arc<str>,
    pub(super) group: Option<Arc<str>>,
}

/// Where a message is that waits.
#[derive(Clone, Debug)]
pub(super) enum Front {
    /// The first one of a row.
    Row(Place),
    /// By itself, until then.
    Alone(Instant),
}

/// When the first message of each row was accepted, and its id, and those of messages that wait by
/// themselves: so nobody has to ask all rows which message has waited longest.
#[derive(Debug, Default)]
pub(super) struct Fronts(BTreeMap<Key, Front>);

type Key = (Instant, u64);

// === impl Row ===

impl Row {
    pub(super) fn new(place: Place) -> Self {
        Self { place, waiting: VecDeque::new() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, accepted: Box<Accepted>, fronts: &mut Fronts) {
        self.change(fronts, |waiting| waiting.push_back(accepted));
    }

    /// Takes from the front for as long as the messages there are admitted.
    pub(super) fn take(
        &mut self,
        batch: &mut Vec<Accepted>,
        fronts: &mut Fronts,
        mut admits: impl FnMut(&Accepted) -> bool,
    ) {
        self.change(fronts, |waiting| {
            while let Some(accepted) = waiting.pop_front_if(|first| admits(first)) {
                batch.push(*accepted);
            }
        });
    }

    pub(super) fn pop(&mut self, fronts: &mut Fronts) -> Option<Box<Accepted>> {
        self.change(fronts, VecDeque::pop_front)
    }

    /// Puts a message that was taken back in front.
    pub(super) fn give_back(&mut self, accepted: Accepted, fronts: &mut Fronts) {
        self.change(fronts, |waiting| waiting.push_front(Box::new(accepted)));
    }

    /// The same by its age: others of the row may have come back before it.
    pub(super) fn give_back_by_age(&mut self, accepted: Accepted, fronts: &mut Fronts) {
        self.change(fronts, |waiting| {
            let older = waiting.partition_point(|other| other.id < accepted.id);
            waiting.insert(older, Box::new(accepted));
        });
    }

    fn change<R>(
        &mut self,
        fronts: &mut Fronts,
        change: impl FnOnce(&mut VecDeque<Box<Accepted>>) -> R,
    ) -> R {
        let before = self.front();
        let result = change(&mut self.waiting);
        let after = self.front();
        if before != after {
            before.inspect(|before| _ = fronts.0.remove(before));
            fronts.0.extend(after.map(|after| (after, Front::Row(self.place.clone()))));
        }
        result
    }

    fn front(&self) -> Option<Key> {
        self.waiting.front().map(|first| (first.at, first.id))
    }
}

// === impl Fronts ===

impl Fronts {
    /// When the message that has waited longest was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.0.first_key_value().map(|((at, _), _)| *at)
    }

    /// Its id, and where it is.
    pub(super) fn oldest_place(&self) -> Option<(u64, Front)> {
        self.0.first_key_value().map(|((_, id), front)| (*id, front.clone()))
    }

    /// Adds a message that waits by itself until then.
    pub(super) fn add_alone(&mut self, accepted: &Accepted, until: Instant) {
        self.0.insert((accepted.at, accepted.id), Front::Alone(until));
    }

    /// It does no longer.
    pub(super) fn remove_alone(&mut self, accepted: &Accepted) {
        self.0.remove(&(accepted.at, accepted.id));
    }
}
