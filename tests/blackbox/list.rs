//! Statements 117 to 122: `ls`.

use crate::ROOMS;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tutti_tests::eventually;
use tutti_tests::mpp::{Client, Item};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    the_full_list,
    joining_and_leaving_updates_the_count,
    the_last_one_leaves_a_zero,
    a_room_turns_hidden,
    settings_and_crown_update_the_entry,
    unsubscribing_ends_it,
    asking_again_sends_it_again,
    bans_show_only_to_the_banned,
    updates_come_from_every_shard,
    every_end_is_told_to_those_who_fell_behind,
);

fn start(plan: Plan) -> Server {
    plan.set("rate.list", "{ count = 1000, per_ms = 1000 }").start()
}

fn entry<'a>(ls: &'a Value, room: &str) -> Option<&'a Value> {
    ls["u"].as_array().into_iter().flatten().find(|u| u["_id"] == room)
}

/// Takes this room with this count out of the first update that has it. Updates of several rooms may come
/// together, so the others go back.
#[track_caller]
fn update(client: &mut Client, room: &str, count: u32) -> Value {
    let fits = |u: &Value| u["_id"] == room && u["count"] == count;
    let mut ls = client.take(&format!("update of {room} with {count}"), |item| {
        let ls = item.json("ls").filter(|ls| ls["c"] == false)?;
        ls["u"].as_array()?.iter().any(fits).then(|| ls.clone())
    });
    let entries = ls["u"].as_array_mut().expect("just looked into");
    let found = entries.iter().position(fits).expect("just found");
    let found = entries.remove(found);
    if !entries.is_empty() {
        client.put_back(Item::Json(ls));
    }
    found
}

/// Asks for full lists until one fits; shards hear of each other's rooms with a small delay.
#[track_caller]
fn full(client: &mut Client, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        client.send(json!({"m": "+ls"}));
        let ls = client.expect_where("ls", |ls| ls["c"] == true);
        if fits(&ls) {
            return Some(ls);
        }
        std::thread::sleep(Duration::from_millis(30));
        None
    })
}

/// Waits until updates under way have arrived, and forgets them.
fn settle(client: &mut Client) {
    client.watch(Duration::from_millis(900));
    client.drain();
}

/// Statement 117.
fn the_full_list(plan: Plan) {
    let server = start(plan);
    let _inside: Vec<Client> = ROOMS.map(|room| server.join(room)).into();
    let mut hidden = server.guest();
    hidden.enter(json!({"m": "ch", "_id": "secret", "set": {"visible": false}}));
    let mut a = server.guest();
    let ls = full(&mut a, "all rooms in the list", |ls| {
        ROOMS.iter().all(|room| entry(ls, room).is_some_and(|u| u["count"] == 1))
    });
    assert!(entry(&ls, "lobby").is_some(), "the lobby is permanent: {ls}");
    assert!(entry(&ls, "secret").is_none(), "{ls}");
    let entries = ls["u"].as_array().expect("an array");
    for entry in entries {
        assert_eq!(entry["_id"], entry["id"]);
        assert!(entry["_id"].is_string() && entry["count"].is_u64(), "{entry}");
        assert!(entry["settings"].is_object(), "{entry}");
        assert!(entry["banned"].is_null(), "{entry}");
        assert_eq!(entries.iter().filter(|other| other["_id"] == entry["_id"]).count(), 1, "{ls}");
    }
}

/// Statement 118.
fn joining_and_leaving_updates_the_count(plan: Plan) {
    let server = start(plan);
    let mut a = server.guest();
    a.send(json!({"m": "+ls"}));
    a.expect("ls");
    for room in ROOMS {
        let _b = server.join(room);
        let entry = update(&mut a, room, 1);
        assert_eq!(entry["id"], room);
        assert!(entry["settings"].is_object(), "{entry}");
        let mut c = server.join(room);
        update(&mut a, room, 2);
        c.join("lobby");
        update(&mut a, room, 1);
        update(&mut a, "lobby", 1);
        c.hang_up();
        update(&mut a, "lobby", 0);
    }
}

/// Statement 119.
fn the_last_one_leaves_a_zero(plan: Plan) {
    let server = start(plan.set("channel.empty_ms", 100));
    let mut a = server.guest();
    a.send(json!({"m": "+ls"}));
    a.expect("ls");
    for room in ROOMS {
        let b = server.join(room);
        update(&mut a, room, 1);
        b.hang_up();
        assert_eq!(update(&mut a, room, 0)["id"], room);
    }
    full(&mut a, "the empty rooms are gone", |ls| {
        ROOMS.iter().all(|room| entry(ls, room).is_none())
    });
}

/// Statement 120.
fn a_room_turns_hidden(plan: Plan) {
    let server = start(plan);
    let mut a = server.guest();
    a.send(json!({"m": "+ls"}));
    a.expect("ls");
    for room in ROOMS {
        let mut b = server.join(room);
        update(&mut a, room, 1);
        b.send(json!({"m": "chset", "set": {"visible": false}}));
        let last = update(&mut a, room, 0);
        assert_eq!(last["settings"]["visible"], false);
        let mut c = server.join(room);
        b.send(json!({"m": "chset", "set": {"color": "#123456"}}));
        c.expect("ch");
        settle_without(&mut a, room);
        full(&mut a, "hidden from the list", |ls| entry(ls, room).is_none());
        b.send(json!({"m": "chset", "set": {"visible": true}}));
        assert_eq!(update(&mut a, room, 2)["settings"]["visible"], true);
        c.hang_up();
        b.hang_up();
        settle(&mut a);
    }
}

/// Watches for longer than updates may be merged, and expects none of this room.
#[track_caller]
fn settle_without(client: &mut Client, room: &str) {
    client.watch(Duration::from_millis(900));
    for item in client.drain() {
        let found = item.json("ls").is_some_and(|ls| entry(ls, room).is_some());
        assert!(!found, "{item}");
    }
}

/// Statement 118, for everything else that an entry shows.
fn settings_and_crown_update_the_entry(plan: Plan) {
    let server = start(plan);
    let mut a = server.guest();
    a.send(json!({"m": "+ls"}));
    a.expect("ls");
    let mut b = server.join(ROOMS[0]);
    let c = server.join(ROOMS[0]);
    update(&mut a, ROOMS[0], 2);
    b.send(json!({"m": "chset", "set": {"color": "#123456"}}));
    let fits =
        |ls: &Value| entry(ls, ROOMS[0]).is_some_and(|u| u["settings"]["color"] == "#123456");
    a.expect_where("ls", fits);
    b.send(json!({"m": "chown", "id": c.id()}));
    let holder = c.id().to_owned();
    a.expect_where("ls", |ls| {
        entry(ls, ROOMS[0]).is_some_and(|u| u["crown"]["participantId"] == holder.as_str())
    });
}

/// Statement 121.
fn unsubscribing_ends_it(plan: Plan) {
    let server = start(plan);
    let mut a = server.guest();
    let mut still = server.guest();
    for client in [&mut a, &mut still] {
        client.send(json!({"m": "+ls"}));
        client.expect("ls");
    }
    let _b = server.join(ROOMS[0]);
    update(&mut a, ROOMS[0], 1);
    update(&mut still, ROOMS[0], 1);
    a.send(json!({"m": "-ls"}));
    a.clear();
    let _c = server.join(ROOMS[0]);
    let _d = server.join(ROOMS[1]);
    update(&mut still, ROOMS[0], 2);
    update(&mut still, ROOMS[1], 1);
    a.quiet();
    // It is a matter of the connection, wherever that goes.
    still.join(ROOMS[2]);
    update(&mut still, ROOMS[2], 1);
    let _e = server.join(ROOMS[0]);
    update(&mut still, ROOMS[0], 3);
    a.join(ROOMS[1]);
    a.watch(Duration::from_millis(700));
    a.lacks("ls");
}

/// Statement 117, once more on request.
fn asking_again_sends_it_again(plan: Plan) {
    let server = start(plan);
    let mut a = server.guest();
    for _ in 0..3 {
        a.send(json!({"m": "+ls"}));
        assert_eq!(a.expect("ls")["c"], true);
        a.nothing();
    }
    // Subscribed once, however often it was asked for.
    let _b = server.join(ROOMS[0]);
    update(&mut a, ROOMS[0], 1);
    a.quiet();
}

/// Statement 122.
fn bans_show_only_to_the_banned(plan: Plan) {
    let server = start(plan);
    for room in ROOMS {
        let mut a = server.join(room);
        let mut b = server.join(room);
        let mut c = server.guest();
        b.send(json!({"m": "+ls"}));
        b.expect("ls");
        a.send(json!({"m": "kickban", "_id": b.id(), "ms": 600_000}));
        b.joined();
        full(&mut b, "banned", |ls| entry(ls, room).is_some_and(|u| u["banned"] == true));
        for client in [&mut a, &mut c] {
            full(client, "there, without a ban", |ls| {
                entry(ls, room).is_some_and(|u| u["banned"].is_null() && u["count"] == 1)
            });
        }
        // The updates as well.
        c.drain();
        b.drain();
        let _d = server.join(room);
        assert_eq!(update(&mut b, room, 2)["banned"], true);
        assert!(update(&mut c, room, 2)["banned"].is_null());
        a.send(json!({"m": "unban", "_id": b.id()}));
        full(&mut b, "free", |ls| entry(ls, room).is_some_and(|u| u["banned"].is_null()));
    }
}

/// Statement 118, with many rooms and a subscriber on every shard.
fn updates_come_from_every_shard(plan: Plan) {
    let server = start(plan);
    let mut subscribers: Vec<Client> = (0..10)
        .map(|i| {
            let mut client = server.join(&format!("home {i}"));
            client.send(json!({"m": "+ls"}));
            client.expect("ls");
            client
        })
        .collect();
    let rooms: Vec<String> = (0..12).map(|i| format!("room {i}")).collect();
    let inside: Vec<Client> = rooms.iter().map(|room| server.join(room)).collect();
    for subscriber in &mut subscribers {
        for room in &rooms {
            update(subscriber, room, 1);
        }
    }
    for client in inside {
        client.hang_up();
    }
    for subscriber in &mut subscribers {
        for room in &rooms {
            update(subscriber, room, 0);
        }
    }
}

/// Statement 119, for more changes at once than are sent at once: clients never remove a room by themselves.
fn every_end_is_told_to_those_who_fell_behind(plan: Plan) {
    const N: usize = 150;
    let server = plan.set("directory.tick_ms", 400).set("limits.outbox_mark_bytes", 1024).start();
    let mut a = server.guest();
    a.send(json!({"m": "+ls"}));
    let guests: Vec<Client> = (0..N).map(|i| server.join(&format!("short lived {i}"))).collect();
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut rooms_with = |a: &mut Client, count: u64| {
        eventually(&format!("{N} rooms with {count}"), || {
            a.watch(Duration::from_millis(20));
            for ls in a.drain_kind("ls") {
                for u in ls["u"].as_array().into_iter().flatten() {
                    let room = u["_id"].as_str().expect("a name").to_owned();
                    counts.insert(room, u["count"].as_u64().expect("a count"));
                }
            }
            let ours = counts.iter().filter(|(room, _)| room.starts_with("short lived"));
            (ours.filter(|&(_, &n)| n == count).count() == N).then_some(())
        });
    };
    rooms_with(&mut a, 1);
    guests.into_iter().for_each(Client::hang_up);
    rooms_with(&mut a, 0);
}
