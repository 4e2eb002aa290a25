//! What to mend when SNS refuses. One code may have several causes: then the message of the error
//! is searched for phrases that are known. It is never shown itself, because it may repeat content.

/// What is wrong, in the words of the configuration, as far as an error tells it. `topic` is the
/// ARN that was published to.
pub(super) fn remedy(code: &str, message: &str, topic: &str) -> Option<String> {
    let told = match code {
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "AuthFailure" => signature(message),
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => CLOCK,
        "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => {
            "access_key_id is unknown, inactive or of another partition"
        }
        code if is_forbidden(code) => {
            return Some(format!("access_key_id has no permission sns:Publish for {topic}"));
        }
        "KMSAccessDenied" | "KMSAccessDeniedException" => {
            return Some(format!(
                "access_key_id has no permission kms:GenerateDataKey or kms:Decrypt for the key \
                 of {topic}"
            ));
        }
        "NotFound" | "NotFoundException" => return Some(format!("there is no topic {topic}")),
        "InvalidParameter" | "InvalidParameterException" if message.contains("TopicArn") => {
            return Some(format!(
                "{topic} is no topic for sns_host: look at region, partition and account_id"
            ));
        }
        _ => return None,
    };
    Some(told.to_owned())
}

/// Whether this is how SNS refuses what a policy does not allow. It documents the first two
/// (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>); the others are what other
/// services of AWS say, and services with its interface.
pub(super) fn is_forbidden(code: &str) -> bool {
    matches!(
        code,
        "AuthorizationError"
            | "AuthorizationErrorException"
            | "AccessDenied"
            | "AccessDeniedException"
    )
}

const CLOCK: &str = "the clock of this machine is wrong";

fn signature(message: &str) -> &'static str {
    let phrases = [
        ("Signature expired", CLOCK),
        ("Signature not yet current", CLOCK),
        ("scoped to a valid region", "region is not that of sns_host"),
        ("scoped to correct service", "sns_host is no endpoint of SNS"),
        ("signature we calculated", "secret_access_key is not that of access_key_id"),
    ];
    let known = phrases.iter().find(|(phrase, _)| message.contains(phrase));
    known.map_or("secret_access_key, region or the clock is wrong", |(_, told)| told)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:pm";

    #[test]
    fn what_one_code_means_is_told_by_known_phrases() {
        let table = [
            ("The request signature we calculated does not match", "secret_access_key"),
            ("Credential should be scoped to a valid region, not 'x'.", "region"),
            ("Credential should be scoped to a valid region. ", "region"),
            ("Credential should be scoped to correct service: 'sts'.", "sns_host"),
            ("Signature expired: 20300101T000000Z is now earlier than", "the clock"),
            ("Signature not yet current: 20300101T000000Z is still later", "the clock"),
            ("anything", "secret_access_key, region or the clock"),
        ];
        for (message, begin) in table {
            let told = remedy("SignatureDoesNotMatch", message, TOPIC).unwrap();
            assert!(told.starts_with(begin), "{message}: {told}");
        }
    }

    #[test]
    fn a_topic_is_named_where_it_matters() {
        for (code, message, word) in [
            ("NotFound", "Topic does not exist", "no topic"),
            ("AuthorizationError", "", "sns:Publish"),
            ("InvalidParameter", "Invalid parameter: TopicArn", "region"),
            ("KMSAccessDenied", "", "kms:"),
        ] {
            let told = remedy(code, message, TOPIC).unwrap();
            assert!(told.contains(TOPIC) && told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_missing_permission_is_told_whichever_code_the_service_has_for_it() {
        for code in [
            "AuthorizationError",
            "AuthorizationErrorException",
            "AccessDenied",
            "AccessDeniedException",
        ] {
            assert!(is_forbidden(code), "{code}");
            let told = remedy(code, "a private word", TOPIC);
            let wanted = format!("access_key_id has no permission sns:Publish for {TOPIC}");
            assert_eq!(told, Some(wanted), "{code}");
        }
        assert!(!is_forbidden("Denied"));
    }

    #[test]
    fn nothing_of_a_message_is_shown() {
        for code in ["SignatureDoesNotMatch", "NotFound", "InvalidParameter", "Other"] {
            let told = remedy(code, "TopicArn a private word", TOPIC).unwrap_or_default();
            assert!(!told.contains("private"), "{told}");
        }
        assert_eq!(remedy("InvalidParameter", "a private word", TOPIC), None);
    }
}
