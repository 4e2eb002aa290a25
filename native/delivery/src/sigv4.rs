//! AWS Signature Version 4.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningError, SigningParams,
    SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Signs requests to one service in one region with one long-term access key.
#[derive(Clone)]
pub struct Signer {
    credentials: Credentials,
    region: String,
    service: &'static str,
}

// === impl Signer ===

impl Signer {
    /// A signer for `service`, as in `sns`, in `region`, as in `eu-west-1`.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        region: &str,
        service: &'static str,
    ) -> Self {
        Self {
            credentials: Credentials::new(access_key_id, secret_access_key, None, None, "settings"),
            region: region.to_owned(),
            service,
        }
    }

    /// Adds the signature of a `POST` request made at `now` to its headers. All headers that are
    /// there already are signed with it.
    ///
    /// # Errors
    ///
    /// The URL or a header cannot be part of a signed request.
    pub fn sign_post(
        &self,
        url: &str,
        headers: &mut HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), SigningError> {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(now)
            .settings(settings)
            .build()
            .expect("every parameter is given");
        let texts = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect::<Vec<_>>();
        let request =
            SignableRequest::new("POST", url, texts.into_iter(), SignableBody::Bytes(body))?;
        let (instructions, _signature) = sign(request, &SigningParams::V4(params))?.into_parts();
        let (signed, _query) = instructions.into_parts();
        for header in signed {
            let mut value =
                HeaderValue::from_str(header.value()).expect("a signature is visible ASCII");
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}

/// Nothing of the access key shows.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
