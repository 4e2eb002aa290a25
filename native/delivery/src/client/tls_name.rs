//! A receiver that has another name in TLS than in its URL.
//!
//! The TLS name of a connection is always the host of the request. So a request is made for the
//! other name, with the `Host` header that it would have had, and the other name is looked up as
//! the host that it stands for.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use url::{Host, Position, Url};

use crate::settings::InvalidSettings;

/// The name that a host has in TLS, where it is sent and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsName {
    host: Host,
    name: String,
}

// === impl TlsName ===

impl TlsName {
    /// The host of a URL goes by `name`.
    ///
    /// # Errors
    ///
    /// `name` is not a host name.
    pub fn new(host: Host, name: &str) -> Result<Self, InvalidSettings> {
        match Host::parse(name) {
            Ok(Host::Domain(name)) => Ok(Self { host, name }),
            _ => {
                let (field, allowed) = ("tls.server_name_indication.host", "a host name");
                Err(InvalidSettings::one(field, allowed, format_args!("{name:?}")))
            }
        }
    }

    /// The URL to ask for in place of this one, and the value of its `Host` header.
    pub(super) fn instead_of(&self, url: &Url) -> Option<(Url, String)> {
        if url.scheme() != "https" || url.host()?.to_owned() != self.host {
            return None;
        }
        let mut renamed = url.clone();
        renamed.set_host(Some(&self.name)).ok()?;
        Some((renamed, url[Position::BeforeHost..Position::AfterPort].to_owned()))
    }
}

impl Resolve for TlsName {
    fn resolve(&self, name: Name) -> Resolving {
        let host = match &self.host {
            _ if name.as_str() != self.name => name.as_str().to_owned(),
            Host::Domain(host) => host.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Box::pin(async move {
            // The port of the URL takes the place of this one.
            let addresses = lookup_host((host, 0)).await?;
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(host: &str, url: &str) -> Option<(String, String)> {
        let tls_name = TlsName::new(host_of(host), "Other.example").unwrap();
        let (url, authority) = tls_name.instead_of(&Url::parse(url).unwrap())?;
        Some((url.into(), authority))
    }

    fn host_of(host: &str) -> Host {
        Host::parse(host).unwrap()
    }

    #[test]
    fn the_request_is_for_the_other_name_and_its_header_for_the_host() {
        for (host, url, wanted, header) in [
            ("a.example", "https://a.example/b?c", "https://other.example/b?c", "a.example"),
            (
                "a.example",
                "https://a.example:8443/",
                "https://other.example:8443/",
                "a.example:8443",
            ),
            ("127.0.0.1", "https://127.0.0.1/", "https://other.example/", "127.0.0.1"),
            ("[::1]", "https://[::1]:8443/", "https://other.example:8443/", "[::1]:8443"),
        ] {
            assert_eq!(renamed(host, url), Some((wanted.into(), header.into())), "{url}");
        }
    }

    #[test]
    fn plain_requests_and_other_hosts_keep_their_url() {
        assert_eq!(renamed("a.example", "http://a.example/"), None);
        assert_eq!(renamed("a.example", "https://b.example/"), None);
    }

    #[test]
    fn the_other_name_has_to_be_a_host_name() {
        for name in ["", "127.0.0.1", "[::1]", "a b", "a/b"] {
            let wanted =
                format!("tls.server_name_indication.host: must be a host name, got {name:?}");
            let complaints = TlsName::new(host_of("a.example"), name).unwrap_err();
            assert_eq!(complaints.0, [wanted]);
        }
    }
}
