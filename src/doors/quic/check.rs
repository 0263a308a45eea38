//! What must hold for any bytes from a client, as functions that fuzz targets and tests call.
#![allow(missing_docs)]

use super::{
    client::{Chat, Control, Receipt, Signal},
    frame::{self, Decoder, HEADER_BYTES, Range, TooLarge},
    payload::Payload,
};

type Decoded = (Vec<(u8, Vec<u8>)>, Option<TooLarge>);

/// The frames of some reads, up to one that is too large.
fn decoded<'a>(range: Option<Range>, reads: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for mut input in reads {
        loop {
            match decoder.next(range, &mut input) {
                Ok(Some(frame)) => frames.push((frame.kind, frame.payload.into_owned())),
                Ok(None) => break,
                Err(fault) => return (frames, Some(fault)),
            }
        }
        assert!(input.is_empty(), "what brings no frame is used up");
    }
    (frames, None)
}

/// Bytes of a stream never panic, give the same frames however they are split, hold to the stream's limit, and read as
/// what their types say or are refused. The first byte says what the stream is known to carry.
pub fn frames(input: &[u8]) {
    let Some((&known, bytes)) = input.split_first() else { return };
    let ranges = [
        None,
        Some(Range::Control),
        Some(Range::Chat),
        Some(Range::Ack),
        Some(Range::Upload),
        Some(Range::Download),
    ];
    let range = ranges.get(usize::from(known) % ranges.len()).copied().flatten();
    let whole = decoded(range, std::iter::once(bytes));
    assert_eq!(whole, decoded(range, bytes.chunks(1)));
    assert_eq!(whole, decoded(range, bytes.chunks(7)));
    let (frames, fault) = whole;
    if let Some(fault) = fault {
        let range = range.or(Range::of(fault.kind)).unwrap_or(Range::Control);
        assert!(fault.length as usize > range.payload_bytes_max());
    }
    let mut at = 0;
    for (kind, payload) in &frames {
        let header = bytes.get(at..).and_then(<[u8]>::first_chunk::<HEADER_BYTES>);
        let Some(&[first, a, b, c, d]) = header else { panic!("each frame has a header") };
        assert_eq!(first, *kind);
        at += HEADER_BYTES + u32::from_be_bytes([a, b, c, d]) as usize;
        assert!(payload.is_empty() || Range::of(*kind).is_some(), "{kind:#04x} is kept");
        read(*kind, payload);
    }
    assert!(at <= bytes.len(), "no frame has more than came");
    if let Some(frame) = frame::datagram(bytes) {
        assert_eq!(HEADER_BYTES + frame.payload.len(), bytes.len());
        assert_eq!(Range::of(frame.kind), Some(Range::Datagram));
    }
}

/// Reads a payload as everything that it could be meant as.
fn read(kind: u8, payload: &[u8]) {
    let _ = Payload::parse(payload);
    let _ = Control::parse(kind, payload);
    let _ = Receipt::parse(kind, payload);
    let _ = Signal::parse(kind, payload);
    if let Err(refusal) = Chat::parse(kind, payload)
        && let Some(nonce) = refusal.nonce
    {
        assert!((1..=64).contains(&nonce.len()), "a nonce that is given back is one");
    }
}
