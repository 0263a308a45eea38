//! Random sessions on several shards: what each client is told of each room has no gap and no repetition, and at the
//! end nobody is anywhere that has gone. Some clients do not read some of their streams for a while: the others are
//! told everything at once all the same, and they themselves when they read on, or they are sent away.

use super::world::*;
use crate::doors::quic::frame::kind;
use proptest::prelude::*;
use serde_json::json;
use std::{collections::HashMap, time::Duration};
use tutti_shards::Busy;

#[derive(Clone, Debug)]
enum Step {
    Enter(usize, bool),
    Join(usize, usize),
    Leave(usize, usize),
    Say(usize, usize, u8),
    Delete(usize, usize),
    Kick(usize, usize, usize),
    Vanish(usize),
    /// A client does not read one of its streams.
    Stick(usize, u64),
    /// It reads all of them again.
    Unstick(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, room) = (0usize..6, 0usize..4);
    prop_oneof![
        2 => (0usize..3, any::<bool>()).prop_map(|(home, hot)| Step::Enter(home, hot)),
        4 => (who.clone(), room.clone()).prop_map(|(w, r)| Step::Join(w, r)),
        2 => (who.clone(), room.clone()).prop_map(|(w, r)| Step::Leave(w, r)),
        6 => (who.clone(), room.clone(), 1u8..30).prop_map(|(w, r, n)| Step::Say(w, r, n)),
        1 => (who.clone(), room.clone()).prop_map(|(w, r)| Step::Delete(w, r)),
        1 => (who.clone(), room, who.clone()).prop_map(|(w, r, t)| Step::Kick(w, r, t)),
        1 => who.clone().prop_map(Step::Vanish),
        3 => (who.clone(), 0u64..10).prop_map(|(w, n)| Step::Stick(w, n * 4 + 3)),
        2 => who.prop_map(Step::Unstick),
        2 => (100u64..3_000).prop_map(Step::Pass),
    ]
}

/// What a client knows of a room, by the rules of the page (section 12.3).
#[derive(Default)]
struct Known {
    next: Option<u64>,
    membership: u64,
}

/// Checks what a client was told since the beginning.
fn check(world: &mut World, client: Client) {
    let is_whole = world.link(client).stuck.is_empty() && world.link(client).closed.is_none();
    let received = world.link(client).received.clone();
    let streams = received.iter().filter(|(stream, _)| **stream % 4 == 3);
    let events: Vec<(u8, serde_json::Value)> =
        streams.flat_map(|(_, bytes)| frames(bytes)).collect();
    let mut rooms: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut inits: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
    let mut closes: HashMap<u64, usize> = HashMap::new();
    for (kind, payload) in &events {
        let Some(room) = payload["room_id"].as_u64() else { continue };
        match *kind {
            kind::ROOM_INIT => {
                let number = |key: &str| payload[key].as_u64().unwrap();
                inits.entry(room).or_default().push((number("membership"), number("seq")));
            }
            kind::ROOM_CLOSE => *closes.entry(room).or_default() += 1,
            kind::STREAM_OPEN | kind::ROOM_HISTORY => {}
            _ => rooms.entry(room).or_default().push(payload["seq"].as_u64().unwrap()),
        }
    }
    if is_whole {
        for (room, inits) in &inits {
            let is_inside = closes.get(room).copied().unwrap_or_default() < inits.len();
            let seqs = rooms.get(room).into_iter().flatten();
            let last = seqs.chain(inits.iter().map(|(_, seq)| seq)).max().copied();
            assert!(
                !is_inside || last == world.last_seq(*room),
                "all of {room} was told: {last:?}"
            );
        }
    }
    for (room, mut seqs) in rooms {
        seqs.sort_unstable();
        assert!(seqs.windows(2).all(|pair| pair[0] != pair[1]), "nothing twice: {seqs:?}");
        if !is_whole {
            // What is on a stream that is not read is missing among the others.
            continue;
        }
        let inits = &inits[&room];
        let memberships: Vec<u64> = inits.iter().map(|(membership, _)| *membership).collect();
        assert!(memberships.is_sorted(), "memberships rise: {memberships:?}");
        let known = inits.iter().fold(Known::default(), |known, &(membership, seq)| Known {
            next: Some(known.next.unwrap_or(0).max(seq + 1)),
            membership,
        });
        assert_eq!(known.membership as usize, inits.len(), "each is counted");
        let next = known.next.unwrap();
        let last = seqs.into_iter().filter(|&seq| seq >= next);
        for (expected, seq) in (next..).zip(last) {
            assert_eq!(seq, expected, "no gap in the last membership of {room}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_client_is_told_everything_once_and_in_order(
        shards in 1u16..4,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::with(
            shards,
            |core| {
                let cool_after = Duration::from_secs(2);
                core.busy = Busy { rate: 2, cool_rate: 1, cool_after, ..Busy::default() };
                core.lobby_capacity = Some(3);
            },
            |session| {
                session.hot_rooms_max = 2;
                session.outbox.bytes_max = 16 << 10;
            },
        );
        let names: Vec<String> = (0..4).map(|n| format!("r{n}")).collect();
        let mut clients: Vec<Client> = Vec::new();
        let (mut entered, mut said) = (0, 0);
        for step in steps {
            let pick = |who: usize| clients.get(who % clients.len().max(1)).copied();
            match step {
                Step::Enter(home, hot) if clients.len() < 6 => {
                    entered += 1;
                    let client = world.connect(home % usize::from(shards));
                    let capabilities: &[&str] = if hot { &["hot"] } else { &[] };
                    world.hello(client, &format!("user {entered}"), capabilities);
                    clients.push(client);
                }
                Step::Enter(..) => {}
                Step::Join(who, room) => {
                    if let Some(client) = pick(who) {
                        world.join(client, &names[room]);
                    }
                }
                Step::Leave(who, room) => {
                    let room = world.number(&names[room]);
                    if let Some(client) = pick(who) {
                        world.chat(client, kind::LEAVE_ROOM, json!({ "room_id": room }));
                    }
                }
                Step::Say(who, room, count) => {
                    let room = world.number(&names[room]);
                    let Some(client) = pick(who) else { continue };
                    for _ in 0..count {
                        said += 1;
                        world.say(client, room, "x", &said.to_string());
                    }
                }
                Step::Delete(who, room) => {
                    let room = world.number(&names[room]);
                    if let Some(client) = pick(who) {
                        let fetch = json!({ "room_id": room, "limit": 5 });
                        world.chat(client, kind::FETCH_HISTORY, fetch);
                        let edit = json!({ "room_id": room, "message_id": 1 });
                        world.chat(client, kind::DELETE_MESSAGE, edit);
                    }
                }
                Step::Kick(who, room, whom) => {
                    let room = world.number(&names[room]);
                    if let (Some(client), Some(_)) = (pick(who), pick(whom)) {
                        let role = json!({ "room_id": room, "topic": "t" });
                        world.chat(client, kind::UPDATE_ROOM, role);
                    }
                }
                Step::Vanish(who) => {
                    if let Some(client) = pick(who) {
                        check(&mut world, client);
                        world.vanish(client);
                        clients.retain(|other| *other != client);
                    }
                }
                Step::Stick(who, stream) => {
                    if let Some(client) = pick(who) {
                        world.link(client).stuck.push(stream);
                    }
                }
                Step::Unstick(who) => {
                    if let Some(client) = pick(who) {
                        world.unstick(client);
                    }
                }
                Step::Pass(ms) => world.pass(ms),
            }
            // Whoever reads is told everything at once, whoever else does not.
            for &client in &clients {
                check(&mut world, client);
            }
        }
        for &client in &clients {
            world.unstick(client);
            check(&mut world, client);
        }
        for client in clients {
            world.vanish(client);
        }
        world.pass(10_000);
        world.verify_empty();
    }
}
