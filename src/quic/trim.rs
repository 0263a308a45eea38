//! Padding, cut off where an address may not be sent as much.
//!
//! quinn-proto fills up each datagram that probes a path, as RFC 9000, section 8.2.1, has it, but for the exception
//! there: not beyond three times what came from an address that has not shown that it hears us. What is filled in is
//! nothing but zeros behind the last frame, so the key that seals the packet can leave them out, and a packet with a
//! short header ends where its datagram ends.

use bytes::BytesMut;
use quinn_proto::crypto::{CryptoError, PacketKey};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

/// Between a connection and the keys that seal what it sends. Both are of one thread; the atomics are only there
/// because keys have to be shareable.
#[derive(Default)]
pub(super) struct Trim {
    is_wanted: AtomicBool,
    /// Bytes of the last packet that was sealed while it was wanted.
    length: AtomicUsize,
}

impl Trim {
    /// Has padding left out of what `seal` seals, which is one packet at most; how long that is without.
    pub(super) fn during<T>(&self, seal: impl FnOnce() -> T) -> (T, usize) {
        self.length.store(usize::MAX, Relaxed);
        self.is_wanted.store(true, Relaxed);
        let sealed = seal();
        self.is_wanted.store(false, Relaxed);
        (sealed, self.length.load(Relaxed))
    }
}

/// A key that leaves padding out when it is told so.
pub(super) struct TrimmingKey<K> {
    pub(super) key: K,
    pub(super) trim: Arc<Trim>,
}

impl<K: PacketKey> PacketKey for TrimmingKey<K> {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        if !self.trim.is_wanted.load(Relaxed) {
            return self.key.encrypt(packet, buf, header_len);
        }
        let end = buf.len() - self.key.tag_len();
        let length = header_len + without_padding(&buf[header_len..end]) + self.key.tag_len();
        self.trim.length.store(length, Relaxed);
        self.key.encrypt(packet, &mut buf[..length], header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.key.decrypt(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.key.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.key.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.key.integrity_limit()
    }
}

/// How many bytes of a packet's frames are no padding at its end. All of them in a packet that probes no path: what is
/// filled up then is a probe of how long datagrams may be.
fn without_padding(frames: &[u8]) -> usize {
    let mut rest = frames;
    let mut probes_path = false;
    loop {
        let before = rest;
        match skip_frame(&mut rest) {
            Some(Frame::Padding) if probes_path && before.iter().all(|&byte| byte == 0) => {
                // Header protection takes its sample up to 20 bytes behind the packet's number, 16 of them the tag.
                return (frames.len() - before.len()).max(4).min(frames.len());
            }
            Some(Frame::Path) => probes_path = true,
            Some(_) if !rest.is_empty() => {}
            _ => return frames.len(),
        }
    }
}

enum Frame {
    Padding,
    /// It probes a path, or answers such a probe.
    Path,
    Other,
}

/// Takes one of the frames that quinn-proto writes (RFC 9000, section 19) off `rest`; `None` for any other.
fn skip_frame(rest: &mut &[u8]) -> Option<Frame> {
    let kind = varint(rest)?;
    let numbers =
        |rest: &mut &[u8], count: u64| (0..count).try_for_each(|_| varint(rest).map(drop));
    let bytes = |rest: &mut &[u8], count: u64| {
        *rest = rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    };
    match kind {
        0x00 => return Some(Frame::Padding),
        // PING, HANDSHAKE_DONE, IMMEDIATE_ACK
        0x01 | 0x1e | 0x1f => {}
        0x02 | 0x03 => {
            numbers(rest, 2)?;
            let ranges = varint(rest)?;
            numbers(rest, 1 + 2 * ranges)?;
            numbers(rest, if kind == 0x03 { 3 } else { 0 })?;
        }
        // RESET_STREAM, STOP_SENDING
        0x04 => numbers(rest, 3)?,
        0x05 => numbers(rest, 2)?,
        // CRYPTO, NEW_TOKEN
        0x06 => {
            numbers(rest, 1)?;
            let length = varint(rest)?;
            bytes(rest, length)?;
        }
        0x07 => {
            let length = varint(rest)?;
            bytes(rest, length)?;
        }
        // STREAM; one without a length goes on to the end of the packet.
        0x08..=0x0f => {
            numbers(rest, if kind & 0x04 == 0 { 1 } else { 2 })?;
            let length = if kind & 0x02 == 0 { rest.len() as u64 } else { varint(rest)? };
            bytes(rest, length)?;
        }
        // MAX_DATA and others of one number, MAX_STREAM_DATA and others of two
        0x10 | 0x12 | 0x13 | 0x14 | 0x16 | 0x17 | 0x19 => numbers(rest, 1)?,
        0x11 | 0x15 => numbers(rest, 2)?,
        // NEW_CONNECTION_ID
        0x18 => {
            numbers(rest, 2)?;
            let (&length, after) = rest.split_first()?;
            *rest = after;
            bytes(rest, u64::from(length) + 16)?;
        }
        0x1a | 0x1b => {
            bytes(rest, 8)?;
            return Some(Frame::Path);
        }
        // DATAGRAM
        0x30 | 0x31 => {
            let length = if kind == 0x30 { rest.len() as u64 } else { varint(rest)? };
            bytes(rest, length)?;
        }
        // ACK_FREQUENCY
        0xaf => numbers(rest, 4)?,
        _ => return None,
    }
    Some(Frame::Other)
}

/// Takes a number of variable length off `rest`.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let length = 1usize << (rest.first()? >> 6);
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    let number = bytes.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    Some(number & (u64::MAX >> (66 - 8 * length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frames: &[u8], padding: usize, left: usize) {
        let padded = [frames, &vec![0; padding]].concat();
        assert_eq!(without_padding(&padded), left, "{frames:x?}");
    }

    #[test]
    fn padding_behind_a_probe_of_a_path_is_left_out() {
        let challenge = [0x1a, 1, 2, 3, 4, 5, 6, 7, 0];
        check(&challenge, 1000, 9);
        let ack = [0x02, 0x40, 0x80, 0, 1, 3, 0, 2];
        let retired = [0x19, 4];
        let stream = [0x0e, 3, 0x80, 0, 0, 7, 3, 0, 0, 0];
        let frames = [&ack[..], &[0xaf, 1, 2, 3, 4][1..1], &challenge, &retired, &stream].concat();
        check(&frames, 500, frames.len());
        check(&[0x40, 0xaf, 9, 9, 9, 9, 0x1b, 0, 0, 0, 0, 0, 0, 0, 0], 100, 15);
    }

    #[test]
    fn what_is_no_padding_stays() {
        let challenge = [0x1a, 0, 0, 0, 0, 0, 0, 0, 0];
        check(&challenge, 0, 9);
        // The zeros are what a stream carries: one without a length has all that follows.
        let frames = [&challenge[..], &[0x08, 3]].concat();
        check(&frames, 700, frames.len() + 700);
        // It probes how long datagrams may be.
        check(&[0x01], 1451, 1452);
        // Unknown frames, and frames that end in their middle.
        check(&[&challenge[..], &[0x3f]].concat(), 90, 100);
        check(&[&challenge[..], &[0x18, 1]].concat(), 3, 14);
        check(&[], 20, 20);
    }
}
