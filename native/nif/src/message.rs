//! Terms to messages.

use event_pusher_delivery::{Attribute, AttributeValue, Message};
use rustler::{Atom, Binary, Error, ListIterator, NifResult, Term};

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
pub(crate) fn decode(term: Term<'_>) -> NifResult<Option<Message>> {
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
