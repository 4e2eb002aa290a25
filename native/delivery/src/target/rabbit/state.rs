//! What the workers and the keeper of a RabbitMQ target tell each other.

use std::sync::Arc;

use super::session::Session;

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) session: Option<Arc<Session>>,
    /// The broker asks not to publish.
    pub(super) blocked: bool,
    /// In the order of the settings.
    pub(super) exchanges: Vec<Standing>,
}

/// What is known of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not declared yet, or seen to be missing.
    Undeclared,
    /// Declared.
    Ready,
    /// The broker refuses its declaration.
    NotDeclarable(Arc<str>),
    /// The broker refuses what is published to it.
    NotWritable(Arc<str>),
    /// What was refused may have been mended: published to again, until one or the other shows.
    Tried(Arc<str>),
}

// === impl State ===

impl State {
    /// No connection, and nothing known.
    pub(super) fn new(exchanges: usize) -> Self {
        Self { session: None, blocked: false, exchanges: vec![Standing::Undeclared; exchanges] }
    }

    /// The connection is gone. A new one may find exchanges missing; a refusal stays one.
    pub(super) fn disconnect(&mut self) {
        self.session = None;
        self.blocked = false;
        for standing in &mut self.exchanges {
            match standing {
                Standing::Ready => *standing = Standing::Undeclared,
                Standing::Tried(cause) => *standing = Standing::NotWritable(Arc::clone(cause)),
                _ => {}
            }
        }
    }

    /// What to publish on, if that can be done now.
    pub(super) fn session_for(&self, exchange: usize) -> Option<Arc<Session>> {
        let ready = !self.blocked && self.exchanges[exchange].is_ready();
        self.session.clone().filter(|_| ready)
    }

    /// Lets what was refused be tried again.
    pub(super) fn forgive(&mut self) {
        for standing in &mut self.exchanges {
            match standing {
                Standing::NotDeclarable(_) => *standing = Standing::Undeclared,
                Standing::NotWritable(cause) => *standing = Standing::Tried(Arc::clone(cause)),
                _ => {}
            }
        }
    }

    /// All refusals in one text.
    pub(super) fn refused(&self) -> Option<String> {
        let causes: Vec<_> = self.exchanges.iter().filter_map(Standing::refused).collect();
        (!causes.is_empty()).then(|| causes.join("; "))
    }
}

// === impl Standing ===

impl Standing {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready | Self::Tried(_))
    }

    fn refused(&self) -> Option<&str> {
        match self {
            Self::NotDeclarable(cause) | Self::NotWritable(cause) | Self::Tried(cause) => {
                Some(cause)
            }
            Self::Undeclared | Self::Ready => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(exchanges: Vec<Standing>) -> State {
        State { exchanges, ..State::new(0) }
    }

    #[test]
    fn a_refusal_outlives_its_connection_and_is_told_until_it_is_mended() {
        let mut state = state(vec![
            Standing::Ready,
            Standing::NotDeclarable("type".into()),
            Standing::Tried("write".into()),
        ]);
        state.disconnect();
        assert_eq!(state.refused().as_deref(), Some("type; write"));
        assert_eq!(state.exchanges[0], Standing::Undeclared);
        assert_eq!(state.exchanges[2], Standing::NotWritable("write".into()));
    }

    #[test]
    fn what_was_refused_is_tried_again_in_its_own_way() {
        let mut state = state(vec![
            Standing::NotDeclarable("type".into()),
            Standing::NotWritable("write".into()),
        ]);
        state.forgive();
        assert_eq!(state.exchanges, [Standing::Undeclared, Standing::Tried("write".into())]);
        assert_eq!(state.refused().as_deref(), Some("write"));
    }
}
