//! Frames: a type, a length, and JSON.

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ReadExactError, RecvStream};
use serde::{Deserialize, Serialize};

/// `Hello`
pub(crate) const HELLO: u8 = 0x00;
/// `HelloAck`
pub(crate) const HELLO_ACK: u8 = 0x01;
/// `Auth`
pub(crate) const AUTH: u8 = 0x02;
/// `AuthOk`
pub(crate) const AUTH_OK: u8 = 0x03;
/// `Ping`
pub(crate) const PING: u8 = 0x05;
/// `Pong`
pub(crate) const PONG: u8 = 0x06;
/// `CommandOk`
pub(crate) const COMMAND_OK: u8 = 0x0a;
/// `SendMessage`
pub(crate) const SEND_MESSAGE: u8 = 0x10;
/// `JoinRoom`
pub(crate) const JOIN_ROOM: u8 = 0x15;
/// `LeaveRoom`
pub(crate) const LEAVE_ROOM: u8 = 0x16;
/// `RoomMessage`
pub(crate) const ROOM_MESSAGE: u8 = 0x30;
/// `RoomInit`
pub(crate) const ROOM_INIT: u8 = 0x37;
/// `StreamOpen`
pub(crate) const STREAM_OPEN: u8 = 0x53;
/// `MessageAck`
pub(crate) const MESSAGE_ACK: u8 = 0x62;

/// Longest payload that is taken, in bytes.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// A received frame.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    payload: Vec<u8>,
}

impl Frame {
    /// Reads the next frame; `None` at the end of the stream.
    pub(crate) async fn read(stream: &mut RecvStream) -> Result<Option<Self>> {
        let mut head = [0; 5];
        match stream.read_exact(&mut head).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        ensure!(len <= PAYLOAD_BYTES_MAX, "a frame of {len} bytes");
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload).await?;
        Ok(Some(Self { kind: head[0], payload }))
    }

    /// What it says.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.payload).context("a payload that means nothing")
    }
}

/// A whole frame, to be sent as often as needed.
pub(crate) fn frame(kind: u8, payload: &impl Serialize) -> Result<Bytes> {
    let json = serde_json::to_vec(payload)?;
    let mut out = BytesMut::with_capacity(5 + json.len());
    out.put_u8(kind);
    out.put_u32(json.len() as u32);
    out.put_slice(&json);
    Ok(out.freeze())
}
