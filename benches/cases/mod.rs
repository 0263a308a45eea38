//! What is measured, by `micro` in nanoseconds and by `instructions` in instructions.

mod room;

use room::{Anyone, Room, batch, frame};
use std::{collections::VecDeque, hint::black_box};
use tutti::doors::mpp::{Decoder, Limits, MppWire};
use tutti_shards::{Command, Event, Format, Position, UserId, Wire};

/// Something that can be done again and again at the same cost.
pub(crate) type Step = Box<dyn FnMut()>;

/// One benchmark.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Prepares it.
    pub(crate) step: fn() -> Step,
}

/// All of them.
pub(crate) const CASES: &[Case] = &[
    Case { name: "decode a cursor", step: || decode(CURSOR.to_owned()) },
    Case { name: "decode 1 note", step: || decode(batch(1)) },
    Case { name: "decode 20 notes", step: || decode(batch(20)) },
    Case { name: "decode 20 notes, parser", step: || decode_by_parser(batch(20)) },
    Case { name: "decode a chat message", step: || decode(CHAT.to_owned()) },
    Case { name: "encode 1 note, text", step: || encode_notes(1, Format::MPP_TEXT) },
    Case { name: "encode 20 notes, text", step: || encode_notes(20, Format::MPP_TEXT) },
    Case { name: "encode 20 notes, quick", step: || encode_notes(20, Format::MPP_QUICK) },
    Case { name: "encode 60 cursors, text", step: encode_cursors },
    Case { name: "note to 100 members", step: || play(100, 1) },
    Case { name: "note to 1000 members", step: || play(1_000, 1) },
    Case { name: "notes of all 100 members", step: || play(100, 100) },
    Case { name: "cursors of 60 members", step: move_cursors },
    Case { name: "chat message to 100 members", step: chat },
    Case { name: "join and leave of 50 members", step: || change_channel(1) },
    Case { name: "the same, handed over", step: || change_channel(2) },
    Case { name: "a change among 1000 channels", step: publish },
    Case { name: "the list of 1000 channels", step: list },
];

const CURSOR: &str = r#"[{"m":"m","x":"41.20","y":"73.05"}]"#;
const CHAT: &str = r#"[{"m":"a","message":"hello there"}]"#;

fn decode(message: String) -> Step {
    let mut decoder = Decoder::new(Limits::default());
    let mut format = Format::MPP_TEXT;
    let mut out = VecDeque::with_capacity(4);
    let mut payload = Vec::with_capacity(4096);
    Box::new(move || {
        payload.clear();
        payload.extend_from_slice(message.as_bytes());
        decoder.text(black_box(&mut payload), &mut format, &Anyone, &mut out);
        black_box(&mut out).clear();
    })
}

/// The way of all other messages. The short cut has to win by more than half to be worth its lines.
fn decode_by_parser(message: String) -> Step {
    let mut decoder = Decoder::new(Limits::default());
    let mut format = Format::MPP_TEXT;
    let mut out = VecDeque::with_capacity(4);
    let mut payload = Vec::with_capacity(4096);
    Box::new(move || {
        payload.clear();
        payload.extend_from_slice(message.as_bytes());
        decoder.text_by_parser(black_box(&mut payload), &mut format, &Anyone, &mut out);
        black_box(&mut out).clear();
    })
}

const SOMEBODY: UserId = UserId([7; 12]);

fn encode_notes(notes: usize, to: Format) -> Step {
    let mut decoder = Decoder::new(Limits::default());
    let (mut format, mut commands) = (Format::MPP_TEXT, VecDeque::new());
    decoder.text(&mut batch(notes).into_bytes(), &mut format, &Anyone, &mut commands);
    let Some(Command::Play(batch)) = commands.pop_front() else { unreachable!("a note batch") };
    let (wire, mut bytes) = (MppWire::new(""), Vec::with_capacity(1 << 16));
    Box::new(move || {
        let event = Event::Notes { user: SOMEBODY, at_ms: batch.at_ms, notes: &batch.notes };
        bytes.clear();
        wire.encode(to, black_box(&[event]), &mut bytes);
        black_box(&bytes);
    })
}

fn encode_cursors() -> Step {
    let position = Position { x: 4_120, y: 7_305 };
    let cursors = [Event::Cursor { user: SOMEBODY, position }; 60];
    let (wire, mut bytes) = (MppWire::new(""), Vec::with_capacity(1 << 16));
    Box::new(move || {
        bytes.clear();
        wire.encode(Format::MPP_TEXT, black_box(&cursors), &mut bytes);
        black_box(&bytes);
    })
}

/// From the frames of some members to the slices for the sockets of all.
fn play(members: usize, players: usize) -> Step {
    let mut room = Room::new(members);
    let note = frame(0x81, batch(1).as_bytes());
    let mut input = note.clone();
    Box::new(move || {
        room.wait(1);
        for peer in 0..players {
            // Decoding unmasks in place.
            input.copy_from_slice(&note);
            room.says(peer, &mut input);
        }
        room.flush();
    })
}

/// Each moves, and once more before the gathered moves go out.
fn move_cursors() -> Step {
    let mut room = Room::new(60);
    let cursor = frame(0x81, CURSOR.as_bytes());
    let mut input = cursor.clone();
    Box::new(move || {
        for peer in (0..60).chain(0..60) {
            input.copy_from_slice(&cursor);
            room.says(peer, &mut input);
        }
        room.wait(50);
        room.flush();
    })
}

fn chat() -> Step {
    let mut room = Room::new(100);
    let chat = frame(0x81, CHAT.as_bytes());
    let mut input = chat.clone();
    Box::new(move || {
        room.wait(1);
        input.copy_from_slice(&chat);
        room.says(0, &mut input);
        room.flush();
    })
}

/// One goes to a channel and back to another, with 50 members in each: on one shard, or on two.
fn change_channel(shards: u16) -> Step {
    let mut room = Room::empty(shards);
    let here = room.channel_of(0, 0);
    let there = room.channel_of(usize::from(shards) - 1, 1_000);
    for _ in 0..50 {
        room.enter(&here);
        room.enter(&there);
        room.flush();
    }
    let wanderer = room.enter(&here);
    Box::new(move || {
        for channel in [&there, &here] {
            room.wait(1_000);
            room.goes(wanderer, channel);
            room.flush();
        }
        let handed_over = room.shards[0].stats().handed_over;
        assert_eq!(handed_over > 0, shards > 1, "a channel elsewhere is reached by handover");
    })
}

fn rooms(n: usize) -> Room {
    let mut room = Room::empty(1);
    for n in 0..n {
        room.enter(&format!("room {n}"));
        room.flush();
    }
    room.wait(5_000);
    room.flush();
    room
}

/// Somebody comes and goes, one who follows the list is told.
fn publish() -> Step {
    let mut room = rooms(1_000);
    let (follower, wanderer) = (room.enter("room 0"), room.enter("room 1"));
    room.does(follower, Command::FollowList(true));
    Box::new(move || {
        for channel in ["room 500", "room 1"] {
            room.goes(wanderer, channel);
            room.wait(5_000);
            room.flush();
        }
    })
}

/// Somebody asks for the list, and has had enough of it.
fn list() -> Step {
    let mut room = rooms(1_000);
    Box::new(move || {
        room.does(0, Command::FollowList(true));
        room.flush();
        room.does(0, Command::FollowList(false));
    })
}
