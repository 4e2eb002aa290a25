//! Terms as serde reads them: options come from Erlang in the shape that Erlang code likes.
//!
//! - A map with atoms as keys is a struct. So is a tuple, with the fields in their order.
//! - A binary in UTF-8 is a text; an atom is none.
//! - An atom is a variant of an enum, `{Atom, Value}` one with a value.
//! - `none` and `infinity` are what an optional field has for nothing.
//!
//! rustler has something alike, whose structs are those of Elixir only.

use std::fmt;

use event_pusher_delivery::InvalidSettings;
use rustler::types::tuple::get_tuple;
use rustler::{Atom, MapIterator, Term, TermType};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::{atoms, list};

/// What the term stands for.
///
/// # Errors
///
/// The first option that is missing, unknown or of another shape is named, as in
/// `backend.sns_host`. What came instead is not told: it may be a secret.
pub(crate) fn decode<'a, T: Deserialize<'a>>(term: Term<'a>) -> Result<T, InvalidSettings> {
    T::deserialize(Shape(term)).map_err(Misshapen::into_complaint)
}

struct Shape<'a>(Term<'a>);

/// The fields of a struct. An error in one has its name.
struct Fields<'a> {
    pairs: MapIterator<'a>,
    value: Option<(String, Term<'a>)>,
}

#[derive(Debug)]
struct Misshapen {
    /// From the innermost to the outermost.
    path: Vec<String>,
    fault: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Missing,
    Unknown,
    Shape,
}

type Read<T> = Result<T, Misshapen>;

// === impl Shape ===

impl<'a> Shape<'a> {
    fn text(&self) -> Read<&'a str> {
        Ok(self.0.decode()?)
    }

    fn atom(&self) -> Read<String> {
        Ok(self.0.atom_to_string()?)
    }

    fn tuple<V: Visitor<'a>>(&self, visitor: V) -> Read<V::Value> {
        sequence(get_tuple(self.0)?.into_iter(), visitor)
    }
}

fn sequence<'a, V: Visitor<'a>>(
    terms: impl Iterator<Item = Term<'a>>,
    visitor: V,
) -> Read<V::Value> {
    let mut terms = SeqDeserializer::new(terms.map(Shape));
    let value = visitor.visit_seq(&mut terms)?;
    terms.end()?;
    Ok(value)
}

impl<'a> Deserializer<'a> for Shape<'a> {
    type Error = Misshapen;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Read<V::Value> {
        match self.0.get_type() {
            TermType::Atom => visitor.visit_bool(self.0.decode()?),
            TermType::Binary => visitor.visit_borrowed_str(self.text()?),
            TermType::Integer => match self.0.decode() {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(self.0.decode()?),
            },
            TermType::List => sequence(list::elements(self.0)?, visitor),
            TermType::Map => {
                let pairs = MapIterator::new(self.0).ok_or(Misshapen::HERE)?;
                visitor.visit_map(Fields { pairs, value: None })
            }
            TermType::Tuple => self.tuple(visitor),
            _ => Err(Misshapen::HERE),
        }
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_string(self.atom()?)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Read<V::Value> {
        match self.0.decode::<Atom>() {
            Ok(word) if [atoms::none(), atoms::infinity()].contains(&word) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        if self.0.is_atom() {
            return visitor.visit_enum(self.atom()?.into_deserializer());
        }
        let (tag, value): (Term<'a>, Term<'a>) = self.0.decode()?;
        let pair = [(Shape(tag), Shape(value))].into_iter();
        visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(pair)))
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    /// Of a key that no struct has here: Erlang's own options.
    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct
    }
}

impl<'a> IntoDeserializer<'a, Misshapen> for Shape<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

// === impl Fields ===

impl<'a> MapAccess<'a> for Fields<'a> {
    type Error = Misshapen;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        let Some((key, value)) = self.pairs.next() else { return Ok(None) };
        self.value = Some((Shape(key).atom()?, value));
        seed.deserialize(Shape(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Read<V::Value> {
        let (name, value) = self.value.take().expect("a key comes before its value");
        seed.deserialize(Shape(value)).map_err(|misshapen| misshapen.within(name))
    }
}

// === impl Misshapen ===

impl Misshapen {
    const HERE: Self = Self { path: Vec::new(), fault: Fault::Shape };

    fn of(field: &str, fault: Fault) -> Self {
        Self { path: vec![field.to_owned()], fault }
    }

    fn within(mut self, field: String) -> Self {
        self.path.push(field);
        self
    }

    fn into_complaint(mut self) -> InvalidSettings {
        self.path.reverse();
        let field = if self.path.is_empty() { "options".into() } else { self.path.join(".") };
        let (allowed, got) = match self.fault {
            Fault::Missing => ("given", "nothing"),
            Fault::Unknown => ("left out", "an option that there is not"),
            Fault::Shape => ("of its type", "something else"),
        };
        InvalidSettings::one(&field, allowed, got)
    }
}

impl de::Error for Misshapen {
    fn custom<T: fmt::Display>(_told: T) -> Self {
        Self::HERE
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(field, Fault::Missing)
    }

    fn unknown_field(field: &str, _expected: &'static [&'static str]) -> Self {
        Self::of(field, Fault::Unknown)
    }
}

impl From<rustler::Error> for Misshapen {
    fn from(_: rustler::Error) -> Self {
        Self::HERE
    }
}

impl fmt::Display for Misshapen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term of another shape")
    }
}

impl std::error::Error for Misshapen {}
