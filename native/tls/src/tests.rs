//! Whole handshakes, in memory, with a receiver that has one certificate or another.

mod files;
mod handshake;
mod identity;
mod options;
mod session;
mod settable;
mod trust;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use super::*;
use files::Files;
use handshake::{Receiver, Seen};

const NAME: &str = "receiver.example";

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn early(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.not_before = date_time_ymd(4000, 1, 1);
    params
}

fn expired(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.not_after = date_time_ymd(2020, 1, 1);
    params
}

/// As `openssl req -x509` makes it: an authority of its own without alternative names.
fn by_hand(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// A receiver with a certificate of this authority, and options that trust the authority.
struct Scene {
    authority: CertifiedIssuer<'static, KeyPair>,
    files: Files,
}

// === impl Scene ===

impl Scene {
    fn new() -> Self {
        Self::under("authority of a test")
    }

    fn under(authority_name: &str) -> Self {
        Self { authority: authority(authority_name), files: Files::new() }
    }

    fn options(&self) -> TlsOptions {
        let cacertfile = self.files.write("ca.pem", &self.authority.pem());
        TlsOptions { cacertfile: Some(cacertfile), ..TlsOptions::default() }
    }

    fn receiver(&self, params: CertificateParams) -> Receiver {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        Receiver::new(certificate.der().clone(), &key)
    }

    /// Options with a certificate of our own.
    fn with_identity(&self, key_pem: &str, certificate_pem: &str) -> TlsOptions {
        TlsOptions {
            certfile: Some(self.files.write("cert.pem", certificate_pem)),
            keyfile: Some(self.files.write("key.pem", key_pem)),
            ..self.options()
        }
    }
}

fn self_signed(params: CertificateParams) -> Receiver {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Receiver::new(certificate.der().clone(), &key)
}

/// The end of a handshake with `NAME`.
fn shake(options: &TlsOptions, receiver: &Receiver) -> Result<Seen, String> {
    receiver.shake(&options.check().unwrap(), NAME)
}

fn refusal(options: &TlsOptions, receiver: &Receiver) -> String {
    shake(options, receiver).expect_err("no connection")
}

fn complaints(options: &TlsOptions) -> Vec<String> {
    options.check().expect_err("complaints").0
}
