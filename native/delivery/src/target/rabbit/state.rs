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

/// What is known of an exchange on the present connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not declared yet, or seen to be missing.
    Undeclared,
    /// Declared.
    Ready,
    /// The broker refuses its declaration, or what is published to it, for this cause.
    Refused(Arc<str>),
}

// === impl State ===

impl State {
    /// No connection.
    pub(super) fn new(exchanges: usize) -> Self {
        Self { session: None, blocked: false, exchanges: vec![Standing::Undeclared; exchanges] }
    }

    pub(super) fn is_ready(&self, exchange: usize) -> bool {
        self.session.is_some() && !self.blocked && self.exchanges[exchange] == Standing::Ready
    }

    /// All refusals in one text.
    pub(super) fn refused(&self) -> Option<String> {
        let refused = |standing: &Standing| match standing {
            Standing::Refused(cause) => Some(cause.to_string()),
            _ => None,
        };
        let causes: Vec<_> = self.exchanges.iter().filter_map(refused).collect();
        (!causes.is_empty()).then(|| causes.join("; "))
    }
}
