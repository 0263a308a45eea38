//! The edge cases of RFC 6455, in the order of Autobahn's sections, each whole and byte by byte.

use super::{Fault, Got, Limits, Opcode, client_frame, decode};
use crate::ws::Decoder;
use Opcode::{Binary, Close, Continue, Ping, Pong, Text};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame that ends its message.
fn last(opcode: Opcode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    client_frame(true, opcode, KEY, payload.as_ref())
}

/// A frame that does not.
fn part(opcode: Opcode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    client_frame(false, opcode, KEY, payload.as_ref())
}

fn close_body(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_ref()].concat()
}

fn text(text: &str) -> Got {
    Got::Text(text.to_owned())
}

fn closed(code: u16, reason: &str) -> Got {
    Got::Close(Some((code, reason.to_owned())))
}

#[track_caller]
fn check(frames: &[Vec<u8>], items: &[Got], fault: Option<Fault>) {
    let bytes = frames.concat();
    let limits = Limits { message_bytes: 1 << 20 };
    let expected = (items.to_vec(), fault);
    assert_eq!(decode(limits, [bytes.clone()]), expected, "in one read");
    assert_eq!(decode(limits, bytes.iter().map(|&byte| vec![byte])), expected, "byte by byte");
    assert_eq!(decode(limits, frames.iter().cloned()), expected, "a frame a read");
}

#[track_caller]
fn good(frames: &[Vec<u8>], items: &[Got]) {
    check(frames, items, None);
}

#[track_caller]
fn bad(frames: &[Vec<u8>], items: &[Got], fault: Fault, code: u16) {
    check(frames, items, Some(fault));
    assert_eq!(fault.close_code(), code);
}

#[test]
fn s1_messages_of_every_length_form() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000] {
        let payload = "*".repeat(len);
        good(&[last(Text, &payload)], &[text(&payload)]);
        let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        good(&[last(Binary, &payload)], &[Got::Binary(payload)]);
    }
}

#[test]
fn s1_the_mask_key_may_be_anything() {
    for key in [[0; 4], [0xff; 4], [0, 0, 0, 1], [1, 2, 3, 4]] {
        good(&[client_frame(true, Text, key, b"key")], &[text("key")]);
    }
}

#[test]
fn s2_pings_and_pongs_up_to_125_bytes() {
    for len in [0, 1, 124, 125] {
        let payload = vec![0xfe; len];
        good(
            &[last(Ping, &payload), last(Pong, &payload)],
            &[Got::Ping(payload.clone()), Got::Pong(payload)],
        );
    }
    let ten = vec![last(Ping, "again"); 10];
    good(&ten, &vec![Got::Ping(b"again".to_vec()); 10]);
    for opcode in [Ping, Pong] {
        bad(&[last(opcode, [0; 126])], &[], Fault::ControlTooLong, 1002);
        bad(&[last(opcode, [0; 70_000])], &[], Fault::ControlTooLong, 1002);
    }
}

#[test]
fn s3_reserved_bits() {
    for bits in 1..8_u8 {
        for opcode in [Text, Binary, Ping, Pong, Close] {
            let mut frame = last(opcode, "reserved");
            frame[0] |= bits << 4;
            bad(&[last(Text, "before"), frame], &[text("before")], Fault::ReservedBits, 1002);
        }
    }
    let mut continuation = last(Continue, "b");
    continuation[0] |= 0x40;
    bad(&[part(Text, "a"), continuation], &[Got::Fragment], Fault::ReservedBits, 1002);
}

#[test]
fn s4_reserved_opcodes() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in ["", "payload"] {
            let mut frame = last(Text, payload);
            frame[0] = 0x80 | opcode;
            bad(
                &[last(Text, "before"), frame.clone(), last(Ping, "")],
                &[text("before")],
                Fault::ReservedOpcode(opcode),
                1002,
            );
            frame[0] = opcode;
            bad(&[frame], &[], Fault::ReservedOpcode(opcode), 1002);
        }
    }
}

#[test]
fn s5_fragments_with_control_frames_between_them() {
    good(&[part(Text, "a"), last(Continue, "b")], &[Got::Fragment, text("ab")]);
    good(
        &[
            part(Binary, [1]),
            last(Ping, "1"),
            part(Continue, []),
            last(Pong, "2"),
            last(Ping, ""),
            last(Continue, [2]),
            last(Text, "next"),
        ],
        &[
            Got::Fragment,
            Got::Ping(b"1".to_vec()),
            Got::Fragment,
            Got::Pong(b"2".to_vec()),
            Got::Ping(vec![]),
            Got::Binary(vec![1, 2]),
            text("next"),
        ],
    );
    good(
        &[part(Text, ""), part(Continue, ""), last(Continue, "")],
        &[Got::Fragment, Got::Fragment, text("")],
    );
    good(
        &[part(Text, "open"), last(Close, close_body(1000, ""))],
        &[Got::Fragment, closed(1000, "")],
    );
}

#[test]
fn s5_fragments_out_of_order() {
    for opcode in [Ping, Pong, Close] {
        bad(&[part(opcode, "")], &[], Fault::ControlFragmented, 1002);
    }
    bad(&[last(Continue, "x")], &[], Fault::NothingToContinue, 1002);
    bad(&[part(Continue, "x")], &[], Fault::NothingToContinue, 1002);
    bad(
        &[last(Text, "whole"), part(Continue, "x")],
        &[text("whole")],
        Fault::NothingToContinue,
        1002,
    );
    bad(
        &[part(Text, "a"), last(Continue, "b"), last(Continue, "c")],
        &[Got::Fragment, text("ab")],
        Fault::NothingToContinue,
        1002,
    );
    for opcode in [Text, Binary] {
        for frame in [last(opcode, "b"), part(opcode, "b")] {
            bad(&[part(Text, "a"), frame], &[Got::Fragment], Fault::Interleaved, 1002);
        }
    }
}

#[test]
fn s6_text_that_is_utf8_wherever_it_is_cut() {
    let samples = [
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\0",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        "\u{d7ff}\u{e000}\u{fffd}",
        "\u{fffe}\u{1fffe}\u{10fffe}",
    ];
    for sample in samples {
        good(&[last(Text, sample)], &[text(sample)]);
        for at in 0..=sample.len() {
            let (left, right) = sample.as_bytes().split_at(at);
            good(&[part(Text, left), last(Continue, right)], &[Got::Fragment, text(sample)]);
        }
        let mut frames: Vec<_> =
            sample.as_bytes().iter().map(|byte| part(Continue, [*byte])).collect();
        let n_parts = frames.len();
        frames[0][0] = Text as u8;
        frames.push(last(Continue, ""));
        let mut items = vec![Got::Fragment; n_parts];
        items.push(text(sample));
        good(&frames, &items);
    }
}

#[test]
fn s6_text_that_is_not_utf8() {
    let samples: [&[u8]; 20] = [
        b"\x80",
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc3",
        b"\xc3\x28",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x9f\x92",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xfe",
        b"\xff",
    ];
    for sample in samples {
        for text in [sample.to_vec(), [b"caf\xc3\xa9 ", sample].concat()] {
            bad(&[last(Text, &text)], &[], Fault::NotUtf8, 1007);
            bad(&[last(Text, [&text[..], b" tail"].concat())], &[], Fault::NotUtf8, 1007);
            good(&[last(Binary, &text)], &[Got::Binary(text.clone())]);
        }
    }
}

#[test]
fn s6_bad_utf8_fails_with_its_byte_not_with_its_message() {
    // In an early fragment.
    bad(&[part(Text, "ok"), part(Continue, b"\xff")], &[Got::Fragment], Fault::NotUtf8, 1007);
    // Across fragments: U+110000 is impossible from its second byte on.
    bad(&[part(Text, b"\xf4"), part(Continue, b"\x90")], &[Got::Fragment], Fault::NotUtf8, 1007);
    // In a payload of which only a part has come: the frame announces 21 bytes, 13 are there.
    let frame = last(Text, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited");
    let begun = frame[..frame.len() - 8].to_vec();
    bad(&[begun], &[], Fault::NotUtf8, 1007);
    // A character that the last fragment leaves open.
    bad(&[part(Text, b"\xe2\x82"), last(Continue, "")], &[Got::Fragment], Fault::NotUtf8, 1007);
}

#[test]
fn s7_close_frames() {
    good(&[last(Close, "")], &[Got::Close(None)]);
    good(&[last(Close, close_body(1000, "")), last(Text, "late")], &[closed(1000, "")]);
    let longest = "*".repeat(123);
    good(&[last(Close, close_body(1000, &longest))], &[closed(1000, &longest)]);
    bad(&[last(Close, close_body(1000, "*".repeat(124)))], &[], Fault::ControlTooLong, 1002);
    bad(&[last(Close, "x")], &[], Fault::CloseBody, 1002);
    bad(&[last(Close, close_body(1000, b"\xce\xba\xed\xa0\x80"))], &[], Fault::NotUtf8, 1007);
    let mut unmasked = last(Close, "");
    unmasked[1] = 0;
    unmasked.truncate(2);
    bad(&[unmasked], &[], Fault::Unmasked, 1002);
}

#[test]
fn s7_close_codes() {
    let allowed = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013];
    let refused = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    for code in allowed.into_iter().chain([3000, 3999, 4000, 4999]) {
        good(&[last(Close, close_body(code, "why"))], &[closed(code, "why")]);
    }
    for code in refused {
        bad(&[last(Close, close_body(code, "why"))], &[], Fault::CloseCode(code), 1002);
    }
}

#[test]
fn s9_the_limit_counts_a_message_and_not_a_frame() {
    let limits = Limits { message_bytes: 10 };
    let too_big = Some(Fault::TooBig { limit: 10 });
    let run = |frames: &[Vec<u8>]| decode(limits, [frames.concat()]);
    assert_eq!(run(&[last(Text, "0123456789")]), (vec![text("0123456789")], None));
    assert_eq!(run(&[last(Text, "0123456789+")]), (vec![], too_big));
    assert_eq!(
        run(&[part(Binary, [1; 4]), last(Ping, [0; 125]), last(Continue, [1; 6])]),
        (vec![Got::Fragment, Got::Ping(vec![0; 125]), Got::Binary(vec![1; 10])], None)
    );
    assert_eq!(
        run(&[part(Binary, [1; 4]), last(Continue, [1; 7])]),
        (vec![Got::Fragment], too_big)
    );
    assert_eq!(Fault::TooBig { limit: 10 }.close_code(), 1009);
    let none = Limits { message_bytes: 0 };
    assert_eq!(decode(none, [last(Text, "")]), (vec![text("")], None));
}

#[test]
fn s9_too_big_is_seen_in_the_header() {
    let limits = Limits::default();
    let header = |len: u64| [&[0x82, 0xff][..], &len.to_be_bytes()].concat();
    assert_eq!(decode(limits, [header(128 * 1024)]), (vec![], None));
    for len in [128 * 1024 + 1, u64::from(u32::MAX), i64::MAX as u64] {
        let fault = Fault::TooBig { limit: 128 * 1024 };
        assert_eq!(decode(limits, [header(len)]), (vec![], Some(fault)));
    }
}

#[test]
fn s10_lengths_must_be_in_their_shortest_form() {
    let with_length = |length: &[u8], payload: &[u8]| [&[0x82], length, &[0; 4], payload].concat();
    for len in [0_u16, 1, 125] {
        let frame = with_length(&[&[0xfe][..], &len.to_be_bytes()].concat(), &vec![0; len.into()]);
        bad(&[frame], &[], Fault::LengthNotMinimal, 1002);
    }
    for len in [0_u64, 125, 126, 65_535] {
        let frame =
            with_length(&[&[0xff][..], &len.to_be_bytes()].concat(), &vec![0; len as usize]);
        bad(&[frame], &[], Fault::LengthNotMinimal, 1002);
    }
    for len in [1 << 63, u64::MAX] {
        let frame = with_length(&[&[0xff][..], &len.to_be_bytes()].concat(), &[]);
        bad(&[frame], &[], Fault::LengthHighBit, 1002);
    }
}

#[test]
fn clients_must_mask() {
    bad(&[b"\x81\x05Hello".to_vec()], &[], Fault::Unmasked, 1002);
    bad(&[b"\x89\x00".to_vec()], &[], Fault::Unmasked, 1002);
    bad(&[part(Text, "a"), b"\x80\x01b".to_vec()], &[Got::Fragment], Fault::Unmasked, 1002);
}

#[test]
fn an_idle_decoder_is_a_pointer_and_owns_nothing() {
    assert!(size_of::<Decoder>() <= 24);
    let limits = Limits::default();
    let mut decoder = Decoder::default();
    let mut bytes = [last(Text, "whole"), part(Text, "a"), last(Continue, "b")].concat();
    for byte in bytes.iter_mut() {
        let mut input = std::slice::from_mut(byte);
        while decoder.next(&limits, &mut input).unwrap().is_some() {}
    }
    assert_eq!(decoder.bytes_held(), 0);
    assert!(decoder.is_between_messages());
}

#[test]
fn a_whole_frame_is_lent_from_the_read_buffer() {
    let mut bytes = last(Text, "zero copy");
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::default();
    let mut input = bytes.as_mut_slice();
    let item = decoder.next(&Limits::default(), &mut input).unwrap();
    let Some(crate::ws::Item::Text(text)) = item else { panic!("a text: {item:?}") };
    assert!(range.contains(&text.as_ptr()));
    assert_eq!(decoder.bytes_held(), 0);
}

#[test]
fn memory_follows_what_came_and_not_what_was_announced() {
    let limits = Limits { message_bytes: 64 << 20 };
    let mut decoder = Decoder::default();
    let mut bytes =
        [&[0x82, 0xff][..], &(64_u64 << 20).to_be_bytes(), &[0; 4], &[7; 1000]].concat();
    let mut input = bytes.as_mut_slice();
    assert_eq!(decoder.next(&limits, &mut input), Ok(None));
    assert!(!decoder.is_between_messages());
    assert!(decoder.bytes_held() < 4096, "{}", decoder.bytes_held());
}
