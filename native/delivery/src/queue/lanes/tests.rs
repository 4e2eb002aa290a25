//! Whatever happens, lanes answer as a list does that is searched from its beginning.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::message::Message;

type Group = (u8, u8);

/// What waits in a list, and beside it who may go, and since when.
struct Model {
    share: usize,
    waiting: Vec<Item>,
    under_way: HashMap<u8, usize>,
    taken: HashSet<Group>,
    /// Until when, in milliseconds after the beginning; for ever without a time.
    resting: HashMap<Group, Option<u64>>,
    /// The same of single messages without a group.
    alone: Vec<(Option<u64>, Item)>,
    closing: bool,
    /// Since when a group, or a destination, has had something to take, in numbers that only grow:
    /// the one with the smallest number is next.
    groups: HashMap<Group, u64>,
    destinations: HashMap<u8, u64>,
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    id: u64,
    destination: u8,
    group: Option<u8>,
    weight: usize,
}

/// A batch on its way.
struct Batch {
    destination: u8,
    groups: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Step {
    Add {
        destination: u8,
        group: Option<u8>,
        weight: usize,
    },
    Take {
        limits: BatchLimits,
        absent: Option<u8>,
    },
    /// Of one batch, those of its messages that are marked. Those without a group may rest for so
    /// long.
    GiveBack {
        batch: Index,
        marks: [bool; 8],
        rest: Option<u64>,
    },
    /// One batch; each group may rest for so long.
    Finish {
        batch: Index,
        rests: [Option<u64>; 3],
    },
    Wait(u64),
    PopOldest,
    Close,
}

/// The lanes and the model of them, through the same steps.
struct Both {
    lanes: Lanes,
    model: Model,
    began: Instant,
    now: u64,
    added: u64,
    batches: Vec<Batch>,
}

// === impl Model ===

impl Model {
    fn new(share: usize) -> Self {
        Self {
            share,
            waiting: Vec::new(),
            under_way: HashMap::new(),
            taken: HashSet::new(),
            resting: HashMap::new(),
            alone: Vec::new(),
            closing: false,
            groups: HashMap::new(),
            destinations: HashMap::new(),
            last: 0,
        }
    }

    fn add(&mut self, item: Item) {
        self.waiting.push(item);
        self.changed(item.destination, item.group);
    }

    fn take(&mut self, limits: BatchLimits, absent: Option<u8>) -> Vec<Item> {
        let may_go = |destination: &u8| {
            Some(*destination) != absent
                && self.under_way.get(destination).is_none_or(|count| *count < self.share)
        };
        let ready = self.destinations.iter().filter(|(destination, _)| may_go(destination));
        let Some((&destination, _)) = ready.min_by_key(|(_, since)| **since) else {
            return Vec::new();
        };
        let mut batch = Vec::new();
        while self.take_one(destination, None, limits, &mut batch) {}
        while let Some(group) = self.next_group(destination) {
            let before = batch.len();
            while batch.len() - before < limits.per_group
                && self.take_one(destination, Some(group), limits, &mut batch)
            {}
            if batch.len() == before {
                break;
            }
            self.groups.remove(&(destination, group));
            self.taken.insert((destination, group));
        }
        *self.under_way.entry(destination).or_default() += 1;
        self.destinations.remove(&destination);
        self.changed(destination, None);
        batch
    }

    /// The next message of this group, if it fits.
    fn take_one(
        &mut self,
        destination: u8,
        group: Option<u8>,
        limits: BatchLimits,
        batch: &mut Vec<Item>,
    ) -> bool {
        let Some(at) = self.first(destination, group) else { return false };
        let weight: usize = batch.iter().map(|item| item.weight).sum();
        let fits = self.waiting[at].weight <= limits.bytes.saturating_sub(weight);
        if batch.len() == limits.events || !(batch.is_empty() || fits) {
            return false;
        }
        batch.push(self.waiting.remove(at));
        true
    }

    /// In front of its group, or by its age; one without a group beside the others until then.
    fn give_back(&mut self, items: &[Item], until: Option<u64>) {
        for &item in items.iter().rev() {
            if let (None, Some(until)) = (item.group, until) {
                self.alone.push(((!self.closing).then_some(until), item));
                continue;
            }
            let follows = |other: &Item| {
                other.destination == item.destination
                    && other.group == item.group
                    && (item.group.is_some() || other.id > item.id)
            };
            let at = self.waiting.iter().position(follows).unwrap_or(self.waiting.len());
            self.waiting.insert(at, item);
            self.changed(item.destination, None);
        }
    }

    /// Takes out what has waited longest of the first ones.
    fn pop_oldest(&mut self) -> Option<u64> {
        let id = self.oldest()?;
        if let Some(at) = self.alone.iter().position(|(_, item)| item.id == id) {
            self.alone.remove(at);
            return Some(id);
        }
        let at = self.waiting.iter().position(|item| item.id == id).unwrap();
        let Item { destination, group, .. } = self.waiting.remove(at);
        let key = group.map(|group| (destination, group));
        if let Some(key) = key.filter(|(_, group)| self.first(destination, Some(*group)).is_none())
        {
            self.groups.remove(&key);
            self.resting.remove(&key);
        }
        if self.first(destination, None).is_none() && self.next_group(destination).is_none() {
            self.destinations.remove(&destination);
        }
        Some(id)
    }

    fn finish(&mut self, batch: &Batch, until: impl Fn(u8) -> Option<u64>) {
        *self.under_way.get_mut(&batch.destination).unwrap() -= 1;
        for &group in &batch.groups {
            self.taken.remove(&(batch.destination, group));
            let waits = self.first(batch.destination, Some(group)).is_some();
            if let (true, Some(until)) = (waits, until(group)) {
                let until = (!self.closing).then_some(until);
                self.resting.insert((batch.destination, group), until);
            }
            self.changed(batch.destination, Some(group));
        }
        self.changed(batch.destination, None);
    }

    /// Lets groups and messages go that rest no longer than until then, in their order.
    fn wake(&mut self, now: u64) {
        let groups = self.resting.iter().map(|(group, until)| (*until, Some(*group), None));
        let alone = self.alone.iter().map(|(until, item)| (*until, None, Some(*item)));
        let over = groups.chain(alone).filter(|(until, ..)| until.is_some_and(|at| at <= now));
        let mut over: Vec<_> = over.collect();
        over.sort_unstable_by_key(|(until, group, item)| {
            (*until, group.is_none(), *group, item.map(|item| item.id))
        });
        for (_, group, item) in over {
            if let Some(group) = group {
                self.resting.remove(&group);
                self.changed(group.0, Some(group.1));
            }
            if let Some(item) = item {
                self.alone.retain(|(_, other)| *other != item);
                self.give_back(&[item], None);
            }
        }
    }

    fn rested_at(&self) -> Option<u64> {
        let alone = self.alone.iter().map(|(until, _)| until);
        self.resting.values().chain(alone).filter_map(|until| *until).min()
    }

    /// The first one of each group is looked at: it is the oldest.
    fn oldest(&self) -> Option<u64> {
        let is_first =
            |(at, item): &(usize, &Item)| self.first(item.destination, item.group) == Some(*at);
        let first = self.waiting.iter().enumerate().filter(is_first).map(|(_, item)| item);
        first.chain(self.alone.iter().map(|(_, item)| item)).map(|item| item.id).min()
    }

    fn first(&self, destination: u8, group: Option<u8>) -> Option<usize> {
        self.waiting.iter().position(|item| (item.destination, item.group) == (destination, group))
    }

    fn next_group(&self, destination: u8) -> Option<u8> {
        let ours = self.groups.iter().filter(|((of, _), _)| *of == destination);
        ours.min_by_key(|(_, since)| **since).map(|((_, group), _)| *group)
    }

    /// Gives a place behind the others to what may go now and has none yet.
    fn changed(&mut self, destination: u8, group: Option<u8>) {
        self.last += 1;
        if let Some(group) = group {
            let key = (destination, group);
            let held = self.taken.contains(&key) || self.resting.contains_key(&key);
            if !held && self.first(destination, Some(group)).is_some() {
                self.groups.entry(key).or_insert(self.last);
            }
        }
        if self.first(destination, None).is_some() || self.next_group(destination).is_some() {
            self.destinations.entry(destination).or_insert(self.last);
        }
    }
}

// === impl Both ===

impl Both {
    fn new(share: usize) -> Self {
        Self {
            lanes: Lanes::new(share),
            model: Model::new(share),
            began: Instant::now(),
            now: 0,
            added: 0,
            batches: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Add { destination, group, weight } => {
                let item = Item { id: self.added, destination, group, weight };
                self.added += 1;
                self.lanes.add(Box::new(self.accepted(&item)));
                self.model.add(item);
            }
            Step::Take { limits, absent } => {
                self.take(limits, absent)?;
            }
            Step::GiveBack { batch, marks, rest } if !self.batches.is_empty() => {
                let batch = batch.index(self.batches.len());
                let items = std::mem::take(&mut self.batches[batch].items);
                let marked = items.into_iter().zip(marks).filter(|(_, marked)| *marked);
                let items: Vec<_> = marked.map(|(item, _)| item).collect();
                let batch = items.iter().map(|item| self.accepted(item)).collect();
                let until = rest.map(|rest| self.now + rest);
                let at = until.map(|until| self.at(until));
                let rests = |accepted: &Accepted| at.filter(|_| accepted.message.group.is_none());
                self.lanes.give_back(batch, rests);
                self.model.give_back(&items, until);
            }
            Step::Finish { batch, rests } if !self.batches.is_empty() => {
                let batch = batch.index(self.batches.len());
                self.finish(batch, |group| rests[usize::from(group)]);
            }
            Step::GiveBack { .. } | Step::Finish { .. } => {}
            Step::Wait(time) => {
                self.now += time;
                self.lanes.wake_rested(self.at(self.now));
                self.model.wake(self.now);
            }
            Step::PopOldest => {
                let popped = self.lanes.pop_oldest().map(|accepted| accepted.id);
                prop_assert_eq!(popped, self.model.pop_oldest());
            }
            Step::Close => self.close(),
        }
        self.agree()
    }

    fn take(&mut self, limits: BatchLimits, absent: Option<u8>) -> Result<bool, TestCaseError> {
        let absent_name = absent.map(|absent| absent.to_string());
        let batch = self.lanes.take(|_| limits, |name| Some(name) != absent_name.as_deref());
        let items = self.model.take(limits, absent);
        let ids: Vec<_> = batch.iter().map(|accepted| accepted.id).collect();
        prop_assert_eq!(ids, items.iter().map(|item| item.id).collect::<Vec<_>>());
        let Some(first) = items.first() else { return Ok(false) };
        let destination = first.destination;
        let mut groups: Vec<_> = items.iter().filter_map(|item| item.group).collect();
        groups.dedup();
        self.batches.push(Batch { destination, groups, items });
        Ok(true)
    }

    fn finish(&mut self, batch: usize, rest: impl Fn(u8) -> Option<u64>) {
        let batch = self.batches.remove(batch);
        let until = |group: u8| rest(group).map(|time| self.now + time);
        let names: Vec<Box<str>> =
            batch.groups.iter().map(|group| group.to_string().into()).collect();
        let began = self.began;
        self.lanes.finish(&batch.destination.to_string(), &names, |name| {
            until(name.parse().unwrap()).map(|until| began + Duration::from_millis(until))
        });
        self.model.finish(&batch, until);
    }

    fn close(&mut self) {
        self.lanes.rest_no_longer();
        self.lanes.wake_rested(self.at(self.now));
        self.model.closing = true;
        self.model.wake(u64::MAX);
    }

    fn agree(&self) -> Result<(), TestCaseError> {
        let something = !self.model.destinations.is_empty();
        prop_assert_eq!(self.lanes.has_something_to_take(), something);
        let rested_at = self.model.rested_at().map(|until| self.at(until));
        prop_assert_eq!(self.lanes.rested_at(), rested_at);
        let oldest = self.model.oldest().map(|id| self.at(id));
        prop_assert_eq!(self.lanes.oldest(), oldest);
        Ok(())
    }

    /// Takes what is left; only what rests for ever stays.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        self.close();
        loop {
            while !self.batches.is_empty() {
                self.finish(0, |_| None);
            }
            if !self.take(BatchLimits { events: 4, bytes: 8, per_group: 2 }, None)? {
                break;
            }
        }
        let held = |item: &Item| {
            item.group.is_some_and(|group| {
                self.model.resting.get(&(item.destination, group)) == Some(&None)
            })
        };
        prop_assert!(self.model.waiting.iter().all(held));
        prop_assert!(self.model.alone.iter().all(|(until, _)| until.is_none()));
        self.agree()
    }

    fn at(&self, time: u64) -> Instant {
        self.began + Duration::from_millis(time)
    }

    fn accepted(&self, item: &Item) -> Accepted {
        let message = Message {
            destination: item.destination.to_string().into(),
            body: vec![b'x'; item.weight].into(),
            attributes: Box::default(),
            group: item.group.map(|group| group.to_string().into()),
        };
        Accepted { id: item.id, at: self.at(item.id), nacks: 0, attempts: 0, message, hold: None }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let limits = (1..6_usize, 0..12_usize, 1..4_usize)
        .prop_map(|(events, bytes, per_group)| BatchLimits { events, bytes, per_group });
    prop_oneof![
        16 => (0..3_u8, prop::option::of(0..3_u8), 0..6_usize)
            .prop_map(|(destination, group, weight)| Step::Add { destination, group, weight }),
        12 => (limits, prop::option::of(0..3_u8))
            .prop_map(|(limits, absent)| Step::Take { limits, absent }),
        4 => (any::<Index>(), any::<[bool; 8]>(), prop::option::of(0..10_u64))
            .prop_map(|(batch, marks, rest)| Step::GiveBack { batch, marks, rest }),
        8 => (any::<Index>(), prop::array::uniform3(prop::option::of(0..10_u64)))
            .prop_map(|(batch, rests)| Step::Finish { batch, rests }),
        4 => (0..10_u64).prop_map(Step::Wait),
        4 => Just(Step::PopOldest),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn lanes_answer_as_a_searched_list_does(
        share in 1..3_usize,
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut both = Both::new(share);
        for step in steps {
            both.step(step)?;
        }
        both.drain()?;
    }
}
