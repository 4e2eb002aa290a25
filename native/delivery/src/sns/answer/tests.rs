use http::HeaderValue;

use super::*;

const SUCCESS: &str = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
    <PublishResult><MessageId>567910cd</MessageId></PublishResult></PublishResponse>"#;

fn error_answer(status: u16, code: &str) -> ErrorAnswer {
    let text = format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
    let text = if code.is_empty() { "" } else { &text };
    ErrorAnswer::read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), text)
}

#[test]
fn a_confirmation_names_the_id_of_the_message() {
    assert_eq!(published(SUCCESS), Some(()));
    for broken in ["", "<a>", "ok", "<PublishResponse/>", "<a><MessageId> </MessageId></a>"] {
        assert_eq!(published(broken), None, "{broken}");
    }
    assert_eq!(published(&SUCCESS[..SUCCESS.len() - 10]), None);
}

#[test]
fn statuses_and_codes_are_told_apart_as_documented() {
    // (status, code, whether another attempt would end the same way)
    let table = [
        (400, "InvalidParameter", true),
        (400, "Throttling", false),
        (400, "KMSThrottling", false),
        (403, "SignatureDoesNotMatch", true),
        (403, "AuthorizationError", true),
        (404, "NotFound", true),
        (408, "", false),
        (413, "", true),
        (400, "", false),
        (403, "", false),
        (404, "", false),
        (429, "Throttled", false),
        (429, "", false),
        (500, "InternalFailure", false),
        (500, "", false),
        (501, "", false),
        (501, "NotImplemented", true),
        (502, "", false),
        (503, "ServiceUnavailable", false),
        (504, "", false),
        (301, "", true),
    ];
    for (status, code, permanent) in table {
        assert_eq!(error_answer(status, code).is_permanent(), permanent, "{status} {code}");
    }
}

#[test]
fn a_failure_tells_status_and_code_but_no_text_of_the_answer() {
    let text = "<E><Error><Code>Invalid&lt;Parameter</Code><Message>secret</Message></Error></E>";
    let answer = ErrorAnswer::read(StatusCode::BAD_REQUEST, &HeaderMap::new(), text);
    assert_eq!(answer.into_failure("topic"), Failure::permanent("400 InvalidParameter"));
    let broken = ErrorAnswer::read(StatusCode::BAD_GATEWAY, &HeaderMap::new(), "<html>secret");
    assert_eq!(broken.into_failure("topic"), Failure::transient("502"));
    let page = ErrorAnswer::read(StatusCode::NOT_FOUND, &HeaderMap::new(), "<html>secret</html>");
    assert_eq!(page.into_failure("topic"), Failure::busy("404, which is no answer of SNS", None));
}

#[test]
fn an_unknown_action_is_told_from_other_errors() {
    assert!(error_answer(400, "InvalidAction").names_unknown_action());
    assert!(!error_answer(404, "NotFound").names_unknown_action());
    assert!(!error_answer(400, "InvalidParameter").names_unknown_action());
    for status in [404, 405, 501] {
        assert!(!error_answer(status, "").names_unknown_action(), "{status}");
        assert!(error_answer(status, "").may_be_of_the_action(), "{status}");
    }
    assert!(!error_answer(400, "").may_be_of_the_action());
    assert!(!error_answer(404, "NotFound").may_be_of_the_action());
}

#[test]
fn each_entry_of_a_batch_has_its_own_result() {
    let text = "<R xmlns='urn:any'><PublishBatchResult>
        <Failed>
          <member><Id>1</Id><Code>InvalidParameter</Code><SenderFault>true</SenderFault></member>
          <member><Id>3</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>
          <member><Id>4</Id><Code>Throttled</Code><SenderFault>true</SenderFault></member>
        </Failed>
        <Successful>
          <member><Id>0</Id><MessageId>a</MessageId></member>
          <member><MessageId>b</MessageId><Id>2</Id></member>
        </Successful></PublishBatchResult></R>";
    let wanted = vec![
        Ok(()),
        Err(Failure::permanent("InvalidParameter")),
        Ok(()),
        Err(Failure::transient("InternalError")),
        Err(Failure::busy("Throttled", None)),
    ];
    assert_eq!(batch_published(text, 5, "topic"), Some(wanted));
    assert_eq!(batch_published(text, 6, "topic"), None, "one entry is missing");
    assert_eq!(batch_published(text, 4, "topic"), None, "one entry too many");
    assert_eq!(
        batch_published(&text.replace("<Id>2", "<Id>0"), 5, "topic"),
        None,
        "one entry twice"
    );
    assert_eq!(
        batch_published(&text.replace("<Id>2", "<Id>x"), 5, "topic"),
        None,
        "an id of nobody"
    );
    assert_eq!(batch_published("not XML", 5, "topic"), None);
}

#[test]
fn the_date_of_a_refused_signature_is_read() {
    let page = |status: StatusCode, code: &str, date: &'static str| {
        let text = format!("<E><Error><Code>{code}</Code></Error></E>");
        let headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static(date))]);
        Page { status, headers, text }.refused_signature()
    };
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    for code in ["SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed"] {
        assert_eq!(page(StatusCode::FORBIDDEN, code, date), Some(at), "{code}");
    }
    assert_eq!(page(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", "soon"), None);
    assert_eq!(page(StatusCode::FORBIDDEN, "AuthorizationError", date), None);
    assert_eq!(page(StatusCode::OK, "SignatureDoesNotMatch", date), None);
}
