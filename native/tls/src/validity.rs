//! Until when the certificate is valid that a receiver showed last.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Shared by all connections that are made with one configuration; unknown before the first.
///
/// A connection that resumes an earlier one shows no certificate.
#[derive(Clone, Debug, Default)]
pub struct Validity(Arc<AtomicI64>);

/// No second that a certificate would name.
const UNKNOWN: i64 = 0;

// === impl Validity ===

impl Validity {
    /// Those in between are not looked at: receivers send some that nobody needs.
    pub(crate) fn shown(&self, end_entity: &CertificateDer<'_>) {
        if let Ok((_, certificate)) = X509Certificate::from_der(end_entity) {
            let end = certificate.validity().not_after.timestamp();
            self.0.store(end, Ordering::Release);
        }
    }

    /// How long it is still valid; negative in seconds if it is not any more.
    pub fn seconds_left(&self, now: SystemTime) -> Option<i64> {
        let end = self.0.load(Ordering::Acquire);
        let now = now.duration_since(UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
        (end != UNKNOWN).then(|| end.saturating_sub_unsigned(now))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_of_the_certificate_that_was_shown_last_is_known() {
        let validity = Validity::default();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(validity.seconds_left(at(0)), None);
        validity.shown(&CertificateDer::from(vec![0]));
        assert_eq!(validity.seconds_left(at(0)), None, "it is no certificate");
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        validity.clone().shown(certificate.der());
        assert_eq!(validity.seconds_left(at(1_893_455_000)), Some(1000));
        assert_eq!(validity.seconds_left(at(1_893_457_000)), Some(-1000));
    }
}
