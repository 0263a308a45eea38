//! Where reads cut the stream, and whether the decoder moves house in between, must not show.

use super::{Got, Limits, Opcode, Outcome, client_frame, decode, is_close};
use crate::ws::Decoder;
use proptest::prelude::*;

/// Frames as peers send them, most of them legal: texts with long characters, fragments, controls,
/// garbage.
pub(super) fn frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        4 => Just(Opcode::Text),
        2 => Just(Opcode::Binary),
        4 => Just(Opcode::Continue),
        2 => Just(Opcode::Ping),
        1 => Just(Opcode::Pong),
        1 => Just(Opcode::Close),
    ];
    let payload = prop_oneof![
        4 => "[a-z\u{e9}\u{20ac}\u{1f3b9}]{0,40}".prop_map(String::into_bytes),
        2 => "[ -~]{100,300}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (900_u16..1020, "[a-z]{0,4}")
            .prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat()),
    ];
    prop_oneof![
        30 => (prop::bool::weighted(0.7), opcode, any::<[u8; 4]>(), payload)
            .prop_map(|(is_final, opcode, key, payload)| {
                client_frame(is_final || opcode.is_control(), opcode, key, &payload)
            }),
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(frame(), 0..12).prop_map(|frames| frames.concat())
}

/// Cuts `bytes` behind each of `lens` bytes, in turn; the rest is the last read.
fn cut(mut bytes: &[u8], lens: &[usize]) -> Vec<Vec<u8>> {
    let mut reads = Vec::new();
    for &len in lens {
        let (read, rest) = bytes.split_at(len.min(bytes.len()));
        reads.push(read.to_vec());
        bytes = rest;
    }
    reads.push(bytes.to_vec());
    reads
}

/// As [`decode`], with the decoder packed and unpacked after each item and each read.
fn decode_on_the_move(limits: Limits, reads: Vec<Vec<u8>>) -> Outcome {
    let mut packed = serde_json::to_string(&Decoder::default()).unwrap();
    let mut got: Vec<Got> = Vec::new();
    for mut read in reads {
        let mut input = read.as_mut_slice();
        loop {
            let mut decoder: Decoder = serde_json::from_str(&packed).unwrap();
            let more = match decoder.next(&limits, &mut input) {
                Ok(Some(item)) => {
                    got.push(item.into());
                    true
                }
                Ok(None) => false,
                Err(fault) => return (got, Some(fault)),
            };
            packed = serde_json::to_string(&decoder).unwrap();
            if is_close(&got) {
                return (got, None);
            }
            if !more {
                break;
            }
        }
    }
    (got, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_gives_the_same_items(
        bytes in stream(), lens in prop::collection::vec(0_usize..60, 0..40),
    ) {
        let limits = Limits { message_bytes: 400 };
        let whole = decode(limits, [bytes.clone()]);
        prop_assert_eq!(&decode(limits, cut(&bytes, &lens)), &whole);
        prop_assert_eq!(&decode(limits, cut(&bytes, &vec![1; bytes.len()])), &whole);
        prop_assert_eq!(&decode_on_the_move(limits, cut(&bytes, &lens)), &whole);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        lens in prop::collection::vec(0_usize..9, 0..20),
    ) {
        let limits = Limits { message_bytes: 40 };
        prop_assert_eq!(decode(limits, cut(&bytes, &lens)), decode(limits, [bytes]));
    }
}

#[test]
fn packing_leaves_out_a_message_that_was_given_out() {
    let limits = Limits::default();
    let mut frame = client_frame(true, Opcode::Text, [9; 4], b"in two reads");
    let (left, right) = frame.split_at_mut(9);
    let (mut left, mut right) = (left, right);
    let mut decoder = Decoder::default();
    assert_eq!(decoder.next(&limits, &mut left), Ok(None));
    assert!(decoder.next(&limits, &mut right).unwrap().is_some());
    assert!(decoder.is_between_messages());
    assert_eq!(
        serde_json::to_string(&decoder).unwrap(),
        serde_json::to_string(&Decoder::default()).unwrap()
    );
}
