use super::*;
use crate::frame::{Frame, kind};
use bytes::Bytes;

/// A model of user 7 in room 1, and what it is told.
struct World {
    model: Model,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let mut model = Model::new();
        model.begin(AuthOk {
            user_id: 7,
            username: "Ann".into(),
            rooms: vec![1],
            expires_at: None,
        });
        let mut world = Self { model, now: Instant::now() };
        world.enter(0, &[]);
        world
    }

    fn tell(&mut self, kind: u8, json: &str) {
        let frame = Frame { kind, payload: Bytes::copy_from_slice(json.as_bytes()) };
        let event = Event::read(&frame).unwrap().unwrap();
        self.model.apply(&event, self.now, 9_000);
    }

    fn enter(&mut self, seq: u64, messages: &[u64]) {
        let messages: Vec<String> = messages.iter().map(|id| message(*id, "x")).collect();
        let json = format!(
            r#"{{"room_id":1,"name":"lobby","room_type":"channel","seq":{seq},"membership":1,"member_count":2,
            "members":[{{"user_id":7,"username":"Ann"}},{{"user_id":8,"username":"Bo"}}],
            "recent_messages":[{}]}}"#,
            messages.join(",")
        );
        self.tell(kind::ROOM_INIT, &json);
    }

    fn say(&mut self, id: u64, content: &str) {
        self.tell(kind::ROOM_MESSAGE, &message(id, content));
    }

    fn room(&self) -> &Room {
        &self.model.rooms[&1]
    }

    /// Messages by number and content, notices by their text.
    fn shown(&self) -> Vec<String> {
        let room = self.room();
        let show = |entry: &Entry| match entry {
            Entry::Message(id) => format!("{id} {}", room.messages[id].content),
            Entry::Notice(_, text) => text.clone(),
        };
        room.entries.iter().map(show).collect()
    }
}

fn message(id: u64, content: &str) -> String {
    format!(
        r#"{{"message_id":{id},"room_id":1,"sender":{{"user_id":8,"username":"Bo"}},"content":"{content}",
        "timestamp":{id},"seq":{id}}}"#
    )
}

#[test]
fn history_goes_in_front_and_nothing_is_shown_twice() {
    let mut world = World::new();
    world.say(50, "c");
    world.say(60, "d");
    let history = format!(
        r#"{{"room_id":1,"more":true,"messages":[{},{},{}]}}"#,
        message(30, "a"),
        message(40, "b"),
        message(50, "c")
    );
    world.tell(kind::ROOM_HISTORY, &history);
    assert_eq!(world.shown(), ["30 a", "40 b", "50 c", "60 d"]);
    assert!(world.room().more);
    assert_eq!(world.room().oldest(), Some(30));
}

#[test]
fn edits_deletes_and_reactions_change_what_was_said() {
    let mut world = World::new();
    world.say(5, "teh");
    let at = r#""message_id":5,"room_id":1,"seq":6"#;
    world.tell(
        kind::ROOM_MESSAGE_EDITED,
        &format!(r#"{{{at},"editor_id":8,"content":"the","edited_at":1}}"#),
    );
    assert_eq!(world.room().messages[&5].content, "the");
    assert!(world.room().messages[&5].edited);
    for user in [7, 8] {
        world
            .tell(kind::ROOM_REACTION_ADDED, &format!(r#"{{{at},"user_id":{user},"emoji":"👍"}}"#));
    }
    assert_eq!(world.room().messages[&5].reactions[0].count, 2);
    world.tell(kind::ROOM_REACTION_REMOVED, &format!(r#"{{{at},"user_id":7,"emoji":"👍"}}"#));
    assert_eq!(world.room().messages[&5].reactions[0].user_ids, [8]);
    world.tell(kind::ROOM_MESSAGE_DELETED, &format!(r#"{{{at},"deleted_by":8,"deleted_at":2}}"#));
    let said = &world.room().messages[&5];
    assert!(said.deleted && said.content.is_empty() && said.reactions.is_empty());
}

#[test]
fn people_come_and_go() {
    let mut world = World::new();
    world.tell(
        kind::ROOM_USER_JOINED,
        r#"{"room_id":1,"user":{"user_id":9,"username":"Cy"},"joined_at":1,"seq":1}"#,
    );
    assert_eq!(world.room().member_count, 3);
    world.tell(
        kind::ROOM_USER_LEFT,
        r#"{"room_id":1,"user_id":9,"left_at":2,"seq":2,"reason":"kicked"}"#,
    );
    assert_eq!(world.room().member_count, 2);
    assert_eq!(world.shown(), ["Cy joined", "Cy was kicked"]);
}

#[test]
fn an_older_presence_never_overwrites_a_newer_one() {
    let mut world = World::new();
    world.tell(kind::PRESENCE_AWAY, r#"{"user_id":8,"away_since":1,"pseq":2}"#);
    world.tell(kind::PRESENCE_ONLINE, r#"{"user_id":8,"pseq":1}"#);
    assert_eq!(world.room().members[&8].presence.as_deref(), Some("away"));
    world.tell(kind::PRESENCE_ONLINE, r#"{"user_id":8,"pseq":3}"#);
    assert_eq!(world.room().members[&8].presence.as_deref(), Some("online"));
}

#[test]
fn typing_ends_with_a_message_or_after_six_seconds() {
    let mut world = World::new();
    world.tell(kind::TYPING, r#"{"room_id":1,"user_id":8}"#);
    assert_eq!(world.room().typing(world.now), ["Bo"]);
    assert!(world.room().typing(world.now + Duration::from_secs(6)).is_empty());
    world.say(5, "x");
    assert!(world.room().typing(world.now).is_empty());
}

#[test]
fn coming_back_shows_no_gap_and_counts_what_was_missed() {
    let mut world = World::new();
    for id in 1..=3 {
        world.say(id, "x");
    }
    assert_eq!(world.room().unread, 3);
    let me = world.model.me.clone().unwrap();
    world.model.begin(me.clone());
    world.enter(9, &[2, 3, 4, 5]);
    assert_eq!(world.room().unread, 5);
    let ids: Vec<String> = world.shown();
    assert_eq!(ids, ["1 x", "2 x", "3 x", "4 x", "5 x", "you are back"]);
    // A longer absence leaves a gap that nobody would see; what is before it is fetched again.
    world.model.begin(me);
    world.enter(20, &[10, 11]);
    assert_eq!(world.shown(), ["10 x", "11 x", "you are back"]);
    assert!(world.room().more);
}

#[test]
fn what_was_refused_says_so() {
    let mut world = World::new();
    let pending = |nonce: &str| Pending { nonce: nonce.into(), content: "x".into(), refused: None };
    world.model.rooms.get_mut(&1).unwrap().pending = vec![pending("a"), pending("b")];
    world.tell(kind::MESSAGE_ACK, r#"{"nonce":"a","message_id":5,"timestamp":1,"room_id":1}"#);
    world.tell(kind::ERROR, r#"{"code":1015,"message":"muted","nonce":"b"}"#);
    assert_eq!(world.room().pending.len(), 1);
    assert_eq!(world.room().pending[0].refused.as_deref(), Some("muted"));
}

#[test]
fn a_room_keeps_no_more_than_its_limit() {
    let mut world = World::new();
    for id in 1..=ENTRIES_MAX as u64 + 10 {
        world.say(id, "x");
    }
    assert_eq!(world.room().entries.len(), ENTRIES_MAX);
    assert_eq!(world.room().messages.len(), ENTRIES_MAX);
    assert_eq!(world.room().oldest(), Some(11));
}
