//! Checked settings of the SNS backend.

use event_pusher_settings::{InvalidSettings, Secret, without_secrets};
use event_pusher_tls::{Settable, TlsOptions};
use serde::Deserialize;
use url::Url;

use super::topic::is_name;
use crate::client::{ClientOptions, ClientSettings, can_be_posted_to};
use crate::sigv4::Signer;

/// Where and as whom to publish, before it is checked.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnsOptions {
    /// A host name or address, with or without a scheme (`http` or `https`, the default), a port
    /// and a path.
    pub sns_host: String,
    /// The region of the topics.
    pub region: String,
    /// The partition of the topics.
    pub partition: String,
    /// The account that owns the topics.
    pub account_id: String,
    /// The names of the topics, each after the key that it has in the configuration.
    pub topics: Vec<(String, String)>,
    /// The id of a long-term access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// Whether several messages may travel as one `PublishBatch` request.
    pub publish_batch: bool,
    /// How long a connection may take to be made.
    pub connect_timeout_ms: u64,
    /// How long a request may take.
    pub request_timeout_ms: u64,
    /// How TLS connections are made; the configuration has no say in it.
    #[serde(skip)]
    pub tls: TlsOptions,
}

/// Where and as whom to publish.
#[derive(Clone, Debug)]
pub struct SnsSettings {
    pub(super) endpoint: Url,
    pub(super) signer: Signer,
    pub(super) batching: bool,
    /// The ARNs of the topics, each once.
    pub(super) topics: Vec<String>,
    pub(super) client: ClientSettings,
}

/// The length of the number of an account.
const ACCOUNT_DIGITS: usize = 12;

// === impl SnsOptions ===

impl SnsOptions {
    /// Checks options, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Every option that cannot be used is named. Of credentials it is only said that they are
    /// missing.
    pub(crate) fn check(self, workers: usize) -> Result<SnsSettings, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let endpoint = endpoint(&self.sns_host).unwrap_or_else(|allowed| {
            complaints.complain("sns_host", allowed, without_secrets(&self.sns_host));
            Url::parse("https://invalid/").expect("a valid URL")
        });
        self.check_topics(&mut complaints);
        self.check_credentials(&mut complaints);
        let client = ClientOptions {
            connect_timeout_ms: self.connect_timeout_ms,
            request_timeout_ms: self.request_timeout_ms,
            workers,
            tls: (endpoint.scheme() == "https").then_some(&self.tls),
            settable: Settable::Host("sns_host"),
            http2: false,
        };
        let Some(client) = complaints.keep(client.check()) else { return Err(complaints) };
        let signer =
            Signer::new(&self.access_key_id, self.secret_access_key.expose(), &self.region, "sns");
        complaints.into_result(SnsSettings {
            endpoint,
            signer,
            batching: self.publish_batch,
            topics: self.arns(),
            client,
        })
    }

    /// What the ARN of a topic consists of.
    fn check_topics(&self, complaints: &mut InvalidSettings) {
        let Self { region, partition, account_id, topics, .. } = self;
        if !is_plain(region) {
            let allowed = "the name of a region such as \"eu-west-1\"";
            complaints.complain("region", allowed, format_args!("{region:?}"));
        }
        if !is_plain(partition) {
            let allowed = "the name of a partition such as \"aws\"";
            complaints.complain("partition", allowed, format_args!("{partition:?}"));
        }
        if account_id.len() != ACCOUNT_DIGITS || !account_id.bytes().all(|it| it.is_ascii_digit()) {
            complaints.complain("account_id", "12 digits", format_args!("{account_id:?}"));
        }
        for (field, name) in topics.iter().filter(|(_, name)| !is_name(name)) {
            let allowed = "the name of a topic and not its ARN: up to 256 letters, digits, hyphens \
                           and underscores, with \".fifo\" at the end if it is a FIFO topic";
            complaints.complain(field, allowed, format_args!("{name:?}"));
        }
    }

    fn arns(&self) -> Vec<String> {
        let Self { partition, region, account_id, topics, .. } = self;
        let mut names: Vec<_> = topics.iter().map(|(_key, name)| name).collect();
        names.sort_unstable();
        names.dedup();
        let arn = |name| format!("arn:{partition}:sns:{region}:{account_id}:{name}");
        names.into_iter().map(arn).collect()
    }

    fn check_credentials(&self, complaints: &mut InvalidSettings) {
        for (field, text) in [
            ("access_key_id", self.access_key_id.as_str()),
            ("secret_access_key", self.secret_access_key.expose()),
        ] {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let got = if text.is_empty() { "nothing" } else { "other characters" };
                complaints.complain(field, "visible ASCII characters", got);
            }
        }
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
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
    if !(plain && matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return Err(allowed);
    }
    if can_be_posted_to(&url) { Ok(url) } else { Err("a URL of up to 65534 bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_pusher_tls::VerifyMode;

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

    fn good() -> SnsOptions {
        SnsOptions {
            // Plain HTTP, so that no authorities are read.
            sns_host: "http://sns.eu-west-1.amazonaws.com".into(),
            region: "eu-west-1".into(),
            partition: "aws".into(),
            account_id: "123456789012".into(),
            topics: topics(&[("pm_messages_topic", "a-B_1"), ("muc_messages_topic", "a.fifo")]),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "secret".into(),
            publish_batch: true,
            connect_timeout_ms: 1,
            request_timeout_ms: 1,
            tls: TlsOptions { verify_mode: VerifyMode::None, ..TlsOptions::default() },
        }
    }

    fn topics(topics: &[(&str, &str)]) -> Vec<(String, String)> {
        topics.iter().map(|&(key, name)| (key.into(), name.into())).collect()
    }

    fn complaints(options: SnsOptions) -> Vec<String> {
        options.check(1).unwrap_err().0
    }

    #[test]
    fn every_unusable_setting_is_named_and_no_secret_is_shown() {
        assert!(good().check(1).is_ok());
        let all = complaints(SnsOptions {
            sns_host: "ftp://example.com".into(),
            region: "eu west".into(),
            partition: String::new(),
            account_id: "12 34".into(),
            topics: topics(&[("pm_messages_topic", "")]),
            access_key_id: String::new(),
            secret_access_key: "se cret".into(),
            ..good()
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
            let all = complaints(SnsOptions { sns_host: sns_host.into(), ..good() });
            assert_eq!(all.len(), 1, "{sns_host}");
            assert!(all[0].starts_with("sns_host: ") && !all[0].contains("pw"), "{all:?}");
        }
    }

    #[test]
    fn an_account_has_twelve_digits() {
        for account_id in ["", "12 34", "12345678901", "1234567890123", "12345678901\u{664}"] {
            let all = complaints(SnsOptions { account_id: account_id.into(), ..good() });
            assert_eq!(all, [format!("account_id: must be 12 digits, got {account_id:?}")]);
        }
        assert!(SnsOptions { account_id: "000000000000".into(), ..good() }.check(1).is_ok());
    }

    #[test]
    fn a_topic_is_a_name_and_not_an_arn() {
        let long = "t".repeat(257);
        let arn = "arn:aws:sns:eu-west-1:123456789012:pm";
        for name in [arn, "", ".fifo", "a.b", "a b", "ä", &long] {
            let topics = topics(&[("pm_messages_topic", name)]);
            let all = complaints(SnsOptions { topics, ..good() });
            assert_eq!(all.len(), 1, "{name}");
            assert!(all[0].starts_with("pm_messages_topic: ") && all[0].contains("ARN"), "{all:?}");
        }
    }

    #[test]
    fn a_host_with_user_or_query_is_refused() {
        let long = format!("h/{}", "a".repeat(70_000));
        let bad = ["https://user:pw@example.com", "https://example.com/?a=b", "", "a b", &long];
        for sns_host in bad {
            assert!(endpoint(sns_host).is_err(), "{sns_host}");
        }
    }
}
