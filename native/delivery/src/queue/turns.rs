//! Names that take turns.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Who has something to take, each once. Nobody has to be searched for to leave.
#[derive(Debug, Default)]
pub(super) struct Turns {
    names: BTreeMap<Turn, Arc<str>>,
    last: u64,
}

/// A place among those who take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

// === impl Turns ===

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Behind all others.
    pub(super) fn join(&mut self, name: Arc<str>) -> Turn {
        self.last += 1;
        let turn = Turn(self.last);
        self.names.insert(turn, name);
        turn
    }

    pub(super) fn leave(&mut self, turn: Turn) {
        self.names.remove(&turn);
    }

    pub(super) fn first(&self) -> Option<(Turn, &Arc<str>)> {
        self.iter().next()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Turn, &Arc<str>)> {
        self.names.iter().map(|(turn, name)| (*turn, name))
    }
}
