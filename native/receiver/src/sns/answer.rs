//! The XML that SNS answers with.

use std::fmt::Write;

use super::{fifo::Receipt, refusal::Refusal};

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// The answer to one entry of a batch: its id and what became of it.
pub(crate) type Entry = (String, Result<Receipt, (String, bool)>);

pub(crate) fn published(receipt: &Receipt, request: u64) -> String {
    let result = receipt_xml(receipt);
    format!(
        "<PublishResponse xmlns=\"{NAMESPACE}\"><PublishResult>{result}</PublishResult>{}\
         </PublishResponse>",
        metadata(request)
    )
}

/// `entries` that failed carry an error code and whether it was the sender's fault.
pub(crate) fn batch_published(entries: &[Entry], request: u64) -> String {
    let (mut successful, mut failed) = (String::new(), String::new());
    for (id, result) in entries {
        let id = escape(id);
        // Writing to a string cannot fail.
        _ = match result {
            Ok(receipt) => {
                write!(successful, "<member><Id>{id}</Id>{}</member>", receipt_xml(receipt))
            }
            Err((code, sender)) => write!(
                failed,
                "<member><Id>{id}</Id><Code>{}</Code><Message>refused</Message>\
                 <SenderFault>{sender}</SenderFault></member>",
                escape(code)
            ),
        };
    }
    format!(
        "<PublishBatchResponse xmlns=\"{NAMESPACE}\"><PublishBatchResult>\
         <Successful>{successful}</Successful><Failed>{failed}</Failed></PublishBatchResult>{}\
         </PublishBatchResponse>",
        metadata(request)
    )
}

pub(crate) fn refused(refusal: &Refusal, request: u64) -> String {
    let kind = if refusal.is_senders_fault() { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>",
        escape(&refusal.code),
        escape(&refusal.message)
    )
}

fn receipt_xml(receipt: &Receipt) -> String {
    let mut xml = format!("<MessageId>{}</MessageId>", receipt.message_id);
    if let Some(sequence) = receipt.sequence {
        _ = write!(xml, "<SequenceNumber>{sequence:020}</SequenceNumber>");
    }
    xml
}

fn metadata(request: u64) -> String {
    format!("<ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
