//! The bodies of answers: whole ones, and those that a client should not swallow whole.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Interval, interval};

pub(crate) enum AnswerBody {
    /// All at once, with its length announced.
    Whole(Full<Bytes>),
    /// Far bigger than anybody should read, yet finite.
    Flood(Flood),
    /// In parts, without its length.
    Chunks(VecDeque<Bytes>),
    /// A byte now and then, for ever.
    Trickle(Interval),
}

/// Spaces, frame after frame.
pub(crate) struct Flood {
    frames: usize,
}

// === impl AnswerBody ===

impl AnswerBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }

    pub(crate) fn flood() -> Self {
        Self::Flood(Flood { frames: Flood::FRAMES })
    }

    pub(crate) fn chunks(bytes: &Bytes) -> Self {
        let size = bytes.len().div_ceil(4).max(1);
        Self::Chunks(bytes.chunks(size).map(|chunk| bytes.slice_ref(chunk)).collect())
    }

    pub(crate) fn trickle() -> Self {
        Self::Trickle(interval(Duration::from_millis(20)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(full) => return Pin::new(full).poll_frame(context),
            Self::Flood(flood) => flood.next(),
            Self::Chunks(chunks) => chunks.pop_front(),
            Self::Trickle(interval) => {
                ready!(interval.poll_tick(context));
                Some(Bytes::from_static(b"."))
            }
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(full) if full.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

// === impl Flood ===

impl Flood {
    const FRAME: &[u8] = &[b' '; 64 * 1024];

    /// A quarter of a gigabyte.
    const FRAMES: usize = 4096;

    fn next(&mut self) -> Option<Bytes> {
        self.frames = self.frames.checked_sub(1)?;
        Some(Bytes::from_static(Self::FRAME))
    }
}
