//! Checked settings of the SNS target.

use url::Url;

use crate::settings::InvalidSettings;
use crate::sigv4::Signer;

/// Where and as whom to publish.
#[derive(Clone, Debug)]
pub struct SnsSettings {
    pub(super) endpoint: Url,
    pub(super) signer: Signer,
    pub(super) batching: bool,
}

// === impl SnsSettings ===

impl SnsSettings {
    /// Checks settings, complaining in the names of the configuration's keys.
    ///
    /// `sns_host` is a host name or address, with or without a scheme (`http` or `https`, the
    /// default), a port and a path. `batching` says whether several messages may travel as one
    /// `PublishBatch` request.
    ///
    /// # Errors
    ///
    /// Every setting that cannot be used is named. Of credentials it is only said that they are
    /// missing.
    pub fn new(
        sns_host: &str,
        region: &str,
        access_key_id: &str,
        secret_access_key: &str,
        batching: bool,
    ) -> Result<Self, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let endpoint = endpoint(sns_host).unwrap_or_else(|allowed| {
            complaints.complain("sns_host", allowed, format_args!("{sns_host:?}"));
            Url::parse("https://invalid/").expect("a valid URL")
        });
        let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if region.is_empty() || !region.bytes().all(named) {
            let allowed = "the name of a region such as \"eu-west-1\"";
            complaints.complain("region", allowed, format_args!("{region:?}"));
        }
        for (field, secret) in
            [("access_key_id", access_key_id), ("secret_access_key", secret_access_key)]
        {
            if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                let got = if secret.is_empty() { "nothing" } else { "other characters" };
                complaints.complain(field, "visible ASCII characters", got);
            }
        }
        let signer = Signer::new(access_key_id, secret_access_key, region, "sns");
        complaints.into_result(Self { endpoint, signer, batching })
    }

    /// Whether a client needs TLS to reach the endpoint.
    pub fn is_https(&self) -> bool {
        self.endpoint.scheme() == "https"
    }
}

fn endpoint(sns_host: &str) -> Result<Url, &'static str> {
    let allowed = "a host name, or an http or https URL without user, query and fragment";
    let url = if sns_host.contains("://") {
        Url::parse(sns_host)
    } else {
        Url::parse(&format!("https://{sns_host}"))
    };
    let url = url.map_err(|_| allowed)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain && matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint_of(sns_host: &str) -> String {
        endpoint(sns_host).unwrap().to_string()
    }

    #[test]
    fn a_bare_host_name_means_https_on_its_default_port() {
        assert_eq!(
            endpoint_of("sns.eu-west-1.amazonaws.com"),
            "https://sns.eu-west-1.amazonaws.com/"
        );
    }

    #[test]
    fn scheme_port_and_path_of_the_host_are_honoured() {
        assert_eq!(endpoint_of("localhost:4100"), "https://localhost:4100/");
        assert_eq!(endpoint_of("http://localhost:4100"), "http://localhost:4100/");
        assert_eq!(endpoint_of("http://[::1]:4100/sns"), "http://[::1]:4100/sns");
        assert_eq!(endpoint_of("https://example.com/a/b/"), "https://example.com/a/b/");
    }

    #[test]
    fn every_unusable_setting_is_named_and_no_secret_is_shown() {
        let complaints =
            SnsSettings::new("ftp://example.com", "eu west", "", "se cret", true).unwrap_err();
        let fields: Vec<_> =
            complaints.0.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(fields, ["sns_host", "region", "access_key_id", "secret_access_key"]);
        assert!(complaints.0[0].ends_with("got \"ftp://example.com\""), "{complaints}");
        assert!(!complaints.to_string().contains("se cret"), "{complaints}");
    }

    #[test]
    fn a_host_with_user_or_query_is_refused() {
        for sns_host in ["https://user:pw@example.com", "https://example.com/?a=b", "", "a b"] {
            assert!(endpoint(sns_host).is_err(), "{sns_host}");
        }
    }
}
