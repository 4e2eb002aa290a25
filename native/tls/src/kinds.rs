//! Names of the kinds that keys and signatures have.

use std::borrow::Cow;

use x509_parser::asn1_rs::{FromDer, Oid};

/// Those by which OpenSSL and its users know them. After an elliptic curve, its own name.
const NAMES: &[(&str, &str)] = &[
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.10", "RSA-PSS, with such parameters"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10045.3.1.7", "ECDSA on P-256"),
    ("1.3.132.0.10", "ECDSA on secp256k1"),
    ("1.3.132.0.33", "ECDSA on P-224"),
    ("1.3.132.0.34", "ECDSA on P-384"),
    ("1.3.132.0.35", "ECDSA on P-521"),
    ("1.3.36.3.3.2.8.1.1.7", "ECDSA on brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "ECDSA on brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "ECDSA on brainpoolP512r1"),
];

/// Keys on elliptic curves, which are told apart by their parameter.
const EC: &str = "1.2.840.10045.2.1";

/// The name for an algorithm identifier, which is given without the tag of its sequence.
pub(super) fn name(identifier: &[u8]) -> Cow<'static, str> {
    let Ok((parameters, oid)) = Oid::from_der(identifier) else { return "unreadable".into() };
    let mut number = oid.to_id_string();
    if number == EC {
        match Oid::from_der(parameters) {
            Ok((_, curve)) => number = curve.to_id_string(),
            Err(_) => return "ECDSA on a curve without a name".into(),
        }
    }
    match NAMES.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).into(),
        None => number.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::alg_id;

    #[test]
    fn keys_and_signatures_have_names() {
        for (identifier, wanted) in [
            (alg_id::ECDSA_P521, "ECDSA on P-521"),
            (alg_id::ECDSA_SHA512, "ECDSA with SHA-512"),
            (alg_id::ED448, "Ed448"),
            (alg_id::RSA_PSS_SHA256, "RSA-PSS, with such parameters"),
            (alg_id::ML_DSA_44, "2.16.840.1.101.3.4.3.17"),
        ] {
            assert_eq!(name(identifier.as_ref()), wanted);
        }
        assert_eq!(name(b"\x06"), "unreadable");
    }
}
