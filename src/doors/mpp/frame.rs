//! WebSocket frames from the server, written in place: room for a header, the payload, then the header.

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Binary,
}

impl Kind {
    /// The first header byte: a final frame of the kind.
    fn first_byte(self) -> u8 {
        match self {
            Kind::Text => 0x81,
            Kind::Binary => 0x82,
        }
    }
}

/// A ping without payload.
pub(super) const PING: [u8; 2] = [0x89, 0];

/// Room left for the header. Frames of 126 to 65 535 bytes, the most common here, need no shift afterwards.
const ROOM: usize = 4;

/// A frame whose payload is being appended.
#[derive(Clone, Copy)]
pub(super) struct Open {
    start: usize,
    kind: Kind,
}

impl Open {
    /// Begins a frame at the end of `out`.
    pub(super) fn new(kind: Kind, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; ROOM]);
        Open { start, kind }
    }

    /// Puts the header before all that was appended since [`Open::new`], and returns its length.
    pub(super) fn close(self, out: &mut Vec<u8>) -> usize {
        let payload = self.start + ROOM;
        let length = out.len() - payload;
        let mut header = [self.kind.first_byte(), 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let [_, short, long @ ..] = &mut header;
        let size = if let Ok(length) = u8::try_from(length)
            && length < 126
        {
            *short = length;
            out.copy_within(payload.., self.start + 2);
            out.truncate(out.len() - 2);
            2
        } else if let Ok(length) = u16::try_from(length) {
            *short = 126;
            for (to, byte) in long.iter_mut().zip(length.to_be_bytes()) {
                *to = byte;
            }
            4
        } else {
            *short = 127;
            *long = (length as u64).to_be_bytes();
            let end = out.len();
            out.resize(end + 6, 0);
            out.copy_within(payload..end, payload + 6);
            10
        };
        for (to, byte) in out.iter_mut().skip(self.start).zip(header.into_iter().take(size)) {
            *to = byte;
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::frame::{FrameHeader, coding};

    #[test]
    fn headers_are_those_of_another_implementation() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for (kind, data) in
                [(Kind::Text, coding::Data::Text), (Kind::Binary, coding::Data::Binary)]
            {
                let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let mut out = b"before".to_vec();
                let open = Open::new(kind, &mut out);
                out.extend_from_slice(&payload);
                let size = open.close(&mut out);
                let frame = out.strip_prefix(b"before").unwrap();
                let header =
                    FrameHeader { opcode: coding::OpCode::Data(data), ..Default::default() };
                let mut expected = Vec::new();
                header.format(length as u64, &mut expected).unwrap();
                assert_eq!(size, expected.len());
                assert_eq!(&frame[..size], expected);
                assert_eq!(&frame[size..], payload);
            }
        }
    }
}
