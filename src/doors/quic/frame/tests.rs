use super::*;
use proptest::prelude::*;

fn encode(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

type Decoded = (Vec<(u8, Vec<u8>)>, Option<TooLarge>);

fn decode_all(range: Option<Range>, pieces: &[&[u8]]) -> Decoded {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for &piece in pieces {
        let mut rest = piece;
        loop {
            match decoder.next(range, &mut rest) {
                Ok(Some(frame)) => frames.push((frame.kind, frame.payload.into_owned())),
                Ok(None) => break,
                Err(fault) => return (frames, Some(fault)),
            }
        }
        assert!(rest.is_empty(), "what brings no frame is used up");
    }
    (frames, None)
}

#[test]
fn the_example_of_the_page_is_read() {
    let bytes = [&[0x05, 0, 0, 0, 0x0f][..], br#"{"timestamp":1}"#].concat();
    let expected = vec![(kind::PING, br#"{"timestamp":1}"#.to_vec())];
    assert_eq!(decode_all(Some(Range::Control), &[&bytes]), (expected, None));
}

#[test]
fn a_length_over_the_limit_is_refused_at_the_header() {
    for (range, kind, max) in [
        (Range::Control, kind::PING, 65_536),
        (Range::Chat, kind::SEND_MESSAGE, 65_536),
        (Range::Ack, kind::MESSAGE_READ, 4_096),
        (Range::Upload, kind::UPLOAD_CHUNK, 270_336),
        (Range::Control, 0x0f, 65_536),
    ] {
        let header = |length: u32| [&[kind][..], &length.to_be_bytes()].concat();
        assert_eq!(decode_all(Some(range), &[&header(max)]), (vec![], None), "{range:?}");
        let (_, fault) = decode_all(Some(range), &[&header(max + 1)]);
        assert_eq!(fault, Some(TooLarge { kind, length: max + 1 }), "{range:?}");
    }
}

#[test]
fn the_payload_of_an_unknown_type_is_passed_over_and_not_kept() {
    let bytes = [encode(0x0f, &[7; 1000]), encode(kind::PING, b"{}")].concat();
    let (frames, fault) = decode_all(Some(Range::Control), &[&bytes]);
    assert_eq!(frames, [(0x0f, vec![]), (kind::PING, b"{}".to_vec())]);
    assert_eq!(fault, None);
    let mut decoder = Decoder::default();
    let mut half = &bytes[..700];
    assert_eq!(decoder.next(None, &mut half), Ok(None));
    assert_eq!(decoder.payload.capacity(), 0);
}

#[test]
fn a_datagram_is_one_frame_of_its_own_kind() {
    let typing = encode(kind::TYPING, br#"{"room_id":1}"#);
    assert!(datagram(&typing).is_some());
    assert_eq!(datagram(&typing[..typing.len() - 1]), None, "cut short");
    assert_eq!(datagram(&[&typing[..], &typing].concat()), None, "two frames");
    assert_eq!(datagram(&encode(kind::PING, b"{}")), None, "a frame of a stream");
    assert_eq!(datagram(&encode(kind::PRESENCE_OFFLINE, b"{}")), None, "only the server says so");
    assert_eq!(datagram(&[]), None);
}

#[test]
fn frames_of_ours_are_split_as_they_were_put_together() {
    let mut bytes = Vec::new();
    append(kind::PONG, &mut bytes, |out| out.extend_from_slice(b"{}"));
    append(kind::ERROR, &mut bytes, |_| {});
    assert_eq!(bytes, [encode(kind::PONG, b"{}"), encode(kind::ERROR, b"")].concat());
    let kinds: Vec<u8> = split(&bytes).map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [kind::PONG, kind::ERROR]);
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_frames(
        frames in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, p)| encode(*kind, p)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        let expected: Vec<(u8, Vec<u8>)> = frames.iter().map(|(kind, payload)| {
            let kept = if Range::of(*kind).is_some() { payload.clone() } else { vec![] };
            (*kind, kept)
        }).collect();
        prop_assert_eq!(decode_all(Some(Range::Upload), &pieces), (expected, None));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_all(None, &[&bytes]);
        let _ = datagram(&bytes);
        prop_assert!(split(&bytes).count() <= bytes.len() / HEADER_BYTES);
    }
}
