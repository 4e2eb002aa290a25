//! Our own certificate, for receivers that ask for one.

use std::borrow::Cow;
use std::path::Path;

use pkcs8::der::Encode as _;
use pkcs8::pkcs5;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self as pki_pem, PemObject};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys};

use super::{TlsOptions, kinds, p521_key, pem};
use event_pusher_settings::{InvalidSettings, Secret};

/// What a key may be.
const USABLE: &str = "RSA of at least 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519, \
                      encrypted by PKCS#8 with PBES2 or not at all";

const BEGIN_ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END_ENCRYPTED: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The certificate with its key, if one is configured.
pub(super) fn read(options: &TlsOptions) -> Result<Option<SingleCertAndKey>, InvalidSettings> {
    let (certfile, keyfile) = match (&options.certfile, &options.keyfile) {
        (None, None) => return Ok(None),
        (Some(certfile), Some(keyfile)) => (certfile, keyfile),
        (Some(_), None) => {
            return Err(InvalidSettings::one("tls.keyfile", "given with tls.certfile", "nothing"));
        }
        (None, Some(_)) => {
            return Err(InvalidSettings::one("tls.certfile", "given with tls.keyfile", "nothing"));
        }
    };
    let mut complaints = InvalidSettings::default();
    let chain = complaints.keep(pem::certificates("tls.certfile", certfile));
    let key = complaints.keep(key(keyfile, options.password.as_ref().map(Secret::expose)));
    let (Some(chain), Some(key)) = (chain, key) else { return Err(complaints) };
    let signer = match p521_key::read(&key) {
        Some(signer) => signer,
        None => any_supported_type(&key).map_err(|_| unsupported(keyfile, &key))?,
    };
    let identity = CertifiedKey::new(chain, signer);
    match identity.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Some(SingleCertAndKey::from(identity)))
        }
        Err(Error::InconsistentKeys(_)) => {
            let allowed = format_args!("the key of tls.certfile ({certfile:?})");
            Err(InvalidSettings::one("tls.keyfile", allowed, format_args!("{keyfile:?}")))
        }
        Err(_) => {
            let allowed = "a PEM file with X.509 v3 certificates";
            Err(InvalidSettings::one("tls.certfile", allowed, format_args!("{certfile:?}")))
        }
    }
}

fn key(path: &Path, password: Option<&str>) -> Result<PrivateKeyDer<'static>, InvalidSettings> {
    let text = pem::read("tls.keyfile", path)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pki_pem::Error::NoItemsFound) => match encrypted(&text) {
            Some(section) => decrypted(section, path, password),
            None => Err(unusable(path)),
        },
        Err(_) => Err(unusable(path)),
    }
}

/// The section of an encrypted key. `pki_types` does not know its label.
fn encrypted(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let section = &text[text.find(BEGIN_ENCRYPTED)?..];
    Some(&section[..section.find(END_ENCRYPTED)? + END_ENCRYPTED.len()])
}

fn decrypted(
    section: &str,
    path: &Path,
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, InvalidSettings> {
    let Some(password) = password else {
        let allowed = format_args!("given for the encrypted key in tls.keyfile ({path:?})");
        return Err(InvalidSettings::one("tls.password", allowed, "nothing"));
    };
    let (_, document) = SecretDocument::from_pem(section).map_err(|_| unusable(path))?;
    let key = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|_| unusable(path))?
        .decrypt(password);
    match key {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        // With a wrong password, what comes out is seldom padded as it should be, and never a key.
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed))
        | Err(pkcs8::Error::Asn1(_)) => {
            let allowed = format_args!("that of the key in tls.keyfile ({path:?})");
            Err(InvalidSettings::one("tls.password", allowed, "another one"))
        }
        Err(_) => Err(unusable(path)),
    }
}

fn unusable(path: &Path) -> InvalidSettings {
    let allowed = format_args!("a PEM file with a key, {USABLE}");
    InvalidSettings::one("tls.keyfile", allowed, format_args!("{path:?}"))
}

/// A key that can be read, but not used: of another kind, or too short.
fn unsupported(path: &Path, key: &PrivateKeyDer<'_>) -> InvalidSettings {
    let kind = kind(key).unwrap_or("another".into());
    let allowed = format_args!("a PEM file with a key, {USABLE}");
    InvalidSettings::one("tls.keyfile", allowed, format_args!("{path:?} with one of kind {kind}"))
}

fn kind(key: &PrivateKeyDer<'_>) -> Option<Cow<'static, str>> {
    match key {
        PrivateKeyDer::Pkcs8(key) => {
            let key = PrivateKeyInfoRef::try_from(key.secret_pkcs8_der()).ok()?;
            let mut identifier = key.algorithm.oid.to_der().ok()?;
            if let Some(parameters) = key.algorithm.parameters {
                identifier.extend(parameters.to_der().ok()?);
            }
            Some(kinds::name(&identifier))
        }
        PrivateKeyDer::Pkcs1(_) => Some("RSA".into()),
        _ => None,
    }
}
