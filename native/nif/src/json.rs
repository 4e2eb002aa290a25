//! JSON text straight from a term, without a tree between: one pass, one copy.

use rustler::types::atom::Atom;
use rustler::{Binary, Term, TermType};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

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
/// `true`, `false` and `null`, or `{number, Digits}` for an integer of any size. No other atom: up
/// to NIF 2.16, the text of one can be read in Latin-1 only.
pub(crate) fn object(pairs: Term<'_>) -> Result<Vec<u8>, NoJson> {
    serde_json::to_vec(&Object(pairs)).map_err(|error| {
        if error.to_string() == NOT_UTF8 { NoJson::NotUtf8 } else { NoJson::BadTerm }
    })
}

const NOT_UTF8: &str = "not UTF-8";
const BAD_TERM: &str = "not a JSON value";

struct Object<'a>(Term<'a>);
struct Text<'a>(Term<'a>);
struct Value<'a>(Term<'a>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = list::elements(self.0).map_err(|_| S::Error::custom(BAD_TERM))?;
        let mut object = serializer.serialize_map(None)?;
        for pair in pairs {
            let (key, value) = decode(pair)?;
            object.serialize_entry(&Text(key), &Value(value))?;
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
            TermType::Tuple => {
                let (kind, digits): (Atom, &str) = decode(self.0)?;
                if kind != atoms::number() {
                    return Err(S::Error::custom(BAD_TERM));
                }
                integer(digits)?.serialize(serializer)
            }
            _ => Err(S::Error::custom(BAD_TERM)),
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
