//! The waiting messages, one lane per destination, served in turn.
//!
//! Within a lane, messages without a group leave in the order in which they came. Of each group
//! only one batch is on its way at a time, which keeps its order even when attempts fail.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::message::Accepted;
use crate::target::BatchLimits;

type Waiting = VecDeque<Box<Accepted>>;

#[derive(Debug)]
pub(super) struct Lanes {
    /// How many batches of one lane may be on their way at a time.
    share: usize,
    by_destination: HashMap<Arc<str>, Lane>,
    /// The destinations that have something to take, each once.
    turns: VecDeque<Arc<str>>,
    /// The groups that rest, by when they have rested: nothing of them is taken until then.
    resting: BTreeSet<(Instant, Arc<str>, Arc<str>)>,
    /// A group that should rest now does so for ever.
    closing: bool,
}

#[derive(Debug, Default)]
struct Lane {
    ungrouped: Waiting,
    /// The groups that wait or have a message on its way.
    groups: HashMap<Arc<str>, Waiting>,
    /// The groups that have something to take, each once.
    turns: VecDeque<Arc<str>>,
    /// The groups that rest.
    resting: HashSet<Arc<str>>,
    in_turns: bool,
    /// Batches on their way.
    under_way: usize,
}

/// What still fits into a batch.
struct Room {
    left: BatchLimits,
    untouched: bool,
}

// === impl Lanes ===

impl Lanes {
    pub(super) fn new(share: usize) -> Self {
        Self {
            share,
            by_destination: HashMap::new(),
            turns: VecDeque::new(),
            resting: BTreeSet::new(),
            closing: false,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.share);
    }

    pub(super) fn add(&mut self, accepted: Box<Accepted>) {
        let destination: &str = &accepted.message.destination;
        let (destination, lane) = match self.by_destination.get_mut(destination) {
            Some(lane) if lane.in_turns => return lane.add(accepted),
            Some(lane) => (Arc::from(destination), lane),
            None => {
                let destination: Arc<str> = Arc::from(destination);
                (Arc::clone(&destination), self.by_destination.entry(destination).or_default())
            }
        };
        lane.add(accepted);
        Self::queue_up(&mut self.turns, destination, lane);
    }

    /// Takes from the first lane in turn that is ready and has not its whole share on its way, as
    /// much as the limits allow and at least one message if there is any to take.
    pub(super) fn take(
        &mut self,
        limits: BatchLimits,
        ready: impl Fn(&str) -> bool,
    ) -> Vec<Accepted> {
        let may_go = |destination: &Arc<str>| {
            ready(destination) && self.by_destination[destination].under_way < self.share
        };
        let Some(next) = self.turns.iter().position(may_go) else { return Vec::new() };
        // Those that are passed over keep their turn.
        let destination = self.turns.remove(next).expect("the position was just found");
        let lane = self.by_destination.get_mut(&destination).expect("a lane in turns exists");
        lane.in_turns = false;
        let batch = lane.take(Room::new(limits));
        lane.under_way += 1;
        Self::queue_up(&mut self.turns, destination, lane);
        batch
    }

    /// Puts messages of a batch that is on its way back in front, in their order. Their groups stay
    /// taken until the batch is finished.
    pub(super) fn give_back(&mut self, batch: Vec<Accepted>) {
        let Some(first) = batch.first() else { return };
        let lane = self.by_destination.get_mut(&*first.message.destination);
        let lane = lane.expect("a lane is kept while a batch of it is on its way");
        batch.into_iter().rev().for_each(|accepted| lane.give_back(accepted));
    }

    /// Lets the groups go that have rested by now.
    pub(super) fn wake_rested(&mut self, now: Instant) {
        while self.rested_at().is_some_and(|at| at <= now) {
            let (_, destination, group) = self.resting.pop_first().expect("there is a first one");
            self.wake(destination, &group);
        }
    }

    /// Lets all groups go that rest, for the last time.
    pub(super) fn rest_no_longer(&mut self) {
        self.closing = true;
        for (_, destination, group) in std::mem::take(&mut self.resting) {
            self.wake(destination, &group);
        }
    }

    /// When the first group has rested of those that do.
    pub(super) fn rested_at(&self) -> Option<Instant> {
        self.resting.first().map(|(at, ..)| *at)
    }

    fn wake(&mut self, destination: Arc<str>, group: &str) {
        let Some(lane) = self.by_destination.get_mut(&destination) else { return };
        lane.wake(group);
        if !lane.in_turns {
            Self::queue_up(&mut self.turns, destination, lane);
        }
    }

    /// A batch with these groups is on its way no longer. Nothing is taken of a group before the
    /// time that `rests` names, if it does.
    pub(super) fn finish(
        &mut self,
        destination: &str,
        groups: &[Box<str>],
        rests: impl Fn(&str) -> Option<Instant>,
    ) {
        let Some(lane) = self.by_destination.get_mut(destination) else { return };
        let destination: Arc<str> = Arc::from(destination);
        lane.under_way -= 1;
        for group in groups {
            match rests(group).and_then(|until| Some((until, lane.rest(group)?))) {
                Some(_) if self.closing => {}
                Some((until, group)) => {
                    self.resting.insert((until, Arc::clone(&destination), group));
                }
                None => lane.release(group),
            }
        }
        if lane.is_empty() {
            self.by_destination.remove(&destination);
        } else if !lane.in_turns {
            Self::queue_up(&mut self.turns, destination, lane);
        }
    }

    /// Whether something waits that could be taken if its destination were ready.
    pub(super) fn has_something_to_take(&self) -> bool {
        !self.turns.is_empty()
    }

    /// When the message that has waited longest was accepted.
    pub(super) fn oldest(&self) -> Option<std::time::Instant> {
        self.by_destination.values().filter_map(Lane::oldest).min()
    }

    fn queue_up(turns: &mut VecDeque<Arc<str>>, destination: Arc<str>, lane: &mut Lane) {
        if lane.has_something_to_take() {
            lane.in_turns = true;
            turns.push_back(destination);
        }
    }
}

// === impl Lane ===

impl Lane {
    fn add(&mut self, accepted: Box<Accepted>) {
        let Some(name) = accepted.message.group.as_deref() else {
            return self.ungrouped.push_back(accepted);
        };
        if let Some(group) = self.groups.get_mut(name) {
            return group.push_back(accepted);
        }
        let name: Arc<str> = Arc::from(name);
        self.turns.push_back(Arc::clone(&name));
        self.groups.entry(name).or_default().push_back(accepted);
    }

    fn give_back(&mut self, accepted: Accepted) {
        let waiting = match accepted.message.group.as_deref() {
            Some(name) => self.groups.get_mut(name).expect("a group that was taken is kept"),
            None => &mut self.ungrouped,
        };
        waiting.push_front(Box::new(accepted));
    }

    fn take(&mut self, mut room: Room) -> Vec<Accepted> {
        let mut batch = Vec::new();
        while let Some(accepted) = self.ungrouped.pop_front_if(|first| room.admits(first)) {
            batch.push(*accepted);
        }
        while let Some(name) = self.turns.front() {
            let group = self.groups.get_mut(name).expect("a group in turns exists");
            let before = batch.len();
            while batch.len() - before < room.left.per_group
                && let Some(accepted) = group.pop_front_if(|first| room.admits(first))
            {
                batch.push(*accepted);
            }
            if batch.len() == before {
                break;
            }
            self.turns.pop_front();
        }
        batch
    }

    fn wake(&mut self, name: &str) {
        if let Some(name) = self.resting.take(name) {
            self.turns.push_back(name);
        }
    }

    /// Lets a group rest in which something waits.
    fn rest(&mut self, name: &str) -> Option<Arc<str>> {
        let (name, group) = self.groups.get_key_value(name)?;
        let name = (!group.is_empty()).then(|| Arc::clone(name))?;
        self.resting.insert(Arc::clone(&name));
        Some(name)
    }

    fn release(&mut self, name: &str) {
        let Some((name, group)) = self.groups.get_key_value(name) else { return };
        let name = Arc::clone(name);
        if group.is_empty() {
            self.groups.remove(&name);
        } else {
            self.turns.push_back(name);
        }
    }

    fn has_something_to_take(&self) -> bool {
        !self.ungrouped.is_empty() || !self.turns.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.ungrouped.is_empty() && self.groups.is_empty() && self.under_way == 0
    }

    fn oldest(&self) -> Option<std::time::Instant> {
        self.groups
            .values()
            .chain([&self.ungrouped])
            .filter_map(|waiting| Some(waiting.front()?.at))
            .min()
    }
}

// === impl Room ===

impl Room {
    fn new(left: BatchLimits) -> Self {
        Self { left, untouched: true }
    }

    /// Whether the message still fits. The first one always does: its own weight is the target's
    /// business.
    fn admits(&mut self, accepted: &Accepted) -> bool {
        let weight = accepted.message.weight();
        if self.left.events == 0 || (weight > self.left.bytes && !self.untouched) {
            return false;
        }
        self.untouched = false;
        self.left.events -= 1;
        self.left.bytes = self.left.bytes.saturating_sub(weight);
        true
    }
}
