//! What happened on a server: a log of its requests and the counters.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use tokio::sync::{Notify, futures::Notified};

use crate::Fault;

/// The log keeps this many requests; older ones are forgotten.
const REMEMBERED: usize = 100_000;

/// One request, as the log remembers it.
#[derive(Clone, Debug)]
pub struct Request {
    /// From 1, in order of arrival.
    pub number: u64,
    /// The connection it came on, from 1.
    pub connection: u64,
    /// When all of it had been read.
    pub arrived: Instant,
    /// What it asked for: for SNS the value of `Action`, empty if there was none; for webhooks
    /// method and path.
    pub action: String,
    /// The ids of the entries of a batch, as the client wrote them.
    pub ids: Vec<String>,
    /// How it was treated.
    pub fault: Fault,
    /// The status it was answered with; none while it is in flight or when no answer was given.
    pub status: Option<u16>,
    /// No longer in flight.
    pub settled: bool,
}

/// Counters since the start of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Requests read completely.
    pub requests: u64,
    /// Requests no longer in flight, answered or not.
    pub settled: u64,
    /// Messages accepted, that is, processed for real: entries of batches count one by one,
    /// duplicates that SNS recognizes do not count.
    pub messages: u64,
    /// Requests in flight now.
    pub in_flight: usize,
    /// The most requests that were ever in flight together.
    pub max_in_flight: usize,
    /// Requests held back now.
    pub waiting: usize,
}

#[derive(Debug)]
pub(crate) struct Journal {
    connections: AtomicU64,
    requests: AtomicU64,
    settled: AtomicU64,
    messages: AtomicU64,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
    log: Mutex<VecDeque<Request>>,
    changed: Notify,
}

/// A request in flight; dropping it settles it, whatever became of it.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    journal: &'a Journal,
    pub(crate) number: u64,
    status: Option<u16>,
}

// === impl Journal ===

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            max_in_flight: AtomicUsize::new(0),
            log: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Counts a connection; returns its id.
    pub(crate) fn connect(&self) -> u64 {
        let id = self.connections.fetch_add(1, SeqCst) + 1;
        self.touch();
        id
    }

    /// Counts a request without a line in the log.
    pub(crate) fn count(&self) -> Visit<'_> {
        let number = self.requests.fetch_add(1, SeqCst) + 1;
        let in_flight = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.max_in_flight.fetch_max(in_flight, SeqCst);
        self.touch();
        Visit { journal: self, number, status: None }
    }

    /// Counts a request and writes it down.
    pub(crate) fn record(
        &self,
        connection: u64,
        action: String,
        ids: Vec<String>,
        fault: Fault,
    ) -> Visit<'_> {
        let mut log = self.log();
        // Counted under the lock, so the log is in the order of the numbers.
        let visit = self.count();
        if log.len() == REMEMBERED {
            log.pop_front();
        }
        log.push_back(Request {
            number: visit.number,
            connection,
            arrived: Instant::now(),
            action,
            ids,
            fault,
            status: None,
            settled: false,
        });
        drop(log);
        self.touch();
        visit
    }

    pub(crate) fn accept(&self, messages: usize) {
        self.messages.fetch_add(messages as u64, SeqCst);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log().iter().cloned().collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.load(SeqCst),
            requests: self.requests.load(SeqCst),
            settled: self.settled.load(SeqCst),
            messages: self.messages.load(SeqCst),
            in_flight: self.in_flight.load(SeqCst),
            max_in_flight: self.max_in_flight.load(SeqCst),
            waiting: 0,
        }
    }

    /// Completes at the next change of a counter or of the log.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn touch(&self) {
        self.changed.notify_waiters();
    }

    fn settle(&self, number: u64, status: Option<u16>) {
        let mut log = self.log();
        let logged = log.front().and_then(|oldest| number.checked_sub(oldest.number));
        if let Some(request) = logged.and_then(|index| log.get_mut(index as usize)) {
            request.status = status;
            request.settled = true;
        }
        drop(log);
        self.in_flight.fetch_sub(1, SeqCst);
        self.settled.fetch_add(1, SeqCst);
        self.touch();
    }

    fn log(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Visit ===

impl Visit<'_> {
    pub(crate) fn answered(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.journal.settle(self.number, self.status);
    }
}
