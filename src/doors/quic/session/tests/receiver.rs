//! The rules of order of the page (section 12.3), R1 to R8, between what the server writes and two receivers: one of
//! this file, made from the rules, and the one of `tutti-chat`.
//!
//! Random sessions join, leave, talk and throw each other out until rooms become busy and calm again; a client reads
//! its streams in any order that QUIC allows: in order within each, and as it likes between them.

use super::world::*;
use crate::doors::quic::frame::kind;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tutti_chat::{
    frame::Frame,
    order::Order,
    wire::{Event as ChatEvent, RoomClose, RoomInit},
};
use tutti_shards::Busy;

const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Join(usize, usize),
    Leave(usize, usize),
    /// Leaves and comes back at once, so that both memberships are on their way together.
    Again(usize, usize),
    Say(usize, usize, u8),
    Kick(usize, usize),
    Pass(u64),
    /// Whether a client's acknowledgements of streams that have ended are on their way for long.
    Delay(usize, bool),
    /// A client reads so many frames of one of its streams.
    Read(usize, usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, room) = (0..CLIENTS, 0usize..2);
    prop_oneof![
        3 => (who.clone(), room.clone()).prop_map(|(w, r)| Step::Join(w, r)),
        1 => (who.clone(), room.clone()).prop_map(|(w, r)| Step::Leave(w, r)),
        2 => (who.clone(), room.clone()).prop_map(|(w, r)| Step::Again(w, r)),
        6 => (who.clone(), room.clone(), 1u8..12).prop_map(|(w, r, n)| Step::Say(w, r, n)),
        1 => (who.clone(), room).prop_map(|(w, r)| Step::Kick(w, r)),
        4 => (500u64..4_000).prop_map(Step::Pass),
        1 => (who.clone(), any::<bool>()).prop_map(|(w, late)| Step::Delay(w, late)),
        8 => (who, 0usize..12, 1u8..6).prop_map(|(w, s, n)| Step::Read(w, s, n)),
    ]
}

/// Something that a client shows, in the order in which it shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Shown {
    Init { seq: u64, membership: u64 },
    Close { membership: u64 },
    Numbered(u64),
}

/// What a frame of a room is to the rules, with its room.
fn ruled(kind: u8, payload: &Value) -> Option<(u64, Shown)> {
    let number = |key: &str| payload[key].as_u64();
    let room = number("room_id")?;
    let shown = match kind {
        kind::ROOM_INIT => Shown::Init { seq: number("seq")?, membership: number("membership")? },
        kind::ROOM_CLOSE => Shown::Close { membership: number("membership")? },
        kind::STREAM_OPEN | kind::ROOM_HISTORY | kind::ROOM_PROMOTED | kind::ROOM_DEMOTED => {
            return None;
        }
        _ => Shown::Numbered(number("seq")?),
    };
    Some((room, shown))
}

/// A receiver as R5, R7 and R8 have it, of one room.
#[derive(Default)]
struct Receiver {
    next: u64,
    membership: u64,
    inside: bool,
    held: BTreeSet<u64>,
    shown: Vec<Shown>,
}

impl Receiver {
    fn take(&mut self, event: Shown) {
        match event {
            Shown::Init { seq, membership } => {
                let is_old =
                    membership < self.membership || membership == self.membership && !self.inside;
                if is_old {
                    return;
                }
                (self.membership, self.inside) = (membership, true);
                self.next = self.next.max(seq + 1);
                self.held = self.held.split_off(&self.next);
                self.shown.push(event);
            }
            Shown::Close { membership } => {
                if membership < self.membership {
                    return;
                }
                (self.membership, self.inside) = (membership, false);
                self.shown.push(event);
            }
            Shown::Numbered(seq) if seq >= self.next => {
                self.held.insert(seq);
            }
            Shown::Numbered(_) => {}
        }
        while self.inside && self.held.remove(&self.next) {
            self.shown.push(Shown::Numbered(self.next));
            self.next += 1;
        }
    }
}

/// A client that reads.
struct Reader {
    client: Client,
    /// How many bytes of each stream were read.
    read: BTreeMap<u64, usize>,
    rooms: BTreeMap<u64, Receiver>,
    order: Order,
    shown: BTreeMap<u64, Vec<Shown>>,
}

impl Reader {
    fn new(client: Client) -> Self {
        let (read, rooms, shown) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Reader { client, read, rooms, order: Order::default(), shown }
    }

    /// Reads the next frame of the n-th stream that has one; whether there is any.
    fn read(&mut self, world: &mut World, nth: usize) -> bool {
        let received = &world.link(self.client).received;
        let unread: Vec<u64> = received
            .iter()
            .filter(|(stream, bytes)| self.read.get(stream).copied().unwrap_or(0) < bytes.len())
            .map(|(&stream, _)| stream)
            .collect();
        let Some(&stream) = unread.get(nth % unread.len().max(1)) else { return false };
        let at = self.read.entry(stream).or_default();
        let rest = &received[&stream][*at..];
        let length = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
        let bytes = &rest[..5 + length];
        *at += bytes.len();
        let (kind, payload) = frames(bytes).remove(0);
        if let Some((room, event)) = ruled(kind, &payload) {
            self.rooms.entry(room).or_default().take(event);
        }
        let frame = Frame { kind, payload: bytes[5..].to_vec().into() };
        let event = ChatEvent::read(&frame).expect("the server's frames are well formed");
        let mut out = Vec::new();
        if let Some(event) = event {
            self.order.take(event, bytes.len(), &mut out).expect("little is held");
        }
        for event in &out {
            let (room, shown) = match event {
                ChatEvent::RoomInit(init) => {
                    let RoomInit { room_id, seq, membership, .. } = **init;
                    (room_id, Shown::Init { seq, membership: membership.into() })
                }
                ChatEvent::RoomClose(RoomClose { room_id, membership, .. }) => {
                    (*room_id, Shown::Close { membership: (*membership).into() })
                }
                other => match other.sequence() {
                    Some((room, seq)) => (room, Shown::Numbered(seq)),
                    None => continue,
                },
            };
            self.shown.entry(room).or_default().push(shown);
        }
        true
    }
}

/// What the server wrote for one room of one client: stream by stream, in order.
type Written = Vec<Vec<Shown>>;

fn written(world: &mut World, client: Client) -> BTreeMap<u64, Written> {
    let mut rooms: BTreeMap<u64, Written> = BTreeMap::new();
    for (&stream, bytes) in &world.link(client).received {
        let mut here: BTreeMap<u64, Vec<Shown>> = BTreeMap::new();
        for (kind, payload) in frames(bytes) {
            if let Some((room, event)) = ruled(kind, &payload) {
                assert_eq!(stream % 4, 3, "what concerns a room is on one-way streams");
                here.entry(room).or_default().push(event);
            }
        }
        here.into_iter().for_each(|(room, events)| rooms.entry(room).or_default().push(events));
    }
    rooms
}

/// R1, R2, R4 and R8 at the server: what it wrote for a room of a client. Returns the last membership's first number
/// and whether it has ended.
fn check_written(streams: &Written) -> (u64, bool) {
    let numbers = |events: &[Shown]| -> Vec<u64> {
        let number = |event: &Shown| match event {
            Shown::Numbered(seq) => Some(*seq),
            _ => None,
        };
        events.iter().filter_map(number).collect()
    };
    for events in streams {
        let seqs = numbers(events);
        assert!(seqs.is_sorted_by(|a, b| a < b), "R4: a stream is in order: {seqs:?}");
    }
    let all: Vec<u64> = streams.iter().flat_map(|events| numbers(events)).collect();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "R2: each is written once: {streams:?}");
    let (mut inits, mut closes) = (BTreeMap::new(), BTreeSet::new());
    for event in streams.iter().flatten() {
        let is_new = match event {
            Shown::Init { seq, membership } => inits.insert(*membership, *seq).is_none(),
            Shown::Close { membership } => closes.insert(*membership),
            Shown::Numbered(_) => true,
        };
        assert!(is_new, "R8: each membership begins and ends once: {streams:?}");
    }
    let counted: Vec<u64> = (1..=inits.len() as u64).collect();
    let memberships: Vec<u64> = inits.keys().copied().collect();
    assert_eq!(memberships, counted, "R8: memberships are counted from 1");
    let ended: Vec<u64> = closes.iter().copied().collect();
    let has_ended = ended.len() == counted.len();
    assert_eq!(ended, counted[..ended.len()], "all but the last have ended");
    assert!(ended.len() + 1 >= counted.len(), "all but the last have ended: {streams:?}");
    let from = *inits.last_key_value().expect("a room begins with its init").1;
    for (expected, &seq) in (from + 1..).zip(distinct.range(from + 1..)) {
        assert_eq!(seq, expected, "R1: no gap in the last membership: {streams:?}");
    }
    (from, has_ended)
}

/// R3 and R6: each stream of a busy room has the numbers that its moves name, no other stream has any of them, and the
/// room's stream before it had arrived when it was opened. Returns how often that was so.
fn check_moves(world: &mut World, client: Client) -> usize {
    let received = world.link(client).received.clone();
    let frames: BTreeMap<u64, Vec<(u8, Value)>> =
        received.iter().map(|(&stream, bytes)| (stream, frames(bytes))).collect();
    let control = &frames[&CONTROL];
    let moved = |what: u8, stream: u64| {
        let mut moves = control.iter().filter(|(kind, _)| *kind == what);
        let found = moves.find(|(_, payload)| payload["stream_id"] == stream);
        found.map(|(_, payload)| (payload["room_id"].clone(), payload["first_seq"].as_u64()))
    };
    let numbers = |stream: u64, room: &Value| -> Vec<u64> {
        let of_room = frames[&stream].iter().filter(|(_, payload)| payload["room_id"] == *room);
        let number = |(kind, payload): &(u8, Value)| match ruled(*kind, payload) {
            Some((_, Shown::Numbered(seq))) => Some(seq),
            _ => None,
        };
        of_room.filter_map(number).collect()
    };
    let mut before: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut followed = 0;
    for (stream, arrived) in world.link(client).opens.clone() {
        let Some((kind::STREAM_OPEN, opens)) = frames[&stream].first() else {
            panic!("a stream of the server begins with what it is")
        };
        if opens["kind"] != "hot" {
            continue;
        }
        let (room, first) = (&opens["room_id"], opens["first_seq"].as_u64());
        assert_eq!(moved(kind::ROOM_PROMOTED, stream), Some((room.clone(), first)), "R3");
        let first = first.expect("a number");
        let here = numbers(stream, room);
        let end = match moved(kind::ROOM_DEMOTED, stream) {
            Some((of, end)) => {
                assert_eq!(of, *room, "R3");
                end.expect("a number")
            }
            None => here.last().map_or(first, |last| last + 1),
        };
        assert!(here.iter().all(|seq| (first..end).contains(seq)), "R3: {first} {here:?} {end}");
        for &other in frames.keys().filter(|&&other| other != stream) {
            let there = numbers(other, room);
            assert!(!there.iter().any(|seq| (first..end).contains(seq)), "R3: {first} {there:?}");
        }
        let room = room.as_u64().expect("a number");
        let earlier = before.entry(room).or_default();
        assert!(earlier.iter().all(|stream| arrived.contains(stream)), "R6: {earlier:?}");
        followed += earlier.len().min(1);
        earlier.push(stream);
    }
    followed
}

/// What a client showed of a room, all of it read.
fn check_shown(shown: &[Shown], streams: &Written, (from, has_ended): (u64, bool)) {
    let seqs: Vec<u64> = shown
        .iter()
        .filter_map(|event| match event {
            Shown::Numbered(seq) => Some(*seq),
            _ => None,
        })
        .collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "once and in order: {shown:?}");
    let last = shown.iter().rev().find(|event| !matches!(event, Shown::Numbered(_)));
    let believes_inside = matches!(last, Some(Shown::Init { .. }));
    assert_eq!(
        believes_inside, !has_ended,
        "it knows whether it is inside: {shown:?}, {streams:?}"
    );
    if has_ended {
        return;
    }
    for event in streams.iter().flatten() {
        if let Shown::Numbered(seq) = event
            && *seq > from
        {
            assert!(seqs.contains(seq), "{seq} was not shown: {shown:?}, {streams:?}");
        }
    }
}

#[test]
fn whatever_the_streams_do_both_receivers_show_everything_once_and_in_order() {
    // What never happens is not checked either: promotions, demotions, hot rooms that were left, memberships,
    // promotions behind others of the room.
    let seen = [const { Cell::new(0u64) }; 5];
    let count = |what: usize, n: usize| seen[what].set(seen[what].get() + n as u64);
    let config = ProptestConfig { cases: 160, failure_persistence: None, ..Default::default() };
    let strategy = (1u16..4, prop::collection::vec(step(), 20..90));
    let run = |(shards, steps): (u16, Vec<Step>)| {
        let mut world = World::with(
            shards,
            |core| {
                let cool_after = Duration::from_secs(2);
                core.busy = Busy { rate: 2, cool_rate: 1, cool_after, ..Busy::default() };
            },
            |session| session.hot_rooms_max = 2,
        );
        let names = ["red", "blue"];
        let mut readers = Vec::new();
        for n in 0..CLIENTS {
            let client = world.connect(n % usize::from(shards));
            world.link(client).opened_max = 400;
            world.hello(client, &format!("user {n}"), &["hot"]);
            readers.push(Reader::new(client));
        }
        let numbers: Vec<Value> = readers
            .iter()
            .map(|reader| {
                let control = world.control(reader.client);
                let entered = control.iter().find(|(kind, _)| *kind == kind::AUTH_OK);
                entered.expect("everyone comes in").1["user_id"].clone()
            })
            .collect();
        let mut said = 0;
        for step in steps {
            match step {
                Step::Join(who, room) => {
                    world.join(readers[who].client, names[room]);
                }
                Step::Leave(who, room) => {
                    let room = json!({ "room_id": world.number(names[room]) });
                    world.chat(readers[who].client, kind::LEAVE_ROOM, room);
                }
                Step::Again(who, room) => {
                    let number = json!({ "room_id": world.number(names[room]) });
                    world.chat(readers[who].client, kind::LEAVE_ROOM, number);
                    world.join(readers[who].client, names[room]);
                }
                Step::Say(who, room, times) => {
                    for _ in 0..times {
                        said += 1;
                        let number = world.number(names[room]);
                        world.say(readers[who].client, number, "x", &said.to_string());
                    }
                }
                Step::Kick(whom, room) => {
                    let room = world.number(names[room]);
                    let kick = json!({ "room_id": room, "user_id": numbers[whom] });
                    // Only the owner of the room is obeyed, whoever it is.
                    for reader in &readers {
                        world.chat(reader.client, kind::KICK_USER, kick.clone());
                    }
                }
                Step::Pass(ms) => world.pass(ms),
                Step::Delay(who, late) => {
                    world.link(readers[who].client).is_late = late;
                    world.run();
                }
                Step::Read(who, nth, times) => {
                    let reader = &mut readers[who];
                    (0..times).for_each(|_| _ = reader.read(&mut world, nth));
                }
            }
        }
        // Everyone sees the same under a number.
        let mut events: BTreeMap<(u64, u64), (u8, Value)> = BTreeMap::new();
        for reader in &mut readers {
            // The newest stream first, which is the worst order.
            while reader.read(&mut world, usize::MAX - 1) {}
            count(4, check_moves(&mut world, reader.client));
            let streams = written(&mut world, reader.client);
            for (room, streams) in &streams {
                let truth = check_written(streams);
                check_shown(&reader.rooms[room].shown, streams, truth);
                check_shown(&reader.shown[room], streams, truth);
                assert_eq!(reader.rooms[room].shown, reader.shown[room], "both show the same");
                let close =
                    |events: &Vec<Shown>| matches!(events.last(), Some(Shown::Close { .. }));
                count(2, streams[1..].iter().filter(|events| close(events)).count());
                let is_init = |event: &&Shown| matches!(event, Shown::Init { .. });
                count(3, streams.iter().flatten().filter(is_init).count().saturating_sub(1));
                if !truth.1 {
                    assert!(reader.rooms[room].held.is_empty(), "every gap closes");
                }
            }
            let everything: Vec<(u8, Value)> =
                world.link(reader.client).received.values().flat_map(|one| frames(one)).collect();
            for (kind, payload) in everything {
                count(0, usize::from(kind == kind::ROOM_PROMOTED));
                count(1, usize::from(kind == kind::ROOM_DEMOTED));
                if let Some((room, Shown::Numbered(seq))) = ruled(kind, &payload) {
                    let first = events.entry((room, seq)).or_insert((kind, payload.clone()));
                    assert_eq!(*first, (kind, payload), "number {seq} of {room} is one event");
                }
            }
        }
        for reader in readers {
            world.vanish(reader.client);
        }
        world.pass(10_000);
        world.verify_empty();
        Ok(())
    };
    TestRunner::new(config).run(&strategy, run).unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.map(Cell::into_inner);
    assert!(seen.iter().all(|&times| times >= 8), "too rare: {seen:?}");
}
