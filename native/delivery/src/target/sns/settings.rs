//! Checked settings of the SNS target.

use url::Url;

use crate::settings::{InvalidSettings, without_secrets};
use crate::sigv4::Signer;

/// Where and as whom to publish.
#[derive(Clone, Debug)]
pub struct SnsSettings {
    pub(super) endpoint: Url,
    pub(super) signer: Signer,
    pub(super) batching: bool,
}

/// The settings as the configuration has them.
#[derive(Clone, Copy)]
pub struct SnsOptions<'a> {
    /// A host name or address, with or without a scheme (`http` or `https`, the default), a port
    /// and a path.
    pub sns_host: &'a str,
    /// The region of the topics.
    pub region: &'a str,
    /// The partition of the topics.
    pub partition: &'a str,
    /// The account that owns the topics.
    pub account_id: &'a str,
    /// The names of the topics, each after the key that it has in the configuration.
    pub topics: &'a [(&'a str, &'a str)],
    /// The id of a long-term access key.
    pub access_key_id: &'a str,
    /// Its secret.
    pub secret_access_key: &'a str,
    /// Whether several messages may travel as one `PublishBatch` request.
    pub batching: bool,
}

/// The length of the number of an account.
const ACCOUNT_DIGITS: usize = 12;

/// The longest name of a topic: <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>.
const TOPIC_LIMIT: usize = 256;

// === impl SnsSettings ===

impl SnsSettings {
    /// Checks settings, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Every setting that cannot be used is named. Of credentials it is only said that they are
    /// missing.
    pub fn new(options: &SnsOptions<'_>) -> Result<Self, InvalidSettings> {
        let SnsOptions { sns_host, region, access_key_id, secret_access_key, .. } = *options;
        let mut complaints = InvalidSettings::default();
        let endpoint = endpoint(sns_host).unwrap_or_else(|allowed| {
            complaints.complain("sns_host", allowed, without_secrets(sns_host));
            Url::parse("https://invalid/").expect("a valid URL")
        });
        if !is_plain(region) {
            let allowed = "the name of a region such as \"eu-west-1\"";
            complaints.complain("region", allowed, format_args!("{region:?}"));
        }
        complaints.topics(options);
        for (field, secret) in
            [("access_key_id", access_key_id), ("secret_access_key", secret_access_key)]
        {
            if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                let got = if secret.is_empty() { "nothing" } else { "other characters" };
                complaints.complain(field, "visible ASCII characters", got);
            }
        }
        let signer = Signer::new(access_key_id, secret_access_key, region, "sns");
        complaints.into_result(Self { endpoint, signer, batching: options.batching })
    }

    /// Whether a client needs TLS to reach the endpoint.
    pub fn is_https(&self) -> bool {
        self.endpoint.scheme() == "https"
    }
}

// === impl InvalidSettings ===

impl InvalidSettings {
    /// What the ARN of a topic consists of, beside the region.
    fn topics(&mut self, options: &SnsOptions<'_>) {
        let SnsOptions { partition, account_id, topics, .. } = *options;
        if !is_plain(partition) {
            let allowed = "the name of a partition such as \"aws\"";
            self.complain("partition", allowed, format_args!("{partition:?}"));
        }
        if account_id.len() != ACCOUNT_DIGITS || !account_id.bytes().all(|it| it.is_ascii_digit()) {
            self.complain("account_id", "12 digits", format_args!("{account_id:?}"));
        }
        for (field, name) in topics.iter().filter(|(_, name)| !is_topic(name)) {
            let allowed = "the name of a topic and not its ARN: up to 256 letters, digits, hyphens \
                           and underscores, with \".fifo\" at the end if it is a FIFO topic";
            self.complain(field, allowed, format_args!("{name:?}"));
        }
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_topic(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    name.len() <= TOPIC_LIMIT && is_plain(&stem.replace('_', "-"))
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

    const GOOD: SnsOptions<'_> = SnsOptions {
        sns_host: "sns.eu-west-1.amazonaws.com",
        region: "eu-west-1",
        partition: "aws",
        account_id: "123456789012",
        topics: &[("pm_messages_topic", "a-B_1"), ("muc_messages_topic", "a.fifo")],
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: "secret",
        batching: true,
    };

    fn complaints(options: SnsOptions<'_>) -> Vec<String> {
        SnsSettings::new(&options).unwrap_err().0
    }

    #[test]
    fn every_unusable_setting_is_named_and_no_secret_is_shown() {
        assert!(SnsSettings::new(&GOOD).is_ok());
        let all = complaints(SnsOptions {
            sns_host: "ftp://example.com",
            region: "eu west",
            partition: "",
            account_id: "12 34",
            topics: &[("pm_messages_topic", "")],
            access_key_id: "",
            secret_access_key: "se cret",
            ..GOOD
        });
        let fields: Vec<_> = all.iter().map(|text| text.split(':').next().unwrap()).collect();
        let wanted = [
            "sns_host",
            "region",
            "partition",
            "account_id",
            "pm_messages_topic",
            "access_key_id",
            "secret_access_key",
        ];
        assert_eq!(fields, wanted);
        assert!(all[0].ends_with("got \"ftp://example.com\""), "{all:?}");
        assert!(!all.concat().contains("se cret"), "{all:?}");
    }

    #[test]
    fn a_password_in_the_host_is_not_shown() {
        for sns_host in ["https://user:pw@example.com", "user:pw@example.com", "h/?token=pw"] {
            let all = complaints(SnsOptions { sns_host, ..GOOD });
            assert_eq!(all.len(), 1, "{sns_host}");
            assert!(all[0].starts_with("sns_host: ") && !all[0].contains("pw"), "{all:?}");
        }
    }

    #[test]
    fn an_account_has_twelve_digits() {
        for account_id in ["", "12 34", "12345678901", "1234567890123", "12345678901\u{664}"] {
            let all = complaints(SnsOptions { account_id, ..GOOD });
            assert_eq!(all, [format!("account_id: must be 12 digits, got {account_id:?}")]);
        }
        assert!(SnsSettings::new(&SnsOptions { account_id: "000000000000", ..GOOD }).is_ok());
    }

    #[test]
    fn a_topic_is_a_name_and_not_an_arn() {
        let long = "t".repeat(257);
        let arn = "arn:aws:sns:eu-west-1:123456789012:pm";
        for name in [arn, "", ".fifo", "a.b", "a b", "ä", &long] {
            let topics = [("pm_messages_topic", name)];
            let all = complaints(SnsOptions { topics: &topics, ..GOOD });
            assert_eq!(all.len(), 1, "{name}");
            assert!(all[0].starts_with("pm_messages_topic: ") && all[0].contains("ARN"), "{all:?}");
        }
    }

    #[test]
    fn a_host_with_user_or_query_is_refused() {
        for sns_host in ["https://user:pw@example.com", "https://example.com/?a=b", "", "a b"] {
            assert!(endpoint(sns_host).is_err(), "{sns_host}");
        }
    }
}
