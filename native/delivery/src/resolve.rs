//! Names of hosts to their addresses, by the system's own resolver.
//!
//! That resolver blocks a thread until a name server answers or its patience ends, which may take
//! many seconds. So a name is asked for once at a time in the whole process, however many
//! connections want it: a name server that is silent occupies one thread, and none of those for
//! other names. The last addresses that were good take the place of an answer that does not come.
//!
//! Each look-up has a thread of its own. The runtime has some for what blocks, but panics where the
//! system has no thread left, and a message would be given up for it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long an answer is used without asking again: many connections are made at once, and a name
/// that moves is followed soon. The system's resolver does not tell how long it may be kept.
const FRESH: Duration = Duration::from_secs(5);

/// How long a look-up may take before the last good addresses are used, if there are any.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long addresses are good for that no look-up has confirmed since,
/// <https://www.rfc-editor.org/rfc/rfc8767#section-5>.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// The addresses of a host, in the order in which the system prefers them; without ports.
pub(crate) type Addresses = Arc<[SocketAddr]>;

/// The addresses of a host, which may be given as an address.
///
/// # Errors
///
/// What the system says of a name for which no good addresses are known.
pub(crate) async fn resolve(host: &str) -> io::Result<Addresses> {
    static SYSTEM: LazyLock<Resolver> =
        LazyLock::new(|| Resolver::new(ask_the_system, FRESH, PATIENCE, STALE));
    match host.parse::<IpAddr>() {
        Ok(address) => Ok([SocketAddr::new(address, 0)].into()),
        Err(_) => SYSTEM.resolve(host).await,
    }
}

fn ask_the_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((host, 0).to_socket_addrs()?.collect())
}

/// Asks for names and remembers the answers. Names come from a configuration: there are few, and
/// none is forgotten.
struct Resolver {
    look_up: Arc<Ask>,
    spawn: Spawn,
    fresh: Duration,
    patience: Duration,
    stale: Duration,
    names: Arc<Mutex<HashMap<String, Name>>>,
}

/// Asks, and waits for the answer.
type Ask = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Begins a thread.
type Spawn = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// What is known of a name.
#[derive(Default)]
struct Name {
    good: Option<Good>,
    look_up: Option<LookUp>,
}

#[derive(Clone)]
struct Good {
    addresses: Addresses,
    asked_at: Instant,
}

/// A look-up under way, or the latest one.
#[derive(Clone)]
struct LookUp {
    answer: watch::Receiver<Option<Answer>>,
    began: Instant,
}

/// An error has several readers.
type Answer = Result<Addresses, (io::ErrorKind, String)>;

// === impl Resolver ===

impl Resolver {
    fn new(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
        fresh: Duration,
        patience: Duration,
        stale: Duration,
    ) -> Self {
        let look_up = Arc::new(look_up);
        Self { look_up, spawn: begin_thread, fresh, patience, stale, names: Arc::default() }
    }

    async fn resolve(&self, host: &str) -> io::Result<Addresses> {
        let (good, look_up) = match self.known(host) {
            (Some(good), None) => return Ok(good),
            (good, Some(look_up)) => (good, look_up),
            (None, None) => unreachable!("a name without addresses is looked up"),
        };
        let Some(good) = good else { return look_up.answer().await };
        let patience = look_up.began + self.patience;
        match timeout_at(patience, look_up.answer()).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(_)) | Err(_) => Ok(good),
        }
    }

    /// Addresses that may be used, and the look-up that may bring better ones.
    fn known(&self, host: &str) -> (Option<Addresses>, Option<LookUp>) {
        let mut names = lock(&self.names);
        let name = names.entry(host.to_owned()).or_default();
        let age = |good: &Good| good.asked_at.elapsed();
        if let Some(good) = name.good.as_ref().filter(|good| age(good) < self.fresh) {
            return (Some(Arc::clone(&good.addresses)), None);
        }
        let good = name.good.as_ref().filter(|good| age(good) < self.stale);
        let good = good.map(|good| Arc::clone(&good.addresses));
        let under_way = name.look_up.take().filter(LookUp::is_under_way);
        let look_up = under_way.unwrap_or_else(|| self.begin(host.to_owned()));
        name.look_up = Some(look_up.clone());
        (good, Some(look_up))
    }

    /// Begins a look-up, which goes on if nobody waits for it any more: it cannot be ended, and
    /// what it brings is of use for the next one.
    fn begin(&self, host: String) -> LookUp {
        let (sender, answer) = watch::channel(None);
        let (ask, names) = (Arc::clone(&self.look_up), Arc::clone(&self.names));
        let asked_at = Instant::now();
        let begun = (self.spawn)(Box::new(move || {
            let answer = checked(ask(&host));
            if let (Ok(addresses), Some(name)) = (&answer, lock(&names).get_mut(&host)) {
                name.good = Some(Good { addresses: Arc::clone(addresses), asked_at });
            }
            sender.send_replace(Some(answer));
        }));
        match begun {
            Ok(()) => LookUp { answer, began: asked_at },
            Err(error) => LookUp::failed(&error, asked_at),
        }
    }
}

fn begin_thread(run: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    thread::Builder::new().name("event_pusher".to_owned()).spawn(run).map(drop)
}

/// A name without an address is as good as an unknown one.
fn checked(answer: io::Result<Vec<SocketAddr>>) -> Answer {
    match answer {
        Ok(addresses) if addresses.is_empty() => {
            Err((io::ErrorKind::NotFound, "the host has no address".to_owned()))
        }
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => Err((error.kind(), error.to_string())),
    }
}

fn lock(names: &Mutex<HashMap<String, Name>>) -> MutexGuard<'_, HashMap<String, Name>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl LookUp ===

impl LookUp {
    /// One that could not begin.
    fn failed(error: &io::Error, began: Instant) -> Self {
        let text = format!("no thread can be had for the look-up of the host: {error}");
        let (_, answer) = watch::channel(Some(Err((error.kind(), text))));
        Self { answer, began }
    }

    fn is_under_way(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }

    async fn answer(mut self) -> io::Result<Addresses> {
        match self.answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(addresses))) => Ok(Arc::clone(addresses)),
            Ok(Some(Err((kind, text)))) => Err(io::Error::new(*kind, text.clone())),
            // The look-up has panicked.
            Ok(None) | Err(_) => Err(io::Error::other("the look-up of the host was cut off")),
        }
    }
}

#[cfg(test)]
mod tests;
