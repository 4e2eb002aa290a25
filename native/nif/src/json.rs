//! JSON text straight from a term, without a tree between: one pass, one copy.

use rustler::types::atom::Atom;
use rustler::{Binary, Term, TermType};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{atoms, list};

/// Why a term has no JSON form.
#[derive(Debug)]
pub(crate) enum NoJson {
    /// Some text in it is not UTF-8.
    NotUtf8,
    /// It is no list of pairs of keys and values, or one of these is of another type.
    BadTerm,
}

/// The JSON object that a list of `{Key, Value}` stands for.
///
/// Keys are UTF-8 binaries. Values are UTF-8 binaries, integers of up to 64 bits, floats, the atoms
/// `true`, `false` and `null`, `{number, Digits}` for an integer of any size, `{time, Microseconds}`
/// since 1970 for a [time], or `{json, Pairs}` for an object within. No other atom: up to NIF 2.16, the
/// text of one can be read in Latin-1 only.
pub(crate) fn object(pairs: Term<'_>) -> Result<Vec<u8>, NoJson> {
    serde_json::to_vec(&Object { pairs, depth: DEEPEST }).map_err(|error| {
        if error.to_string() == NOT_UTF8 { NoJson::NotUtf8 } else { NoJson::BadTerm }
    })
}

/// A time as text, by <https://www.rfc-editor.org/rfc/rfc3339>.
pub(crate) fn time(microseconds: i64) -> Option<String> {
    let nanoseconds = i128::from(microseconds) * 1000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?.format(&Rfc3339).ok()
}

/// How many objects may be within each other: each takes some of the stack of a scheduler.
pub(crate) const DEEPEST: usize = 4;

const NOT_UTF8: &str = "not UTF-8";
const BAD_TERM: &str = "not a JSON value";

struct Object<'a> {
    pairs: Term<'a>,
    depth: usize,
}
struct Text<'a>(Term<'a>);
/// Where objects may be so many within each other.
struct Value<'a>(Term<'a>, usize);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = list::elements(self.pairs).map_err(|_| S::Error::custom(BAD_TERM))?;
        let depth = self.depth.checked_sub(1).ok_or_else(|| S::Error::custom(BAD_TERM))?;
        let mut object = serializer.serialize_map(None)?;
        for pair in pairs {
            let (key, value) = decode(pair)?;
            object.serialize_entry(&Text(key), &Value(value, depth))?;
        }
        object.end()
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Binary<'_> = decode(self.0)?;
        let text = std::str::from_utf8(bytes.as_slice());
        serializer.serialize_str(text.map_err(|_| S::Error::custom(NOT_UTF8))?)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.get_type() {
            TermType::Binary => Text(self.0).serialize(serializer),
            TermType::Atom => atom(decode(self.0)?, serializer),
            TermType::Float => serializer.serialize_f64(decode(self.0)?),
            TermType::Integer => match self.0.decode::<i64>() {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => serializer.serialize_u64(decode(self.0)?),
            },
            TermType::Tuple => self.tagged(serializer),
            _ => Err(S::Error::custom(BAD_TERM)),
        }
    }
}

// === impl Value ===

impl Value<'_> {
    fn tagged<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, value): (Atom, Term<'_>) = decode(self.0)?;
        if kind == atoms::number() {
            integer(decode(value)?)?.serialize(serializer)
        } else if kind == atoms::time() {
            let text = time(decode(value)?).ok_or_else(|| S::Error::custom(BAD_TERM))?;
            serializer.serialize_str(&text)
        } else if kind == atoms::json() {
            Object { pairs: value, depth: self.1 }.serialize(serializer)
        } else {
            Err(S::Error::custom(BAD_TERM))
        }
    }
}

fn atom<S: Serializer>(atom: Atom, serializer: S) -> Result<S::Ok, S::Error> {
    if atom == atoms::true_() {
        serializer.serialize_bool(true)
    } else if atom == atoms::false_() {
        serializer.serialize_bool(false)
    } else if atom == atoms::null() {
        serializer.serialize_unit()
    } else {
        Err(S::Error::custom(BAD_TERM))
    }
}

fn integer<E: Error>(digits: &str) -> Result<&RawValue, E> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let number = plain.then(|| serde_json::from_str(digits).ok()).flatten();
    number.ok_or_else(|| E::custom(BAD_TERM))
}

fn decode<'a, T: rustler::Decoder<'a>, E: Error>(term: Term<'a>) -> Result<T, E> {
    term.decode().map_err(|_| E::custom(BAD_TERM))
}
