use super::*;
use tutti_shards::{ChatText, MessageId, RoomId, Wire as _};

fn frames_of(event: RoomEvent<'_>) -> Vec<(u8, Vec<u8>)> {
    let mut out = Vec::new();
    QuicWire::default().encode(Format::QUIC, &[Event::Room(event)], &mut out);
    frame::split(&out).map(|(kind, frame)| (kind, frame[5..].to_vec())).collect()
}

fn message(text: &str) -> ChatMessage {
    let by = Profile::new(UserId([1; 12]), 0);
    ChatMessage::new(MessageId(5), 7, by, ChatText::parse(text, usize::MAX).unwrap())
}

#[test]
fn a_message_has_all_fields_of_the_page_but_those_without_a_value() {
    let mut message = message("hi");
    let optional = ["reply_to", "nonce", "edited_at"];
    let frames = frames_of(RoomEvent::Message { room: RoomId(1), message: &message });
    assert_eq!(frames[0].0, 0x30);
    let value: serde_json::Value = serde_json::from_slice(&frames[0].1).unwrap();
    for key in [
        "message_id",
        "room_id",
        "sender",
        "content",
        "timestamp",
        "attachments",
        "seq",
        "kind",
        "deleted",
        "reactions",
        "attachment_info",
    ] {
        assert!(value.get(key).is_some(), "{key}");
    }
    assert!(optional.iter().all(|&key| value.get(key).is_none()), "null is as good as nothing");
    assert_eq!((&value["message_id"], &value["room_id"]), (&5.into(), &1.into()));
    assert_eq!(value["sender"]["username"], "Anonymous");
    message.reply_id = Some(MessageId(4));
    message.nonce = Some("n".into());
    message.edited_ms = Some(9);
    let frames = frames_of(RoomEvent::Message { room: RoomId(1), message: &message });
    let value: serde_json::Value = serde_json::from_slice(&frames[0].1).unwrap();
    let values: [serde_json::Value; 3] = [4.into(), "n".into(), 9.into()];
    assert_eq!(optional.map(|key| value[key].clone()), values);
}

#[test]
fn history_that_is_too_long_loses_what_is_farthest_away() {
    let many: Vec<ChatMessage> =
        (0..100).map(|n| message(&format!("{n} {}", "x".repeat(4_000)))).collect();
    let messages: Vec<&ChatMessage> = many.iter().collect();
    for forwards in [false, true] {
        let (room, nonce) = (RoomId(1), None);
        let event = RoomEvent::History { room, messages: &messages, forwards, more: false, nonce };
        let (_, payload) = frames_of(event).remove(0);
        assert!(payload.len() <= INIT_BYTES_MAX, "{}", payload.len());
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let shown = value["messages"].as_array().unwrap();
        assert!(shown.len() > 40);
        // Whoever goes on behind the last, or before the first, misses nothing.
        let (end, content) = if forwards { (shown.first(), "0 ") } else { (shown.last(), "99 ") };
        assert!(end.unwrap()["content"].as_str().unwrap().starts_with(content));
        assert_eq!(value["more"], true, "there is more than is shown");
    }
}

#[test]
fn what_the_piano_shows_is_nothing_here() {
    let mut out = Vec::new();
    let said = message("x");
    let events = [Event::Challenge, Event::Time { wall_ms: 1, echo: None }, Event::Chat(&said)];
    QuicWire::default().encode(Format::QUIC, &events, &mut out);
    assert!(out.is_empty());
}

/// However long the names and pictures of people are, what a newcomer is told keeps to what a frame may hold, and some
/// of what was said is in it.
#[test]
fn people_who_take_much_room_are_shown_as_far_as_they_fit() {
    use tutti_shards::{Details, ParticipantView, Position, Role, RoomKind};
    let avatar = format!("https://{}", "\"".repeat(504));
    let mut profile = Profile::new(UserId([2; 12]), 0);
    profile.details = Some(Box::new(Details { avatar: Some(avatar.into()), ..Details::default() }));
    let view = ParticipantView { profile: &profile, position: Position::OFF_SCREEN, digits: 0 };
    let members = vec![Occupant { view, role: Role::Member, present: true }; 500];
    let many: Vec<ChatMessage> = (0..50).map(|_| message(&"x".repeat(512))).collect();
    let messages: Vec<&ChatMessage> = many.iter().collect();
    let room = RoomView {
        room: RoomId(1),
        kind: RoomKind::Channel,
        name: "garden",
        topic: None,
        post_role: Role::Member,
        visible: true,
        chat: true,
        text_length_max: 512,
    };
    let event = RoomEvent::Init {
        view: room,
        seq: 9,
        role: Role::Member,
        muted_until_ms: None,
        members: &members,
        member_count: 500,
        messages: &messages,
    };
    let (_, payload) = frames_of(event).remove(0);
    assert!(payload.len() <= INIT_BYTES_MAX, "{}", payload.len());
    let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert!((80..500).contains(&value["members"].as_array().unwrap().len()));
    assert_eq!(value["recent_messages"].as_array().unwrap().len(), 50);
    assert_eq!(value["member_count"], 500);
}
