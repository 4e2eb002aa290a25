//! Reads the body of an answer, whichever version of HTTP brings it, and no more than is wanted.

use bytes::Bytes;

use crate::fate::Failure;

/// What is read of an answer. Of a longer one the connection is given up instead.
const LIMIT: usize = 64 * 1024;

/// A body that is still coming.
pub(super) trait Incoming {
    /// The next part, or `None` at the end.
    fn part(&mut self) -> impl Future<Output = Option<Result<Bytes, Failure>>> + Send;
}

/// All of a body.
pub(super) async fn whole(mut incoming: impl Incoming) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(part) = incoming.part().await {
        let part = part?;
        if body.len() + part.len() > LIMIT {
            return Err(Failure::transient("answer is too long"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
