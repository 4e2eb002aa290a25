//! What is sent and agreed on in a handshake.

use rustls::ProtocolVersion;

use super::*;

#[test]
fn no_name_is_sent_or_verified_when_it_is_disabled() {
    let (scene, other) = (Scene::new(), Scene::under("another authority"));
    let options = TlsOptions { sni: Sni::Disabled, ..scene.options() };
    let seen = shake(&options, &scene.receiver(params("other.example"))).unwrap();
    assert_eq!(seen.sni, None);
    let refusal = refusal(&options, &other.receiver(params(NAME)));
    assert!(refusal.contains("not trusted"), "the chain is verified: {refusal}");
}

#[test]
fn a_configured_name_is_verified_in_place_of_the_host() {
    let scene = Scene::new();
    let options = TlsOptions { sni: Sni::Name("other.example".into()), ..scene.options() };
    assert_eq!(options.check().unwrap().server_name().unwrap().to_str(), "other.example");
    shake(&options, &scene.receiver(params("other.example"))).unwrap();
    let refusal = refusal(&options, &scene.receiver(params(NAME)));
    assert!(refusal.contains("for other names"), "{refusal}");
}

#[test]
fn only_configured_versions_are_spoken() {
    let scene = Scene::new();
    let receiver = scene.receiver(params(NAME));
    let options = |version: &str| TlsOptions {
        versions: vec!["tlsv1.1".to_owned(), version.to_owned()],
        ..scene.options()
    };
    let seen = shake(&options("tlsv1.2"), &receiver).unwrap();
    assert_eq!(seen.version, ProtocolVersion::TLSv1_2);
    let new_only = receiver.with_version(&rustls::version::TLS13);
    shake(&options("tlsv1.3"), &new_only).unwrap();
    let refusal = refusal(&options("tlsv1.2"), &new_only);
    assert!(refusal.contains("Tls12NotOfferedOrEnabled"), "{refusal}");
}

#[test]
fn only_configured_suites_are_offered() {
    let scene = Scene::new();
    let receiver = scene.receiver(params(NAME));
    let options = |names: &str| TlsOptions { ciphers: Some(names.into()), ..scene.options() };
    for (names, wanted) in [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ("TLS_CHACHA20_POLY1305_SHA256", "TLS13_CHACHA20_POLY1305_SHA256"),
    ] {
        assert_eq!(shake(&options(names), &receiver).unwrap().suite, wanted);
    }
    // The key of the receiver is not an RSA key.
    let refusal = refusal(&options("ECDHE-RSA-AES128-GCM-SHA256"), &receiver);
    assert!(refusal.contains("NoCipherSuitesInCommon"), "{refusal}");
}
