//! Terms to messages.

use std::iter::successors;

use event_pusher_delivery::{Attribute, AttributeValue, Message};
use rustler::types::tuple::get_tuple;
use rustler::{Atom, Binary, Error, NifResult, Term, TermType};

use crate::atoms;
use crate::json::{self, NoJson};
use crate::list;

/// A message, or `None` where its text is not UTF-8 and no receiver could take it.
///
/// ```erlang
/// #{destination := binary(),
///   body := {json, [{Key, Value}]} | binary(),
///   attributes => [{Name :: binary(), {string | number | binary, binary()} | {time, integer()}}],
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

/// How many bytes a message has at least, whatever its shape; nothing is copied.
pub(crate) fn size(term: Term<'_>) -> usize {
    let keys = [atoms::destination(), atoms::body(), atoms::attributes(), atoms::group()];
    keys.into_iter()
        .filter_map(|key| term.map_get(key).ok())
        .map(|field| bytes(field, DEEPEST))
        .sum()
}

/// A value of JSON is in a tuple, and then for each object in the pair with its key, in a list, in another
/// tuple.
const DEEPEST: usize = 1 + 3 * json::DEEPEST;

/// The bytes of the binaries in a term, down to that depth.
fn bytes(term: Term<'_>, depth: usize) -> usize {
    match (term.get_type(), depth.checked_sub(1)) {
        (TermType::Binary, _) => term.decode::<Binary<'_>>().map_or(0, |binary| binary.len()),
        (TermType::Tuple, Some(depth)) => {
            let elements = get_tuple(term).unwrap_or_default();
            elements.into_iter().map(|element| bytes(element, depth)).sum()
        }
        (TermType::List, Some(depth)) => {
            // Also of an improper list, at whose end rustler's own iterator panics.
            let cells =
                successors(term.list_get_cell().ok(), |(_, rest)| rest.list_get_cell().ok());
            cells.map(|(element, _)| bytes(element, depth)).sum()
        }
        _ => 0,
    }
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
    list::elements(pairs)?.map(attribute).collect()
}

fn attribute(pair: Term<'_>) -> NifResult<Option<Attribute>> {
    let (name, (kind, value)): (Term<'_>, (Atom, Term<'_>)) = pair.decode()?;
    let Some(name) = text(name)? else { return Ok(None) };
    let value = if kind == atoms::string() {
        text(value)?.map(AttributeValue::String)
    } else if kind == atoms::number() {
        text(value)?.map(AttributeValue::Number)
    } else if kind == atoms::time() {
        let text = json::time(value.decode()?).ok_or(Error::BadArg)?;
        Some(AttributeValue::String(text.into()))
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
