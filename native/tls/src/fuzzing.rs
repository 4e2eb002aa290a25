//! What the programs in `native/fuzz` call: whom a receiver says to be. It exists with `--cfg fuzzing`
//! only.

use std::time::{Duration, SystemTime};

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Settable, TlsOptions, Validity, Verifier, VerifyMode, explain, provider, signature};

/// A certificate, and another one after it, that a receiver shows. The authorities are those that the
/// options name.
pub fn certificate(options: &TlsOptions, data: &[u8]) {
    let [at, flags, rest @ ..] = data else { return };
    let (first, second) = rest.split_at(usize::from(*at).saturating_mul(8).min(rest.len()));
    let (end_entity, other) = (CertificateDer::from(first), CertificateDer::from(second));
    let modes = [VerifyMode::Peer, VerifyMode::SelfsignedPeer];
    let options = TlsOptions { verify_mode: modes[usize::from(flags & 1)], ..options.clone() };
    let settable = [Settable::Section, Settable::Host("sns_host")][usize::from(flags >> 1 & 1)];
    let provider = provider::provider();
    let validity = Validity::default();
    let verifier = Verifier::new(&options, &provider, &validity, settable)
        .expect("the authorities can be read");
    let name = ServerName::try_from("receiver.example").expect("a name");
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let verified = verifier.verify_server_cert(&end_entity, &[other], &name, &[], now);
    if let Err(error) = verified {
        let told = explain(&error, settable).expect("an error of TLS");
        assert!(told.len() <= 1000 && !told.contains(char::is_control), "{told:?}");
    }
    let _ = validity.seconds_left(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let _ = signature::verify_own(&end_entity, &provider.signature_verification_algorithms);
}
