//! Options that cannot be used, and what options tell about themselves.

use std::path::Path;

use super::*;

#[test]
fn a_configured_name_has_to_be_a_host_name() {
    let scene = Scene::new();
    for name in ["", "127.0.0.1", "::1", "a b"] {
        let options = TlsOptions { sni: Sni::Name(name.into()), ..scene.options() };
        let wanted = format!("tls.server_name_indication.host: must be a host name, got {name:?}");
        assert_eq!(complaints(&options), [wanted]);
    }
}

#[test]
fn files_that_are_missing_or_empty_or_something_else_are_named() {
    let scene = Scene::new();
    let files = |path: &Path| TlsOptions {
        cacertfile: Some(path.to_owned()),
        certfile: Some(path.to_owned()),
        keyfile: Some(path.to_owned()),
        ..TlsOptions::default()
    };
    let missing = scene.files.path("missing.pem");
    let empty = scene.files.write("empty.pem", "");
    let text = scene.files.write("text.pem", "-----BEGIN SECRET-----\nc2VjcmV0\n");
    let endless = "/dev/zero".into();
    let folder = scene.files.path(".");
    let long = scene.files.write("long.pem", &"-".repeat(8 * 1024 * 1024 + 1));
    for path in [missing, empty, text, endless, folder, long] {
        let complaints = complaints(&files(&path));
        let fields: Vec<_> =
            complaints.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(fields, ["tls.cacertfile", "tls.certfile", "tls.keyfile"]);
        for complaint in complaints {
            assert!(complaint.contains(&format!("got {path:?}")), "{complaint}");
            assert!(!complaint.contains("SECRET") && !complaint.contains("c2Vj"), "{complaint}");
        }
    }
}

#[test]
fn all_complaints_come_at_once() {
    let options = TlsOptions {
        cacertfile: Some("/nonexistent/ca.pem".into()),
        keyfile: Some("/nonexistent/key.pem".into()),
        versions: vec!["tlsv1".into()],
        ciphers: Some("NULL".into()),
        sni: Sni::Name("a b".into()),
        ..TlsOptions::default()
    };
    let complaints = complaints(&options);
    let fields: Vec<_> = complaints.iter().map(|text| text.split(':').next().unwrap()).collect();
    let wanted = [
        "tls.versions",
        "tls.ciphers",
        "tls.cacertfile",
        "tls.server_name_indication.host",
        "tls.certfile",
    ];
    assert_eq!(fields, wanted);
}

#[test]
fn the_password_is_not_shown() {
    let options = TlsOptions { password: Some("open sesame".into()), ..TlsOptions::default() };
    let shown = format!("{options:?}");
    assert!(shown.contains("***") && !shown.contains("sesame"), "{shown}");
}
