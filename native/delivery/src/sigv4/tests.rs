use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};

use super::*;

/// 2015-08-30T12:36:00Z, the time of all published vectors.
const VECTOR_TIME: u64 = 1_440_938_160;

fn signature(headers: &[(HeaderName, &'static str)], body: &[u8]) -> String {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let signer = Signer::new("AKIDEXAMPLE", secret, "us-east-1", "service");
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name, HeaderValue::from_static(value));
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(VECTOR_TIME);
    signer.sign_post("https://example.amazonaws.com/", &mut map, body, now).unwrap();
    assert!(map[AUTHORIZATION].is_sensitive());
    assert_eq!(map["x-amz-date"], "20150830T123600Z");
    let text = map[AUTHORIZATION].to_str().unwrap().to_owned();
    text.split("Signature=").nth(1).unwrap().to_owned()
}

/// The vectors are the ones AWS publishes with its signing test suite, where the body is signed.
#[test]
fn signatures_equal_the_published_vectors() {
    let length = (CONTENT_LENGTH, "13");
    let plain = [(CONTENT_TYPE, "application/x-www-form-urlencoded"), length.clone()];
    assert_eq!(
        signature(&plain, b"Param1=value1"),
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
    );
    let charset = [(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8"), length];
    assert_eq!(
        signature(&charset, b"Param1=value1"),
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"
    );
}

#[test]
fn another_body_has_another_signature() {
    assert_ne!(signature(&[], b"Param1=value1"), signature(&[], b"Param1=value2"));
}

#[test]
fn nothing_of_the_access_key_is_shown() {
    let shown = format!("{:?}", Signer::new("AKIDEXAMPLE", "wJalr", "eu-west-1", "sns"));
    assert!(!shown.contains("AKID") && !shown.contains("wJalr"), "{shown}");
}
