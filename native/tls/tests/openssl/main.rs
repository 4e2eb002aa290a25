//! Certificates as OpenSSL makes them, shown by OpenSSL's own server: which are accepted, and what
//! is said of the others. The tables of docs/tls.md have the same rows.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

mod openssl;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use event_pusher_tls::{Sni, TlsOptions, VerifyMode, try_tls};
use openssl::{Folder, Key, P256, Server, V12, V13};

const PATIENCE: Duration = Duration::from_secs(20);

const P384: Key<'_> = &["EC", "ec_paramgen_curve:P-384"];
const P521: Key<'_> = &["EC", "ec_paramgen_curve:P-521"];
const RSA: Key<'_> = &["RSA", "rsa_keygen_bits:2048"];
const ED25519: Key<'_> = &["ED25519"];
const ED448: Key<'_> = &["ED448"];
const PSS: Key<'_> = &["RSA-PSS", "rsa_keygen_bits:2048"];
const PSS_SHA256: Key<'_> = &[
    "RSA-PSS",
    "rsa_keygen_bits:2048",
    "rsa_pss_keygen_md:sha256",
    "rsa_pss_keygen_mgf1_md:sha256",
    "rsa_pss_keygen_saltlen:32",
];

/// A folder with the authority `ca`.
struct Scene {
    folder: Folder,
}

// === impl Scene ===

impl Scene {
    fn under(key: Key<'_>) -> Self {
        Self::named("authority", key)
    }

    fn named(common_name: &str, key: Key<'_>) -> Self {
        let folder = Folder::new();
        folder.authority("ca", key, common_name);
        Self { folder }
    }

    fn trusting(&self) -> TlsOptions {
        TlsOptions { cacertfile: Some(self.folder.path("ca.pem")), ..TlsOptions::default() }
    }

    /// What becomes of a connection to a server that shows the certificate of that name.
    fn fate(&self, name: &str, version: &str, options: &TlsOptions) -> Result<(), String> {
        let server = Server::start(&self.folder, name, &[version]);
        fate(server.port(), options)
    }

    /// Asserts that it is accepted, whether it is verified or not.
    fn accepts(&self, name: &str, versions: &[&str]) {
        for version in versions {
            for options in [self.trusting(), unverified()] {
                assert_eq!(self.fate(name, version, &options), Ok(()), "{name} {version}");
            }
        }
    }

    /// Asserts that it is refused, with this at the beginning of the reason.
    fn refuses(&self, name: &str, versions: &[&str], options: &TlsOptions, reason: &str) {
        for version in versions {
            let told = self.fate(name, version, options).unwrap_err();
            assert!(told.starts_with(reason), "{name} {version}: {told}");
        }
    }
}

fn unverified() -> TlsOptions {
    TlsOptions { verify_mode: VerifyMode::None, ..TlsOptions::default() }
}

fn fate(port: u16, options: &TlsOptions) -> Result<(), String> {
    try_tls("localhost", port, options, PATIENCE).map_err(|error| error.to_string())
}

#[test]
fn receivers_may_have_keys_of_many_kinds() {
    let scene = Scene::under(P256);
    for (name, key) in [("p256", P256), ("p384", P384), ("rsa", RSA), ("ed25519", ED25519)] {
        scene.folder.issued(name, key, "");
        scene.accepts(name, &[V12, V13]);
    }
}

#[test]
fn some_keys_take_version_1_3() {
    let scene = Scene::under(P256);
    for (name, key, reason) in [
        ("p521", P521, "the receiver finds nothing in common"),
        ("pss", PSS, "the receiver's key is of a kind that is supported with TLS 1.3 only"),
        ("pss256", PSS_SHA256, "the receiver's key is of a kind that is supported with TLS 1.3"),
    ] {
        scene.folder.issued(name, key, "");
        scene.accepts(name, &[V13]);
        for options in [scene.trusting(), unverified()] {
            scene.refuses(name, &[V12], &options, reason);
        }
    }
}

#[test]
fn authorities_may_have_keys_of_many_kinds() {
    for key in [P384, P521, RSA, PSS_SHA256, ED25519] {
        let scene = Scene::under(key);
        scene.folder.issued("leaf", P256, "");
        scene.accepts("leaf", &[V12, V13]);
    }
}

#[test]
fn authorities_may_sign_with_any_sha2() {
    for key in [P256, P384, P521, RSA] {
        let scene = Scene::under(key);
        for hash in ["-sha256", "-sha384", "-sha512"] {
            scene.folder.issued("leaf", P256, hash);
            scene.accepts("leaf", &[V13]);
        }
    }
}

#[test]
fn keys_of_other_kinds_are_named_as_a_cause() {
    let scene = Scene::under(P256);
    for (name, key) in [
        ("ed448", ED448),
        ("p224", &["EC", "ec_paramgen_curve:P-224"][..]),
        ("secp256k1", &["EC", "ec_paramgen_curve:secp256k1"]),
        ("brainpool", &["EC", "ec_paramgen_curve:brainpoolP256r1"]),
    ] {
        scene.folder.issued(name, key, "");
        for options in [scene.trusting(), unverified()] {
            for version in [V12, V13] {
                let told = scene.fate(name, version, &options).unwrap_err();
                let cause = "its key may be of a kind that is not supported";
                assert!(told.contains(cause), "{name} {version}: {told}");
            }
        }
    }
}

#[test]
fn short_rsa_keys_are_refused() {
    let scene = Scene::under(P256);
    scene.folder.issued("short", &["RSA", "rsa_keygen_bits:1024"], "");
    for options in [scene.trusting(), unverified()] {
        let reason = "the receiver's RSA key has less than 2048 bits: ";
        scene.refuses("short", &[V12, V13], &options, reason);
    }
}

#[test]
fn signatures_of_other_kinds_are_named() {
    for (key, hash, kind) in [
        (P256, "-sha1", "ECDSA with SHA-1"),
        (RSA, "-sha1", "RSA with SHA-1"),
        (ED448, "", "Ed448"),
        // Its salt is longer than the hash.
        (PSS, "", "RSA-PSS, with such parameters"),
    ] {
        let scene = Scene::under(key);
        scene.folder.issued("leaf", P256, hash);
        let reason = format!(
            "a certificate of the receiver is signed in a way that is not supported ({kind}): "
        );
        scene.refuses("leaf", &[V12, V13], &scene.trusting(), &reason);
        assert_eq!(scene.fate("leaf", V13, &unverified()), Ok(()), "{kind}");
    }
}

#[test]
fn a_certificate_of_an_authority_is_accepted_from_a_trusted_one() {
    let scene = Scene::under(P256);
    scene.folder.issued_at_once("leaf", P256, "localhost");
    scene.accepts("leaf", &[V12, V13]);
    let elsewhere = TlsOptions { sni: Sni::Name("other.example".into()), ..scene.trusting() };
    let reason = "the receiver's certificate is for other names (localhost, 127.0.0.1), not for";
    scene.refuses("leaf", &[V13], &elsewhere, reason);
    let stranger = Scene::named("stranger", P256);
    let reason = "the receiver's certificate is of \"CN=authority\", which is not trusted";
    scene.refuses("leaf", &[V13], &stranger.trusting(), reason);
    let impostor = Scene::under(P256);
    let reason = "a certificate of the receiver bears the name of a trusted authority, but another";
    scene.refuses("leaf", &[V13], &impostor.trusting(), reason);
}

#[test]
fn a_certificate_of_version_1_has_no_name_that_counts() {
    let scene = Scene::under(P256);
    scene.folder.issued_v1("old", P256);
    let nameless = TlsOptions { sni: Sni::Disabled, ..scene.trusting() };
    for options in [unverified(), nameless] {
        for version in [V12, V13] {
            assert_eq!(scene.fate("old", version, &options), Ok(()), "{version}");
        }
    }
    let reason = "the receiver's certificate has no alternative names, ";
    scene.refuses("old", &[V12, V13], &scene.trusting(), reason);
    let stranger = Scene::named("stranger", P256);
    let options = TlsOptions { sni: Sni::Disabled, ..stranger.trusting() };
    scene.refuses("old", &[V13], &options, "the receiver's certificate is of \"CN=authority\"");
}

#[test]
fn a_chain_without_intermediates_is_told_by_its_end() {
    let scene = Scene::under(P256);
    scene.folder.issued_at_once("between", P256, "between");
    for file in ["pem", "key"] {
        let name = |name: &str| scene.folder.path(&format!("{name}.{file}"));
        std::fs::rename(name("ca"), name("root")).unwrap();
        std::fs::rename(name("between"), name("ca")).unwrap();
    }
    scene.folder.issued("leaf", P256, "");
    let cacertfile = Some(scene.folder.path("root.pem"));
    let options = TlsOptions { cacertfile, ..TlsOptions::default() };
    let reason = "the receiver's certificate is of \"CN=between\", which is not trusted, and \
                  comes without intermediates: ";
    scene.refuses("leaf", &[V12, V13], &options, reason);
    let whole = Server::start(&scene.folder, "leaf", &["-cert_chain", "ca.pem"]);
    assert_eq!(fate(whole.port(), &options), Ok(()));
}

#[test]
fn a_receiver_may_take_our_key_on_p521() {
    let scene = Scene::under(P521);
    for name in ["server", "client"] {
        scene.folder.issued(name, P256, "");
    }
    scene.folder.issued("client521", P521, "");
    let asking = ["-Verify", "2", "-verify_return_error", "-CAfile", "ca.pem"];
    for version in [V12, V13] {
        let server = Server::start(&scene.folder, "server", &[&asking[..], &[version]].concat());
        for name in ["client", "client521"] {
            let file = |kind| Some(scene.folder.path(&format!("{name}.{kind}")));
            let options =
                TlsOptions { certfile: file("pem"), keyfile: file("key"), ..scene.trusting() };
            match fate(server.port(), &options) {
                Err(told) if (name, version) == ("client521", V12) => {
                    assert!(told.ends_with("needs TLS 1.3"), "{told}");
                }
                fate => assert_eq!(fate, Ok(()), "{name} {version}"),
            }
        }
        let told = fate(server.port(), &scene.trusting()).unwrap_err();
        assert!(told.contains("asks for a client certificate"), "{version}: {told}");
    }
}

#[test]
fn a_receiver_that_takes_other_certificates_only_is_told() {
    let (scene, stranger) = (Scene::under(P256), Scene::named("stranger", P256));
    scene.folder.issued("server", P256, "");
    stranger.folder.issued("client", P256, "");
    let file = |kind| Some(stranger.folder.path(&format!("client.{kind}")));
    let options = TlsOptions { certfile: file("pem"), keyfile: file("key"), ..scene.trusting() };
    for version in [V12, V13] {
        let asking = ["-Verify", "2", "-verify_return_error", "-CAfile", "ca.pem", version];
        let server = Server::start(&scene.folder, "server", &asking);
        let told = fate(server.port(), &options).unwrap_err();
        assert!(told.starts_with("the receiver refuses our certificate (UnknownCA): "), "{told}");
    }
}

#[test]
fn an_end_in_the_handshake_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let closing = std::thread::spawn(move || drop(listener.accept()));
    let told = try_tls("127.0.0.1", port, &unverified(), PATIENCE).unwrap_err().to_string();
    closing.join().unwrap();
    // The end may arrive as a reset, since nobody has read what was sent.
    let known = ["the receiver closed the connection during the TLS handshake", "Connection reset"];
    assert!(known.iter().any(|known| told.starts_with(known)), "{told}");
}

/// Set where a test runs itself again, with other variables: to the port of a server.
const AGAIN: &str = "EVENT_PUSHER_TEST_PORT";

/// What a connection without `cacertfile` ends with where variables are set so. The process reads
/// them, so there has to be one for it.
fn told_with(variables: &[(&str, PathBuf)], server: &Server) -> String {
    let test = "the_authorities_of_the_system_that_cannot_be_read_are_told";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .envs(variables.iter().cloned())
        .env(AGAIN, server.port().to_string())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().find_map(|line| line.strip_prefix("told: ")).unwrap_or(&output).to_owned()
}

#[test]
fn the_authorities_of_the_system_that_cannot_be_read_are_told() {
    if let Ok(port) = std::env::var(AGAIN) {
        println!("\ntold: {:?}", fate(port.parse().unwrap(), &TlsOptions::default()));
        return;
    }
    let (scene, stranger) = (Scene::under(P256), Scene::named("stranger", P256));
    scene.folder.issued("leaf", P256, "");
    let server = Server::start(&scene.folder, "leaf", &[]);
    let missing = scene.folder.path("missing");
    let wanted = "tls.cacertfile: must be given on a system without certificate authorities, got \
                  nothing (";
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let told = told_with(&[(variable, missing.clone())], &server);
        assert!(told.contains(wanted) && told.contains(&format!("{variable} is ")), "{told}");
        assert!(told.contains("No such file or directory"), "{told}");
    }
    let damaged = scene.folder.path("damaged.pem");
    std::fs::write(&damaged, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n").unwrap();
    let told = told_with(&[("SSL_CERT_FILE", damaged)], &server);
    assert!(told.contains("a file is no proper PEM") && !told.contains("c2VjcmV0"), "{told}");
    // Some of them are enough for a start, and are told about when they are not for a connection.
    let partly = |scene: &Scene| {
        told_with(
            &[("SSL_CERT_FILE", scene.folder.path("ca.pem")), ("SSL_CERT_DIR", missing.clone())],
            &server,
        )
    };
    assert_eq!(partly(&scene), "Ok(())");
    let told = partly(&stranger);
    assert!(told.contains("is not trusted") && told.contains("No such file"), "{told}");
}
