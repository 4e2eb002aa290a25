//! A gate that requests wait at while it is shut, so that a test decides when answers flow.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Gate {
    shut: watch::Sender<bool>,
    waiting: AtomicUsize,
}

/// Counts a request as waiting for as long as it does, even if its client gives up.
struct Waiting<'a>(&'a Gate);

// === impl Gate ===

impl Gate {
    pub(crate) fn new() -> Self {
        Self { shut: watch::Sender::new(false), waiting: AtomicUsize::new(0) }
    }

    pub(crate) fn hold(&self) {
        self.shut.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.shut.send_replace(false);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Returns once the gate is open, after telling `arrived` that the request waits here.
    pub(crate) async fn pass(&self, arrived: impl FnOnce()) {
        if !*self.shut.borrow() {
            return;
        }
        let _waiting = Waiting::at(self);
        arrived();
        // The sender lives in self, so the channel can't be closed while we wait.
        let _ = self.shut.subscribe().wait_for(|shut| !shut).await;
    }
}

// === impl Waiting ===

impl<'a> Waiting<'a> {
    fn at(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Ordering::SeqCst);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
