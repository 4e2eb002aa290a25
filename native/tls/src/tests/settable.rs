//! A cause says what to do in words of what can be set, and of nothing else.

use rustls::{AlertDescription, Error, PeerIncompatible};

use super::*;

const HOST: Settable = Settable::Host("sns_host");

/// What both kinds of configuration say of the same handshake.
fn refusals(options: &TlsOptions, receiver: &Receiver) -> [String; 2] {
    [Settable::Section, HOST].map(|settable| {
        let tls = options.check_as(settable).unwrap();
        receiver.shake(&tls, NAME).expect_err("no connection")
    })
}

/// And of the same error.
fn told(error: &Error) -> [String; 2] {
    [Settable::Section, HOST]
        .map(|settable| explain(error, settable).expect("an error of TLS").into_owned())
}

#[test]
fn options_are_named_where_there_are_some() {
    let (scene, other) = (Scene::new(), Scene::under("another authority"));
    let impostor = Scene::new();
    for (receiver, of_section, of_host) in [
        (
            other.receiver(params(NAME)),
            "it has to send them, or tls.cacertfile to name that one",
            "it has to send them, or SSL_CERT_FILE in the environment to name that one",
        ),
        (
            self_signed(params(NAME)),
            "tls.cacertfile has to name who vouches for it, or tls.verify_mode be \
             \"selfsigned_peer\"",
            "it needs another one, of an authority that SSL_CERT_FILE in the environment names",
        ),
        (
            impostor.receiver(params(NAME)),
            "tls.cacertfile may have an old one, or its RSA key less than 2048 bits",
            "SSL_CERT_FILE in the environment may have an old one, or its RSA key less than 2048 \
             bits",
        ),
        (
            scene.receiver(params("other.example")),
            "connect by one of these, or name it in tls.server_name_indication.host",
            "sns_host has to be one of these",
        ),
    ] {
        let [section, host] = refusals(&scene.options(), &receiver);
        let (fact, remedy) = section.rsplit_once(": ").unwrap();
        assert_eq!(remedy, of_section);
        assert_eq!(host, format!("{fact}: {of_host}"));
    }
}

#[test]
fn whatever_the_receiver_complains_about_no_option_is_named_where_there_are_none() {
    for number in 0..=u8::MAX {
        let [section, host] = told(&Error::AlertReceived(AlertDescription::from(number)));
        assert!(!host.contains("tls."), "{host}");
        let same = section == host;
        assert_eq!(same, !section.contains("tls."), "{section} / {host}");
    }
    for error in [
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        PeerIncompatible::ServerDoesNotSupportTls12Or13,
    ] {
        let [section, host] = told(&error.into());
        assert!(section.starts_with("the receiver and tls.versions have no version"), "{section}");
        assert!(host.starts_with("the receiver and event_pusher have no version"), "{host}");
    }
}

#[test]
fn a_receiver_that_wants_to_know_who_we_are_is_told_apart() {
    for (alert, of_section, of_host) in [
        (
            AlertDescription::CertificateRequired,
            "the receiver asks for a client certificate: it has to be given in tls.certfile and \
             tls.keyfile",
            "the receiver asks for a client certificate: none can be given to it",
        ),
        (
            AlertDescription::UnknownCA,
            "the receiver refuses our certificate (UnknownCA): it has to be given in tls.certfile, \
             valid now, and of an authority that the receiver trusts",
            "the receiver refuses a client without a certificate (UnknownCA): none can be given to \
             it",
        ),
    ] {
        assert_eq!(told(&Error::AlertReceived(alert)), [of_section, of_host]);
    }
}
