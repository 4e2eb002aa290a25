//! RSA keys that are for PSS signatures only. rustls knows PSS with keys for any use.
//!
//! Such a key may be bound to one hash function. The salt is as long as the hash then, in TLS
//! anyway (<https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3>).

use rustls::SignatureScheme;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use webpki::ring::{
    RSA_PSS_2048_8192_SHA256_LEGACY_KEY as SHA256, RSA_PSS_2048_8192_SHA384_LEGACY_KEY as SHA384,
    RSA_PSS_2048_8192_SHA512_LEGACY_KEY as SHA512,
};

/// A known algorithm for keys of another kind.
#[derive(Debug)]
struct ForPssKey {
    key: AlgorithmIdentifier,
    known: &'static dyn SignatureVerificationAlgorithm,
}

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// `id-RSASSA-PSS` without parameters, <https://www.rfc-editor.org/rfc/rfc4055#section-3.1>.
const UNBOUND: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a,
]);

pub(super) static UNBOUND_SHA256: Algorithm = &ForPssKey { key: UNBOUND, known: SHA256 };
pub(super) static UNBOUND_SHA384: Algorithm = &ForPssKey { key: UNBOUND, known: SHA384 };
pub(super) static UNBOUND_SHA512: Algorithm = &ForPssKey { key: UNBOUND, known: SHA512 };
pub(super) static BOUND_SHA256: Algorithm =
    &ForPssKey { key: alg_id::RSA_PSS_SHA256, known: SHA256 };
pub(super) static BOUND_SHA384: Algorithm =
    &ForPssKey { key: alg_id::RSA_PSS_SHA384, known: SHA384 };
pub(super) static BOUND_SHA512: Algorithm =
    &ForPssKey { key: alg_id::RSA_PSS_SHA512, known: SHA512 };

/// The schemes of TLS 1.3 for such keys: `rsa_pss_pss_sha256` and so on. rustls has no names for
/// them. In TLS 1.2 it does not take schemes without a name.
static SCHEMES: [(SignatureScheme, [Algorithm; 2]); 3] = [
    (SignatureScheme::Unknown(0x0809), [UNBOUND_SHA256, BOUND_SHA256]),
    (SignatureScheme::Unknown(0x080a), [UNBOUND_SHA384, BOUND_SHA384]),
    (SignatureScheme::Unknown(0x080b), [UNBOUND_SHA512, BOUND_SHA512]),
];

pub(super) fn schemes() -> impl Iterator<Item = SignatureScheme> {
    SCHEMES.iter().map(|(scheme, _)| *scheme)
}

/// What a signature by this scheme may be verified with, if it is one of these.
pub(super) fn candidates(scheme: SignatureScheme) -> Option<&'static [Algorithm]> {
    SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, algorithms)| &algorithms[..])
}

// === impl ForPssKey ===

impl SignatureVerificationAlgorithm for ForPssKey {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        self.known.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.known.signature_alg_id()
    }
}
