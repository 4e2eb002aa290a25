//! What an operator can set about connections with TLS: the words in which a cause says what to do.

/// Whatever is not a fault of the receiver has to be mended by one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settable {
    /// The options of a section `tls`.
    Section,
    /// No options: the authorities are those of the system, and the name is that of the host, which is
    /// in this option.
    Host(&'static str),
}

// === impl Settable ===

impl Settable {
    /// What names the authorities to trust, as a field of a complaint.
    pub(super) fn authorities(self) -> &'static str {
        match self {
            Self::Section => "tls.cacertfile",
            Self::Host(_) => "SSL_CERT_FILE",
        }
    }

    /// The same in a sentence.
    pub(super) fn place_of_authorities(self) -> &'static str {
        match self {
            Self::Section => "tls.cacertfile",
            Self::Host(_) => "SSL_CERT_FILE in the environment",
        }
    }

    /// For a certificate that is signed by itself.
    pub(super) fn trust(self) -> &'static str {
        match self {
            Self::Section => {
                "tls.cacertfile has to name who vouches for it, or tls.verify_mode be \
                 \"selfsigned_peer\""
            }
            Self::Host(_) => {
                "it needs another one, of an authority that SSL_CERT_FILE in the environment names"
            }
        }
    }

    /// For a certificate that is for these other names.
    pub(super) fn one_of_these_names(self) -> String {
        match self {
            Self::Section => {
                "connect by one of these, or name it in tls.server_name_indication.host".to_owned()
            }
            Self::Host(option) => format!("{option} has to be one of these"),
        }
    }

    /// For a name that the receiver does not know.
    pub(super) fn another_name(self) -> String {
        match self {
            Self::Section => "tls.server_name_indication.host may give another".to_owned(),
            Self::Host(option) => format!("{option} has to be another"),
        }
    }

    /// With whom the receiver has no version in common.
    pub(super) fn our_versions(self) -> &'static str {
        match self {
            Self::Section => "tls.versions",
            Self::Host(_) => "event_pusher",
        }
    }

    /// What may be wrong with the suites or the certificate that we offer.
    pub(super) fn suites_or_certificate(self) -> &'static str {
        match self {
            Self::Section => {
                "tls.ciphers is too narrow, or it asks for a client certificate (tls.certfile)"
            }
            Self::Host(_) => {
                "it takes none of our cipher suites, or it asks for a client certificate, which \
                 cannot be given"
            }
        }
    }

    /// For a receiver that wants to know who we are.
    pub(super) fn our_certificate(self) -> &'static str {
        match self {
            Self::Section => "it has to be given in tls.certfile and tls.keyfile",
            Self::Host(_) => "none can be given to it",
        }
    }

    /// Whom it sees.
    pub(super) fn identity(self) -> &'static str {
        match self {
            Self::Section => "our certificate",
            Self::Host(_) => "a client without a certificate",
        }
    }

    /// For one that does not like it.
    pub(super) fn our_other_certificate(self) -> &'static str {
        match self {
            Self::Section => {
                "it has to be given in tls.certfile, valid now, and of an authority that the \
                 receiver trusts"
            }
            Self::Host(_) => "none can be given to it",
        }
    }

    /// For one that takes something for wrong which may be our key.
    pub(super) fn our_key(self) -> &'static str {
        match self {
            Self::Section => "a key on P-521 in tls.keyfile needs TLS 1.3",
            Self::Host(_) => "its log may tell what",
        }
    }
}
