//! Form-encoded parameters, and the lists that the query protocol flattens into their names.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// Parameters by name, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(BTreeMap<String, String>);

// === impl Form ===

impl Form {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let body = str::from_utf8(body).map_err(|_| Refusal::malformed("Body is not UTF-8"))?;
        let mut fields = BTreeMap::new();
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if fields.insert(name.clone(), decode(value)?).is_some() {
                return Err(Refusal::malformed(format!("Parameter {name} is given twice")));
            }
        }
        Ok(Self(fields))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter that must be there and must not be empty.
    pub(crate) fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            Refusal::invalid_parameter(format!("{name} Reason: no value for required parameter"))
        })
    }

    /// The items of the list `name`, each a form of its own, numbered from 1 without a gap.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<Form>, Refusal> {
        let mut items: BTreeMap<usize, Form> = BTreeMap::new();
        let prefix = format!("{name}.");
        for (key, value) in self.0.range(prefix.clone()..) {
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            let (number, field) = rest.split_once('.').unwrap_or((rest, ""));
            let number = number.parse().map_err(|_| bad_list(name))?;
            items.entry(number).or_default().0.insert(field.to_owned(), value.clone());
        }
        if items.keys().copied().ne(1..=items.len()) {
            return Err(bad_list(name));
        }
        Ok(items.into_values().collect())
    }
}

fn bad_list(name: &str) -> Refusal {
    Refusal::malformed(format!("Items of {name} are not numbered 1, 2, 3 and so on"))
}

fn decode(text: &str) -> Result<String, Refusal> {
    let text = text.replace('+', " ");
    let escapes_are_whole = text.split('%').skip(1).all(|escape| {
        escape.len() >= 2 && escape.bytes().take(2).all(|digit| digit.is_ascii_hexdigit())
    });
    if !escapes_are_whole {
        return Err(Refusal::malformed("Broken percent-encoding"));
    }
    match percent_decode_str(&text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Refusal::malformed("Parameter is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let form = Form::parse(b"a=1%202&b=%C3%A9+x&c=").unwrap();
        assert_eq!(form.get("a"), Some("1 2"));
        assert_eq!(form.get("b"), Some("é x"));
        assert_eq!(form.get("c"), Some(""));
        assert_eq!(form.require("c").unwrap_err().code, "InvalidParameter");
    }

    #[test]
    fn broken_encodings_are_refused() {
        for body in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"a=\xff", b"a=1&a=2"] {
            assert_eq!(Form::parse(body).unwrap_err().code, "MalformedInput", "{body:?}");
        }
    }

    #[test]
    fn lists_are_numbered_from_one_without_a_gap() {
        let form = Form::parse(b"L.member.2.Id=b&L.member.1.Id=a&L.member.10.Id=c").unwrap();
        assert_eq!(form.list("L.member").unwrap_err().code, "MalformedInput");
        let form = Form::parse(b"L.member.2.Id=b&L.member.1.Id=a&Lx=1").unwrap();
        let ids: Vec<_> = form
            .list("L.member")
            .unwrap()
            .iter()
            .map(|it| it.get("Id").unwrap().to_owned())
            .collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(form.list("M.member").unwrap().is_empty());
    }
}
