//! ECDSA signatures that ring leaves out: on P-521, and with SHA-512 on the smaller curves.

use std::fmt;

use p521::ecdsa::signature::hazmat::PrehashVerifier;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Verifies signatures on one curve with one hash function.
struct Ecdsa {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    verify: Verify,
}

/// Whether this point, as SEC1 writes it, has signed this message so. Errors tell nothing more.
type Verify = fn(point: &[u8], message: &[u8], signature: &[u8]) -> Option<()>;

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

pub(super) static P256_SHA512: Algorithm = &Ecdsa {
    key: alg_id::ECDSA_P256,
    signature: alg_id::ECDSA_SHA512,
    verify: |point, message, signature| p256(point, &Sha512::digest(message), signature),
};
pub(super) static P384_SHA512: Algorithm = &Ecdsa {
    key: alg_id::ECDSA_P384,
    signature: alg_id::ECDSA_SHA512,
    verify: |point, message, signature| p384(point, &Sha512::digest(message), signature),
};
pub(super) static P521_SHA256: Algorithm = &Ecdsa {
    key: alg_id::ECDSA_P521,
    signature: alg_id::ECDSA_SHA256,
    verify: |point, message, signature| p521(point, &Sha256::digest(message), signature),
};
pub(super) static P521_SHA384: Algorithm = &Ecdsa {
    key: alg_id::ECDSA_P521,
    signature: alg_id::ECDSA_SHA384,
    verify: |point, message, signature| p521(point, &Sha384::digest(message), signature),
};
pub(super) static P521_SHA512: Algorithm = &Ecdsa {
    key: alg_id::ECDSA_P521,
    signature: alg_id::ECDSA_SHA512,
    verify: |point, message, signature| p521(point, &Sha512::digest(message), signature),
};

/// The bytes of a number of P-521. A shorter hash is the same number with zeros in front of it; the
/// curve's crate takes no other.
const P521_BYTES: usize = 66;

fn p256(point: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    use p256::ecdsa::{DerSignature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(point).ok()?;
    key.verify_prehash(hash, &DerSignature::from_bytes(signature).ok()?).ok()
}

fn p384(point: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    use p384::ecdsa::{DerSignature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(point).ok()?;
    key.verify_prehash(hash, &DerSignature::from_bytes(signature).ok()?).ok()
}

fn p521(point: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    use p521::ecdsa::{DerSignature, VerifyingKey};
    let mut number = [0; P521_BYTES];
    number[P521_BYTES - hash.len()..].copy_from_slice(hash);
    let key = VerifyingKey::from_sec1_bytes(point).ok()?;
    key.verify_prehash(&number, &DerSignature::from_bytes(signature).ok()?).ok()
}

// === impl Ecdsa ===

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        // Whole or compressed points: https://www.rfc-editor.org/rfc/rfc5480#section-2.2
        match public_key.first() {
            Some(2..=4) => (self.verify)(public_key, message, signature).ok_or(InvalidSignature),
            _ => Err(InvalidSignature),
        }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

impl fmt::Debug for Ecdsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecdsa").field("key", &self.key).finish_non_exhaustive()
    }
}
