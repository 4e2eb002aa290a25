//! Verifies AWS Signature Version 4 by signing once more what was received.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
    },
    sign::v4,
};
use hyper::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use time::{PrimitiveDateTime, macros::format_description};

use super::refusal::Refusal;

/// A signature is good for so long, before and after its date.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// The words of the real service.
const OTHER_REGION: &str = "Credential should be scoped to a valid region.";

/// Who may sign, and for which region.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) credentials: Vec<(String, String)>,
    pub(crate) region: String,
}

// === impl Verifier ===

impl Verifier {
    /// Whether the request to `path` was signed as it arrived, with a known key and not too long
    /// ago.
    pub(crate) fn verify(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let given = text(headers, AUTHORIZATION.as_str())?;
        let credential = part(given, "Credential=")?;
        let signed_headers = part(given, "SignedHeaders=")?;
        let (key_id, scope) = credential.split_once('/').ok_or_else(incomplete)?;
        let secret = self.credentials.iter().find(|(known, _)| known == key_id);
        let Some((_, secret)) = secret else {
            return Err(Refusal::new(403, "InvalidClientTokenId", "unknown access key"));
        };
        let date = text(headers, "x-amz-date")?;
        let time = parse_date(date).ok_or_else(incomplete)?;
        let day = scope.strip_suffix(&format!("/{}/sns/aws4_request", self.region));
        if day.ok_or_else(|| Refusal::bad_signature(OTHER_REGION))? != &date[..8] {
            return Err(Refusal::bad_signature(
                "Date in Credential scope is not that of x-amz-date",
            ));
        }
        let (age, complaint) = match now.duration_since(time) {
            Ok(age) => (age, "Signature expired"),
            Err(ahead) => (ahead.duration(), "Signature not yet current"),
        };
        if age > WINDOW {
            return Err(Refusal::bad_signature(complaint));
        }
        let mut names = signed_headers.split(';');
        if !["host", "x-amz-date"].iter().all(|name| names.clone().any(|it| it == *name)) {
            return Err(Refusal::bad_signature("host and x-amz-date must be signed"));
        }
        let digest = hex::encode(Sha256::digest(body));
        let claimed = headers.get("x-amz-content-sha256");
        if claimed.is_some_and(|claimed| claimed != digest.as_str()) {
            return Err(Refusal::bad_signature("x-amz-content-sha256 is not that of the body"));
        }
        // The signer adds these two itself; the host is part of the URL.
        let added = ["host", "x-amz-date", "x-amz-content-sha256"];
        let others = names.by_ref().filter(|name| !added.contains(name));
        let others = others
            .map(|name| Ok((name.to_owned(), text(headers, name)?.to_owned())))
            .collect::<Result<Vec<_>, Refusal>>()?;
        let url = format!("http://{}{path}", text(headers, "host")?);
        let mut settings = SigningSettings::default();
        if signed_headers.contains("x-amz-content-sha256") {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = Credentials::new(key_id, secret, None, None, "receiver").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("sns")
            .time(time)
            .settings(settings)
            .build()
            .expect("every parameter is given");
        let headers = others.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = SignableRequest::new("POST", &url, headers, SignableBody::Bytes(body))
            .map_err(|_| incomplete())?;
        let signed = sign(request, &SigningParams::V4(params)).map_err(|_| incomplete())?;
        if part(given, "Signature=")? == signed.signature() {
            Ok(())
        } else {
            Err(Refusal::bad_signature("The request signature we calculated does not match"))
        }
    }
}

fn incomplete() -> Refusal {
    Refusal::new(403, "IncompleteSignature", "Authorization or x-amz-date is missing or malformed")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(incomplete)
}

fn part<'a>(authorization: &'a str, name: &str) -> Result<&'a str, Refusal> {
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(incomplete)?;
    let mut parts = rest.split(',').map(str::trim);
    parts.find_map(|part| part.strip_prefix(name)).ok_or_else(incomplete)
}

/// The time that `20150830T123600Z` means.
fn parse_date(date: &str) -> Option<SystemTime> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    Some(PrimitiveDateTime::parse(date, form).ok()?.assume_utc().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const NOW: u64 = 1_440_938_160;

    /// The published vector post-x-www-form-urlencoded, signed for SNS instead.
    fn signed(secret: &str) -> HeaderMap {
        let identity = Credentials::new("AKIDEXAMPLE", secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("sns")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let body = SignableBody::Bytes(b"Param1=value1");
        let url = "http://example.amazonaws.com/";
        let request = SignableRequest::new("POST", url, std::iter::empty(), body).unwrap();
        let (instructions, _) = sign(request, &SigningParams::V4(params)).unwrap().into_parts();
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
        for header in instructions.into_parts().0 {
            headers.insert(header.name(), HeaderValue::from_str(header.value()).unwrap());
        }
        headers
    }

    fn verify(headers: &HeaderMap, body: &[u8], now: u64) -> Result<(), String> {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned();
        let credentials = vec![("AKIDEXAMPLE".to_owned(), secret)];
        let verifier = Verifier { credentials, region: "us-east-1".into() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
        verifier.verify("/", headers, body, now).map_err(|refusal| refusal.code.into_owned())
    }

    #[test]
    fn dates_are_read_to_the_second() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(parse_date("20150830T123600Z"), at(NOW));
        assert_eq!(parse_date("19700101T000001Z"), at(1));
        assert_eq!(parse_date("20240229T000000Z"), at(1_709_164_800));
        for date in
            ["", "20150830T123600", "20150830 123600Z", "2015083äT123600Z", "20150230T123600Z"]
        {
            assert_eq!(parse_date(date), None, "{date}");
        }
    }

    #[test]
    fn only_what_was_signed_passes() {
        let good = signed("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        assert_eq!(verify(&good, b"Param1=value1", NOW + 60), Ok(()));
        let mismatch = Err("SignatureDoesNotMatch".to_owned());
        assert_eq!(verify(&good, b"Param1=value2", NOW), mismatch);
        assert_eq!(verify(&good, b"Param1=value1", NOW + 1000), mismatch);
        assert_eq!(verify(&good, b"Param1=value1", NOW - 1000), mismatch);
        assert_eq!(verify(&signed("wrong"), b"Param1=value1", NOW), mismatch);
        assert_eq!(verify(&HeaderMap::new(), b"", NOW), Err("IncompleteSignature".to_owned()));
    }
}
