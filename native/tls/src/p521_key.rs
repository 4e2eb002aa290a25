//! Our own key on P-521, with which ring cannot sign.

use std::fmt;
use std::sync::Arc;

use p521::SecretKey;
use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::{DerSignature, SigningKey as Signing};
use p521::pkcs8::DecodePrivateKey as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{Signer, SigningKey, public_key_to_spki};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

/// The key, which is never shown.
struct P521Key(Arc<Signing>);

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP521_SHA512;

/// The key, if it is one on P-521.
pub(super) fn read(key: &PrivateKeyDer<'_>) -> Option<Arc<dyn SigningKey>> {
    let key = match key {
        PrivateKeyDer::Sec1(key) => SecretKey::from_sec1_der(key.secret_sec1_der()).ok()?,
        PrivateKeyDer::Pkcs8(key) => SecretKey::from_pkcs8_der(key.secret_pkcs8_der()).ok()?,
        _ => return None,
    };
    Some(Arc::new(P521Key(Arc::new(Signing::from(key)))))
}

// === impl P521Key ===

impl SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = || Box::new(Self(Arc::clone(&self.0))) as Box<dyn Signer>;
        offered.contains(&SCHEME).then(signer)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let point = self.0.verifying_key().to_sec1_point(false);
        Some(public_key_to_spki(&alg_id::ECDSA_P521, point.as_bytes()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signed: Result<DerSignature, _> = self.0.try_sign(message);
        let signature = signed.map_err(|_| Error::General("signing failed".into()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

impl fmt::Debug for P521Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("P521Key").field(&"***").finish()
    }
}
