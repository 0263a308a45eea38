//! As much of RFC 6455 as a client of a load generator needs: frame headers, both ways.

/// Largest frame that is taken, in bytes. A room of 10,000 members is described in about 1.1 MiB, so this
/// only stops nonsense.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;

/// Opcode of a text frame.
pub(crate) const TEXT: u8 = 1;
/// Opcode of a binary frame.
pub(crate) const BINARY: u8 = 2;
/// Opcode of a close frame.
pub(crate) const CLOSE: u8 = 8;
/// Opcode of a ping frame.
pub(crate) const PING: u8 = 9;
/// Opcode of a pong frame.
pub(crate) const PONG: u8 = 10;

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Whether it ends its message.
    pub(crate) fin: bool,
    /// The frame's opcode.
    pub(crate) opcode: u8,
    /// Bytes of the header itself, mask key included.
    pub(crate) head: usize,
    /// Bytes of the payload.
    pub(crate) len: usize,
    /// The mask key, present in frames from clients.
    pub(crate) mask: Option<[u8; 4]>,
}

/// Decodes the header at the start of `buf`; `None` when it is not complete yet.
#[inline]
pub(crate) fn header(buf: &[u8]) -> Option<Header> {
    let [first, second, ..] = *buf else { return None };
    let (mut head, len) = match second & 0x7f {
        126 => {
            let bytes: [u8; 2] = buf.get(2..4)?.try_into().ok()?;
            (4, usize::from(u16::from_be_bytes(bytes)))
        }
        127 => {
            let bytes: [u8; 8] = buf.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX))
        }
        short => (2, usize::from(short)),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        mask = Some(buf.get(head..head + 4)?.try_into().ok()?);
        head += 4;
    }
    Some(Header { fin: first & 0x80 != 0, opcode: first & 0x0f, head, len, mask })
}

/// Appends a whole masked frame (client to server).
pub(crate) fn put_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8], key: [u8; 4]) {
    put_start(out, opcode, payload.len());
    out.extend_from_slice(&key);
    let at = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[at..], key);
}

/// Applies (or takes off) the mask; 8 bytes a step.
#[inline]
pub(crate) fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let bytes: [u8; 8] =
            [chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7]];
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

fn put_start(out: &mut Vec<u8>, opcode: u8, len: usize) {
    const MASKED: u8 = 0x80;
    out.push(0x80 | opcode);
    if len < 126 {
        out.push(MASKED | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(MASKED | 126);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(MASKED | 127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_frames_of_every_length_class_read_back() {
        for len in [0, 1, 7, 8, 9, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut frame = Vec::new();
            put_masked(&mut frame, TEXT, &payload, [1, 2, 3, 4]);
            let head = header(&frame).expect("a whole frame has a whole header");
            assert_eq!((head.opcode, head.len, head.mask), (TEXT, len, Some([1, 2, 3, 4])));
            assert_eq!(head.head + head.len, frame.len());
            let body = &mut frame[head.head..];
            apply_mask(body, [1, 2, 3, 4]);
            assert_eq!(body, payload);
        }
    }

    #[test]
    fn a_cut_header_is_not_a_header() {
        let mut frame = Vec::new();
        put_masked(&mut frame, TEXT, &[0; 70_000], [9, 9, 9, 9]);
        for cut in 0..14 {
            assert_eq!(header(&frame[..cut]), None, "cut at {cut}");
        }
        assert!(header(&frame[..14]).is_some());
    }
}
