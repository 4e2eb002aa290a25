//! Terms to settings of pools and their targets.
//!
//! Each function gives what it was asked for or every complaint about it. Only a term of another
//! shape is a bad argument.

use std::path::PathBuf;
use std::time::Duration;

use event_pusher_delivery::{
    ClientSettings, Declare, Exchange, HttpSettings, HttpTarget, InvalidSettings, Limit, Pool,
    PoolSettings, RabbitLogin, RabbitOptions, RabbitSettings, RabbitTarget, RetrySettings, Sni,
    SnsOptions, SnsSettings, SnsTarget, TlsOptions, VerifyMode, client_config,
};
use rustler::{Atom, Decoder, Error, NifResult, Term};
use tokio::runtime::Handle;

use crate::atoms;

type Checked<T> = NifResult<Result<T, InvalidSettings>>;

/// The settings of a pool with its target.
pub(crate) struct Settings {
    pool: PoolSettings,
    target: AnyTarget,
}

enum AnyTarget {
    Sns(SnsTarget),
    Http(HttpTarget),
    Rabbit(RabbitTarget),
}

// === impl Settings ===

impl Settings {
    pub(crate) fn decode(term: Term<'_>) -> Checked<Self> {
        let target: Term<'_> = field(term, atoms::target())?;
        let kind: Atom = field(target, atoms::target())?;
        // Outgoing pools have another word for it.
        let pool = pool(term, if kind == atoms::sns() { "pool_size" } else { "workers" })?;
        let workers = pool.as_ref().map_or(1, |pool| pool.workers.get());
        let target = if kind == atoms::sns() {
            sns(target, workers)?.map(AnyTarget::Sns)
        } else if kind == atoms::http() {
            http(target, workers)?.map(AnyTarget::Http)
        } else if kind == atoms::rabbit() {
            rabbit(target, workers)?.map(AnyTarget::Rabbit)
        } else {
            return Err(Error::BadArg);
        };
        let mut complaints = InvalidSettings::default();
        let (pool, target) = (complaints.keep(pool), complaints.keep(target));
        let (Some(pool), Some(target)) = (pool, target) else { return Ok(Err(complaints)) };
        Ok(Ok(Self { pool, target }))
    }

    pub(crate) fn start(self, runtime: &Handle) -> Pool {
        match self.target {
            AnyTarget::Sns(target) => Pool::start(target, &self.pool, runtime),
            AnyTarget::Http(target) => Pool::start(target, &self.pool, runtime),
            AnyTarget::Rabbit(target) => Pool::start(target, &self.pool, runtime),
        }
    }
}

fn pool(term: Term<'_>, workers_key: &str) -> Checked<PoolSettings> {
    let retry = RetrySettings {
        count: retry_count(field(term, atoms::retry_count())?)?,
        base: millis(term, atoms::retry_time_ms())?,
        max: millis(term, atoms::retry_max_ms())?,
    };
    let settings = PoolSettings::new(
        workers_key,
        field(term, atoms::pool_size())?,
        field(term, atoms::max_events())?,
        field(term, atoms::max_bytes())?,
        retry,
    );
    let limit: Option<String> = optional(term, atoms::limit())?;
    Ok(settings.map(|settings| PoolSettings {
        limit: limit.map(|name| Limit::shared(&name, settings.workers.get())),
        ..settings
    }))
}

fn retry_count(term: Term<'_>) -> NifResult<Option<u32>> {
    if term.decode::<Atom>().is_ok_and(|word| word == atoms::infinity()) {
        return Ok(None);
    }
    let count: u64 = term.decode()?;
    Ok(Some(u32::try_from(count).unwrap_or(u32::MAX)))
}

fn sns(term: Term<'_>, workers: usize) -> Checked<SnsTarget> {
    let topics: Vec<(&str, &str)> = field(term, atoms::topics())?;
    let settings = SnsSettings::new(&SnsOptions {
        sns_host: field(term, atoms::sns_host())?,
        region: field(term, atoms::region())?,
        partition: field(term, atoms::partition())?,
        account_id: field(term, atoms::account_id())?,
        topics: &topics,
        access_key_id: field(term, atoms::access_key_id())?,
        secret_access_key: field(term, atoms::secret_access_key())?,
        batching: field(term, atoms::publish_batch())?,
    });
    let mut complaints = InvalidSettings::default();
    let settings = complaints.keep(settings);
    let tls = settings.as_ref().is_none_or(SnsSettings::is_https).then(TlsOptions::default);
    let client = ClientFor { tls: tls.as_ref(), http2: false, workers };
    let client = complaints.keep(client.decode(term)?);
    let (Some(settings), Some(client)) = (settings, client) else { return Ok(Err(complaints)) };
    Ok(Ok(SnsTarget::new(settings, &client)))
}

fn http(term: Term<'_>, workers: usize) -> Checked<HttpTarget> {
    let tls = tls(field(term, atoms::tls())?)?;
    let settings = HttpSettings::new(
        field(term, atoms::host())?,
        field(term, atoms::path_prefix())?,
        field(term, atoms::path())?,
        tls.as_ref().and_then(TlsOptions::server_name),
    );
    let mut complaints = InvalidSettings::default();
    let settings = complaints.keep(settings);
    let http2 = field(term, atoms::http2())?;
    let client = ClientFor { tls: tls.as_ref(), http2, workers };
    let client = complaints.keep(client.decode(term)?);
    let (Some(settings), Some(client)) = (settings, client) else { return Ok(Err(complaints)) };
    Ok(Ok(HttpTarget::new(settings, &client)))
}

/// What a client has to be, beside the time limits that are in the term.
struct ClientFor<'a> {
    /// Not where there is plain HTTP only, which needs no authorities.
    tls: Option<&'a TlsOptions>,
    http2: bool,
    workers: usize,
}

impl ClientFor<'_> {
    fn decode(self, term: Term<'_>) -> Checked<ClientSettings> {
        let mut complaints = InvalidSettings::default();
        let settings = ClientSettings {
            connect_timeout: millis(term, atoms::connect_timeout_ms())?,
            request_timeout: millis(term, atoms::request_timeout_ms())?,
            idle_connections: self.workers,
            tls: self.tls.and_then(|options| complaints.keep(client_config(options))),
            http2: self.http2,
        };
        if settings.request_timeout.is_zero() {
            complaints.complain("request_timeout", "at least 1 ms", 0);
        }
        Ok(complaints.into_result(settings))
    }
}

fn rabbit(term: Term<'_>, workers: usize) -> Checked<RabbitTarget> {
    let login = RabbitLogin {
        host: field(term, atoms::host())?,
        port: field(term, atoms::port())?,
        username: field(term, atoms::username())?,
        password: field(term, atoms::password())?,
        virtual_host: field(term, atoms::virtual_host())?,
        connection_name: field(term, atoms::connection_name())?,
    };
    let exchanges: Vec<(String, String, String, bool)> = field(term, atoms::exchanges())?;
    let exchange = |(section, name, kind, durable)| Exchange { section, name, kind, durable };
    let settings = RabbitSettings::new(RabbitOptions {
        login,
        tls: tls(field(term, atoms::tls())?)?,
        confirms: field(term, atoms::confirms())?,
        declare: declare(field(term, atoms::declare())?)?,
        exchanges: exchanges.into_iter().map(exchange).collect(),
        workers,
        reconnect_delay: millis(term, atoms::reconnect_delay_ms())?,
        reconnect_max: millis(term, atoms::reconnect_max_ms())?,
        nack: RetrySettings {
            count: retry_count(field(term, atoms::nack_retry_count())?)?,
            base: millis(term, atoms::nack_retry_time_ms())?,
            max: millis(term, atoms::nack_retry_max_ms())?,
        },
    });
    Ok(settings.map(RabbitTarget::new))
}

fn declare(word: Atom) -> NifResult<Declare> {
    if word == atoms::active() {
        Ok(Declare::Active)
    } else if word == atoms::passive() {
        Ok(Declare::Passive)
    } else if word == atoms::none() {
        Ok(Declare::None)
    } else {
        Err(Error::BadArg)
    }
}

/// `None` for the atom `none`.
pub(crate) fn tls(term: Term<'_>) -> NifResult<Option<TlsOptions>> {
    if term.decode::<Atom>().is_ok_and(|word| word == atoms::none()) {
        return Ok(None);
    }
    let path = |key| Ok::<_, Error>(optional::<String>(term, key)?.map(PathBuf::from));
    Ok(Some(TlsOptions {
        verify_mode: verify_mode(field(term, atoms::verify_mode())?)?,
        disconnect_on_failure: field(term, atoms::disconnect_on_failure())?,
        cacertfile: path(atoms::cacertfile())?,
        certfile: path(atoms::certfile())?,
        keyfile: path(atoms::keyfile())?,
        password: optional(term, atoms::password())?,
        versions: field(term, atoms::versions())?,
        ciphers: optional(term, atoms::ciphers())?,
        sni: server_name(field(term, atoms::server_name())?)?,
    }))
}

fn verify_mode(word: Atom) -> NifResult<VerifyMode> {
    if word == atoms::peer() {
        Ok(VerifyMode::Peer)
    } else if word == atoms::selfsigned_peer() {
        Ok(VerifyMode::SelfsignedPeer)
    } else if word == atoms::none() {
        Ok(VerifyMode::None)
    } else {
        Err(Error::BadArg)
    }
}

fn server_name(term: Term<'_>) -> NifResult<Sni> {
    match term.decode::<Atom>() {
        Ok(word) if word == atoms::default() => Ok(Sni::Default),
        Ok(word) if word == atoms::disabled() => Ok(Sni::Disabled),
        Ok(_) => Err(Error::BadArg),
        Err(_) => Ok(Sni::Name(term.decode()?)),
    }
}

fn millis(map: Term<'_>, key: Atom) -> NifResult<Duration> {
    Ok(Duration::from_millis(field(map, key)?))
}

fn field<'a, T: Decoder<'a>>(map: Term<'a>, key: Atom) -> NifResult<T> {
    map.map_get(key)?.decode()
}

fn optional<'a, T: Decoder<'a>>(map: Term<'a>, key: Atom) -> NifResult<Option<T>> {
    map.map_get(key).ok().map(|value| value.decode()).transpose()
}
