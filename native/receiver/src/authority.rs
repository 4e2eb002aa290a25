//! Certificates made on the spot: those that a client should trust, and those that it should not.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority that exists only in this process.
///
/// Its methods panic if a name is not ASCII: there is no certificate for such a name.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// How a server proves who it is: a certificate and its key. The key is never printed.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: Arc<PrivateKeyDer<'static>>,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now, and for as long as anybody lives.
    Now,
    /// In the year 2000 only.
    Expired,
    /// Not before the year 3000.
    NotYet,
}

// === impl Authority ===

impl Authority {
    /// An authority with this common name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, generate_key());
        Self { issuer: issuer.expect("the parameters of the authority are valid") }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server with these names, host names or addresses.
    pub fn identity(&self, names: &[&str], validity: Validity) -> Identity {
        let key = generate_key();
        let params = server_params(names, validity);
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority can sign");
        Identity::new(&certificate, &key)
    }

    /// The certificate of a client with this common name and its key in PKCS#8, both in PEM.
    pub fn client_identity(&self, name: &str) -> (String, String) {
        let key = generate_key();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority can sign");
        (certificate.pem(), key.serialize_pem())
    }
}

// === impl Identity ===

impl Identity {
    /// The names that a server on loopback goes by.
    pub const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

    /// A server that nobody vouches for but itself.
    pub fn self_signed(names: &[&str]) -> Self {
        let key = generate_key();
        let params = server_params(names, Validity::Now);
        Self::new(&params.self_signed(&key).expect("a key can sign for itself"), &key)
    }

    /// The certificate, without the key.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key: Arc::new(key.into()),
        }
    }
}

fn generate_key() -> KeyPair {
    KeyPair::generate().expect("the system has random numbers")
}

fn server_params(names: &[&str], validity: Validity) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are ASCII");
    params.distinguished_name.push(DnType::CommonName, "server on loopback");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    match validity {
        // Far beyond both ends, as the library does it by itself.
        Validity::Now => (),
        Validity::Expired => {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        Validity::NotYet => params.not_before = date_time_ymd(3000, 1, 1),
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let identity = Identity::self_signed(&Identity::LOOPBACK);
        let printed = format!("{identity:?}");
        let key = format!("{:?}", identity.key().secret_der());
        assert!(printed.contains("elided") && !printed.contains(&key), "{printed}");
    }

    #[test]
    fn a_client_gets_its_key_in_pkcs8() {
        let (certificate, key) = Authority::new("authority").client_identity("client");
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
