//! Any attributes: they become headers that say nothing about the connection, or a refusal.

use super::{headers, is_about_connection};
use crate::fate::Failure;
use crate::message::{Attribute, AttributeValue};

/// A name and a value in each line, with a colon between.
pub(crate) fn fuzz(data: &[u8]) {
    let attribute = |line: &[u8]| {
        let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
        let value = AttributeValue::Binary(value[1..].into());
        Some(Attribute { name: std::str::from_utf8(name).ok()?.into(), value })
    };
    let attributes: Vec<_> = data.split(|&byte| byte == b'\n').filter_map(attribute).collect();
    match headers(&attributes) {
        Ok(headers) => {
            for (name, value) in &headers {
                assert!(!is_about_connection(name));
                let bytes = value.as_bytes();
                assert!(!bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                assert!(!bytes.starts_with(b" ") && !bytes.ends_with(b" "));
            }
        }
        Err(failure) => assert!(matches!(failure, Failure::Permanent { .. }), "{failure}"),
    }
}
