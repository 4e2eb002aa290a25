//! Over TLS: whom the backend trusts, and as whom it shows itself.

use event_pusher_delivery::{Sni, TlsOptions, VerifyMode};
use event_pusher_receiver::{
    Authority, HttpConfig, HttpServer, Identity, TlsConfig, TlsVersions, Validity,
};

use crate::pem_file::PemFile;
use crate::rig::{Fates, Setup, fates, message, pool_to, told};
use crate::support::settled;

/// An authority and the file that an option names to trust it.
struct Scene {
    authority: Authority,
    ca: PemFile,
}

// === impl Scene ===

impl Scene {
    fn new() -> Self {
        let authority = Authority::new("authority of a test");
        let ca = PemFile::new(&authority.pem());
        Self { authority, ca }
    }

    /// What a server shows that nobody can complain about.
    fn good(&self) -> TlsConfig {
        TlsConfig::new(self.authority.identity(&Identity::LOOPBACK, Validity::Now))
    }

    fn trusting(&self) -> TlsOptions {
        TlsOptions { cacertfile: self.ca.path(), ..TlsOptions::default() }
    }

    fn trusting_as(&self, verify_mode: VerifyMode) -> TlsOptions {
        TlsOptions { verify_mode, ..self.trusting() }
    }
}

fn server(tls: TlsConfig) -> HttpServer {
    HttpServer::start(HttpConfig { tls: Some(tls), ..HttpConfig::default() })
}

fn server_as(identity: Identity) -> HttpServer {
    server(TlsConfig::new(identity))
}

fn with(options: TlsOptions) -> Setup {
    Setup { tls: Some(options), ..Setup::default() }
}

/// Asserts that nothing is delivered to this server, and nothing sent; tells the cause.
async fn refused(server: &HttpServer, options: TlsOptions) -> String {
    let (fates, cause) = told(server, with(options)).await;
    assert_eq!(fates, Fates::UNREACHED, "{cause}");
    cause
}

#[tokio::test]
async fn a_receiver_that_the_authority_vouches_for_is_trusted() {
    let scene = Scene::new();
    let server = server(scene.good());
    assert_eq!(fates(&server, with(scene.trusting())).await, Fates::DELIVERED);
    assert_eq!(server.message().await.server_name.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn a_certificate_that_does_not_pass_ends_as_exhausted_and_names_its_fault() {
    let scene = Scene::new();
    let stranger = Authority::new("authority of a stranger");
    let own = |names, validity| scene.authority.identity(names, validity);
    for (identity, fault) in [
        (
            stranger.identity(&Identity::LOOPBACK, Validity::Now),
            "the receiver's certificate is of \"CN=authority of a stranger\", which is not trusted, \
             and comes without intermediates: ",
        ),
        (
            Identity::self_signed(&Identity::LOOPBACK),
            "the receiver's certificate is signed by itself: tls.cacertfile",
        ),
        (
            own(&Identity::LOOPBACK, Validity::Expired),
            "a certificate of the receiver has expired (Mon, 01 Jan 2001 00:00:00 GMT): ",
        ),
        (
            own(&Identity::LOOPBACK, Validity::NotYet),
            "a certificate of the receiver is not valid yet (before Wed, 01 Jan 3000 00:00:00 \
             GMT): ",
        ),
        (
            own(&["another.example"], Validity::Now),
            "the receiver's certificate is for other names (another.example), not for localhost: ",
        ),
    ] {
        let cause = refused(&server_as(identity), scene.trusting()).await;
        assert!(cause.starts_with(fault), "{fault}: {cause}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_where_the_options_say_so() {
    let scene = Scene::new();
    let identity = Identity::self_signed(&Identity::LOOPBACK);
    for (options, trusted) in [
        (scene.trusting_as(VerifyMode::Peer), false),
        (scene.trusting_as(VerifyMode::SelfsignedPeer), true),
        (scene.trusting_as(VerifyMode::None), true),
        (TlsOptions { disconnect_on_failure: false, ..scene.trusting() }, true),
    ] {
        let wanted = if trusted { Fates::DELIVERED } else { Fates::UNREACHED };
        let server = server_as(identity.clone());
        assert_eq!(fates(&server, with(options.clone())).await, wanted, "{options:?}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_still_has_to_be_for_the_receiver() {
    let scene = Scene::new();
    let server = server_as(Identity::self_signed(&["another.example"]));
    let cause = refused(&server, scene.trusting_as(VerifyMode::SelfsignedPeer)).await;
    assert!(cause.contains("for other names"), "{cause}");
}

#[tokio::test]
async fn a_receiver_that_asks_who_we_are_gets_our_certificate() {
    let scene = Scene::new();
    let clients = Authority::new("authority of clients");
    let (certificate, key) = clients.client_identity("event pusher");
    let (certificate, key) = (PemFile::new(&certificate), PemFile::new(&key));
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let client_authority = Some(clients.pem());
        let server = server(TlsConfig { client_authority, versions, ..scene.good() });
        let options =
            TlsOptions { certfile: certificate.path(), keyfile: key.path(), ..scene.trusting() };
        assert_eq!(fates(&server, with(options)).await, Fates::DELIVERED, "{versions:?}");
        assert!(server.message().await.client_certificate);
    }
}

#[tokio::test]
async fn a_receiver_that_asks_who_we_are_in_vain_takes_nothing() {
    let scene = Scene::new();
    let clients = Authority::new("authority of clients");
    for (versions, http2) in [
        (TlsVersions::Only12, false),
        (TlsVersions::Only12, true),
        (TlsVersions::Only13, false),
        (TlsVersions::Only13, true),
    ] {
        let client_authority = Some(clients.pem());
        let server = server(TlsConfig { client_authority, versions, http2, ..scene.good() });
        let (fates, cause) = told(&server, Setup { http2, ..with(scene.trusting()) }).await;
        assert_eq!(fates, Fates::UNREACHED, "{cause}");
        let said = cause.starts_with("the receiver asks for a client certificate: ");
        // In TLS 1.3 what we send crosses the alert, and may meet the end of the connection first.
        let crossed = versions == TlsVersions::Only13
            && ["reset", "pipe", "closed"].iter().any(|end| cause.contains(end));
        assert!(said || crossed, "{versions:?}, {http2}: {cause}");
    }
}

#[tokio::test]
async fn versions_of_tls_are_those_of_both_sides() {
    let scene = Scene::new();
    for (versions, own, other) in
        [(TlsVersions::Only12, "tlsv1.2", "tlsv1.3"), (TlsVersions::Only13, "tlsv1.3", "tlsv1.2")]
    {
        let only = |version: &str| {
            let versions = vec![version.to_owned()];
            TlsOptions { versions, ..scene.trusting() }
        };
        let config = TlsConfig { versions, ..scene.good() };
        for options in [scene.trusting(), only(own)] {
            assert_eq!(fates(&server(config.clone()), with(options)).await, Fates::DELIVERED);
        }
        let cause = refused(&server(config), only(other)).await;
        let wanted = "the receiver and tls.versions have no version of TLS in common: ";
        assert!(cause.starts_with(wanted), "{versions:?}: {cause}");
    }
}

#[tokio::test]
async fn a_receiver_may_go_by_another_name_in_tls() {
    let scene = Scene::new();
    let named = TlsOptions { sni: Sni::Name("other.example".into()), ..scene.trusting() };
    let identity = scene.authority.identity(&["other.example"], Validity::Now);
    let other = server_as(identity);
    assert_eq!(fates(&other, with(named.clone())).await, Fates::DELIVERED);
    let received = other.message().await;
    assert_eq!(received.server_name.as_deref(), Some("other.example"));
    let host = format!("localhost:{}", other.port());
    assert_eq!(received.header("host"), Some(host.as_str()));
    // The name is verified, not only sent.
    let cause = refused(&server(scene.good()), named).await;
    assert!(cause.contains("for other names"), "{cause}");
}

#[tokio::test]
async fn a_receiver_that_does_not_speak_tls_is_told_so() {
    let scene = Scene::new();
    let plain = crate::rig::server();
    let url = plain.url().replace("http://", "https://");
    let pool = pool_to(&url, with(scene.trusting()));
    pool.push(message("body")).unwrap();
    let report = settled(&pool).await;
    let cause = report.recent.causes.exhausted.unwrap();
    assert!(cause.starts_with("the receiver does not speak TLS on this port: "), "{cause}");
}
