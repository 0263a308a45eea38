use super::*;
use crate::doors::mpp::check;
use proptest::prelude::*;
use tutti_shards::ChatText;

const USER: &str = "0123456789abcdef01234567";

struct Staff;

impl Auth for Staff {
    fn hello(&self, token: Option<&str>) -> (Option<UserId>, Option<Box<str>>) {
        (UserId::parse(USER), token.map(|token| format!("not {token}").into()))
    }

    fn password(&self, given: &str) -> bool {
        given == "right"
    }
}

/// The commands of a text frame from a connection that already speaks text, and how many messages it counts for.
fn frame(json: &str) -> (Vec<Command>, usize) {
    check::text(json.as_bytes());
    let mut out = VecDeque::new();
    let mut format = Format::MPP_TEXT;
    let mut decoder = Decoder::new(Limits::default());
    let count = decoder.text(&mut json.as_bytes().to_vec(), &mut format, &Staff, &mut out);
    (out.into(), count)
}

/// The command of one message.
fn message(json: &str) -> Option<Command> {
    let (mut commands, count) = frame(&format!("[{json}]"));
    assert_eq!(count, 1);
    assert!(commands.len() <= 1);
    commands.pop()
}

#[track_caller]
fn check(json: &str, expected: Command) {
    assert_eq!(message(json), Some(expected), "{json}");
}

#[track_caller]
fn ignored(messages: &[&str]) {
    for json in messages {
        assert_eq!(message(json), None, "{json}");
    }
}

fn user() -> UserId {
    UserId::parse(USER).unwrap()
}

fn chat(text: &str) -> ChatText {
    ChatText::parse(text, 512).unwrap()
}

fn named(name: &str) -> JoinTarget {
    JoinTarget::Named(ChannelName::parse(name).unwrap())
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn batch(json: &str) -> NoteBatch {
    match message(json) {
        Some(Command::Play(batch)) => batch,
        other => panic!("{json} became {other:?}"),
    }
}

fn note(key: u8) -> Note {
    Note { key, stop: false, velocity: None, delay_ms: None }
}

#[test]
fn what_is_no_array_is_ignored() {
    for bad in
        ["not json", "", "{\"m\":\"hi\"}", "5", "null", "[{\"m\":\"bye\"}", "[{\"m\":\"bye\"}]x"]
    {
        assert_eq!(frame(bad), (vec![], 1), "{bad}");
    }
    assert_eq!(frame("[]"), (vec![], 1));
}

#[test]
fn bad_elements_do_not_spoil_their_neighbours() {
    let (commands, count) =
        frame(r#"[1,null,"x",{},{"m":5},[{"m":"bye"}],{"m":"nope"},{"m":"bye"}]"#);
    assert_eq!((commands, count), (vec![Command::Bye], 8));
}

#[test]
fn order_is_kept() {
    let (commands, count) = frame(r#" [ {"m":"+ls"}, {"m":"m","x":1,"y":2} ,{"m":"-ls"}] "#);
    let there = Command::Move(Position { x: 100, y: 200 });
    assert_eq!(commands, [Command::FollowList(true), there, Command::FollowList(false)]);
    assert_eq!(count, 3);
}

#[test]
fn a_text_frame_makes_the_connection_speak_text() {
    let mut decoder = Decoder::new(Limits::default());
    let mut decode = |json: &str, format: &mut Format| {
        let mut out = VecDeque::new();
        decoder.text(&mut json.as_bytes().to_vec(), format, &Staff, &mut out);
        Vec::from(out)
    };
    for json in [r#"[{"m":"m","x":0,"y":0}]"#, r#"[{"m":"bye"}]"#, "[]"] {
        let mut format = Format::MPP_QUICK;
        let spoken = decode(json, &mut format);
        assert_eq!(spoken.first(), Some(&Command::Speak(Format::MPP_TEXT)), "{json}");
        assert_eq!(format, Format::MPP_TEXT);
        assert!(!decode(json, &mut format).contains(&Command::Speak(Format::MPP_TEXT)));
    }
    let mut format = Format::MPP_QUICK;
    assert!(decode("{}", &mut format).is_empty());
    assert_eq!(format, Format::MPP_QUICK);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        format!("[{{\"m\":\"bye\",\"x\":{}{}}}]", "[".repeat(depth - 2), "]".repeat(depth - 2))
    };
    assert_eq!(frame(&nested(32)).0, [Command::Bye]);
    assert_eq!(frame(&nested(33)).0, []);
    assert_eq!(frame(&"[".repeat(128 << 10)), (vec![], 1));
    assert_eq!(frame(&"[{\"m\":".repeat(20 << 10)), (vec![], 1));
}

#[test]
fn lone_surrogates_become_replacement_characters() {
    check(
        r#"{"m":"userset","set":{"name":"a\ud83d"}}"#,
        Command::SetProfile { name: UserName::parse("a\u{fffd}", 40), color: None },
    );
    check(
        r#"{"m":"a","message":"\ud83d\ude00 \\ud83d"}"#,
        Command::Chat { text: chat("\u{1f600} \\ud83d"), reply_to: None },
    );
}

#[test]
fn hello_takes_a_token_and_nothing_else() {
    let hello =
        |token: Option<&str>| Command::Hello { user: Some(user()), token: token.map(Into::into) };
    check(r#"{"m":"hi"}"#, hello(None));
    check(r#"{"m":"hi","token":"abc"}"#, hello(Some("not abc")));
    check(r#"{"m":"hi","token":5,"code":{"a":1},"login":null,"🐈":3}"#, hello(None));
}

#[test]
fn messages_without_fields() {
    check(r#"{"m":"bye"}"#, Command::Bye);
    check(r#"{"m":"+ls"}"#, Command::FollowList(true));
    check(r#"{"m":"-ls"}"#, Command::FollowList(false));
    check(r#"{"m":"+custom"}"#, Command::FollowCustom(true));
    check(r#"{"m":"-custom"}"#, Command::FollowCustom(false));
    ignored(&[
        r#"{"m":"devices","list":[{"type":"input"}]}"#,
        r#"{"m":"clearchat"}"#,
        r#"{"M":"bye"}"#,
    ]);
}

#[test]
fn joins_name_a_channel() {
    let join =
        |target, set: Option<SettingsPatch>| Command::Join { target, set: set.map(Box::new) };
    check(r#"{"m":"ch","_id":"Quiet corner"}"#, join(named("Quiet corner"), None));
    check(r#"{"m":"ch","_id":"lolwutsecretlobbybackdoor"}"#, join(JoinTarget::LobbyBackdoor, None));
    for absent in ["null", "{}", "[]", "5", r#"{"junk":1}"#] {
        check(&format!(r#"{{"m":"ch","_id":"x","set":{absent}}}"#), join(named("x"), None));
    }
    let hidden = SettingsPatch {
        visible: Some(false),
        color: Color::parse("#112233"),
        ..SettingsPatch::default()
    };
    check(
        r##"{"m":"ch","_id":"x","set":{"visible":false,"color":"#112233","lobby":true,"junk":1}}"##,
        join(named("x"), Some(hidden)),
    );
    ignored(&[r#"{"m":"ch","_id":5}"#, r#"{"m":"ch","_id":null}"#, r#"{"m":"ch"}"#]);
}

#[test]
fn bad_channel_names_lead_to_the_lobby() {
    for name in ["", "   ", "a\\nb", &"x".repeat(513)] {
        let lobby = Command::Join { target: named("lobby"), set: None };
        check(&format!(r#"{{"m":"ch","_id":"{name}"}}"#), lobby);
    }
    let longest = "x".repeat(512);
    let join = Command::Join { target: named(&longest), set: None };
    check(&format!(r#"{{"m":"ch","_id":"{longest}"}}"#), join);
}

#[test]
fn settings_are_taken_one_by_one() {
    let set = |json: &str| match message(&format!(r#"{{"m":"chset","set":{json}}}"#)) {
        Some(Command::ChangeSettings(patch)) => Some(*patch),
        None => None,
        other => panic!("{json} became {other:?}"),
    };
    let none = SettingsPatch::default;
    let everything = r##"{"lobby":true,"visible":false,"chat":"false","crownsolo":"true","color":"#aAbBcC",
        "color2":"#000000","no cussing":true,"lyrical notes":false,"limit":"07","noindex":true,"allowBots":false,
        "minOnlineTime":86400000,"owner_id":"x"}"##;
    assert_eq!(
        set(everything),
        Some(SettingsPatch {
            visible: Some(false),
            chat: Some(false),
            crown_solo: Some(true),
            color: Color::parse("#aabbcc"),
            color2: Color::parse("#000000"),
            no_cussing: Some(true),
            lyrical_notes: Some(false),
            limit: Some(7),
            no_index: Some(true),
            allow_bots: Some(false),
            min_online_ms: Some(86_400_000),
        })
    );
    assert_eq!(
        set(r#"{"visible":1,"chat":true}"#),
        Some(SettingsPatch { chat: Some(true), ..none() })
    );
    for (value, limit) in [("0", 0), ("99", 99), ("7.0", 7), (r#""99""#, 99)] {
        let expected = Some(SettingsPatch { limit: Some(limit), ..none() });
        assert_eq!(set(&format!(r#"{{"limit":{value}}}"#)), expected);
    }
    for bad in
        ["100", "-1", "7.5", r#""100""#, r#""-1""#, r#""+7""#, r#""7.5""#, r#""""#, "null", "[7]"]
    {
        assert_eq!(set(&format!(r#"{{"limit":{bad}}}"#)), None, "{bad}");
    }
    for bad in ["86400001", "-1", r#""5""#] {
        assert_eq!(set(&format!(r#"{{"minOnlineTime":{bad}}}"#)), None, "{bad}");
    }
    for bad in ["null", "5", "[]", "{}", r#"{"visible":"yes"}"#, r#"{"color":"red"}"#] {
        assert_eq!(set(bad), None, "{bad}");
    }
}

#[test]
fn crowns_go_to_users_or_down() {
    check(&format!(r#"{{"m":"chown","id":"{USER}"}}"#), Command::GiveCrown(Some(user())));
    for dropped in
        [r#"{"m":"chown"}"#, r#"{"m":"chown","id":"nobody"}"#, r#"{"m":"chown","id":null}"#]
    {
        check(dropped, Command::GiveCrown(None));
    }
    ignored(&[r#"{"m":"chown","id":5}"#, r#"{"m":"chown","id":{}}"#]);
}

#[test]
fn chat_is_cleaned_and_counted_in_utf16() {
    let said = |text: &str| message(&format!(r#"{{"m":"a","message":"{text}"}}"#));
    let ok = |text: &str| Some(Command::Chat { text: chat(text), reply_to: None });
    assert_eq!(said(r"a\u202eb\nc"), ok("abc"));
    for unit in ["x", "\u{e9}"] {
        assert_eq!(said(&unit.repeat(512)), ok(&unit.repeat(512)));
        assert_eq!(said(&unit.repeat(513)), None);
    }
    assert_eq!(said(&"\u{1f600}".repeat(256)), ok(&"\u{1f600}".repeat(256)));
    assert_eq!(said(&"\u{1f600}".repeat(257)), None);
    ignored(&[r#"{"m":"a","message":"  "}"#, r#"{"m":"a","message":5}"#, r#"{"m":"a"}"#]);
    let answer = |reply_to: &str| match message(&format!(
        r#"{{"m":"a","message":"x","reply_to":{reply_to},"_id":"ignored"}}"#
    )) {
        Some(Command::Chat { reply_to, .. }) => reply_to.map(|id| id.as_str().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(answer(r#""9be0-_Zz""#), Some("9be0-_Zz".into()));
    assert_eq!(answer(r#""a b""#), None);
    assert_eq!(answer("7"), None);
}

#[test]
fn direct_messages_name_a_user() {
    check(
        &format!(r#"{{"m":"dm","_id":"{USER}","message":"psst","reply_to":"1"}}"#),
        Command::Direct { to: user(), text: chat("psst"), reply_to: MessageRef::parse("1") },
    );
    ignored(&[r#"{"m":"dm","message":"psst"}"#, r#"{"m":"dm","_id":"nobody","message":"psst"}"#]);
}

#[test]
fn notes_are_checked_one_by_one() {
    let played =
        batch(r#"{"m":"n","t":1761000000420,"n":[{"n":"c4","v":0.62},{"n":"c4","d":90,"s":1}]}"#);
    assert_eq!(played.at_ms, 1_761_000_000_420.0);
    assert_eq!(played.sent, 2);
    let start = Note { velocity: Some(0.62), ..note(51) };
    let stop = Note { stop: true, delay_ms: Some(90.0), ..note(51) };
    assert_eq!(played.notes.as_slice(), [start, stop]);

    let one = |json: &str| batch(&format!(r#"{{"m":"n","t":1.5,"n":[{json}]}}"#)).notes.to_vec();
    let velocity = |v| vec![Note { velocity: Some(v), ..note(0) }];
    assert_eq!(one(r#"{"n":"a-1","v":1.27}"#), velocity(1.0));
    assert_eq!(one(r#"{"n":"a-1","v":-3}"#), velocity(0.0));
    assert_eq!(one(r#"{"n":"a-1","v":"0.5"}"#), velocity(0.5));
    assert_eq!(one(r#"{"n":"a-1","v":"loud","d":"5","x":[{}]}"#), [note(0)]);
    assert_eq!(one(r#"{"n":"a-1","v":null,"d":null,"s":null}"#), [note(0)]);
    let delay = |d| vec![Note { delay_ms: Some(d), ..note(87) }];
    assert_eq!(one(r#"{"n":"c7","d":-5}"#), delay(0.0));
    assert_eq!(one(r#"{"n":"c7","d":700}"#), delay(700.0));
    assert_eq!(one(r#"{"n":"c7","d":1e9}"#), delay(10_000.0));
    for truthy in ["true", "1", "-1", "0.5", r#""0""#, "{}", "[]"] {
        assert!(one(&format!(r#"{{"n":"c7","s":{truthy}}}"#))[0].stop, "{truthy}");
    }
    for falsy in ["false", "0", "-0", "0.0", r#""""#, "null"] {
        assert!(!one(&format!(r#"{{"n":"c7","s":{falsy}}}"#))[0].stop, "{falsy}");
    }
}

#[test]
fn batches_count_what_was_sent() {
    let played =
        batch(r#"{"m":"n","t":0,"n":[{"n":"zz9"},{"n":"c4","v":0.5},5,null,{"v":1},{"n":7}]}"#);
    assert_eq!((played.sent, played.notes.len()), (6, 1));
    let nothing = batch(r#"{"m":"n","t":0,"n":[{"n":"zz9"}]}"#);
    assert_eq!((nothing.sent, nothing.notes.len()), (1, 0));
    ignored(&[
        r#"{"m":"n","n":[{"n":"c4"}]}"#,
        r#"{"m":"n","t":"5","n":[{"n":"c4"}]}"#,
        r#"{"m":"n","t":null,"n":[{"n":"c4"}]}"#,
        r#"{"m":"n","t":5,"n":{"n":"c4"}}"#,
        r#"{"m":"n","t":5}"#,
        r#"{"m":"n","t":5,"n":[]}"#,
    ]);
}

#[test]
fn cursors_are_numbers_or_text() {
    let at = |x, y| Command::Move(Position { x, y });
    check(r#"{"m":"m","x":"41.20","y":"73.05"}"#, at(4_120, 7_305));
    check(r#"{"m":"m","x":12.345,"y":0}"#, at(1_235, 0));
    check(r#"{"m":"m","y":" 5 ","x":"-1e2"}"#, at(-10_000, 500));
    check(r#"{"m":"m","x":1e30,"y":-123456789012345678901234567890}"#, at(1_000_000, -1_000_000));
    ignored(&[
        r#"{"m":"m","x":"abc","y":1}"#,
        r#"{"m":"m","x":null,"y":1}"#,
        r#"{"m":"m","y":1}"#,
        r#"{"m":"m","x":"","y":1}"#,
        r#"{"m":"m","x":"inf","y":1}"#,
        r#"{"m":"m","x":"NaN","y":1}"#,
        r#"{"m":"m","x":[1],"y":1}"#,
    ]);
}

#[test]
fn profiles_change_by_parts() {
    let profile = |name: Option<&str>, color: Option<&str>| Command::SetProfile {
        name: name.and_then(|name| UserName::parse(name, 40)),
        color: color.and_then(Color::parse),
    };
    check(
        r##"{"m":"userset","set":{"name":" Mira ","color":"#3fa9c4"}}"##,
        profile(Some("Mira"), Some("#3fa9c4")),
    );
    check(r##"{"m":"userset","set":{"color":"#3fa9c4"}}"##, profile(None, Some("#3fa9c4")));
    check(
        r##"{"m":"userset","set":{"name":"  ","color":"#3fa9c4"}}"##,
        profile(None, Some("#3fa9c4")),
    );
    check(r#"{"m":"userset","set":{"name":"x","color":"red"}}"#, profile(Some("x"), None));
    let name = |n| format!(r#"{{"m":"userset","set":{{"name":"{}"}}}}"#, "n".repeat(n));
    check(&name(40), profile(Some(&"n".repeat(40)), None));
    ignored(&[
        &name(41),
        r#"{"m":"userset","set":{"name":5}}"#,
        r#"{"m":"userset","set":null}"#,
        r#"{"m":"userset"}"#,
        r##"{"m":"userset","set":{"color":"#12345"}}"##,
    ]);
}

#[test]
fn bans_need_a_number() {
    let ban = |ms: &str| format!(r#"{{"m":"kickban","_id":"{USER}","ms":{ms}}}"#);
    for (ms, expected) in [
        ("300000", 300_000),
        ("0", 0),
        ("-5", 0),
        ("1.9", 1),
        ("1e12", 1_000_000_000_000),
        ("1e300", u64::MAX),
    ] {
        check(&ban(ms), Command::Ban { user: user(), ms: expected });
    }
    ignored(&[&ban(r#""60000""#), &ban("null"), r#"{"m":"kickban","_id":"nobody","ms":1}"#]);
    ignored(&[&format!(r#"{{"m":"kickban","_id":"{USER}"}}"#)]);
    check(&format!(r#"{{"m":"unban","_id":"{USER}"}}"#), Command::Unban(user()));
    ignored(&[r#"{"m":"unban","_id":5}"#, r#"{"m":"unban"}"#]);
}

#[test]
fn time_is_echoed_when_it_is_a_number() {
    let time = |echo| Command::Time { echo };
    check(r#"{"m":"t","e":1761000000100}"#, time(Some(1_761_000_000_100.0)));
    check(r#"{"m":"t","e":123}"#, time(Some(123.0)));
    check(r#"{"m":"t","e":18446744073709551616}"#, time(Some(18_446_744_073_709_551_616.0)));
    for none in
        [r#"{"m":"t"}"#, r#"{"m":"t","e":{}}"#, r#"{"m":"t","e":"5"}"#, r#"{"m":"t","e":null}"#]
    {
        check(none, time(None));
    }
}

fn custom_of(json: &str) -> Option<Custom> {
    match message(json) {
        Some(Command::Custom(custom)) => Some(*custom),
        None => None,
        other => panic!("{json} became {other:?}"),
    }
}

#[test]
fn custom_messages_carry_any_data() {
    let sent = |data: &str| {
        let json = format!(r#"{{"m":"custom",{data}"target":{{"mode":"subscribed"}}}}"#);
        custom_of(&json).unwrap().body.json.to_string()
    };
    assert_eq!(sent(""), "null");
    assert_eq!(sent(r#""data":null,"#), "null");
    assert_eq!(sent(r#""data": { "k" : [ 1, 2.50, "a\u00e9\n" ] },"#), r#"{"k":[1,2.5,"aé\n"]}"#);
}

#[test]
fn custom_messages_name_their_targets() {
    let to = |target: &str| custom_of(&format!(r#"{{"m":"custom","data":1,"target":{target}}}"#));
    let body = || CustomBody { json: "1".into(), blob: None };
    let custom = |target, global| Some(Custom { target, global, body: body() });
    let users = |n: usize| CustomTarget::Users(std::iter::repeat_n(user(), n).collect());
    assert_eq!(to(r#"{"mode":"subscribed"}"#), custom(CustomTarget::Subscribed, false));
    assert_eq!(
        to(r#"{"mode":"subscribed","global":true}"#),
        custom(CustomTarget::Subscribed, true)
    );
    assert_eq!(to(&format!(r#"{{"mode":"id","id":"{USER}"}}"#)), custom(users(1), false));
    let ids = |n: usize| {
        let ids = vec![format!("\"{USER}\""); n].join(",");
        to(&format!(r#"{{"mode":"ids","ids":[{ids}]}}"#))
    };
    assert_eq!(ids(32), custom(users(32), false));
    assert_eq!(ids(33), None);
    assert_eq!(
        to(&format!(r#"{{"mode":"ids","ids":["nobody","{USER}"]}}"#)),
        custom(users(1), false)
    );
    for bad in [
        "null",
        "{}",
        r#"{"mode":"all"}"#,
        r#"{"mode":"subscribed","global":1}"#,
        r#"{"mode":"id"}"#,
        r#"{"mode":"id","id":"nobody"}"#,
        r#"{"mode":"ids","ids":"x"}"#,
        r#"{"mode":"ids","ids":[5]}"#,
    ] {
        assert_eq!(to(bad), None, "{bad}");
    }
}

fn staff(inner: &str) -> Option<AdminCommand> {
    let wrapped = |m, key, password: &str| {
        message(&format!(r#"{{"m":"{m}","password":"{password}","{key}":{inner}}}"#))
    };
    assert_eq!(wrapped("admin message", "msg", "wrong"), None);
    assert_eq!(wrapped("adminmsg", "message", "wrong"), None);
    assert_eq!(message(&format!(r#"{{"m":"admin message","msg":{inner}}}"#)), None);
    let one = wrapped("admin message", "msg", "right");
    assert_eq!(wrapped("adminmsg", "message", "right"), one);
    match one {
        Some(Command::Admin(command)) => Some(*command),
        None => None,
        other => panic!("{inner} became {other:?}"),
    }
}

#[test]
fn staff_change_profiles() {
    let profile = |change| Some(AdminCommand::Profile { user: user(), change });
    let color = ProfileChange { color: Color::parse("#010203"), ..Default::default() };
    for m in ["color", "setcolor"] {
        for key in ["_id", "id"] {
            let json = format!(r##"{{"m":"{m}","{key}":"{USER}","color":"#010203"}}"##);
            assert_eq!(staff(&json), profile(color.clone()));
        }
    }
    let name = ProfileChange { name: UserName::parse("Mira", 40), ..Default::default() };
    assert_eq!(staff(&format!(r#"{{"m":"name","_id":"{USER}","name":"Mira"}}"#)), profile(name));
    let tag = Tag { text: "MOD".into(), color: "#f00".into() };
    let tagged = ProfileChange { tag: Some(Some(Box::new(tag))), ..Default::default() };
    let tag = |text: &str, color: &str| {
        staff(&format!(
            r#"{{"m":"tag","_id":"{USER}","tag":{{"text":"{text}","color":"{color}"}}}}"#
        ))
    };
    assert_eq!(tag(" MOD ", "#f00"), profile(tagged));
    assert_eq!(tag("MOD", "#ff00"), None);
    assert_eq!(tag(" ", "#f00"), None);
    assert!(tag(&"x".repeat(50), "#123456").is_some());
    assert_eq!(tag(&"x".repeat(51), "#123456"), None);
    let untagged = ProfileChange { tag: Some(None), ..Default::default() };
    assert_eq!(staff(&format!(r#"{{"m":"remove_tag","_id":"{USER}"}}"#)), profile(untagged));
}

#[test]
fn staff_move_speak_and_clear() {
    assert_eq!(staff(r#"{"m":"clear_chat"}"#), Some(AdminCommand::ClearChat));
    let moved = |user| Some(AdminCommand::Move { user, channel: channel("x"), set: None });
    assert_eq!(staff(r#"{"m":"move","ch":"x"}"#), moved(None));
    assert_eq!(staff(&format!(r#"{{"m":"move","ch":"x","_id":"{USER}"}}"#)), moved(Some(user())));
    let said = |channel| Some(AdminCommand::Chat { channel, text: chat("hear") });
    assert_eq!(staff(r#"{"m":"admin_chat","message":"hear"}"#), said(None));
    let there = staff(r#"{"m":"admin_chat","message":"hear","_id":"x"}"#);
    assert_eq!(there, said(Some(channel("x"))));
    for unknown in [r#"{"m":"eval","code":"1"}"#, r#"{"m":"restart"}"#, "null", "{}"] {
        assert_eq!(staff(unknown), None);
    }
}

#[test]
fn staff_notify() {
    let notify =
        |audience, notice| Some(AdminCommand::Notify { audience, notice: Box::new(notice) });
    let plain = || OperatorNotice { duration_ms: Some(7_000), ..Default::default() };
    assert_eq!(staff(r#"{"m":"notification"}"#), notify(Audience::Here, plain()));
    assert_eq!(
        staff(r#"{"m":"notification","targetChannel":"all"}"#),
        notify(Audience::Everyone, plain())
    );
    assert_eq!(
        staff(r#"{"m":"notification","targetChannel":"x"}"#),
        notify(Audience::Channel(channel("x")), plain())
    );
    assert_eq!(
        staff(&format!(r#"{{"m":"notification","targetUser":"{USER}"}}"#)),
        notify(Audience::User(user()), plain())
    );
    let full = OperatorNotice {
        id: Some("a-1".into()),
        title: Some("T".into()),
        text: Some("<x>".into()),
        html: Some("<b>".into()),
        class: Some("short".into()),
        target: Some("#room".into()),
        duration_ms: Some(60_000),
    };
    assert_eq!(
        staff(
            r##"{"m":"notification","id":"a-1","title":"T","text":"<x>","html":"<b>","class":"short","target":"#room","duration":1e9}"##
        ),
        notify(Audience::Here, full)
    );
    assert_eq!(
        staff(
            r##"{"m":"notification","id":"a b","class":"x","target":"body","duration":-1,"title":5}"##
        ),
        notify(Audience::Here, OperatorNotice { duration_ms: Some(-1), ..Default::default() })
    );
}

#[test]
fn binary_custom_messages_have_a_blob() {
    let mut vector = vec![0, 0, 0, 0x2d];
    vector.extend_from_slice(br#"{"m":"custom","target":{"mode":"subscribed"}}"#);
    vector.extend_from_slice(&[1, 2, 3]);
    assert_eq!(vector.len(), 52);
    let mut decoder = Decoder::new(Limits::default());
    let mut binary = |payload: &[u8]| {
        check::binary(payload);
        let mut out = VecDeque::new();
        let mut format = Format::MPP_TEXT;
        assert_eq!(decoder.binary(payload, &mut format, &Staff, &mut out), 1);
        assert_eq!(format, Format::MPP_TEXT);
        Vec::from(out)
    };
    let custom = Custom {
        target: CustomTarget::Subscribed,
        global: false,
        body: CustomBody { json: "null".into(), blob: Some([1, 2, 3].into()) },
    };
    assert_eq!(binary(&vector), [Command::SpeakBinaryCustom, Command::Custom(Box::new(custom))]);
    assert_eq!(binary(&vector[..40]), []);
    assert_eq!(binary(&[0]), []);
    assert_eq!(binary(&[]), []);
    assert_eq!(binary(b"\0\0\0\x0b{\"m\":\"bye\"}"), []);
    assert_eq!(binary(b"\0\0\0\x02[]"), []);
    // A JSON part above 16 KiB is refused, whatever it holds.
    for (length, taken) in [(16_384usize, true), (16_385, false)] {
        let head = r#"{"m":"custom","target":{"mode":"subscribed"},"data":""#;
        let json = format!("{head}{}\"}}", "x".repeat(length - head.len() - 2));
        let payload = [&(length as u32).to_be_bytes(), json.as_bytes()].concat();
        assert_eq!(!binary(&payload).is_empty(), taken);
    }
}

/// A JSON number as some client might write it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        "-?[0-9]{1,20}(\\.[0-9]{0,20})?",
        (-1e6..1e6).prop_map(|n: f64| format!("{n:.2}")),
        (1.7e12..1.8e12).prop_map(|n: f64| format!("{n:.3}")),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")]
}

/// An object of the given members, in any order and with any white space, some of them missing.
fn object(members: Vec<(&'static str, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
    let members: Vec<_> = members
        .into_iter()
        .map(|(key, value)| {
            (prop::bool::weighted(0.95), space(), value, space()).prop_map(
                move |(there, before, value, after)| {
                    there.then(|| format!("\"{key}\"{before}:{before}{value}{after}"))
                },
            )
        })
        .collect();
    members
        .prop_shuffle()
        .prop_map(|members| {
            format!("{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(","))
        })
        .boxed()
}

fn value() -> BoxedStrategy<String> {
    prop_oneof![
        10 => number(),
        3 => number().prop_map(|n| format!("\"{n}\"")),
        1 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("\"\\u0061\"".to_owned()),
        1 => Just("[1,{\"m\":2}]".to_owned()),
    ]
    .boxed()
}

fn notes() -> BoxedStrategy<String> {
    let key = "\"(a|as|b|c|cs|d|ds|e|f|fs|g|gs|es|h)(-1|[0-8])\"".boxed();
    let note = object(vec![("n", key), ("v", value()), ("d", value()), ("s", value())]);
    prop::collection::vec(note, 0..5).prop_map(|notes| format!("[{}]", notes.join(","))).boxed()
}

fn anything_like_a_frame() -> impl Strategy<Value = String> {
    let quoted = |m: &str| Just(format!("\"{m}\"")).boxed();
    let message = prop_oneof![
        object(vec![("m", quoted("n")), ("t", number().boxed()), ("n", notes())]),
        object(vec![("m", quoted("m")), ("x", value()), ("y", value())]),
        object(vec![("m", quoted("n")), ("t", value()), ("n", notes()), ("x", value())]),
        object(vec![("m", quoted("t")), ("e", value()), ("m", quoted("n"))]),
    ];
    prop::collection::vec(message, 0..4).prop_map(|messages| format!("[{}]", messages.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn short_cut_and_parser_agree(json in anything_like_a_frame()) {
        check::text(json.as_bytes());
    }

    #[test]
    fn short_cut_and_parser_agree_on_damaged_frames(
        json in anything_like_a_frame(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), "[\\[\\]{}\",:.0-9eE+ mnxytvds\\\\-]".prop_map(|s| s.as_bytes()[0])],
    ) {
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check::text(&bytes);
        bytes.remove(at);
        check::text(&bytes);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check::text(&bytes);
        check::binary(&bytes);
    }

    #[test]
    fn any_custom_data_keeps_its_meaning(text in any::<String>(), whole in any::<i64>()) {
        let data = serde_json::json!({"a": [text, whole, 0.5, u64::MAX, null, true], text.clone(): {}});
        let json = format!(r#"{{"m":"custom","data":{data},"target":{{"mode":"subscribed"}}}}"#);
        let sent = custom_of(&json).unwrap().body.json;
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&sent).unwrap(), data);
    }

    #[test]
    fn any_custom_number_keeps_its_value(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
        let json = format!(r#"{{"m":"custom","data":{number:?},"target":{{"mode":"subscribed"}}}}"#);
        let sent = custom_of(&json).unwrap().body.json;
        prop_assert_eq!(sent.parse::<f64>().unwrap(), number);
    }
}

#[test]
fn the_short_cut_takes_what_clients_send() {
    for json in [
        r#"[{"m":"n","t":1761000000420,"n":[{"n":"c4","v":0.62,"d":90,"s":1},{"n":"zz","d":0.5}]}]"#,
        r#"[{"m":"m","x":"41.20","y":"73.05"}]"#,
        r#" [{"m":"m","y":-0.5,"x":0},{"n":[{"s":0,"n":"a-1"}],"t":1761000000420.25,"m":"n"}] "#,
    ] {
        let mut out = VecDeque::new();
        assert!(scan::frame(json.as_bytes(), &mut out).is_some(), "{json}");
    }
}

#[test]
fn three_notes_need_no_allocation() {
    let played = |n: usize| {
        let notes = vec![r#"{"n":"c4","v":1}"#; n].join(",");
        batch(&format!(r#"{{"m":"n","t":1,"n":[{notes}]}}"#)).notes
    };
    assert!(!played(3).spilled());
    assert!(played(4).spilled());
    assert_eq!(played(100).len(), 100);
}

#[test]
fn what_is_made_of_a_large_frame_is_bounded() {
    let fill = |message: &str| {
        let n = (128 << 10) / (message.len() + 1);
        check::text(format!("[{}]", vec![message; n].join(",")).as_bytes());
    };
    fill(r#"{"m":"n","t":1,"n":[{"n":"c4"},{"n":"c4"},{"n":"c4"},{"n":"c4"}]}"#);
    fill(r#"{"m":"custom","data":1e15,"target":{"mode":"subscribed"}}"#);
    fill(r#"{"m":"t"}"#);
    let notes = vec![r#"{"n":"c4"}"#; 11_000].join(",");
    check::text(format!(r#"[{{"m":"n","t":1,"n":[{notes}]}}]"#).as_bytes());
    let data = vec!["1e15"; 25_000].join(",");
    let json = format!(r#"{{"m":"custom","data":[{data}],"target":{{"mode":"subscribed"}}}}"#);
    check::text(format!("[{json}]").as_bytes());
}
