use super::*;
use std::sync::Arc;
use tutti_shards::{ChatText, Position, Settings, UserName};

const T: u64 = 1_761_000_001_000;

fn profile(first: u8, name: &str, door: DoorKind) -> Profile {
    let user = UserId([first, 0xa2, 0xb1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Profile { name: UserName::parse(name, 40), door, ..Profile::new(user, 0) }
}

fn view(profile: &Profile) -> ParticipantView<'_> {
    ParticipantView { profile, position: Position::OFF_SCREEN, digits: 4 }
}

fn said(by: &Profile, text: &str) -> ChatMessage {
    let text = ChatText::parse(text, 512).unwrap();
    ChatMessage { digits: 4, ..ChatMessage::new(tutti_shards::MessageId(1), T, by.clone(), text) }
}

fn written(format: Format, event: Event<'_>) -> String {
    let mut out = Vec::new();
    LineWire::default().encode(format, &[event], &mut out);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(event: Event<'_>, expected: &str) {
    assert_eq!(written(Format::LINE, event), expected);
}

#[test]
fn people_are_called_by_nick_or_handle() {
    let (alice, bob) = (profile(1, "Alice", DoorKind::Line), profile(0x3f, "B o", DoorKind::Piano));
    check(Event::Chat(&said(&alice, "hi")), "[22:40:01] Alice: hi\n");
    check(Event::Chat(&said(&bob, "hi")), "[22:40:01] B_o~3fa2: hi\n");
    let action = ChatMessage { is_action: true, ..said(&alice, "waves") };
    check(Event::Chat(&action), "[22:40:01] * Alice waves\n");
    let direct = Event::Direct { message: &said(&bob, "psst"), to: &alice };
    check(direct, "[22:40:01] [Private from B_o~3fa2]: psst\n");
    check(Event::Participant(view(&bob)), "*** B_o~3fa2 joined the room\n");
    check(Event::Left(view(&alice)), "*** Alice left the room\n");
    let renamed = profile(0x3f, "Ben", DoorKind::Piano);
    let changed = Event::Changed { view: view(&renamed), before: &bob };
    check(changed, "*** B_o~3fa2 is now known as Ben~3fa2\n");
    check(Event::Changed { view: view(&bob), before: &bob }, "");
    check(Event::Crowned(view(&alice)), "*** Alice now holds the crown\n");
}

#[test]
fn files_have_lines_of_their_own() {
    let alice = profile(1, "Alice", DoorKind::Line);
    let file = |name: &str, size| Attachment {
        id: tutti_shards::UploadId(7),
        name: name.into(),
        mime: "text/plain".into(),
        size,
        checksum: "0".repeat(64).into(),
        url: "garou:u/7".into(),
    };
    let attachments = vec![file("a b.txt", 900), file("c.png", 25 << 20), file("d", 1_025)];
    let message = ChatMessage { attachments, ..said(&alice, "see") };
    let files = ["a b.txt (900 bytes)", "c.png (25 MiB)", "d (2 KiB)"];
    let lines = |head: &str| {
        let files = files.map(|file| format!("[22:40:01] {head}: [file] {file} garou:u/7\n"));
        format!("[22:40:01] {head}: see\n{}", files.concat())
    };
    check(Event::Chat(&message), &lines("Alice"));
    check(Event::Direct { message: &message, to: &alice }, &lines("[Private from Alice]"));
}

#[test]
fn formats_differ_in_line_ends_and_joins() {
    let alice = profile(1, "Alice", DoorKind::Line);
    let joined = Event::Participant(view(&alice));
    assert_eq!(written(Format::LINE_CRLF, joined), "*** Alice joined the room\r\n");
    assert_eq!(written(Format::LINE_QUIET, joined), "");
    assert_eq!(
        written(Format::LINE_QUIET_CRLF, Event::ChatSwitched(true)),
        "*** Chat is now on\r\n"
    );
}

#[test]
fn rooms_are_listed_by_size_behind_the_lobby() {
    let info = |name: &str, count| {
        let name = ChannelName::parse(name).unwrap();
        let settings = Settings::new(name.kind());
        ChannelInfo { name, settings, count, crown: None, banned: Arc::default(), topic: None }
    };
    let rooms =
        [info("b", 1), info("a", 1), info("lobby", 0), info("c\u{1b}[2Jd", 9), info("x", 0)];
    let entries: Vec<&ChannelInfo> = rooms.iter().collect();
    check(
        Event::List { complete: true, entries: &entries, banned: None },
        "Available rooms:\n  #lobby (0 users)\n  #c[2Jd (9 users)\n  #a (1 user)\n  #b (1 user)\n",
    );
    let many: Vec<ChannelInfo> = (0..250).map(|n| info(&format!("room {n:03}"), 2)).collect();
    let entries: Vec<&ChannelInfo> = many.iter().collect();
    let text =
        written(Format::LINE, Event::List { complete: true, entries: &entries, banned: None });
    assert_eq!(text.lines().count(), 202);
    assert_eq!(text.lines().nth(200), Some("  #room 199 (2 users)"));
    assert_eq!(text.lines().last(), Some("  ... and 50 more"));
}

#[test]
fn operators_cannot_draw_either() {
    let notice =
        OperatorNotice { text: Some("a\u{1b}[31m\nb".into()), ..OperatorNotice::default() };
    check(Event::Notice(&Notice::Operator(Box::new(notice))), "*** Notice: a[31m\n*** Notice: b\n");
}

#[test]
fn what_operators_do_is_said() {
    check(Event::Notice(&Notice::Muted { seconds: 60 }), "*** You are muted for 60 seconds\n");
    let kicked = Notice::Kicked { reason: Some("a\nb\u{1b}".into()) };
    check(Event::Notice(&kicked), "*** An operator closed your connection: ab\n");
    check(
        Event::Notice(&Notice::SiteBanned { reason: None }),
        "*** You are banned from this server\n",
    );
}

#[test]
fn what_the_piano_plays_is_not_shown() {
    let user = UserId([1; 12]);
    check(Event::Cursor { user, position: Position::OFF_SCREEN }, "");
    check(Event::Notes { user, at_ms: 1.0, notes: &[] }, "");
    check(Event::Challenge, "");
    check(Event::History(&VecDeque::new()), "");
}
