use super::*;
use proptest::prelude::*;
use std::{collections::VecDeque, io::Cursor};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};
use tutti_shards::{
    ChatText, Color, MessageRef, Named, Notice, ParticipantView, Participants, Tag, UserName,
};

const A: &str = "5f0c3a9b7d21e4886a10cc42";
const B: &str = "77aa01c2d3e4f5061728394a";

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn mira() -> Profile {
    Profile {
        name: UserName::parse("Mira", 40),
        color: Color::parse("#3fa9c4").unwrap(),
        ..Profile::new(user(A), 0)
    }
}

fn ben() -> Profile {
    Profile {
        name: UserName::parse("Ben \"b\"", 40),
        color: Color::parse("#aa2255").unwrap(),
        tag: Some(Box::new(Tag { text: "BOT".into(), color: "#5f5".into() })),
        ..Profile::new(user(B), 0)
    }
}

struct People(Vec<(Profile, Position)>);

impl Participants for People {
    fn visit(&self, visit: &mut dyn FnMut(ParticipantView<'_>)) {
        for (profile, position) in &self.0 {
            visit(ParticipantView { profile, position: *position, digits: 0 });
        }
    }
}

/// Splits what was written into frames, as another implementation reads them.
fn frames(mut bytes: &[u8]) -> Vec<(OpCode, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let mut cursor = Cursor::new(bytes);
        let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert!(header.is_final && header.mask.is_none() && !header.rsv1 && !header.rsv2);
        let start = cursor.position() as usize;
        let (frame, rest) = bytes[start..].split_at(length as usize);
        frames.push((header.opcode, frame.to_vec()));
        bytes = rest;
    }
    frames
}

fn encode(format: Format, events: &[Event<'_>]) -> Vec<(OpCode, Vec<u8>)> {
    let mut out = Vec::new();
    MppWire::new("Welcome to <tutti> & \"friends\"").encode(format, events, &mut out);
    frames(&out)
}

/// The one message of the one text frame.
fn text(event: Event<'_>) -> String {
    let frames = encode(Format::MPP_TEXT, &[event]);
    let [(OpCode::Data(Data::Text), payload)] = frames.as_slice() else { panic!("{frames:?}") };
    let json = std::str::from_utf8(payload).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{json}");
    json.strip_prefix('[').unwrap().strip_suffix(']').unwrap().to_owned()
}

#[track_caller]
fn check(event: Event<'_>, expected: &str) {
    assert_eq!(text(event), expected);
}

fn message(by: Profile, said: &str, reply_to: Option<&str>) -> ChatMessage {
    let text = ChatText::parse(said, 512).unwrap();
    let reply_to = reply_to.and_then(MessageRef::parse);
    let id = MessageId(7 << 32 | 0x0c19_d07e);
    ChatMessage { reply_to, ..ChatMessage::new(id, 1_761_000_001_000, by, text) }
}

fn gone(profile: &Profile) -> ParticipantView<'_> {
    ParticipantView { profile, position: Position::OFF_SCREEN, digits: 0 }
}

fn channel_name(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

#[test]
fn greetings() {
    check(Event::Challenge, r#"{"m":"b","code":""}"#);
    let motd = r#""motd":"Welcome to &lt;tutti&gt; &amp; &quot;friends&quot;""#;
    let new = Profile::new(user(A), 0);
    check(
        Event::Hello { profile: &new, token: None, wall_ms: 1_761_000_000_000 },
        &format!(
            r##"{{"m":"hi","t":1761000000000,"u":{{"_id":"{A}","id":"{A}","name":"Anonymous","color":"#5f0c3a"}},"permissions":{{}},{motd}}}"##
        ),
    );
    check(
        Event::Hello { profile: &ben(), token: Some("to\"ken"), wall_ms: 1 },
        &format!(
            r##"{{"m":"hi","t":1,"u":{{"_id":"{B}","id":"{B}","name":"Ben \"b\"","color":"#aa2255","tag":{{"text":"BOT","color":"#5f5"}}}},"permissions":{{}},"token":"to\"ken",{motd}}}"##
        ),
    );
    let mut out = Vec::new();
    MppWire::new("").encode(
        Format::MPP_TEXT,
        &[Event::Hello { profile: &new, token: None, wall_ms: 1 }],
        &mut out,
    );
    assert!(out.ends_with(b"\"permissions\":{}}]"));
    check(
        Event::Quota(QuotaPreset { allowance: 200, max: 600 }),
        r#"{"m":"nq","allowance":200,"max":600,"maxHistLen":3}"#,
    );
}

#[test]
fn channels_show_settings_crown_and_people() {
    let name = channel_name("Quiet \"corner\"");
    let mut settings = Settings::new(ChannelKind::Normal);
    settings.visible = false;
    let crown = Crown {
        user: user(A),
        held: true,
        since_ms: 1_761_000_000_000,
        start: Position { x: 5_000, y: 5_050 },
        end: Position { x: -5, y: 7_525 },
    };
    let people = People(vec![(mira(), Position::OFF_SCREEN), (ben(), Position { x: 1, y: -250 })]);
    let view = |crown| ChannelView {
        name: &name,
        settings: &settings,
        count: 2,
        crown,
        participants: &people,
    };
    let head = format!(
        r##"{{"m":"ch","p":"{A}","ch":{{"_id":"Quiet \"corner\"","id":"Quiet \"corner\"","count":2,"settings":{{"visible":false,"chat":true,"crownsolo":false,"color":"#3b5054","color2":"#001014","limit":50,"noindex":false}}"##
    );
    let tail = format!(
        r##"}},"ppl":[{{"id":"{A}","_id":"{A}","name":"Mira","color":"#3fa9c4","x":200,"y":100}},{{"id":"{B}","_id":"{B}","name":"Ben \"b\"","color":"#aa2255","x":0.01,"y":-2.5,"tag":{{"text":"BOT","color":"#5f5"}}}}]}}"##
    );
    let positions =
        r#""time":1761000000000,"startPos":{"x":50,"y":50.5},"endPos":{"x":-0.05,"y":75.25}}"#;
    check(
        Event::Channel { view: view(Some(&crown)), me: user(A) },
        &format!(r#"{head},"crown":{{"participantId":"{A}","userId":"{A}",{positions}{tail}"#),
    );
    let lying = Crown { held: false, ..crown };
    check(
        Event::Channel { view: view(Some(&lying)), me: user(A) },
        &format!(r#"{head},"crown":{{"userId":"{A}",{positions}{tail}"#),
    );
    check(Event::Channel { view: view(None), me: user(A) }, &format!("{head}{tail}"));
}

#[test]
fn lobbies_say_that_they_are() {
    let people = People(vec![]);
    let shown = |name: &str| {
        let name = channel_name(name);
        let settings = Settings::new(name.kind());
        let (settings, participants) = (&settings, &people);
        let view = ChannelView { name: &name, settings, count: 0, crown: None, participants };
        text(Event::Channel { view, me: user(A) })
    };
    let settings = r##""settings":{"lobby":true,"visible":true,"chat":true,"crownsolo":false,"color":"#73b3cc","color2":"#273546""##;
    assert!(
        shown("lobby")
            .contains(&format!(r#"{settings},"limit":20,"noindex":false}}}},"ppl":[]}}"#))
    );
    assert!(shown("test/x").contains(&format!(r#"{settings},"noindex":false}}"#)));
}

#[test]
fn settings_that_were_set_are_shown() {
    let mut out = Vec::new();
    let settings = Settings {
        no_cussing: Some(true),
        lyrical_notes: Some(false),
        allow_bots: Some(false),
        color2: None,
        limit: Some(0),
        min_online_ms: Some(60_000),
        ..Settings::new(ChannelKind::Normal)
    };
    write_settings(ChannelKind::Normal, &settings, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r##"{"visible":true,"chat":true,"crownsolo":false,"color":"#3b5054","no cussing":true,"lyrical notes":false,"limit":0,"noindex":false,"allowBots":false,"minOnlineTime":60000}"##
    );
}

#[test]
fn channels_are_addressed_afterwards() {
    let name = channel_name("x");
    let settings = Settings::new(ChannelKind::Normal);
    // So many people that all three header lengths occur.
    for n in [0, 1, 700] {
        let people = People(vec![(ben(), Position::OFF_SCREEN); n]);
        let view = ChannelView {
            name: &name,
            settings: &settings,
            count: n as u32,
            crown: None,
            participants: &people,
        };
        let wire = MppWire::default();
        for format in [Format::MPP_TEXT, Format::MPP_QUICK] {
            let mut late = b"before".to_vec();
            let hole = wire.encode_unaddressed(format, view, &mut late);
            wire.address(format, &mut late[6..], hole, user(A));
            let mut early = b"before".to_vec();
            wire.encode(format, &[Event::Channel { view, me: user(A) }], &mut early);
            assert_eq!(late, early);
        }
    }
}

#[test]
fn people_come_move_and_go() {
    let position = Position { x: 4_120, y: 7_305 };
    check(
        Event::Participant(ParticipantView { profile: &mira(), position, digits: 0 }),
        &format!(
            r##"{{"m":"p","id":"{A}","_id":"{A}","name":"Mira","color":"#3fa9c4","x":41.2,"y":73.05}}"##
        ),
    );
    check(Event::Left(gone(&Profile::new(user(B), 0))), &format!(r#"{{"m":"bye","p":"{B}"}}"#));
    check(
        Event::Cursor { user: user(B), position: Position { x: 0, y: 5_530 } },
        &format!(r#"{{"m":"m","id":"{B}","x":"0.00","y":"55.30"}}"#),
    );
}

#[test]
fn notes_have_only_the_fields_that_were_sent() {
    let plain = Note { key: 51, stop: false, velocity: None, delay_ms: None };
    let notes = [
        Note { velocity: Some(0.62), ..plain },
        Note { stop: true, delay_ms: Some(90.0), ..plain },
        Note { key: 0, velocity: Some(0.0), delay_ms: Some(0.5), ..plain },
        Note { key: 87, velocity: Some(1.0), ..plain },
    ];
    check(
        Event::Notes { user: user(B), at_ms: 1_761_000_000_420.0, notes: &notes },
        &format!(
            r#"{{"m":"n","t":1761000000420,"p":"{B}","n":[{{"n":"c4","v":0.62}},{{"n":"c4","d":90,"s":1}},{{"n":"a-1","v":0,"d":0.5}},{{"n":"c7","v":1}}]}}"#
        ),
    );
}

#[test]
fn chat_and_its_history() {
    let from_ben = format!(
        r##"{{"_id":"{B}","id":"{B}","name":"Ben \"b\"","color":"#aa2255","tag":{{"text":"BOT","color":"#5f5"}}}}"##
    );
    let from_mira = format!(r##"{{"_id":"{A}","id":"{A}","name":"Mira","color":"#3fa9c4"}}"##);
    let head = r#""id":"0c19d07e","t":1761000001000,"a""#;
    let said = format!(r#"{{"m":"a",{head}:"hello \\ there","p":{from_ben}}}"#);
    check(Event::Chat(&message(ben(), "hello \\ there", None)), &said);
    let answered = format!(r#"{{"m":"a",{head}:"yes","p":{from_mira},"r":"4c19d07e"}}"#);
    let answer = message(mira(), "yes", Some("4c19d07e"));
    check(Event::Chat(&answer), &answered);
    let file = tutti_shards::Attachment {
        id: tutti_shards::UploadId(7),
        name: "a \"b\".txt".into(),
        mime: "text/plain".into(),
        size: 9,
        checksum: "0".repeat(64).into(),
        url: "garou:u/7".into(),
    };
    let shown = ChatMessage { attachments: vec![file], ..message(mira(), "see", None) };
    check(
        Event::Chat(&shown),
        &format!(r#"{{"m":"a",{head}:"see [file] a \"b\".txt garou:u/7","p":{from_mira}}}"#),
    );
    check(Event::History(&VecDeque::new()), r#"{"m":"c","c":[]}"#);
    let history = VecDeque::from([message(ben(), "hello \\ there", None), answer]);
    check(Event::History(&history), &format!(r#"{{"m":"c","c":[{said},{answered}]}}"#));
    check(
        Event::Direct { message: &message(mira(), "psst", Some("x")), to: &ben() },
        &format!(
            r#"{{"m":"dm",{head}:"psst","sender":{from_mira},"recipient":{from_ben},"r":"x"}}"#
        ),
    );
}

#[test]
fn the_list_tells_bans_to_the_banned() {
    let entry = |name: &str, banned: &[&str]| ChannelInfo {
        topic: None,
        name: channel_name(name),
        settings: Settings::new(ChannelKind::Lobby),
        count: 3,
        crown: None,
        banned: banned.iter().map(|id| user(id)).collect(),
    };
    let entries = [&entry("lobby", &[]), &entry("lobby2", &[A, B])];
    let shown = |name| {
        format!(
            r##"{{"_id":"{name}","id":"{name}","count":3,"settings":{{"lobby":true,"visible":true,"chat":true,"crownsolo":false,"color":"#73b3cc","color2":"#273546","limit":20,"noindex":false}}"##
        )
    };
    let (first, second) = (shown("lobby"), shown("lobby2"));
    check(
        Event::List { complete: true, entries: &entries, banned: None },
        &format!(r#"{{"m":"ls","c":true,"u":[{first}}},{second}}}]}}"#),
    );
    check(
        Event::List { complete: false, entries: &entries, banned: Some(user(B)) },
        &format!(r#"{{"m":"ls","c":false,"u":[{first}}},{second},"banned":true}}]}}"#),
    );
    check(
        Event::List { complete: true, entries: &[], banned: None },
        r#"{"m":"ls","c":true,"u":[]}"#,
    );
}

#[test]
fn clocks_are_echoed() {
    let time = |echo| Event::Time { wall_ms: 1_761_000_000_150, echo };
    check(time(Some(1_761_000_000_100.0)), r#"{"m":"t","t":1761000000150,"e":1761000000100}"#);
    check(time(Some(0.5)), r#"{"m":"t","t":1761000000150,"e":0.5}"#);
    check(time(None), r#"{"m":"t","t":1761000000150}"#);
}

#[test]
fn custom_messages_have_a_blob_only_for_those_who_take_it() {
    let body = CustomBody { json: r#"{"k":1}"#.into(), blob: Some([1, 2, 3].into()) };
    let json = format!(
        r##"{{"m":"custom","data":{{"k":1}},"p":"{A}","u":{{"_id":"{A}","id":"{A}","name":"Mira","color":"#3fa9c4"}}}}"##
    );
    let from = &mira();
    fn event<'a>(from: &'a Profile, body: &'a CustomBody, with_blob: bool) -> Event<'a> {
        Event::Custom { from, body, with_blob }
    }
    check(event(from, &body, false), &json);
    let plain = CustomBody { blob: None, ..body.clone() };
    check(event(from, &plain, true), &json);
    let mut expected = (json.len() as u32).to_be_bytes().to_vec();
    expected.extend_from_slice(json.as_bytes());
    expected.extend_from_slice(&[1, 2, 3]);
    for format in [Format::MPP_TEXT, Format::MPP_QUICK] {
        let twice = [event(from, &body, true), event(from, &body, true)];
        let frame = (OpCode::Data(Data::Binary), expected.clone());
        assert_eq!(encode(format, &twice), [frame.clone(), frame]);
    }
}

#[test]
fn a_text_frame_holds_all_events() {
    let (a, b) = (Profile::new(user(A), 0), Profile::new(user(B), 0));
    let events = [Event::Left(gone(&a)), Event::Challenge, Event::Left(gone(&b))];
    let expected =
        format!(r#"[{{"m":"bye","p":"{A}"}},{{"m":"b","code":""}},{{"m":"bye","p":"{B}"}}]"#);
    let frame = (OpCode::Data(Data::Text), expected.into_bytes());
    assert_eq!(encode(Format::MPP_TEXT, &events), [frame]);
    assert_eq!(encode(Format::MPP_TEXT, &[]), []);
}

#[test]
fn quick_gets_text_where_binary_loses_and_order_is_kept() {
    let cursor = Event::Cursor { user: user(A), position: Position { x: 0, y: 0 } };
    let time = Event::Time { wall_ms: 1, echo: None };
    let said = message(mira(), "x", None);
    let left = Profile::new(user(B), 0);
    let events = [
        Event::Left(gone(&left)),
        cursor,
        time,
        Event::Quota(QuotaPreset { allowance: 1, max: 2 }),
        Event::Challenge,
        Event::Chat(&said),
        Event::Notice(&Notice::TooFast),
    ];
    let written = encode(Format::MPP_QUICK, &events);
    let (text, binary) = (OpCode::Data(Data::Text), OpCode::Data(Data::Binary));
    let opcodes: Vec<_> = written.iter().map(|(opcode, _)| *opcode).collect();
    assert_eq!(opcodes, [text, binary, text, binary, text]);
    // The cursor and the clock are two quick frames of one WebSocket frame.
    assert_eq!((written[1].1[0], written[1].1[46]), (8, 5));
    assert_eq!(encode(Format::MPP_TEXT, &events).len(), 1);
}

#[test]
fn a_ping_is_empty() {
    let mut out = Vec::new();
    MppWire::default().ping(Format::MPP_TEXT, &mut out);
    assert_eq!(frames(&out), [(OpCode::Control(Control::Ping), vec![])]);
}

proptest! {
    #[test]
    fn every_text_frame_is_json(
        texts in prop::collection::vec("\\PC{1,40}", 3),
        count in 1usize..400,
        at_ms in any::<f64>().prop_filter("finite", |n| n.is_finite()),
        (velocity, delay_ms) in (prop::option::of(0.0f32..=1.0), prop::option::of(0.0f32..=1e4)),
        (x, y) in (-1_000_000i32..=1_000_000, -1_000_000i32..=1_000_000),
    ) {
        let profile = Profile {
            name: UserName::parse(&texts[0], 40),
            tag: Some(Box::new(Tag { text: texts[1].as_str().into(), color: "#fff".into() })),
            ..Profile::new(user(A), 0)
        };
        let position = Position { x, y };
        let key = (x.unsigned_abs() % 88) as u8;
        let notes = vec![Note { key, stop: y > 0, velocity, delay_ms }; count];
        let said: VecDeque<ChatMessage> = ChatText::parse(&texts[2], 512)
            .into_iter()
            .map(|text| ChatMessage { text, ..message(profile.clone(), "x", None) })
            .collect();
        let banned = Notice::RemovedFromHere {
            name: Named { name: texts[0].as_str().into(), in_lines: "".into() },
            by: Named { name: texts[2].as_str().into(), in_lines: "".into() },
            minutes: 1,
            reason: None,
        };
        let events = [
            Event::Hello { profile: &profile, token: Some(&texts[2]), wall_ms: 1 },
            Event::Participant(ParticipantView { profile: &profile, position, digits: 0 }),
            Event::Notes { user: user(A), at_ms, notes: &notes },
            Event::Cursor { user: user(A), position },
            Event::History(&said),
            Event::Notice(&banned),
        ];
        for format in [Format::MPP_TEXT, Format::MPP_QUICK] {
            for (opcode, payload) in encode(format, &events) {
                if opcode == OpCode::Data(Data::Text) {
                    let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                    prop_assert!(json.as_array().unwrap().iter().all(|message| message["m"].is_string()));
                }
            }
        }
        let json: serde_json::Value =
            serde_json::from_slice(&encode(Format::MPP_TEXT, &events)[0].1).unwrap();
        prop_assert_eq!(json[1]["tag"]["text"].as_str(), Some(texts[1].as_str()));
        prop_assert_eq!(json[2]["n"].as_array().map(Vec::len), Some(count));
        prop_assert_eq!(json[3]["x"].as_str().unwrap(), format!("{:.2}", f64::from(x) / 100.0));
    }
}
