//! Why a request, or one entry of a batch, is refused: the codes and statuses that AWS documents.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    pub(crate) fn invalid_parameter(reason: impl AsRef<str>) -> Self {
        let message = format!("Invalid parameter: {}", reason.as_ref());
        Self::new(400, "InvalidParameter", message)
    }

    pub(crate) fn invalid_value(message: impl Into<String>) -> Self {
        Self::new(400, "ParameterValueInvalid", message)
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "MalformedInput", message)
    }

    pub(crate) fn bad_signature(message: impl Into<String>) -> Self {
        Self::new(403, "SignatureDoesNotMatch", message)
    }

    pub(crate) fn is_senders_fault(&self) -> bool {
        self.status < 500
    }
}
