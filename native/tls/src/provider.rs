//! The cryptography of TLS: ring's, and for signatures what ring leaves out.

use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use webpki::ring as known;

use super::{ecdsa, pss};

/// As rustls's own for ring has them, in the same order, and those of this crate.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        known::ECDSA_P256_SHA256,
        known::ECDSA_P256_SHA384,
        ecdsa::P256_SHA512,
        known::ECDSA_P384_SHA256,
        known::ECDSA_P384_SHA384,
        ecdsa::P384_SHA512,
        ecdsa::P521_SHA256,
        ecdsa::P521_SHA384,
        ecdsa::P521_SHA512,
        known::ED25519,
        known::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        known::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        known::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        pss::UNBOUND_SHA256,
        pss::UNBOUND_SHA384,
        pss::UNBOUND_SHA512,
        pss::BOUND_SHA256,
        pss::BOUND_SHA384,
        pss::BOUND_SHA512,
        known::RSA_PKCS1_2048_8192_SHA256,
        known::RSA_PKCS1_2048_8192_SHA384,
        known::RSA_PKCS1_2048_8192_SHA512,
        known::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        known::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        known::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    // The first of each is the one of TLS 1.3, where the scheme names the curve as well.
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[known::ECDSA_P384_SHA384, known::ECDSA_P256_SHA384, ecdsa::P521_SHA384],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[known::ECDSA_P256_SHA256, known::ECDSA_P384_SHA256, ecdsa::P521_SHA256],
        ),
        (
            SignatureScheme::ECDSA_NISTP521_SHA512,
            &[ecdsa::P521_SHA512, ecdsa::P384_SHA512, ecdsa::P256_SHA512],
        ),
        (SignatureScheme::ED25519, &[known::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[known::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[known::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[known::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[known::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[known::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[known::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

pub(super) fn provider() -> CryptoProvider {
    CryptoProvider { signature_verification_algorithms: ALGORITHMS, ..ring::default_provider() }
}
