//! Pipelined input and wandering connections: nothing lost, repeated or reordered on the way between shards.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tutti_tests::mpp::{Client, Item, clear_all, now_ms};
use tutti_tests::server::{Plan, Server};
use tutti_tests::ws::{TEXT, frame, random};
use tutti_tests::{WITHIN, eventually};

on_1_2_5_shards!(
    pipelined_in_one_frame,
    pipelined_in_one_write,
    pipelined_byte_by_byte,
    subscriptions_move_along,
    gone_on_the_way,
    fifty_clients_in_thirty_rooms,
);

/// A tour of rooms as messages: in each room a chat line and a note.
fn tour(rooms: &[String]) -> Vec<Value> {
    let mut messages = vec![json!({"m": "hi"})];
    for (i, room) in rooms.iter().enumerate() {
        messages.push(json!({"m": "ch", "_id": room}));
        messages.push(json!({"m": "a", "message": format!("line {i}")}));
        messages.push(json!({"m": "n", "t": now_ms(), "n": [{"n": "c4", "d": i}]}));
    }
    messages
}

/// Somebody in each room, who says afterwards what they heard.
struct Watchers {
    rooms: Vec<String>,
    clients: Vec<Client>,
}

impl Watchers {
    fn new(server: &Server, n: usize) -> Self {
        // The names tell tours apart: whoever was on the last one may still be leaving.
        let rooms: Vec<String> = (0..n).map(|i| format!("stop {i} of {n}")).collect();
        let clients = rooms.iter().map(|room| server.join(room)).collect();
        Self { rooms, clients }
    }

    /// Expects that the traveller came, spoke, played and (except from the last room) left, once and in order.
    #[track_caller]
    fn check(&mut self, id: &str) {
        let last = self.clients.len() - 1;
        for (i, client) in self.clients.iter_mut().enumerate() {
            let p = client.expect("p");
            assert_eq!(p["id"], id);
            let a = client.expect("a");
            assert_eq!((&a["a"], &a["p"]["_id"]), (&json!(format!("line {i}")), &json!(id)));
            let n = client.expect("n");
            assert_eq!((n["n"][0]["d"].as_f64(), &n["p"]), (Some(i as f64), &json!(id)));
            if i != last {
                assert_eq!(client.expect("bye")["p"], id);
            }
            client.nothing();
        }
    }
}

/// Reads the traveller's answers: each room's `ch`, its own line, in order, and nothing twice.
#[track_caller]
fn check_traveller(client: &mut Client, rooms: &[String]) {
    client.expect("hi");
    for (i, room) in rooms.iter().enumerate() {
        loop {
            let item = client.read();
            if item.json("nq").is_some() {
                continue;
            }
            assert!(item.json("ch").is_some_and(|ch| ch["ch"]["_id"] == room.as_str()), "{item}");
            break;
        }
        assert!(client.read().json("c").is_some());
        assert!(client.read().json("nq").is_some());
        let line = client.read();
        assert!(line.json("a").is_some_and(|a| a["a"] == format!("line {i}")), "{line}");
    }
    client.nothing();
}

fn travel(server: &Server, send: impl Fn(&mut Client, &[Value])) {
    for n in [2, 4] {
        let mut watchers = Watchers::new(server, n);
        let mut client = server.open();
        send(&mut client, &tour(&watchers.rooms));
        check_traveller(&mut client, &watchers.rooms);
        let id = client.enter(json!({"m": "ch", "_id": watchers.rooms[n - 1]})).ch["p"].clone();
        watchers.check(id.as_str().expect("an id"));
    }
}

fn pipelined_in_one_frame(plan: Plan) {
    let server = plan.start();
    travel(&server, |client, messages| client.send(json!(messages)));
}

fn frames(messages: &[Value]) -> Vec<u8> {
    messages.iter().flat_map(|m| frame(true, TEXT, json!([m]).to_string().as_bytes())).collect()
}

fn pipelined_in_one_write(plan: Plan) {
    let server = plan.start();
    travel(&server, |client, messages| {
        client.ws().send_raw(&frames(messages)).expect("an open connection");
    });
}

fn pipelined_byte_by_byte(plan: Plan) {
    let server = plan.start();
    travel(&server, |client, messages| {
        for (i, byte) in frames(messages).iter().enumerate() {
            client.ws().send_raw(&[*byte]).expect("an open connection");
            // A pause now and then, so that some pieces arrive alone.
            if i % 16 == 0 {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    });
}

/// What belongs to a connection and not to its room survives every move: subscriptions, the kind, the name.
fn subscriptions_move_along(plan: Plan) {
    let server = plan.start();
    let mut a = server.guest();
    a.send(json!([{"m": "+ls"}, {"m": "+custom"}, {"m": "userset", "set": {"name": "Wanderer"}}]));
    a.expect("ls");
    // They stay, because a holder who leaves is told of to those who are still there.
    let mut others = Vec::new();
    for i in 0..4 {
        let room = format!("stop {i}");
        let mut there = server.join(&room);
        assert_eq!(a.enter(json!({"m": "ch", "_id": room})).ch["ch"]["count"], 2);
        assert_eq!(there.expect("p")["name"], "Wanderer");
        there.send(json!({"m": "custom", "data": i, "target": {"mode": "subscribed"}}));
        assert_eq!(a.expect("custom")["data"], i);
        a.expect_where("ls", |ls| {
            ls["u"]
                .as_array()
                .is_some_and(|u| u.iter().any(|u| u["_id"] == room.as_str() && u["count"] == 2))
        });
        others.push(there);
    }
}

/// Connections that end at every point of a join leave nothing behind.
fn gone_on_the_way(plan: Plan) {
    let server = plan.start();
    let mut watchers = Watchers::new(&server, 4);
    let bytes = frames(&tour(&watchers.rooms));
    for i in 0..60 {
        let mut client = server.open();
        let cut = bytes.len() * (i + 1) / 60;
        client.ws().send_raw(&bytes[..cut]).expect("an open connection");
        if i % 2 == 0 { client.reset() } else { client.hang_up() }
    }
    eventually("all rooms are as before", || {
        std::thread::sleep(Duration::from_millis(430));
        let counts: Vec<Value> = watchers
            .clients
            .iter_mut()
            .zip(&watchers.rooms)
            .map(|(client, room)| {
                client.enter(json!({"m": "ch", "_id": room})).ch["ch"]["count"].clone()
            })
            .collect();
        counts.iter().all(|count| *count == 1).then_some(())
    });
    for client in &mut watchers.clients {
        client.barrier();
        // Whoever came has left, once.
        let mut here: HashMap<String, i32> = HashMap::new();
        for item in client.drain() {
            if let Some(p) = item.json("p") {
                *here.entry(p["id"].to_string()).or_default() += 1;
            } else if let Some(bye) = item.json("bye") {
                let count = here.entry(bye["p"].to_string()).or_default();
                *count -= 1;
                assert_eq!(*count, 0, "{bye} without a `p` before it");
            }
        }
        assert!(here.values().all(|count| *count == 0), "{here:?}");
    }
}

const N_ROOMS: usize = 30;
const N_HOPS: usize = 25;

/// A client that hops and keeps a record of what it said where.
struct Hopper {
    client: Client,
    name: usize,
    /// What it has said, in order; each line names its room.
    said: Vec<String>,
    /// The room of the last `ch` that arrived.
    room: String,
    /// Its own lines that came back.
    heard: Vec<String>,
}

impl Hopper {
    fn hop(&mut self) {
        let room = format!("hop {}", random() as usize % N_ROOMS);
        let mut messages = vec![json!({"m": "ch", "_id": room})];
        for _ in 0..random() % 3 + 1 {
            let line = format!("{room}|{}|{}", self.name, self.said.len());
            messages.push(json!({"m": "a", "message": line}));
            self.said.push(line);
        }
        match random() % 3 {
            0 => self.client.send(json!(messages)),
            1 => self.client.ws().send_raw(&frames(&messages)).expect("an open connection"),
            _ => {
                let bytes = frames(&messages);
                let (one, two) = bytes.split_at(random() as usize % bytes.len());
                self.client.ws().send_raw(one).expect("an open connection");
                self.client.ws().send_raw(two).expect("an open connection");
            }
        }
    }

    fn listen(&mut self) {
        while self.client.pump(Instant::now()) {}
        for item in self.client.drain() {
            self.judge(&item);
        }
    }

    fn judge(&mut self, item: &Item) {
        if let Some(ch) = item.json("ch") {
            ch["ch"]["_id"].as_str().expect("a name").clone_into(&mut self.room);
        } else if let Some(a) = item.json("a") {
            let line = a["a"].as_str().expect("a line");
            let mut parts = line.split('|');
            assert_eq!(parts.next(), Some(self.room.as_str()), "{line} was heard elsewhere");
            if parts.next() == Some(self.name.to_string().as_str()) {
                self.heard.push(line.to_owned());
            }
        }
    }
}

fn fifty_clients_in_thirty_rooms(plan: Plan) {
    let server = plan.unlimited().start();
    let mut watchers: Vec<Client> =
        (0..N_ROOMS).map(|i| server.join(&format!("hop {i}"))).collect();
    let threads: Vec<Vec<Hopper>> = std::thread::scope(|scope| {
        let server = &server;
        let handles: Vec<_> = (0..5).map(|t| scope.spawn(move || hop_about(server, t))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a hopper's record")).collect()
    });
    // All hoppers have passed their barriers: whatever they said is with the watchers' shards.
    let said: Vec<String> = threads.into_iter().flatten().flat_map(|hopper| hopper.said).collect();
    assert!(said.len() > 50 * N_HOPS);
    let mut refs: Vec<&mut Client> = watchers.iter_mut().collect();
    for client in &mut refs {
        client.barrier();
    }
    for (i, client) in watchers.iter_mut().enumerate() {
        let room = format!("hop {i}");
        let mut heard: HashMap<String, Vec<String>> = HashMap::new();
        let mut here: HashMap<String, bool> = HashMap::new();
        for item in client.drain() {
            if let Some(a) = item.json("a") {
                let line = a["a"].as_str().expect("a line").to_owned();
                let name = line.split('|').nth(1).expect("a name").to_owned();
                heard.entry(name).or_default().push(line);
                assert_eq!(here.get(&a["p"]["_id"].to_string()), Some(&true), "{a} from outside");
            } else if let Some(p) = item.json("p") {
                let before = here.insert(p["id"].to_string(), true);
                assert_ne!(before, Some(true), "{p} came twice");
            } else if let Some(bye) = item.json("bye") {
                let before = here.insert(bye["p"].to_string(), false);
                assert_eq!(before, Some(true), "{bye} was not there");
            }
        }
        let mut wanted: HashMap<String, Vec<String>> = HashMap::new();
        for line in said.iter().filter(|line| line.split('|').next() == Some(room.as_str())) {
            let name = line.split('|').nth(1).expect("a name").to_owned();
            wanted.entry(name).or_default().push(line.clone());
        }
        assert_eq!(heard, wanted, "in {room}");
    }
    let mut two = watchers.iter_mut();
    if let (Some(one), Some(other)) = (two.next(), two.next()) {
        clear_all(&mut [one, other]);
    }
}

/// Ten hoppers in one thread; they end with everything heard that they said.
fn hop_about(server: &Server, thread: usize) -> Vec<Hopper> {
    let mut hoppers: Vec<Hopper> = (0..10)
        .map(|i| Hopper {
            client: server.guest(),
            name: thread * 10 + i,
            said: Vec::new(),
            room: String::new(),
            heard: Vec::new(),
        })
        .collect();
    for _ in 0..N_HOPS {
        for hopper in &mut hoppers {
            hopper.hop();
            hopper.listen();
        }
    }
    for hopper in &mut hoppers {
        let deadline = Instant::now() + WITHIN * 2;
        while hopper.heard.len() < hopper.said.len() && Instant::now() < deadline {
            hopper.client.pump(deadline);
            hopper.listen();
        }
        assert_eq!(hopper.heard, hopper.said, "lines of {} that came back to it", hopper.name);
    }
    hoppers
}
