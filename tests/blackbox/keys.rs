//! Keys of the configuration that no statement's test turns: with another value the server behaves otherwise.

use crate::ROOMS;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tutti_tests::http;
use tutti_tests::mpp::{Client, Ended, now_ms};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    rates_count_what_they_say,
    a_rate_comes_back,
    lengths_and_depths,
    custom_messages,
    bytes_and_messages_in,
    too_fast_is_told_as_often_as_set,
    note_quotas_of_each_kind,
    notes_far_off_sound_now,
    history_and_bans,
    lists_come_in_parts,
    lobbies_overflow_as_often_as_set,
    rooms_are_bounded,
    refused_connections_go_when_set,
    passwords_can_be_guessed_as_often_as_set,
    notices_stay_as_long_as_set,
    slow_readers_have_an_outbox,
    stopping_has_a_deadline,
);

/// Two members of one room, whose first holds the crown.
fn pair(server: &Server) -> [Client; 2] {
    let mut a = server.join(ROOMS[0]);
    let mut b = server.join(ROOMS[0]);
    a.barrier();
    a.clear();
    b.clear();
    [a, b]
}

/// Two at once, and no more for an hour.
const TWO: &str = "{ count = 2, per_ms = 3600000 }";

/// What comes of five of each message when its rate allows two.
fn rates_count_what_they_say(plan: Plan) {
    let mut plan = plan;
    for rate in ["chat", "chat_holder", "settings", "crown", "profile", "ban", "list", "hello"] {
        plan = plan.set(&format!("rate.{rate}"), TWO);
    }
    let server = plan.set("rate.custom_toggle", TWO).start();
    let [mut a, mut b] = pair(&server);
    let (me, other) = (a.id().to_owned(), b.id().to_owned());
    let five =
        |from: &mut Client, to: &mut Client, kind: &str, message: &dyn Fn(usize) -> Value| {
            for n in 0..5 {
                from.send(message(n));
            }
            from.barrier();
            to.barrier();
            let count = to.drain_kind(kind).len();
            from.clear();
            count
        };
    let chat = |n| json!({"m": "a", "message": format!("{n}")});
    let name = |n| json!({"m": "userset", "set": {"name": format!("{n}")}});
    let color = |n| json!({"m": "chset", "set": {"color": format!("#00000{n}")}});
    assert_eq!(five(&mut b, &mut a, "a", &chat), 2, "rate.chat");
    assert_eq!(five(&mut a, &mut b, "a", &chat), 2, "rate.chat_holder");
    assert_eq!(five(&mut a, &mut b, "p", &name), 2, "rate.profile");
    assert_eq!(five(&mut a, &mut b, "ch", &color), 2, "rate.settings");
    let mut guests = [(); 3].map(|()| server.join(ROOMS[0]));
    for guest in &guests {
        a.send(json!({"m": "kickban", "_id": guest.id(), "ms": 0}));
    }
    for guest in &mut guests[..2] {
        assert_eq!(guest.joined().room(), "test/awkward");
    }
    a.barrier();
    guests[2].barrier();
    assert!(guests[2].drain_kind("ch").is_empty(), "rate.ban");
    b.clear();
    // There and back, and then it stays.
    a.send(json!({"m": "chown", "id": other}));
    b.expect("ch");
    b.send(json!({"m": "chown", "id": me}));
    a.expect_where("ch", |ch| ch["ch"]["crown"]["userId"] == json!(me));
    a.send(json!({"m": "chown", "id": other}));
    b.expect_where("ch", |ch| ch["ch"]["crown"]["userId"] == json!(other));
    b.send(json!({"m": "chown", "id": me}));
    a.expect_where("ch", |ch| ch["ch"]["crown"]["userId"] == json!(me));
    a.send(json!({"m": "chown", "id": other}));
    a.barrier();
    b.barrier();
    let later = b.drain_kind("ch");
    assert!(
        later.iter().all(|ch| ch["ch"]["crown"]["userId"] == json!(me)),
        "rate.crown: {later:?}"
    );
    for n in 0..5 {
        a.send(json!({"m": if n % 2 == 0 { "+ls" } else { "-ls" }}));
    }
    a.barrier();
    assert_eq!(a.drain_kind("ls").len(), 1, "rate.list: the third +ls is ignored");
    // On and off: the third, on, is ignored.
    for n in 0..3 {
        a.send(json!({"m": if n % 2 == 0 { "+custom" } else { "-custom" }}));
    }
    a.barrier();
    b.send(json!({"m": "custom", "data": 1, "target": {"mode": "subscribed"}}));
    b.barrier();
    a.barrier();
    a.lacks("custom");
    for _ in 0..5 {
        a.send(json!({"m": "hi"}));
    }
    a.barrier();
    assert_eq!(a.drain_kind("hi").len(), 2, "rate.hello");
}

/// `per_ms` is the time in which the whole count comes back.
fn a_rate_comes_back(plan: Plan) {
    let server = plan.set("rate.time", "{ count = 1, per_ms = 300 }").start();
    let mut a = server.open();
    a.hi();
    let asked = Instant::now();
    let mut answers = 0;
    while answers < 3 {
        a.send(json!({"m": "t", "e": 1}));
        a.watch(Duration::from_millis(20));
        answers += a.drain_kind("t").len();
        assert!(asked.elapsed() < Duration::from_secs(20), "only {answers} answers");
    }
    assert!(asked.elapsed() >= Duration::from_millis(590), "{:?}", asked.elapsed());
}

fn lengths_and_depths(plan: Plan) {
    let server = plan
        .admin()
        .set("limits.chat_length", 5)
        .set("limits.name_length", 4)
        .set("limits.channel_name_length", 16)
        .set("limits.json_depth", 4)
        .start();
    let [mut a, mut b] = pair(&server);
    a.say("123456");
    a.say("12345");
    assert_eq!(b.expect("a")["a"], "12345");
    a.send(json!({"m": "userset", "set": {"name": "12345"}}));
    a.send(json!({"m": "userset", "set": {"name": "1234"}}));
    assert_eq!(b.expect("p")["name"], "1234");
    // The frame's own array and the message are two levels.
    a.send(json!({"m": "a", "message": "deep", "x": [[[1]]]}));
    a.send(json!({"m": "a", "message": "flat", "x": [1]}));
    assert_eq!(b.expect("a")["a"], "flat");
    assert_eq!(a.enter(json!({"m": "ch", "_id": "x".repeat(16)})).room(), "x".repeat(16));
    assert_eq!(a.enter(json!({"m": "ch", "_id": "x".repeat(17)})).room(), "lobby");
    for limit in ["chat_length", "name_length", "channel_name_length", "json_depth"] {
        assert_eq!(hits(&server, limit), 1, "{limit}");
    }
}

fn custom_messages(plan: Plan) {
    let server = plan
        .admin()
        .set("limits.custom_bytes", 100)
        .set("limits.custom_per_ms", 3_600_000)
        .set("limits.custom_targets", 1)
        .set("limits.custom_json_bytes", 64)
        .start();
    let [mut a, mut b] = pair(&server);
    let id = b.id().to_owned();
    let to = |ids: &[&str], data: &str| json!({"m": "custom", "data": data, "target": {"mode": "ids", "ids": ids}});
    a.send(to(&[&id, &id], "two targets"));
    a.send(to(&[&id], &"x".repeat(60)));
    a.send(to(&[&id], &"y".repeat(60)));
    a.send(to(&[&id], "z"));
    a.barrier();
    b.barrier();
    let heard = b.drain_kind("custom");
    let first: Vec<_> =
        heard.iter().map(|custom| custom["data"].as_str().map(|d| &d[..1])).collect();
    assert_eq!(first, [Some("x"), Some("z")], "{heard:?}");
    // The JSON part in front of the bytes.
    b.send(json!({"m": "+custom"}));
    b.barrier();
    for (fill, arrives) in [(20, false), (0, true)] {
        let head =
            format!(r#"{{"m":"custom","target":{{"mode":"subscribed"}}{}}}"#, " ".repeat(fill));
        let mut bytes = (head.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(head.as_bytes());
        bytes.push(7);
        a.send_binary(&bytes);
        a.barrier();
        b.barrier();
        assert_eq!(!b.drain_kind("custom").is_empty(), arrives, "{} bytes", head.len());
    }
    for limit in ["custom_targets", "custom_json_bytes", "custom_rate"] {
        assert_eq!(hits(&server, limit), 1, "{limit}");
    }
}

/// How often a limit was hit, by the metrics.
fn hits(server: &Server, limit: &str) -> u64 {
    let text = http::get(server.admin(), "/metrics").text();
    let label = format!("limit=\"{limit}\"");
    text.lines()
        .filter(|line| line.starts_with("tutti_limit_hits_total{") && line.contains(&label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn bytes_and_messages_in(plan: Plan) {
    let server = plan
        .set("limits.message_bytes", 4_000)
        .set("limits.bytes_in", 10_000)
        .set("limits.bytes_in_per_ms", 3_600_000)
        .set("limits.messages_in", 50)
        .set("limits.messages_in_per_ms", 3_600_000)
        .start();
    let close_of = |text: String, times: usize| {
        let mut client = server.guest();
        for _ in 0..times {
            if !client.try_send(&text) {
                break;
            }
        }
        client.ended()
    };
    assert_eq!(close_of(format!("[{}]", " ".repeat(4_000)), 1), Ended::Close(Some(1009)));
    assert_eq!(close_of(format!("[{}]", " ".repeat(3_000)), 5), Ended::Close(Some(4002)));
    assert_eq!(close_of("[]".to_owned(), 60), Ended::Close(Some(4007)));
    let mut inside = server.guest();
    for _ in 0..30 {
        inside.send_text("[]");
    }
    inside.barrier();
}

fn notes(n: usize) -> Value {
    Value::Array((0..n).map(|_| json!({"n": "c4", "v": 0.5})).collect())
}

fn too_fast_is_told_as_often_as_set(plan: Plan) {
    for (every_ms, told) in [(0, 5), (3_600_000, 1)] {
        let server = plan.clone().set("quota.notice_ms", every_ms).start();
        let mut a = server.join("lobby");
        for _ in 0..5 {
            a.play(now_ms(), notes(900));
        }
        a.barrier();
        assert_eq!(a.drain_kind("notification").len(), told, "every {every_ms} ms");
    }
}

fn note_quotas_of_each_kind(plan: Plan) {
    let mut plan = plan.set("quota.tick_ms", 3_600_000);
    for (kind, max) in [("lobby", 10), ("normal", 20), ("crown", 30)] {
        plan =
            plan.set(&format!("quota.{kind}.allowance"), 1).set(&format!("quota.{kind}.max"), max);
    }
    let server = plan.clone().start();
    let heard = |from: &mut Client, to: &mut Client| {
        for _ in 0..40 {
            from.play(now_ms(), notes(1));
        }
        from.barrier();
        to.barrier();
        from.clear();
        to.drain_kind("n").len()
    };
    // The server's own ceiling is one allowance above what it announces.
    let [mut holder, mut other] = pair(&server);
    assert_eq!(heard(&mut other, &mut holder), 21);
    assert_eq!(heard(&mut holder, &mut other), 31);
    let [mut one, mut two] = [server.join("lobby"), server.join("lobby")];
    assert_eq!(heard(&mut one, &mut two), 11);
    let server = plan.set("quota.enforced", false).start();
    let [mut one, mut two] = pair(&server);
    assert_eq!(heard(&mut one, &mut two), 40);
}

fn notes_far_off_sound_now(plan: Plan) {
    for (time_off_ms, kept) in [(1_000, false), (60_000, true)] {
        let server = plan.clone().set("notes.time_off_ms", time_off_ms).start();
        let [mut a, mut b] = pair(&server);
        let then = now_ms() + 30_000.0;
        a.play(then, notes(1));
        let heard = b.expect("n")["t"].as_f64().expect("a time");
        assert_eq!(heard == then, kept, "{heard} for {then}");
    }
}

fn history_and_bans(plan: Plan) {
    let server =
        plan.set("chat.history", 2).set("ban.max_ms", 120_000).set("ban.per_channel", 1).start();
    let [mut a, b] = pair(&server);
    for line in ["1", "2", "3"] {
        a.say(line);
    }
    a.barrier();
    let mut c = server.guest();
    let history = c.join(ROOMS[0]).c;
    let lines: Vec<_> = history["c"].as_array().expect("a list").iter().map(|a| &a["a"]).collect();
    assert_eq!(lines, ["2", "3"]);
    let mut gone = [b, c];
    for client in &mut gone {
        a.send(json!({"m": "kickban", "_id": client.id(), "ms": 3_600_000}));
        let told = client.expect("notification")["text"].to_string();
        assert!(told.contains("2 minutes"), "{told}");
        assert_eq!(client.joined().room(), "test/awkward");
    }
    // The second ban made room by ending the first.
    let [mut b, mut c] = gone;
    assert_eq!(b.enter(json!({"m": "ch", "_id": ROOMS[0]})).room(), ROOMS[0]);
    assert_eq!(c.enter(json!({"m": "ch", "_id": ROOMS[0]})).room(), "test/awkward");
}

fn lists_come_in_parts(plan: Plan) {
    let server = plan.set("directory.chunk", 2).set("rate.list.count", "\"unlimited\"").start();
    let _inside: Vec<Client> = (0..5).map(|n| server.join(&format!("part {n}"))).collect();
    let mut a = server.guest();
    let wanted = ["lobby", "part 0", "part 1", "part 2", "part 3", "part 4"];
    tutti_tests::eventually("the list has everything", || {
        a.send(json!([{"m": "-ls"}, {"m": "+ls"}]));
        a.barrier();
        let parts = a.drain_kind("ls");
        let entries = |ls: &Value| ls["u"].as_array().expect("a list").clone();
        assert!(parts.iter().all(|ls| entries(ls).len() <= 2), "{parts:?}");
        let names: Vec<String> = parts
            .iter()
            .flat_map(entries)
            .filter_map(|entry| entry["_id"].as_str().map(str::to_owned))
            .collect();
        wanted.iter().all(|name| names.iter().any(|n| n == name)).then_some(())
    });
}

fn lobbies_overflow_as_often_as_set(plan: Plan) {
    let server = plan.set("lobby.capacity", 1).set("lobby.overflows", 1).start();
    let mut rooms = Vec::new();
    let inside: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = server.guest();
            rooms.push(client.enter(json!({"m": "ch", "_id": "lobby"})).room().to_owned());
            client
        })
        .collect();
    assert_eq!(rooms[0], "lobby");
    assert_ne!(rooms[1], "test/awkward");
    assert_eq!(rooms[2], "test/awkward");
    drop(inside);
}

fn rooms_are_bounded(plan: Plan) {
    let shards = plan.shards();
    let server = plan.set("channel.max", 4).start();
    let mut inside = Vec::new();
    for n in 0..4 * shards + 1 {
        let mut client = server.guest();
        let room = client.enter(json!({"m": "ch", "_id": format!("bounded {n}")}));
        if room.room() == "test/awkward" {
            client.lacks("ch");
            return;
        }
        inside.push(client);
    }
    panic!("{} rooms on {shards} shards", inside.len());
}

fn refused_connections_go_when_set(plan: Plan) {
    let server = plan
        .production()
        .set("limits.connections_per_user", 1)
        .set("limits.refused_ms", 100)
        .start();
    let _first = server.guest_from("203.0.113.7");
    let mut second = server.open_from("203.0.113.7");
    let start = Instant::now();
    second.send(json!({"m": "hi"}));
    second.expect("notification");
    assert_eq!(second.ended(), Ended::Close(Some(4009)));
    assert!(start.elapsed() < Duration::from_millis(2_900), "{:?}", start.elapsed());
}

fn passwords_can_be_guessed_as_often_as_set(plan: Plan) {
    let server = plan
        .admin()
        .set("admin.password", "\"correct horse\"")
        .set("admin.guesses", 2)
        .set("admin.guess_window_ms", 3_600_000)
        .set("admin.lockout_ms", 700)
        .start();
    let mut a = server.join(ROOMS[0]);
    let staff = |password: &str| {
        let msg = json!({"m": "notification", "text": "x"});
        json!({"m": "admin message", "password": password, "msg": msg})
    };
    a.send(staff("one"));
    a.send(staff("correct horse"));
    a.expect("notification");
    let locked = Instant::now();
    a.send(staff("two"));
    let mut answered = false;
    while !answered {
        a.send(staff("correct horse"));
        a.watch(Duration::from_millis(50));
        answered = !a.drain_kind("notification").is_empty();
        assert!(locked.elapsed() < Duration::from_secs(20), "it lasts longer than was set");
    }
    assert!(locked.elapsed() >= Duration::from_millis(650), "{:?}", locked.elapsed());
    let text = http::get(server.admin(), "/metrics").text();
    assert!(text.contains("\ntutti_wrong_passwords_total 2\n"), "{text}");
    let ignored = text.lines().find(|line| line.starts_with("tutti_ignored_passwords_total "));
    assert!(ignored.is_some_and(|line| !line.ends_with(" 0")), "{ignored:?}");
}

fn notices_stay_as_long_as_set(plan: Plan) {
    let server = plan
        .set("admin.password", "\"correct horse\"")
        .set("notice.default_ms", 1_234)
        .set("notice.max_ms", 2_345)
        .set("limits.tag_length", 2)
        .start();
    let mut a = server.join(ROOMS[0]);
    let id = a.id().to_owned();
    let mut say = |msg: Value| {
        a.send(json!({"m": "admin message", "password": "correct horse", "msg": msg}));
    };
    say(json!({"m": "notification", "text": "x"}));
    say(json!({"m": "notification", "text": "x", "duration": 60_000}));
    say(json!({"m": "tag", "_id": id, "tag": {"text": "abc", "color": "#fff"}}));
    say(json!({"m": "tag", "_id": id, "tag": {"text": "ab", "color": "#fff"}}));
    assert_eq!(a.expect("notification")["duration"], 1_234);
    assert_eq!(a.expect("notification")["duration"], 2_345);
    assert_eq!(a.expect("p")["tag"]["text"], "ab");
}

fn slow_readers_have_an_outbox(plan: Plan) {
    let server = plan
        .admin()
        .set("limits.outbox_bytes", 150_000)
        .set("limits.outbox_mark_bytes", 2_000)
        .set("rate.chat", "{ count = 1000000, per_ms = 1 }")
        .set("rate.chat_holder", "{ count = 1000000, per_ms = 1 }")
        .set("limits.messages_in", "\"unlimited\"")
        .set("limits.bytes_in", "\"unlimited\"")
        .start();
    let mut a = server.join(ROOMS[0]);
    let dial = tutti_tests::ws::Dial::default().recv_buffer(4096);
    let mut slow = Client::new(server.socket_with(&dial).expect("an upgrade"));
    slow.hi();
    slow.join(ROOMS[0]);
    let text_bytes = 500;
    let text = "x".repeat(text_bytes);
    for n in 0..100_000 {
        a.say(&text);
        if n % 100 == 0 {
            a.barrier();
            a.clear();
            if hits(&server, "outbox_bytes") > 0 {
                // The default is more than has been said so far.
                assert!(n * text_bytes < 1 << 20, "closed after {n} messages");
                return;
            }
        }
    }
    panic!("a slow reader is never closed");
}

/// One that takes nothing keeps the stop waiting, but only for as long as was set.
fn stopping_has_a_deadline(plan: Plan) {
    let mut server = plan.unlimited().set("shutdown.deadline_ms", 300).start();
    let mut a = server.join(ROOMS[0]);
    let dial = tutti_tests::ws::Dial::default().recv_buffer(4096);
    let mut stuck = Client::new(server.socket_with(&dial).expect("an upgrade"));
    stuck.hi();
    stuck.join(ROOMS[0]);
    for _ in 0..1_000 {
        a.say(&"x".repeat(500));
    }
    a.barrier();
    server.do_not_judge();
    let start = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait(Duration::from_secs(20)).is_some(), "it does not end");
    assert!(start.elapsed() < Duration::from_secs(4), "it took {:?}", start.elapsed());
}
