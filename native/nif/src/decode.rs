//! Terms to messages and settings.

use std::time::Duration;

use event_pusher_delivery::{
    Attribute, AttributeValue, ClientSettings, InvalidSettings, Message, PoolSettings,
    RetrySettings, SnsSettings, SnsTarget, TlsOptions, client_config, http_client,
};
use rustler::{Atom, Binary, Decoder, Error, ListIterator, NifResult, Term};

use crate::atoms;
use crate::json::{self, NoJson};

/// A message, or `None` where its text is not UTF-8 and no receiver could take it.
///
/// ```erlang
/// #{destination := binary(),
///   body := {json, [{Key, Value}]} | binary(),
///   attributes => [{Name :: binary(), {string | number | binary, binary()}}],
///   group => binary()}
/// ```
pub(crate) fn message(term: Term<'_>) -> NifResult<Option<Message>> {
    let Some(destination) = text(term.map_get(atoms::destination())?)? else { return Ok(None) };
    let Some(body) = body(term.map_get(atoms::body())?)? else { return Ok(None) };
    let attributes = match term.map_get(atoms::attributes()) {
        Ok(pairs) => attributes(pairs)?,
        Err(_) => Some(Box::default()),
    };
    let group = match term.map_get(atoms::group()) {
        Ok(group) => text(group)?.map(Some),
        Err(_) => Some(None),
    };
    let (Some(attributes), Some(group)) = (attributes, group) else { return Ok(None) };
    Ok(Some(Message { destination, body: body.into(), attributes, group }))
}

/// The settings of a pool with its target.
pub(crate) struct Settings {
    pub(crate) pool: PoolSettings,
    pub(crate) target: SnsTarget,
}

/// Checked settings, or every complaint about them. Only a term of another shape is a bad
/// argument.
pub(crate) fn settings(term: Term<'_>) -> NifResult<Result<Settings, InvalidSettings>> {
    let pool_size: u64 = field(term, atoms::pool_size())?;
    let pool = PoolSettings::new(
        pool_size,
        field(term, atoms::max_events())?,
        field(term, atoms::max_bytes())?,
        RetrySettings {
            count: Some(field(term, atoms::retry_count())?),
            base: Duration::from_millis(field(term, atoms::retry_time_ms())?),
            max: Duration::from_secs(60),
        },
    );
    let target: Term<'_> = field(term, atoms::target())?;
    if field::<Atom>(target, atoms::target())? != atoms::sns() {
        return Err(Error::BadArg);
    }
    let sns = SnsSettings::new(
        field(target, atoms::sns_host())?,
        field(target, atoms::region())?,
        field(target, atoms::access_key_id())?,
        field(target, atoms::secret_access_key())?,
        field(target, atoms::publish_batch())?,
    );
    let connect_timeout_ms = field(target, atoms::connect_timeout_ms())?;
    let request_timeout_ms = field(target, atoms::request_timeout_ms())?;
    let mut complaints = InvalidSettings::default();
    let pool = complaints.keep(pool);
    let sns = complaints.keep(sns);
    let tls = complaints.keep(client_config(&TlsOptions::default()));
    let (Some(pool), Some(sns), Some(tls)) = (pool, sns, tls) else { return Ok(Err(complaints)) };
    let client = ClientSettings {
        connect_timeout: Duration::from_millis(connect_timeout_ms),
        request_timeout: Duration::from_millis(request_timeout_ms),
        idle_connections: usize::try_from(pool_size).unwrap_or(usize::MAX),
        tls: Some(tls),
        http2: false,
        tls_name: None,
    };
    Ok(match http_client(&client) {
        Ok(client) => Ok(Settings { pool, target: SnsTarget::new(sns, client) }),
        Err(error) => Err(InvalidSettings(vec![error.to_string()])),
    })
}

fn field<'a, T: Decoder<'a>>(map: Term<'a>, key: Atom) -> NifResult<T> {
    map.map_get(key)?.decode()
}

fn body(term: Term<'_>) -> NifResult<Option<Vec<u8>>> {
    if let Ok(bytes) = term.decode::<Binary<'_>>() {
        return Ok(Some(bytes.as_slice().to_vec()));
    }
    let (kind, pairs): (Atom, Term<'_>) = term.decode()?;
    if kind != atoms::json() {
        return Err(Error::BadArg);
    }
    match json::object(pairs) {
        Ok(text) => Ok(Some(text)),
        Err(NoJson::NotUtf8) => Ok(None),
        Err(NoJson::BadTerm) => Err(Error::BadArg),
    }
}

fn attributes(pairs: Term<'_>) -> NifResult<Option<Box<[Attribute]>>> {
    let pairs: ListIterator<'_> = pairs.decode()?;
    pairs.map(attribute).collect()
}

fn attribute(pair: Term<'_>) -> NifResult<Option<Attribute>> {
    let (name, (kind, value)): (Term<'_>, (Atom, Term<'_>)) = pair.decode()?;
    let Some(name) = text(name)? else { return Ok(None) };
    let value = if kind == atoms::string() {
        text(value)?.map(AttributeValue::String)
    } else if kind == atoms::number() {
        text(value)?.map(AttributeValue::Number)
    } else if kind == atoms::binary() {
        let bytes: Binary<'_> = value.decode()?;
        Some(AttributeValue::Binary(bytes.as_slice().into()))
    } else {
        return Err(Error::BadArg);
    };
    Ok(value.map(|value| Attribute { name, value }))
}

/// The text of a binary, or `None` if it is not UTF-8.
fn text(term: Term<'_>) -> NifResult<Option<Box<str>>> {
    let bytes: Binary<'_> = term.decode()?;
    Ok(std::str::from_utf8(bytes.as_slice()).ok().map(Box::from))
}
