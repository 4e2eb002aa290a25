//! Protocol versions and cipher suites by the names that operators know.

use rustls::crypto::ring::{ALL_CIPHER_SUITES, cipher_suite as ring};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, SupportedCipherSuite, SupportedProtocolVersion};

use event_pusher_settings::InvalidSettings;

/// A version, or `None` for one that OTP knows and rustls does not.
const VERSIONS: &[(&str, Option<&SupportedProtocolVersion>)] = &[
    ("tlsv1.3", Some(&TLS13)),
    ("tlsv1.2", Some(&TLS12)),
    ("tlsv1.1", None),
    ("tlsv1", None),
    ("sslv3", None),
];

/// A suite by its names of OpenSSL and of IANA. Those of TLS 1.3 have one name only.
const SUITES: &[(&str, &str, SupportedCipherSuite)] = &[
    ("", "TLS_AES_256_GCM_SHA384", ring::TLS13_AES_256_GCM_SHA384),
    ("", "TLS_AES_128_GCM_SHA256", ring::TLS13_AES_128_GCM_SHA256),
    ("", "TLS_CHACHA20_POLY1305_SHA256", ring::TLS13_CHACHA20_POLY1305_SHA256),
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

type Versions = Vec<&'static SupportedProtocolVersion>;

/// The named versions; all, if none is named. Versions too old for rustls are passed over as long
/// as another one is left.
pub(super) fn versions(names: &[String]) -> Result<Versions, InvalidSettings> {
    if names.is_empty() {
        return Ok(ALL_VERSIONS.to_vec());
    }
    let known: Option<Vec<_>> = names.iter().map(|name| version(name)).collect();
    let versions: Option<Versions> = known.map(|known| known.into_iter().flatten().collect());
    versions.filter(|versions| !versions.is_empty()).ok_or_else(|| {
        let allowed = "names of versions with \"tlsv1.2\" or \"tlsv1.3\" among them";
        InvalidSettings::one("tls.versions", allowed, format_args!("{names:?}"))
    })
}

/// The named suites, in their order; all, if there is no list. Names of suites that rustls does
/// not have are passed over, as long as there is one for one of the versions left.
pub(super) fn ciphers(
    names: Option<&str>,
    versions: Option<&[&SupportedProtocolVersion]>,
) -> Result<Vec<SupportedCipherSuite>, InvalidSettings> {
    let Some(names) = names else { return Ok(ALL_CIPHER_SUITES.to_vec()) };
    let mut suites = Vec::new();
    for suite in names.split([':', ',']).filter_map(|name| suite(name.trim())) {
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    let versions = versions.unwrap_or(ALL_VERSIONS);
    if suites.iter().any(|suite| versions.contains(&suite.version())) {
        return Ok(suites);
    }
    let allowed = "names of cipher suites with one that rustls has for tls.versions among them";
    Err(InvalidSettings::one("tls.ciphers", allowed, format_args!("{names:?}")))
}

fn version(name: &str) -> Option<Option<&'static SupportedProtocolVersion>> {
    let known = VERSIONS.iter().find(|(known, _)| *known == name);
    known.map(|(_, version)| *version)
}

fn suite(name: &str) -> Option<SupportedCipherSuite> {
    let known = SUITES.iter().find(|(openssl, iana, _)| *iana == name || *openssl == name);
    known.filter(|_| !name.is_empty()).map(|(_, _, suite)| *suite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_versions(names: &[&str]) -> Result<Versions, InvalidSettings> {
        versions(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn old_versions_are_passed_over_beside_newer_ones() {
        assert_eq!(all_versions(&["tlsv1", "tlsv1.1", "tlsv1.2"]).unwrap(), [&TLS12]);
        assert_eq!(all_versions(&["tlsv1.3"]).unwrap(), [&TLS13]);
        assert_eq!(all_versions(&[]).unwrap(), ALL_VERSIONS);
    }

    #[test]
    fn unknown_versions_and_old_ones_alone_are_refused() {
        for names in [&["tlsv1.1"][..], &["tlsv1.2", "tls13"], &["TLSv1.2"]] {
            let complaint = all_versions(names).unwrap_err().to_string();
            assert!(complaint.starts_with("tls.versions: must be "), "{complaint}");
            assert!(complaint.ends_with(&format!("got {names:?}")), "{complaint}");
        }
    }

    #[test]
    fn every_suite_of_rustls_goes_by_both_names() {
        for suite in ALL_CIPHER_SUITES {
            let (openssl, iana, _) = SUITES.iter().find(|(_, _, known)| known == suite).unwrap();
            assert_eq!(ciphers(Some(iana), None).unwrap(), [*suite]);
            if !openssl.is_empty() {
                assert_eq!(ciphers(Some(openssl), None).unwrap(), [*suite]);
            }
        }
        assert_eq!(SUITES.len(), ALL_CIPHER_SUITES.len());
    }

    #[test]
    fn suites_keep_their_order_and_unknown_ones_are_passed_over() {
        let names = "AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256, TLS_AES_128_GCM_SHA256::\
                     ECDHE-RSA-AES128-GCM-SHA256";
        let wanted = [ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, ring::TLS13_AES_128_GCM_SHA256];
        assert_eq!(ciphers(Some(names), None).unwrap(), wanted);
    }

    #[test]
    fn a_list_without_a_usable_suite_is_refused() {
        for (names, versions) in
            [("AES256-SHA", None), ("", None), ("TLS_AES_128_GCM_SHA256", Some(&[&TLS12][..]))]
        {
            let complaint = ciphers(Some(names), versions).unwrap_err().to_string();
            assert!(complaint.starts_with("tls.ciphers: must be "), "{complaint}");
            assert!(complaint.ends_with(&format!("got {names:?}")), "{complaint}");
        }
    }
}
