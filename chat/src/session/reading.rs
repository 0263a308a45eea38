//! Frames from a stream of QUIC.

use crate::frame::{self, Frame, Oversize};
use bytes::BytesMut;

/// Why no more frames can be read from a stream.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// It was reset, or the connection is gone.
    #[error(transparent)]
    Stream(#[from] quinn::ReadError),
    /// What came is not made of frames.
    #[error(transparent)]
    Frame(#[from] Oversize),
}

/// Reads frames from one stream.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: quinn::RecvStream,
    input: BytesMut,
}

impl FrameReader {
    pub(crate) fn new(stream: quinn::RecvStream) -> Self {
        Self { stream, input: BytesMut::new() }
    }

    /// The next frame; `None` at the stream's end. Part of a frame at the end is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, ReadFault> {
        loop {
            if let Some(frame) = frame::take(&mut self.input)? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunk(64 * 1024, true).await? {
                Some(chunk) => self.input.extend_from_slice(&chunk.bytes),
                None => return Ok(None),
            }
        }
    }
}
