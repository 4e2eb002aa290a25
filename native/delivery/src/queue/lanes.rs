//! The waiting messages, one lane per destination, served in turn.
//!
//! Within a lane, messages without a group leave in the order in which they came. Of each group
//! only one batch is on its way at a time, which keeps its order even when attempts fail.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::row::{Front, Fronts, Place, Row};
use super::turns::{Turn, Turns};
use crate::backend::BatchLimits;
use crate::message::Accepted;

#[derive(Debug)]
pub(super) struct Lanes {
    /// How many batches of one lane may be on their way at a time.
    share: usize,
    by_destination: HashMap<Arc<str>, Lane>,
    /// The destinations that have something to take.
    turns: Turns,
    fronts: Fronts,
    /// The groups that rest, by when they have rested: nothing of them is taken until then.
    resting: BTreeSet<(Instant, Arc<str>, Arc<str>)>,
    /// The messages without a group that rest, by when they have, and by their ids.
    alone: BTreeMap<(Instant, u64), Box<Accepted>>,
    /// When those have rested that rest for ever.
    never: Instant,
    /// All that rests has rested; what should rest from now on does so for ever.
    closing: bool,
    /// All groups that rest have rested.
    hurrying: bool,
}

#[derive(Debug)]
struct Lane {
    destination: Arc<str>,
    ungrouped: Row,
    /// The groups that wait or have a message on its way.
    groups: HashMap<Arc<str>, Group>,
    /// The groups that have something to take.
    turns: Turns,
    /// Its own place among the lanes.
    turn: Option<Turn>,
    /// Batches on their way.
    under_way: usize,
}

#[derive(Debug)]
struct Group {
    row: Row,
    state: State,
}

/// What may be taken of a group. One that has nothing on its way has something that waits.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Something, when it is its turn.
    Ready(Turn),
    /// Nothing: it has a batch on its way.
    UnderWay,
    /// Nothing until then, or ever.
    Resting(Option<Instant>),
}

/// What still fits into a batch.
struct Room {
    left: BatchLimits,
    untouched: bool,
}

/// Longer than any pool lives.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How many groups and messages one look lets go that have rested, so that nobody holds the lanes for long.
const WOKEN_AT_ONCE: usize = 1024;

// === impl Lanes ===

impl Lanes {
    pub(super) fn new(share: usize) -> Self {
        Self {
            share,
            by_destination: HashMap::new(),
            turns: Turns::default(),
            fronts: Fronts::default(),
            resting: BTreeSet::new(),
            alone: BTreeMap::new(),
            never: Instant::now() + FOR_EVER,
            closing: false,
            hurrying: false,
        }
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Self {
        let empty = Self::new(self.share);
        std::mem::replace(self, empty)
    }

    pub(super) fn add(&mut self, accepted: Box<Accepted>) {
        let lane = lane_of(&mut self.by_destination, &accepted.message.destination);
        lane.add(accepted, &mut self.fronts);
        lane.settle(&mut self.turns);
    }

    /// Takes from the first lane in turn that is ready and has not its whole share on its way, as
    /// much as the limits allow and at least one message if there is any to take.
    pub(super) fn take(
        &mut self,
        limits: impl Fn(&str) -> BatchLimits,
        ready: impl Fn(&str) -> bool,
    ) -> Vec<Accepted> {
        let may_go = |destination: &str| {
            ready(destination) && self.by_destination[destination].under_way < self.share
        };
        // Those that are passed over keep their turn.
        let next = self.turns.iter().find(|(_, destination)| may_go(destination));
        let Some((_, destination)) = next else { return Vec::new() };
        let room = Room::new(limits(destination));
        let lane = self.by_destination.get_mut(destination).expect("a lane in turns exists");
        lane.step_back(&mut self.turns);
        let batch = lane.take(room, &mut self.fronts);
        lane.under_way += 1;
        lane.settle(&mut self.turns);
        batch
    }

    /// Takes out the message that has waited longest, whether or not it might be taken.
    pub(super) fn pop_oldest(&mut self) -> Option<Accepted> {
        let Place { destination, group } = match self.fronts.oldest_place()? {
            (_, Front::Row(place)) => place,
            (id, Front::Alone(until)) => {
                let accepted = self.alone.remove(&(until, id)).expect("it waits by itself");
                self.fronts.remove_alone(&accepted);
                return Some(*accepted);
            }
        };
        let lane = self.by_destination.get_mut(&destination).expect("a lane with messages exists");
        let (accepted, rested_at) = lane.pop(group.as_ref(), &mut self.fronts);
        lane.settle(&mut self.turns);
        if lane.is_empty() {
            self.by_destination.remove(&destination);
        }
        if let (Some(at), Some(group)) = (rested_at, group) {
            self.resting.remove(&(at, destination, group));
        }
        Some(*accepted)
    }

    /// Puts messages of a batch that is on its way back in front, in their order. Their groups stay
    /// taken until the batch is finished. One without a group rests until then, if `rests` says so.
    pub(super) fn give_back(
        &mut self,
        batch: Vec<Accepted>,
        rests: impl Fn(&Accepted) -> Option<Instant>,
    ) {
        let Some(first) = batch.first() else { return };
        let lane = self.by_destination.get_mut(&*first.message.destination);
        let lane = lane.expect("a lane is kept while a batch of it is on its way");
        for accepted in batch.into_iter().rev() {
            let Some(until) = rests(&accepted) else {
                lane.give_back(accepted, &mut self.fronts);
                continue;
            };
            let until = if self.closing { self.never } else { until };
            self.fronts.add_alone(&accepted, until);
            self.alone.insert((until, accepted.id), Box::new(accepted));
        }
        lane.settle(&mut self.turns);
    }

    /// Lets go what has rested by now. Whether there may be more of it.
    pub(super) fn wake_rested(&mut self, now: Instant) -> bool {
        for _ in 0..WOKEN_AT_ONCE {
            let at_once = self.closing || self.hurrying;
            let Some(at) = self.rested_at().filter(|at| at_once || *at <= now) else {
                self.hurrying = false;
                return false;
            };
            if self.group_rested_at() == Some(at) {
                let first = self.resting.pop_first();
                let (_, destination, group) = first.expect("there is a first one");
                self.wake(&destination, &group);
            } else {
                let (_, accepted) = self.alone.pop_first().expect("there is a first one");
                self.wake_alone(*accepted);
            }
        }
        true
    }

    /// All that rests has rested, for the last time.
    pub(super) fn rest_no_longer(&mut self) {
        self.closing = true;
    }

    /// All that rests has rested, this time.
    pub(super) fn hurry(&mut self) {
        self.hurrying = true;
    }

    /// When the first group, or message, has rested of those that do.
    pub(super) fn rested_at(&self) -> Option<Instant> {
        let alone = self.alone.first_key_value().map(|((at, _), _)| *at);
        self.group_rested_at().into_iter().chain(alone.filter(|at| *at < self.never)).min()
    }

    fn group_rested_at(&self) -> Option<Instant> {
        self.resting.first().map(|(at, ..)| *at)
    }

    fn wake(&mut self, destination: &str, group: &str) {
        let lane = self.by_destination.get_mut(destination).expect("a lane with messages exists");
        lane.make_ready(group);
        lane.settle(&mut self.turns);
    }

    fn wake_alone(&mut self, accepted: Accepted) {
        self.fronts.remove_alone(&accepted);
        let lane = lane_of(&mut self.by_destination, &accepted.message.destination);
        lane.give_back(accepted, &mut self.fronts);
        lane.settle(&mut self.turns);
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
        lane.under_way -= 1;
        for name in groups {
            let until = rests(name);
            let Some(name) = lane.release(name, until, self.closing) else { continue };
            if let Some(until) = until.filter(|_| !self.closing) {
                self.resting.insert((until, Arc::clone(&lane.destination), name));
            }
        }
        lane.settle(&mut self.turns);
        if lane.is_empty() {
            self.by_destination.remove(destination);
        }
    }

    /// Whether something waits that could be taken if its destination were ready.
    pub(super) fn has_something_to_take(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The first of the times that are known for destinations with something to take.
    pub(super) fn first_time(&self, at: impl Fn(&str) -> Option<Instant>) -> Option<Instant> {
        self.turns.iter().filter_map(|(_, destination)| at(destination)).min()
    }

    /// When the message that has waited longest was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.fronts.oldest()
    }
}

fn lane_of<'a>(lanes: &'a mut HashMap<Arc<str>, Lane>, destination: &str) -> &'a mut Lane {
    if !lanes.contains_key(destination) {
        let name: Arc<str> = Arc::from(destination);
        lanes.insert(Arc::clone(&name), Lane::new(name));
    }
    lanes.get_mut(destination).expect("it is there now")
}

// === impl Lane ===

impl Lane {
    fn new(destination: Arc<str>) -> Self {
        let place = Place { destination: Arc::clone(&destination), group: None };
        Self {
            destination,
            ungrouped: Row::new(place),
            groups: HashMap::new(),
            turns: Turns::default(),
            turn: None,
            under_way: 0,
        }
    }

    fn add(&mut self, accepted: Box<Accepted>, fronts: &mut Fronts) {
        let Some(name) = accepted.message.group.as_deref() else {
            return self.ungrouped.add(accepted, fronts);
        };
        if let Some(group) = self.groups.get_mut(name) {
            return group.row.add(accepted, fronts);
        }
        let name: Arc<str> = Arc::from(name);
        let place =
            Place { destination: Arc::clone(&self.destination), group: Some(Arc::clone(&name)) };
        let mut row = Row::new(place);
        row.add(accepted, fronts);
        let state = State::Ready(self.turns.join(Arc::clone(&name)));
        self.groups.insert(name, Group { row, state });
    }

    fn give_back(&mut self, accepted: Accepted, fronts: &mut Fronts) {
        match accepted.message.group.as_deref() {
            Some(name) => {
                let group = self.groups.get_mut(name).expect("a group that was taken is kept");
                group.row.give_back(accepted, fronts);
            }
            None => self.ungrouped.give_back_by_age(accepted, fronts),
        }
    }

    fn take(&mut self, mut room: Room, fronts: &mut Fronts) -> Vec<Accepted> {
        let mut batch = Vec::new();
        self.ungrouped.take(&mut batch, fronts, |first| room.admits(first));
        while let Some((turn, name)) = self.turns.first() {
            let group = self.groups.get_mut(name).expect("a group in turns exists");
            let before = batch.len();
            let mut left = room.left.per_group;
            group.row.take(&mut batch, fronts, |first| {
                let admitted = left > 0 && room.admits(first);
                left -= usize::from(admitted);
                admitted
            });
            if batch.len() == before {
                break;
            }
            group.state = State::UnderWay;
            self.turns.leave(turn);
        }
        batch
    }

    /// Takes the first message out of a row that has one. Tells when its group would have rested,
    /// if that does and has nothing left to wait for.
    fn pop(
        &mut self,
        group: Option<&Arc<str>>,
        fronts: &mut Fronts,
    ) -> (Box<Accepted>, Option<Instant>) {
        let Some(name) = group else {
            return (self.ungrouped.pop(fronts).expect("it has a front"), None);
        };
        let group = self.groups.get_mut(name).expect("a group with messages exists");
        let accepted = group.row.pop(fronts).expect("it has a front");
        if !group.row.is_empty() {
            return (accepted, None);
        }
        let rested_at = match group.state {
            // It is released when the batch is finished.
            State::UnderWay => return (accepted, None),
            State::Ready(turn) => {
                self.turns.leave(turn);
                None
            }
            State::Resting(until) => until,
        };
        self.groups.remove(name);
        (accepted, rested_at)
    }

    fn make_ready(&mut self, name: &str) {
        let group = self.groups.get_mut(name).expect("a group that rests is kept");
        let name = group.row.place().group.clone().expect("it is the row of a group");
        group.state = State::Ready(self.turns.join(name));
    }

    /// A group has nothing on its way any more, and rests until then, if it should. Returns its name
    /// if it does.
    fn release(&mut self, name: &str, until: Option<Instant>, closing: bool) -> Option<Arc<str>> {
        let (name, group) = self.groups.get_key_value(name)?;
        let name = Arc::clone(name);
        if group.row.is_empty() {
            self.groups.remove(&name);
            return None;
        }
        let group = self.groups.get_mut(&name)?;
        let Some(until) = until else {
            group.state = State::Ready(self.turns.join(name));
            return None;
        };
        group.state = State::Resting((!closing).then_some(until));
        Some(name)
    }

    /// Gives the lane a place among the others if it has something to take, and none if not.
    fn settle(&mut self, turns: &mut Turns) {
        match (self.has_something_to_take(), self.turn) {
            (true, None) => self.turn = Some(turns.join(Arc::clone(&self.destination))),
            (false, Some(_)) => self.step_back(turns),
            _ => {}
        }
    }

    fn step_back(&mut self, turns: &mut Turns) {
        if let Some(turn) = self.turn.take() {
            turns.leave(turn);
        }
    }

    fn has_something_to_take(&self) -> bool {
        !self.ungrouped.is_empty() || !self.turns.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.ungrouped.is_empty() && self.groups.is_empty() && self.under_way == 0
    }
}

// === impl Room ===

impl Room {
    fn new(left: BatchLimits) -> Self {
        Self { left, untouched: true }
    }

    /// Whether the message still fits. The first one always does: its own weight is the backend's
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

#[cfg(test)]
mod tests;
