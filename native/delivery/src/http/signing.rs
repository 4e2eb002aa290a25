//! Standard Webhooks: a signature over id, time and body of a request, made anew for each attempt.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine as _};
use event_pusher_settings::{InvalidSettings, Secret};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac::{Context, HMAC_SHA256, Key};

/// What a receiver knows a message by, in each attempt.
pub(super) const ID: HeaderName = HeaderName::from_static("webhook-id");
/// When an attempt was made, in seconds.
pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// One signature for each secret.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// More than anybody changes over at a time.
const MOST: usize = 10;

const PREFIX: &str = "whsec_";

/// How many bytes a secret has.
const SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// Some who write secrets down leave the padding out, and libraries that verify take both.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Signs requests with each of some secrets, so that a receiver may change over from one to another.
#[derive(Clone)]
pub(super) struct Signer(Vec<Key>);

// === impl Signer ===

impl Signer {
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let allowed = format!(
            "1 to {MOST} different texts, each of \"{PREFIX}\" and {} to {} bytes in Base64",
            SIZES.start(),
            SIZES.end()
        );
        let mut complain = |got| complaints.complain("signing_secrets", &allowed, got);
        if !(1..=MOST).contains(&secrets.len()) {
            complain(format!("{} of them", secrets.len()));
        }
        let mut known: Vec<Vec<u8>> = Vec::with_capacity(secrets.len());
        for (secret, place) in secrets.iter().zip(1..) {
            match bytes(secret) {
                Some(bytes) if !SIZES.contains(&bytes.len()) => {
                    complain(format!("{} bytes at place {place}", bytes.len()));
                }
                Some(bytes) if known.contains(&bytes) => {
                    complain(format!("the same again at place {place}"));
                }
                Some(bytes) => known.push(bytes),
                None => complain(format!("something else at place {place}")),
            }
        }
        let keys = known.iter().map(|bytes| Key::new(HMAC_SHA256, bytes)).collect();
        complaints.into_result(Self(keys))
    }

    /// Adds id, time and signature to the headers of a request with this body. A message that has an
    /// id keeps it.
    pub(super) fn sign(
        &self,
        headers: &mut HeaderMap,
        otherwise: impl FnOnce() -> String,
        body: &[u8],
        now: SystemTime,
    ) {
        let id = headers.get(ID).cloned().unwrap_or_else(|| value(otherwise()));
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let signatures = self.signatures(id.as_bytes(), &seconds, body);
        headers.insert(ID, id);
        headers.insert(TIMESTAMP, value(seconds));
        headers.insert(SIGNATURE, value(signatures));
    }

    fn signatures(&self, id: &[u8], seconds: &str, body: &[u8]) -> String {
        let mut text = String::with_capacity(48 * self.0.len());
        for key in &self.0 {
            let mut context = Context::with_key(key);
            for part in [id, b".", seconds.as_bytes(), b".", body] {
                context.update(part);
            }
            text.push_str(if text.is_empty() { "v1," } else { " v1," });
            STANDARD.encode_string(context.sign(), &mut text);
        }
        text
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("keys", &self.0.len()).finish()
    }
}

/// The bytes of a secret, without what says that it is one.
fn bytes(secret: &Secret) -> Option<Vec<u8>> {
    LENIENT.decode(secret.expose().strip_prefix(PREFIX)?).ok()
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, letters and a few signs")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The example with which libraries in several languages test themselves.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const OTHER: &str = "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy";

    fn signer(secrets: &[&str]) -> Result<Signer, InvalidSettings> {
        let secrets: Vec<_> = secrets.iter().map(|&secret| Secret::from(secret)).collect();
        Signer::new(&secrets)
    }

    fn signed(secrets: &[&str], mut headers: HeaderMap) -> HeaderMap {
        let now = UNIX_EPOCH + Duration::from_millis(1_614_265_330_999);
        let id = || "msg_p5jXN8AQM9LWM0D4loKWxJek".into();
        signer(secrets).unwrap().sign(&mut headers, id, BODY, now);
        headers
    }

    #[test]
    fn the_published_example_is_signed_as_published() {
        let headers = signed(&[SECRET], HeaderMap::new());
        assert_eq!(headers[ID], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers[TIMESTAMP], "1614265330");
        assert_eq!(headers[SIGNATURE], SIGNED);
    }

    #[test]
    fn each_secret_has_its_signature_in_their_order() {
        let headers = signed(&[OTHER, SECRET], HeaderMap::new());
        let other = signed(&[OTHER], HeaderMap::new());
        let both = format!("{} {SIGNED}", other[SIGNATURE].to_str().unwrap());
        assert_eq!(headers[SIGNATURE], both);
    }

    #[test]
    fn the_id_of_a_message_stays_and_a_signature_of_others_does_not() {
        let given = [(ID, "own"), (SIGNATURE, "v1,forged"), (TIMESTAMP, "1")];
        let given = given.map(|(name, text)| (name, HeaderValue::from_static(text)));
        let headers = signed(&[SECRET], given.into_iter().collect());
        assert_eq!((&headers[ID], headers.len()), (&HeaderValue::from_static("own"), 3));
        assert_eq!(headers[TIMESTAMP], "1614265330");
        let signature = headers[SIGNATURE].to_str().unwrap();
        assert!(signature.len() == SIGNED.len() && signature != SIGNED, "{signature}");
    }

    #[test]
    fn a_secret_may_do_without_padding() {
        let padded = format!("whsec_{}", STANDARD.encode([7; 25]));
        let bare = padded.trim_end_matches('=');
        assert_ne!(padded, bare);
        assert_eq!(
            signed(&[&padded], HeaderMap::new())[SIGNATURE],
            signed(&[bare], HeaderMap::new())[SIGNATURE]
        );
    }

    #[test]
    fn what_is_no_secret_is_named_by_its_place_and_not_shown() {
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        let secrets =
            [SECRET, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_?", &short, &long, SECRET];
        let complaints = signer(&secrets).unwrap_err().0;
        let got: Vec<_> = complaints
            .iter()
            .map(|complaint| {
                complaint
                    .strip_prefix(
                        "signing_secrets: must be 1 to 10 different texts, each of \"whsec_\" and \
                         24 to 64 bytes in Base64, got ",
                    )
                    .unwrap()
            })
            .collect();
        let wanted = [
            "something else at place 2",
            "something else at place 3",
            "23 bytes at place 4",
            "65 bytes at place 5",
            "the same again at place 6",
        ];
        assert_eq!(got, wanted);
        assert!(signer(&[]).unwrap_err().0[0].ends_with("got 0 of them"));
        assert!(signer(&[OTHER; 11]).unwrap_err().0[0].ends_with("got 11 of them"));
    }

    #[test]
    fn debug_output_shows_no_key() {
        assert_eq!(format!("{:?}", signer(&[SECRET]).unwrap()), "Signer { keys: 1 }");
    }
}
