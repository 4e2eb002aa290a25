//! Message attributes: names, types and values, and what the service demands of each.

use std::collections::HashSet;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{form::Form, refusal::Refusal};

/// The value of a message attribute; a custom label after the type (`String.Array`) is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// `String`.
    String(String),
    /// `Number`, as it was written.
    Number(String),
    /// `Binary`, decoded.
    Binary(Vec<u8>),
}

/// The attributes of one message, and their share of its size.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) values: Vec<(String, AttributeValue)>,
    pub(crate) size: usize,
}

// === impl Attributes ===

impl Attributes {
    pub(crate) fn parse(message: &Form) -> Result<Self, Refusal> {
        let mut attributes = Self::default();
        let mut names = HashSet::new();
        for entry in message.list("MessageAttributes.entry")? {
            let name = entry.require("Name")?.to_owned();
            check_name(&name)?;
            if !names.insert(name.clone()) {
                return Err(refusal(&name, "has more than one value"));
            }
            let data_type = entry.require("Value.DataType")?;
            let value = parse_value(&name, data_type, &entry)?;
            attributes.size += name.len() + data_type.len() + value.size();
            attributes.values.push((name, value));
        }
        Ok(attributes)
    }
}

// === impl AttributeValue ===

impl AttributeValue {
    fn size(&self) -> usize {
        match self {
            Self::String(text) | Self::Number(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

fn parse_value(name: &str, data_type: &str, entry: &Form) -> Result<AttributeValue, Refusal> {
    let text = entry.get("Value.StringValue");
    let binary = entry.get("Value.BinaryValue");
    let (base, label) = data_type.split_once('.').unwrap_or((data_type, "-"));
    if data_type.len() > 256 || label.is_empty() {
        return Err(refusal(name, "has an invalid type"));
    }
    match (base, text.filter(|it| !it.is_empty()), binary.filter(|it| !it.is_empty())) {
        ("String", Some(text), None) if text.chars().any(|char| char > '\u{ffff}') => {
            let message = format!("Invalid attribute value was passed in for {name}");
            Err(Refusal::invalid_parameter(message))
        }
        ("String", Some(text), None) => Ok(AttributeValue::String(text.to_owned())),
        ("Number", Some(text), None) if is_number(text) => {
            Ok(AttributeValue::Number(text.to_owned()))
        }
        ("Number", Some(_), None) => {
            let message = format!("Could not cast message attribute '{name}' value to number.");
            Err(Refusal::invalid_value(message))
        }
        ("Binary", None, Some(base64)) => match BASE64_STANDARD.decode(base64) {
            Ok(bytes) => Ok(AttributeValue::Binary(bytes)),
            Err(_) => Err(refusal(name, "is not base64")),
        },
        ("String" | "Number" | "Binary", ..) => {
            Err(refusal(name, &format!("must contain a non-empty value of type '{data_type}'")))
        }
        _ => Err(refusal(name, &format!("has an invalid type, '{data_type}'"))),
    }
}

/// Up to 38 digits, and from 10^-128 to 10^126, as SQS has it in its documentation.
fn is_number(text: &str) -> bool {
    let in_range = |number: &f64| *number == 0.0 || (1e-128..1e126).contains(&number.abs());
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.replace(['+', '-', '.'], "");
    text.parse().is_ok_and(|number| in_range(&number)) && digits.trim_matches('0').len() <= 38
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let characters_are_fine =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let dots_are_fine = !name.starts_with('.') && !name.ends_with('.') && !name.contains("..");
    let lower = name.to_ascii_lowercase();
    let is_reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    if name.len() <= 256 && characters_are_fine && dots_are_fine && !is_reserved {
        Ok(())
    } else {
        Err(Refusal::invalid_value(format!("Invalid message attribute name '{name}'.")))
    }
}

fn refusal(name: &str, fault: &str) -> Refusal {
    Refusal::invalid_value(format!("The message attribute '{name}' {fault}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(
        name: &str,
        data_type: &str,
        kind: &str,
        value: &str,
    ) -> Result<Attributes, Refusal> {
        let prefix = "MessageAttributes.entry.1";
        let body = format!(
            "{prefix}.Name={name}&{prefix}.Value.DataType={data_type}&{prefix}.Value.{kind}={value}"
        );
        Attributes::parse(&Form::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn each_type_has_its_value() {
        let string = attribute("n", "String", "StringValue", "x").unwrap();
        assert_eq!(string.values, [("n".into(), AttributeValue::String("x".into()))]);
        assert_eq!(string.size, 8);
        let number = attribute("n", "Number", "StringValue", "1.5e%2B00").unwrap();
        assert_eq!(number.values, [("n".into(), AttributeValue::Number("1.5e+00".into()))]);
        let binary = attribute("n", "Binary.png", "BinaryValue", "AAH/").unwrap();
        assert_eq!(binary.values, [("n".into(), AttributeValue::Binary(vec![0, 1, 255]))]);
        assert_eq!(binary.size, 1 + 10 + 3);
    }

    #[test]
    fn values_that_do_not_fit_their_type_are_refused() {
        for (data_type, kind, value) in [
            ("String", "StringValue", ""),
            ("String", "BinaryValue", "AAH/"),
            ("Number", "StringValue", "one"),
            ("Number", "StringValue", "inf"),
            ("Number", "StringValue", "1e126"),
            ("Number", "StringValue", "1e-129"),
            ("Number", "StringValue", "123456789012345678901234567890123456789"),
            ("Binary", "BinaryValue", "AAH"),
            ("Binary", "StringValue", "AAH/"),
            ("Boolean", "StringValue", "true"),
            ("String.", "StringValue", "x"),
            ("string", "StringValue", "x"),
        ] {
            let refused = attribute("n", data_type, kind, value).unwrap_err();
            assert_eq!(refused.code, "ParameterValueInvalid", "{data_type} {kind} {value}");
        }
    }

    #[test]
    fn text_is_of_the_basic_multilingual_plane() {
        assert!(attribute("n", "String", "StringValue", "%E2%98%BA").is_ok());
        let refused = attribute("n", "String", "StringValue", "%F0%9F%98%80").unwrap_err();
        assert_eq!(refused.code, "InvalidParameter");
    }

    #[test]
    fn names_keep_to_the_documented_alphabet() {
        for name in ["a", "A-b_c.9", &"n".repeat(256)] {
            assert!(attribute(name, "String", "StringValue", "x").is_ok(), "{name}");
        }
        for name in [".a", "a.", "a..b", "a b", "%C3%A9", "AWS.x", "amazon.x", &"n".repeat(257)] {
            assert!(attribute(name, "String", "StringValue", "x").is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_occurs_once() {
        let body = "MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=String\
            &MessageAttributes.entry.1.Value.StringValue=x&MessageAttributes.entry.2.Name=a\
            &MessageAttributes.entry.2.Value.DataType=String\
            &MessageAttributes.entry.2.Value.StringValue=y";
        assert!(Attributes::parse(&Form::parse(body.as_bytes()).unwrap()).is_err());
    }
}
