use super::*;
use crate::doors::mpp::{Decoder, Limits, MppWire, check};
use proptest::prelude::*;
use tutti_shards::{
    ChannelName, ChatMessage, ChatText, Format, JoinTarget, MessageId, UserName, Wire,
};

const USER: &str = "0123456789abcdef01234567";
const T: u64 = 1_700_000_000_000;

struct Anyone;

impl Auth for Anyone {
    fn hello(&self, token: Option<&str>) -> (Option<UserId>, Option<Box<str>>) {
        assert_eq!(token, None);
        (Some(user()), None)
    }

    fn password(&self, _: &str) -> bool {
        unreachable!("the dialect has no staff messages")
    }
}

fn user() -> UserId {
    UserId::parse(USER).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The commands of a binary message from a connection that already speaks the dialect, and what it counts for.
fn binary(payload: &[u8]) -> (Vec<Command>, usize) {
    check::binary(payload);
    let mut out = VecDeque::new();
    let mut format = Format::MPP_QUICK;
    let mut decoder = Decoder::new(Limits::default());
    let count = decoder.binary(payload, &mut format, &Anyone, &mut out);
    (out.into(), count)
}

#[track_caller]
fn check(hex: &str, expected: &[Command]) {
    let (commands, _) = binary(&bytes(hex));
    assert_eq!(commands, expected, "{hex}");
}

fn frame_of(opcode: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (body.len() as u32).to_be_bytes();
    [&[opcode], &length[..], body].concat()
}

fn text_of(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text].concat()
}

fn join(name: &str, set: Option<SettingsPatch>) -> Command {
    let target = JoinTarget::Named(ChannelName::parse(name).unwrap());
    Command::Join { target, set: set.map(Box::new) }
}

fn play(note: Note) -> Command {
    let notes = [note].into_iter().collect();
    Command::Play(NoteBatch { at_ms: T as f64, sent: 1, notes })
}

#[test]
fn vectors_from_the_client_are_read() {
    let hello = Command::Hello { user: Some(user()), token: None };
    check("01000000", std::slice::from_ref(&hello));
    check("010000083ff0000000000000", std::slice::from_ref(&hello));
    check("010000000f0000020000", &[hello]);
    check("050000084278bcfe56800000", &[Command::Time { echo: Some(T as f64) }]);
    check("05000000", &[Command::Time { echo: None }]);
    let text = ChatText::parse("h\u{e9}", 512).unwrap();
    check("06000005000368c3a9", &[Command::Chat { text, reply_to: None }]);
    check(
        "0800001040290000000000004049266666666666",
        &[Command::Move(Position { x: 1_250, y: 5_030 })],
    );
    check(
        "070000264278bcfe568000000001000261343fe000000000000000000000000000003ff0000000000000",
        &[play(Note { key: 60, stop: false, velocity: Some(0.5), delay_ms: None })],
    );
    check(
        "070000264278bcfe568000000001000261343ff000000000000000000000000000003ff0000000000000",
        &[play(Note { key: 60, stop: true, velocity: None, delay_ms: None })],
    );
    check("0c00000700056c6f626279", &[join("lobby", None)]);
    let made_up = SettingsPatch {
        chat: Some(true),
        crown_solo: Some(false),
        visible: Some(true),
        ..SettingsPatch::default()
    };
    check("0c000009000178010001000000", &[join("x", Some(made_up))]);
    let name = UserName::parse("Al", 40);
    check("090000060002416c0000", &[Command::SetProfile { name, color: None }]);
    check("0e000000", &[Command::GiveCrown(None)]);
    check(
        "0a000022001830313233343536373839616263646566303132333435363740ed4c0000000000",
        &[Command::Ban { user: user(), ms: 60_000 }],
    );
}

#[test]
fn the_other_messages_are_read() {
    let id = text_of(USER.as_bytes());
    for (payload, expected) in [
        (frame_of(2, b""), vec![Command::Bye]),
        (frame_of(3, b""), vec![Command::FollowList(true)]),
        (frame_of(4, b"trailing"), vec![Command::FollowList(false)]),
        (frame_of(0xb, &id), vec![Command::Unban(user())]),
        (frame_of(0xe, &id), vec![Command::GiveCrown(Some(user()))]),
        (frame_of(0xe, &text_of(b"x")), vec![Command::GiveCrown(None)]),
        (frame_of(0xb, &text_of(b"x")), vec![]),
        (frame_of(0xf, &[0, 1, 0, 1, b'x']), vec![]),
        (frame_of(8, &[f64::NAN.to_be_bytes(), 1f64.to_be_bytes()].concat()), vec![]),
        (frame_of(5, &f64::NAN.to_be_bytes()), vec![Command::Time { echo: None }]),
    ] {
        assert_eq!(binary(&payload), (expected, 1));
    }
    let set = [&[0, 1, 0][..], &text_of(b"#010203"), &[1]].concat();
    let patch = SettingsPatch {
        chat: Some(false),
        crown_solo: Some(true),
        visible: Some(false),
        color: Some(Color([1, 2, 3])),
        ..SettingsPatch::default()
    };
    assert_eq!(binary(&frame_of(0xd, &set)).0, [Command::ChangeSettings(Box::new(patch))]);
}

#[test]
fn a_start_is_told_from_a_stop_by_its_velocity() {
    let note = |v: f64, d: f64, s: f64| {
        let values = [v, d, s].map(f64::to_be_bytes).concat();
        let body = [&(T as f64).to_be_bytes()[..], &[0, 1], &text_of(b"a4"), &values].concat();
        match binary(&frame_of(7, &body)).0.pop() {
            Some(Command::Play(batch)) => batch.notes[0],
            other => panic!("{other:?}"),
        }
    };
    let start = |velocity| Note { key: 60, stop: false, velocity, delay_ms: None };
    assert_eq!(note(1.0, 0.0, 0.0), start(Some(1.0)));
    assert_eq!(note(0.25, 0.0, 0.0), start(Some(0.25)));
    assert_eq!(note(0.25, 0.0, 1.0), start(Some(0.25)));
    assert_eq!(note(f64::NAN, f64::NAN, 1.0), start(None));
    assert_eq!(note(f64::INFINITY, 0.0, 0.0), start(Some(1.0)));
    let stop = Note { stop: true, velocity: None, delay_ms: Some(5.0), ..start(None) };
    assert_eq!(note(1.0, 5.0, 1.0), stop);
}

#[test]
fn a_message_is_taken_whole_or_not_at_all() {
    let two = [frame_of(3, b""), frame_of(4, b"")].concat();
    assert_eq!(binary(&two), (vec![Command::FollowList(true), Command::FollowList(false)], 2));
    for end in 1..4 {
        assert_eq!(binary(&two[..4 + end]), (vec![], 1));
    }
    for bad in [
        frame_of(0xff, b""),
        frame_of(0x10, b""),
        frame_of(0x14, b""),
        frame_of(5, &[0; 7]),
        frame_of(6, &[0, 2, b'x']),
        frame_of(6, &text_of(b"\xff")),
        frame_of(0xf, &[0, 1, 0, 1, 0xff]),
        frame_of(7, &[0; 9]),
        frame_of(0xc, &[0, 1, b'x', 1]),
        vec![5, 0, 0, 8, 0],
        // The note dialect of another server.
        [&[1][..], &[0; 8], &[30, 1, 1]].concat(),
    ] {
        assert_eq!(binary(&[frame_of(3, b""), bad.clone()].concat()), (vec![], 1), "{bad:x?}");
    }
}

#[test]
fn a_quick_frame_makes_the_connection_speak_quick() {
    let mut decoder = Decoder::new(Limits::default());
    let mut format = Format::MPP_TEXT;
    let mut out = VecDeque::new();
    assert_eq!(decoder.binary(&frame_of(0xff, b""), &mut format, &Anyone, &mut out), 1);
    assert_eq!((format, out.len()), (Format::MPP_TEXT, 0));
    decoder.binary(&frame_of(2, b""), &mut format, &Anyone, &mut out);
    assert_eq!(Vec::from(out), [Command::Speak(Format::MPP_QUICK), Command::Bye]);
    assert_eq!(format, Format::MPP_QUICK);
}

#[track_caller]
fn written(event: Event<'_>, hex: &str) {
    let mut out = Vec::new();
    MppWire::new("").encode(Format::MPP_QUICK, &[event], &mut out);
    let expected = bytes(hex);
    assert_eq!(out, [&[0x82, expected.len() as u8], &expected[..]].concat());
}

fn al() -> Profile {
    Profile {
        name: UserName::parse("Al", 40),
        color: Color::parse("#012345").unwrap(),
        ..Profile::new(user(), 0)
    }
}

#[test]
fn vectors_for_the_client_are_written() {
    written(
        Event::Time { wall_ms: T + 123, echo: Some(T as f64) },
        "050000104278bcfe5687b0004278bcfe56800000",
    );
    written(Event::Time { wall_ms: T, echo: None }, "050000084278bcfe56800000");
    written(
        Event::Cursor { user: user(), position: Position { x: 1_250, y: 5_025 } },
        "0800002a001830313233343536373839616263646566303132333435363740290000000000004049200000000000",
    );
    let start = Note { key: 60, stop: false, velocity: Some(0.5), delay_ms: None };
    let stop = Note { stop: true, delay_ms: Some(100.0), ..start };
    written(
        Event::Notes { user: user(), at_ms: T as f64, notes: &[start, stop] },
        "0700005c4278bcfe568000000002000261343fe00000000000000000000000000000000000000000000000026134000000000000000040590000000000003ff00000000000000018303132333435363738396162636465663031323334353637",
    );
    written(
        Event::Participant(ParticipantView {
            profile: &al(),
            position: Position::OFF_SCREEN,
            digits: 0,
        }),
        "11000051001830313233343536373839616263646566303132333435363700183031323334353637383961626364656630313233343536370002416c00072330313233343540690000000000004059000000000000",
    );
    let text = ChatText::parse("hi", 512).unwrap();
    let message = ChatMessage::new(MessageId(1), T, al(), text);
    written(
        Event::Chat(&message),
        "0600005d00026869001830313233343536373839616263646566303132333435363700183031323334353637383961626364656630313233343536370002416c000723303132333435406900000000000040590000000000004278bcfe56800000",
    );
}

#[test]
fn a_start_without_velocity_has_the_default_of_clients() {
    let mut out = Vec::new();
    write_note(&mut out, &Note { key: 60, stop: false, velocity: None, delay_ms: None });
    assert_eq!(out, bytes("000261343fe000000000000000000000000000000000000000000000"));
}

#[test]
fn text_beyond_its_length_field_is_cut_at_a_character() {
    let mut out = Vec::new();
    string(&mut out, &"\u{e9}".repeat(40_000));
    assert_eq!(out.len(), 2 + 65_534);
    assert_eq!(out[..2], [0xff, 0xfe]);
    assert!(str::from_utf8(&out[2..]).is_ok());
}

proptest! {
    #[test]
    fn any_frames_are_survived(
        frames in prop::collection::vec(
            (0u8..0x12, prop::collection::vec(any::<u8>(), 0..60)),
            0..4,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let payload: Vec<u8> =
            frames.iter().flat_map(|(opcode, body)| frame_of(*opcode, body)).collect();
        check::binary(&payload);
        check::binary(&payload[..cut.index(payload.len() + 1)]);
    }
}
