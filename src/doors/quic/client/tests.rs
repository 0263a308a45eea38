use super::*;

fn chat(kind: u8, payload: &str) -> Result<Chat, Refusal> {
    Chat::parse(kind, payload.as_bytes())
}

#[track_caller]
fn refused(kind: u8, payload: &str, code: ErrorCode) {
    match chat(kind, payload) {
        Err(refusal) => assert_eq!(refusal.code, code, "{payload}: {}", refusal.message),
        Ok(chat) => panic!("{payload}: {chat:?}"),
    }
}

#[track_caller]
fn command(kind: u8, payload: &str) -> RoomCommand {
    match chat(kind, payload) {
        Ok(Chat::Room(RoomId(7), request)) => {
            assert_eq!(request.kind, kind);
            request.command
        }
        other => panic!("{payload}: {other:?}"),
    }
}

#[test]
fn a_ping_without_its_time_is_invalid() {
    let refusal = Control::parse(kind::PING, b"").unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidMessage);
    assert_eq!(
        Control::parse(kind::PING, br#"{"timestamp":1,"more":[{}]}"#),
        Ok(Control::Ping { timestamp: 1 })
    );
}

#[test]
fn a_message_needs_its_nonce_and_some_text() {
    let say = |text: &str| RoomText::parse(text, 512).unwrap();
    assert_eq!(
        command(kind::SEND_MESSAGE, r#"{"room_id":7,"content":"a\nb","nonce":"n","reply_to":9}"#),
        RoomCommand::Say {
            text: say("a\nb"),
            reply_to: Some(MessageId(9)),
            action: false,
            attachments: Vec::new()
        }
    );
    assert_eq!(
        command(kind::SEND_MESSAGE, r#"{"room_id":7,"content":"x","nonce":"n","kind":"action"}"#),
        RoomCommand::Say { text: say("x"), reply_to: None, action: true, attachments: Vec::new() }
    );
    let invalid = ErrorCode::InvalidMessage;
    refused(kind::SEND_MESSAGE, r#"{"room_id":7,"content":"x"}"#, invalid);
    refused(kind::SEND_MESSAGE, r#"{"room_id":7,"content":"\u0007 ","nonce":"n"}"#, invalid);
    refused(kind::SEND_MESSAGE, r#"{"content":"x","nonce":"n"}"#, invalid);
    refused(kind::SEND_MESSAGE, r#"{"room_id":7,"content":"x","nonce":""}"#, invalid);
    refused(kind::SEND_MESSAGE, r#"{"room_id":7,"content":"x","nonce":"\u00e9"}"#, invalid);
    let long = format!(r#"{{"room_id":7,"content":"{}","nonce":"n"}}"#, "x".repeat(4097));
    refused(kind::SEND_MESSAGE, &long, ErrorCode::TooLarge);
    let attached = r#"{"room_id":7,"content":"x","nonce":"n","attachments":[4]}"#;
    let shown = Chat::parse(kind::SEND_MESSAGE, attached.as_bytes());
    assert!(matches!(shown, Ok(Chat::Show(RoomId(7), _, ids)) if ids == [UploadId(4)]));
    let many = format!(r#"{{"room_id":7,"content":"x","nonce":"n","attachments":{:?}}}"#, [4; 11]);
    refused(kind::SEND_MESSAGE, &many, invalid);
}

#[test]
fn a_refusal_names_what_was_refused() {
    let refusal = chat(kind::DELETE_MESSAGE, r#"{"room_id":7,"nonce":"n"}"#).unwrap_err();
    assert_eq!((refusal.nonce.as_deref(), refusal.room), (Some("n"), Some(7)));
}

#[test]
fn a_reaction_is_one_emoji() {
    for emoji in ["👍", "👩‍👩‍👧", "🇪🇺", "x", "❤️"] {
        let payload = format!(r#"{{"room_id":7,"message_id":1,"emoji":"{emoji}"}}"#);
        let expected = Emoji::new(emoji).unwrap();
        let command = command(kind::ADD_REACTION, &payload);
        assert_eq!(command, RoomCommand::React { message: MessageId(1), emoji: expected });
    }
    let invisible = [" ", "\u{a0}", "\u{200b}", "\u{200d}", "\u{fe0f}", "\u{3164}"];
    for emoji in ["👍👍", "", "ab", "\\n"].into_iter().chain(invisible) {
        let payload = format!(r#"{{"room_id":7,"message_id":1,"emoji":"{emoji}"}}"#);
        refused(kind::ADD_REACTION, &payload, ErrorCode::InvalidMessage);
    }
}

#[test]
fn a_room_is_joined_by_its_number_or_its_name() {
    let joined = |payload: &str| match chat(kind::JOIN_ROOM, payload) {
        Ok(Chat::Join(request)) => request.room,
        other => panic!("{other:?}"),
    };
    assert_eq!(joined(r#"{"room_id":7}"#), RoomWish::Numbered(RoomId(7)));
    let garden = ChannelName::parse("a garden").unwrap();
    let named = RoomWish::named(garden);
    assert_eq!(joined("{\"name\":\" a\\u202e garden \"}"), named);
    refused(kind::JOIN_ROOM, "{}", ErrorCode::InvalidMessage);
    refused(kind::JOIN_ROOM, r#"{"room_id":7,"name":"x"}"#, ErrorCode::InvalidMessage);
    refused(kind::JOIN_ROOM, r#"{"name":" "}"#, ErrorCode::InvalidMessage);
    for length in [513, 2_049, 60_000] {
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(length));
        refused(kind::JOIN_ROOM, &long, ErrorCode::TooLarge);
        let long = format!(r#"{{"room_type":"group","members":[],{}"#, &long[1..]);
        refused(kind::CREATE_ROOM, &long, ErrorCode::TooLarge);
    }
}

#[test]
fn a_direct_room_has_one_other_member() {
    let invalid = ErrorCode::InvalidMessage;
    let create = kind::CREATE_ROOM;
    refused(create, r#"{"name":"x","room_type":"dm","members":[1,2]}"#, invalid);
    refused(create, r#"{"name":"x","room_type":"club","members":[]}"#, invalid);
    let wish = |payload: &str| match chat(create, payload) {
        Ok(Chat::Join(request)) => request.room,
        other => panic!("{other:?}"),
    };
    let other = Whom { number: UserNumber(7), user: None };
    let direct = wish(r#"{"name":"x","room_type":"direct","members":[7]}"#);
    assert_eq!(direct, RoomWish::Direct(other));
    let group = wish(r#"{"name":"x","room_type":"private","members":[7],"topic":"t"}"#);
    let (title, topic, invites) = ("x".into(), Some("t".into()), [other].into());
    assert_eq!(group, RoomWish::Group { title, topic, invites });
    assert!(chat(create, r#"{"name":"x","room_type":"public","members":[]}"#).is_ok());
}

#[test]
fn limits_and_times_are_in_their_ranges() {
    let fetch = |rest: &str| format!(r#"{{"room_id":7{rest}}}"#);
    assert_eq!(
        command(kind::FETCH_HISTORY, &fetch("")),
        RoomCommand::History { before: None, after: None, limit: 50 }
    );
    for rest in [r#","limit":0"#, r#","limit":101"#, r#","before_id":1,"after_seq":1"#] {
        refused(kind::FETCH_HISTORY, &fetch(rest), ErrorCode::InvalidMessage);
    }
    for ms in [0u64, 3_600_001] {
        let ban = format!(r#"{{"room_id":7,"user_id":1,"duration_ms":{ms}}}"#);
        refused(kind::BAN_USER, &ban, ErrorCode::InvalidMessage);
    }
    let number = r#"{"room_id":9007199254740992}"#;
    refused(kind::LEAVE_ROOM, number, ErrorCode::InvalidMessage);
}

#[test]
fn a_signal_that_is_none_says_nothing() {
    assert_eq!(
        Signal::parse(kind::TYPING, br#"{"room_id":7,"user_id":99}"#),
        Some(Signal::Typing(RoomId(7), true))
    );
    assert_eq!(Signal::parse(kind::TYPING, b"{}"), None);
    assert_eq!(Signal::parse(kind::PRESENCE_OFFLINE, b"{}"), None);
}
