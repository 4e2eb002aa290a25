//! Certificates that are accepted, and those that are not.

use rcgen::SanType;
use rustls::ProtocolVersion;

use super::*;

#[test]
fn a_certificate_of_the_authority_for_the_name_is_accepted() {
    let scene = Scene::new();
    let seen = shake(&scene.options(), &scene.receiver(params(NAME))).unwrap();
    assert_eq!(seen.sni.as_deref(), Some(NAME));
    assert_eq!(seen.version, ProtocolVersion::TLSv1_3);
    assert_eq!(seen.client_certificates, 0);
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (scene, other) = (Scene::new(), Scene::under("another authority"));
    let refusal = refusal(&scene.options(), &other.receiver(params(NAME)));
    assert!(refusal.contains("is of \"CN=another authority\", which is not trusted"), "{refusal}");
    let impostor = Scene::new();
    let refusal = shake(&scene.options(), &impostor.receiver(params(NAME))).unwrap_err();
    assert!(refusal.contains("but another signature (\"CN=authority of a test\")"), "{refusal}");
}

#[test]
fn the_authorities_of_the_system_do_not_know_ours() {
    let scene = Scene::new();
    // A machine without authorities is refused at start instead.
    match TlsOptions::default().check() {
        Ok(tls) => {
            let refusal = scene.receiver(params(NAME)).shake(&tls, NAME).unwrap_err();
            assert!(refusal.contains("not trusted"), "{refusal}");
        }
        Err(complaints) => {
            assert!(complaints.0[0].starts_with("tls.cacertfile: must be given on a system"));
        }
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    let scene = Scene::new();
    let refusal = refusal(&scene.options(), &scene.receiver(expired(NAME)));
    assert!(refusal.contains("has expired (Wed, 01 Jan 2020 00:00:00 GMT)"), "{refusal}");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let scene = Scene::new();
    let refusal = refusal(&scene.options(), &scene.receiver(params("other.example")));
    assert!(refusal.contains("for other names (other.example)"), "{refusal}");
}

#[test]
fn a_self_signed_certificate_is_accepted_in_its_mode_only() {
    let scene = Scene::new();
    let options = |verify_mode| TlsOptions { verify_mode, ..scene.options() };
    for params in [params(NAME), by_hand(NAME)] {
        let receiver = self_signed(params);
        let refusal = refusal(&options(VerifyMode::Peer), &receiver);
        assert!(refusal.contains("is signed by itself"), "{refusal}");
        shake(&options(VerifyMode::SelfsignedPeer), &receiver).unwrap();
        shake(&options(VerifyMode::None), &receiver).unwrap();
    }
}

#[test]
fn a_self_signed_certificate_has_to_be_valid_now_and_for_the_name() {
    let scene = Scene::new();
    let options = TlsOptions { verify_mode: VerifyMode::SelfsignedPeer, ..scene.options() };
    let anonymous = TlsOptions { sni: Sni::Disabled, ..options.clone() };
    for params in [params("other.example"), by_hand("other.example")] {
        let receiver = self_signed(params);
        let refusal = refusal(&options, &receiver);
        assert!(refusal.contains("for other names (other.example)"), "{refusal}");
        shake(&anonymous, &receiver).unwrap();
    }
    for (params, wanted) in [(expired(NAME), "has expired"), (early(NAME), "not valid yet")] {
        let refusal = refusal(&anonymous, &self_signed(params));
        assert!(refusal.contains(wanted), "{refusal}");
    }
}

#[test]
fn alternative_names_count_more_than_the_common_name() {
    let scene = Scene::new();
    let options = TlsOptions { verify_mode: VerifyMode::SelfsignedPeer, ..scene.options() };
    let mut params = by_hand(NAME);
    params.subject_alt_names.push(SanType::DnsName("other.example".try_into().unwrap()));
    let refusal = refusal(&options, &self_signed(params));
    assert!(refusal.contains("for other names (other.example)"), "{refusal}");
}

#[test]
fn a_certificate_that_only_claims_to_be_its_own_issuer_is_refused() {
    let scene = Scene::new();
    let options = TlsOptions { verify_mode: VerifyMode::SelfsignedPeer, ..scene.options() };
    let claimed = CertifiedIssuer::self_signed(by_hand(NAME), KeyPair::generate().unwrap());
    let key = KeyPair::generate().unwrap();
    let forged = by_hand(NAME).signed_by(&key, &claimed.unwrap()).unwrap();
    let refusal = refusal(&options, &Receiver::new(forged.der().clone(), &key));
    assert!(refusal.contains("signed by itself"), "{refusal}");
}

#[test]
fn the_mode_for_self_signed_certificates_still_knows_the_authority() {
    let (scene, other) = (Scene::new(), Scene::under("another authority"));
    let options = TlsOptions { verify_mode: VerifyMode::SelfsignedPeer, ..scene.options() };
    shake(&options, &scene.receiver(params(NAME))).unwrap();
    let refusal = refusal(&options, &other.receiver(params(NAME)));
    assert!(refusal.contains("not trusted"), "{refusal}");
}

#[test]
fn without_verification_any_certificate_is_accepted_but_not_any_signature() {
    let none = TlsOptions { verify_mode: VerifyMode::None, ..TlsOptions::default() };
    let lenient = TlsOptions { disconnect_on_failure: false, ..TlsOptions::default() };
    for options in [none, lenient] {
        shake(&options, &self_signed(expired("other.example"))).unwrap();
        for version in ["tlsv1.2", "tlsv1.3"] {
            let options = TlsOptions { versions: vec![version.to_owned()], ..options.clone() };
            let stolen = self_signed(params(NAME)).with_key(&KeyPair::generate().unwrap());
            let refusal = refusal(&options, &stolen);
            assert!(refusal.contains("not have the key"), "{version}: {refusal}");
        }
    }
}
