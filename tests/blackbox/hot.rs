//! Channels that change temperature under load: every receiver accounts for every message.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tutti_tests::WITHIN;
use tutti_tests::http;
use tutti_tests::mpp::{Client, Item, now_ms};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(nothing_is_lost_while_the_temperature_changes, everything_works_in_a_hot_channel);

const ROOM: &str = "the hot one";

fn plan_of(plan: Plan, demote_after_s: u32) -> Plan {
    plan.unlimited()
        .admin()
        .set("hot.promote_rate", 10)
        .set("hot.promote_members", 4)
        .set("hot.demote_rate", 5)
        .set("hot.demote_after_s", demote_after_s)
}

/// How many channels are hot now: the sum of the gauges that say so.
fn hot_channels(server: &Server) -> f64 {
    http::get(server.admin(), "/metrics")
        .text()
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(name, _)| {
            name.starts_with("tutti_") && name.contains("hot") && !name.contains("_total")
        })
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

/// What number a message of the flood carries: even ones are chat lines, odd ones notes.
fn number_of(item: &Item) -> Option<usize> {
    if let Some(a) = item.json("a") {
        return a["a"].as_str()?.strip_prefix("flood ")?.parse().ok();
    }
    let n = item.json("n")?;
    assert_eq!(n["n"].as_array().map(Vec::len), Some(1), "{n}");
    n["n"][0]["d"].as_f64().map(|d| d as usize)
}

/// Follows the flood: from its first message on, each number has to be the one after the last.
struct Ear {
    client: Client,
    next: Option<usize>,
    /// The highest chat line in the history at the join: the first live message is one of the two after it.
    after: Option<usize>,
    heard: usize,
}

impl Ear {
    /// Joins the room; what it hears has to go on where the history of the join ends.
    fn join(server: &Server) -> Self {
        let mut client = server.guest();
        client.send(json!({"m": "ch", "_id": ROOM}));
        let mut ear = Self { client, next: None, after: None, heard: 0 };
        ear.expect_room();
        ear
    }

    /// Reads up to the `c` of a join and starts the account anew.
    fn expect_room(&mut self) {
        loop {
            let item = self.client.read();
            if item.json("ch").is_some_and(|ch| ch["ch"]["_id"] == ROOM) {
                break;
            }
            assert_eq!(number_of(&item), None, "{item} before the room's `ch`");
        }
        let c = self.client.read();
        let c = c.json("c").unwrap_or_else(|| panic!("{c}"));
        self.after = c["c"].as_array().and_then(|c| number_of(&Item::Json(c.last()?.clone())));
        self.next = None;
    }

    fn listen(&mut self, until: Instant) {
        self.client.pump(until);
        while self.client.pump(Instant::now()) {}
        for item in self.client.drain() {
            let Some(number) = number_of(&item) else { continue };
            match (self.next, self.after) {
                (Some(next), _) => assert_eq!(number, next, "lost, doubled or out of order"),
                (None, Some(after)) => {
                    assert!(
                        number == after + 1 || number == after + 2,
                        "{number} after history {after}"
                    );
                }
                (None, None) => assert!(number <= 1, "{number} came first"),
            }
            self.next = Some(number + 1);
            self.heard += 1;
        }
        assert!(!self.client.is_over(), "{}", self.client.account());
    }
}

/// Tells the other threads to stop, also when the one that decides has failed.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn flood(client: &mut Client, number: usize) {
    if number.is_multiple_of(2) {
        client.say(&format!("flood {number}"));
    } else {
        client.play(now_ms(), json!([{"n": "c4", "d": number}]));
    }
}

fn nothing_is_lost_while_the_temperature_changes(plan: Plan) {
    let shards = plan.shards();
    let server = plan_of(plan, 1).start();
    let mut sender = server.join(ROOM);
    let ears: Vec<Ear> = (0..10).map(|_| Ear::join(&server)).collect();
    let sent = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let mut seen_hot = 0;
    let mut seen_cold = 0;
    std::thread::scope(|scope| {
        let (server, sent, done) = (&server, &sent, &done);
        let _stop = SetOnDrop(done);
        for mut ear in ears {
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    ear.listen(Instant::now() + Duration::from_millis(20));
                }
                let deadline = Instant::now() + WITHIN;
                while ear.next.unwrap_or(0) < sent.load(Ordering::Acquire)
                    && Instant::now() < deadline
                {
                    ear.listen(deadline);
                }
                // From the very first message to the last, none missing.
                assert_eq!(ear.heard, sent.load(Ordering::Acquire), "{}", ear.client.account());
            });
        }
        for way in 0..4 {
            scope.spawn(move || come_and_go(server, done, way));
        }
        for _ in 0..3 {
            // Warm: well over the threshold for longer than the rate is measured.
            let warm = Instant::now() + Duration::from_millis(1600);
            while Instant::now() < warm {
                flood(&mut sender, sent.load(Ordering::Relaxed));
                sent.fetch_add(1, Ordering::Release);
                sender.watch(Duration::from_millis(4));
                sender.drain();
            }
            seen_hot += u32::from(hot_channels(server) > 0.0);
            // Cool: one message now and then, for longer than a channel stays hot.
            let cool = Instant::now() + Duration::from_millis(2600);
            while Instant::now() < cool {
                flood(&mut sender, sent.load(Ordering::Relaxed));
                sent.fetch_add(1, Ordering::Release);
                sender.watch(Duration::from_millis(400));
                sender.drain();
            }
            seen_cold += u32::from(hot_channels(server) == 0.0);
        }
    });
    if shards > 1 {
        assert!(seen_hot > 0 && seen_cold > 0, "hot {seen_hot} times, cold {seen_cold} times");
    }
}

/// Joins, listens for a while, leaves in one of several ways, and again.
fn come_and_go(server: &Server, done: &AtomicBool, way: usize) {
    let mut round = way;
    while !done.load(Ordering::Acquire) {
        let mut ear = Ear::join(server);
        ear.listen(Instant::now() + Duration::from_millis(60));
        match round % 4 {
            0 => ear.client.hang_up(),
            1 => ear.client.reset(),
            2 => {
                ear.client.send(json!([{"m": "ch", "_id": "elsewhere"}, {"m": "ch", "_id": ROOM}]));
                // What is on the way from the old seat ends with the other room's `ch`.
                ear.client.expect_where("ch", |ch| ch["ch"]["_id"] == "elsewhere");
                let mut rest = ear.client.drain();
                rest.retain(|item| item.json("c").is_none() && item.json("nq").is_none());
                // Either everything is still to come or the way back has begun to arrive.
                if rest.iter().all(|item| number_of(item).is_some()) {
                    ear.client.expect_where("ch", |ch| ch["ch"]["_id"] == ROOM);
                }
                ear.client.hang_up();
            }
            _ => {
                ear.client.send(json!({"m": "bye"}));
                ear.client.ended();
            }
        }
        round += 1;
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Every kind of message between members that may sit on different shards than the owner.
fn everything_works_in_a_hot_channel(plan: Plan) {
    let shards = plan.shards();
    let server = plan_of(plan, 600).start();
    let mut holder = server.join(ROOM);
    let mut members: Vec<Client> = (0..9).map(|_| server.join(ROOM)).collect();
    // Two seconds of chat make it hot, and it stays so.
    let end = Instant::now() + Duration::from_secs(if shards > 1 { 6 } else { 1 });
    while Instant::now() < end && hot_channels(&server) == 0.0 {
        for i in 0..10 {
            holder.say(&format!("warm {i}"));
        }
        std::thread::sleep(Duration::from_millis(100));
        for client in std::iter::once(&mut holder).chain(&mut members) {
            while client.pump(Instant::now()) {}
            client.drain();
        }
    }
    if shards > 1 {
        assert!(hot_channels(&server) > 0.0, "never became hot");
    }
    // Members who are spread by now, and those who come after.
    members.extend((0..4).map(|_| server.join(ROOM)));
    let everyone =
        |members: &mut Vec<Client>, what: &str, kind: &str, fits: &dyn Fn(&Value) -> bool| {
            for client in members.iter_mut() {
                assert!(client.expect_where(kind, fits).is_object(), "{what}");
            }
        };
    for i in 0..members.len() {
        let text = format!("member {i}");
        members[i].say(&text);
        everyone(&mut members, "chat", "a", &|a| a["a"] == text.as_str());
        let id = members[i].id().to_owned();
        members[i].send(json!({"m": "userset", "set": {"name": text}}));
        everyone(&mut members, "name", "p", &|p| {
            p["id"] == id.as_str() && p["name"] == text.as_str()
        });
        members[i].play(now_ms(), json!([{"n": "c4", "d": i}]));
        members[i].send(json!({"m": "m", "x": i, "y": 50}));
        for j in (0..members.len()).filter(|j| *j != i) {
            members[j].expect_where("n", |n| {
                n["p"] == id.as_str() && n["n"][0]["d"].as_f64() == Some(i as f64)
            });
            members[j].expect_where("m", |m| m["id"] == id.as_str());
        }
    }
    let target = members[3].id().to_owned();
    holder.send(json!({"m": "chset", "set": {"color": "#123456"}}));
    everyone(&mut members, "settings", "ch", &|ch| ch["ch"]["settings"]["color"] == "#123456");
    holder.send(json!({"m": "chown", "id": target}));
    everyone(&mut members, "crown", "ch", &|ch| {
        ch["ch"]["crown"]["participantId"] == target.as_str()
    });
    members[3].expect_where("nq", |nq| nq["max"].is_number());
    // The new holder rules from wherever it sits.
    members[3].send(json!({"m": "chset", "set": {"color": "#654321"}}));
    everyone(&mut members, "settings", "ch", &|ch| ch["ch"]["settings"]["color"] == "#654321");
    let (from, to) = (members[5].id().to_owned(), members[6].id().to_owned());
    members[5].send(json!({"m": "dm", "_id": to, "message": "psst"}));
    for i in [5, 6] {
        assert_eq!(members[i].expect("dm")["sender"]["_id"], from.as_str());
    }
    members[6].send(json!({"m": "+custom"}));
    members[6].barrier();
    members[5].send(json!({"m": "custom", "data": 5, "target": {"mode": "id", "id": to}}));
    assert_eq!(members[6].expect("custom")["p"], from.as_str());
    // One is kicked, one leaves, one goes elsewhere and comes back.
    let kicked = members[0].id().to_owned();
    members[3].send(json!({"m": "kickban", "_id": kicked, "ms": 60000}));
    members[0].expect_where("ch", |ch| ch["ch"]["_id"] == "test/awkward");
    let mut gone = members.remove(0);
    everyone(&mut members, "kick", "bye", &|bye| bye["p"] == kicked.as_str());
    gone.send(json!({"m": "ch", "_id": ROOM}));
    gone.expect("notification");
    let left = members.remove(0);
    let left_id = left.id().to_owned();
    left.hang_up();
    everyone(&mut members, "leave", "bye", &|bye| bye["p"] == left_id.as_str());
    let mut back = members.remove(0);
    back.join("elsewhere");
    let back_id = back.id().to_owned();
    everyone(&mut members, "change", "bye", &|bye| bye["p"] == back_id.as_str());
    let joined = back.join(ROOM);
    // Nine others, the first holder, and itself.
    assert_eq!(joined.ch["ch"]["count"], members.len() + 2);
    assert_eq!(joined.ch["ppl"].as_array().map(Vec::len), Some(members.len() + 2));
    everyone(&mut members, "return", "p", &|p| p["id"] == back_id.as_str());
    // The holder leaves: the crown goes to the eldest, who never left.
    let holder_at = members.iter().position(|client| client.id() == target).expect("in the room");
    members.remove(holder_at).hang_up();
    let eldest = holder.id().to_owned();
    everyone(&mut members, "the crown", "ch", &|ch| {
        ch["ch"]["crown"]["participantId"] == eldest.as_str()
    });
}
