//! Our own certificate and its key.

use super::*;

#[test]
fn our_certificate_is_shown_to_a_receiver_that_asks_for_one() {
    let scene = Scene::new();
    let receiver = scene.receiver(params(NAME)).asking_for(scene.authority.der());
    let refusal = refusal(&scene.options(), &receiver);
    assert!(refusal.contains("peer sent no certificates"), "{refusal}");
    let key = KeyPair::generate().unwrap();
    let certificate = params("client").signed_by(&key, &scene.authority).unwrap();
    let chain = format!("{}{}", certificate.pem(), scene.authority.pem());
    let seen = shake(&scene.with_identity(&key.serialize_pem(), &chain), &receiver).unwrap();
    assert_eq!(seen.client_certificates, 2, "the whole chain is shown");
}

#[test]
fn a_key_may_have_any_of_the_usual_forms() {
    let scene = Scene::new();
    for (form, key, certificate, password) in files::KEYS {
        let options = scene.with_identity(key, certificate);
        let options = TlsOptions { password: password.map(Secret::from), ..options };
        assert!(options.check().is_ok(), "{form}: {:?}", complaints(&options));
    }
}

#[test]
fn the_key_may_be_in_the_file_of_the_certificate_if_that_is_named_twice() {
    let scene = Scene::new();
    let key = KeyPair::generate().unwrap();
    let certificate = params("client").self_signed(&key).unwrap();
    let both =
        scene.files.write("both.pem", &format!("{}{}", certificate.pem(), key.serialize_pem()));
    let certfile = TlsOptions { certfile: Some(both.clone()), ..scene.options() };
    let wanted = "tls.keyfile: must be given with tls.certfile, got nothing";
    assert_eq!(complaints(&certfile), [wanted]);
    TlsOptions { keyfile: Some(both.clone()), ..certfile }.check().unwrap();
    let keyfile = TlsOptions { keyfile: Some(both), ..scene.options() };
    let wanted = "tls.certfile: must be given with tls.keyfile, got nothing";
    assert_eq!(complaints(&keyfile), [wanted]);
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let scene = Scene::new();
    let (_, key, certificate, password) = files::KEYS[files::ENCRYPTED];
    let options = scene.with_identity(key, certificate);
    let path = options.keyfile.clone().unwrap();
    let wanted = format!(
        "tls.password: must be given for the encrypted key in tls.keyfile ({path:?}), got nothing"
    );
    assert_eq!(complaints(&options), [wanted]);
    let wrong = TlsOptions { password: Some("open sesame".into()), ..options.clone() };
    let wanted =
        format!("tls.password: must be that of the key in tls.keyfile ({path:?}), got another one");
    assert_eq!(complaints(&wrong), [wanted]);
    TlsOptions { password: password.map(Secret::from), ..options }.check().unwrap();
}

#[test]
fn a_key_that_does_not_fit_is_refused() {
    let scene = Scene::new();
    let certificate = params("client").self_signed(&KeyPair::generate().unwrap()).unwrap();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let complaints = complaints(&scene.with_identity(&other, &certificate.pem()));
    assert!(complaints[0].starts_with("tls.keyfile: must be the key of tls.certfile"));
    assert!(complaints[0].ends_with("key.pem\""), "{complaints:?}");
}

#[test]
fn a_key_that_is_encrypted_in_the_old_way_is_refused_with_the_remedy() {
    let scene = Scene::new();
    let certificate = params("client").self_signed(&KeyPair::generate().unwrap()).unwrap();
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
               DEK-Info: AES-128-CBC,00\n\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n";
    let options = scene.with_identity(key, &certificate.pem());
    let complaints = complaints(&TlsOptions { password: Some("secret".into()), ..options });
    assert!(complaints[0].starts_with("tls.keyfile: must be a PEM file"), "{complaints:?}");
    assert!(complaints[0].contains("encrypted by PKCS#8 with PBES2 or not at all"));
}
