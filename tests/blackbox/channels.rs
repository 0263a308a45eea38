//! Statements 31 to 50: joining, leaving, lobbies.

use crate::ROOMS;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tutti_tests::WITHIN;
use tutti_tests::mpp::{Client, Item, coordinate, now_ms, person, whole_person};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    lobby_has_no_crown,
    a_new_room_belongs_to_its_creator,
    initial_settings,
    initial_settings_of_others_are_ignored,
    a_joiner_is_announced,
    a_leaver_is_announced,
    joining_again_answers_only_the_joiner,
    a_name_that_is_no_string_is_ignored,
    bad_names_lead_to_the_lobby,
    a_full_lobby_overflows,
    test_rooms_are_lobbies,
    an_empty_room_waits_for_a_moment,
    a_room_that_stays_empty_is_gone,
    nothing_of_the_old_room_after_the_new_one,
    names_are_case_sensitive,
    a_burst_of_joins_ends_in_the_last_one,
);

/// Statement 31.
fn lobby_has_no_crown(plan: Plan) {
    let server = plan.start();
    let mut a = server.guest();
    a.send(json!({"m": "ch", "_id": "lobby"}));
    let items = [a.read(), a.read(), a.read()];
    let ch = items[0].json("ch").unwrap_or_else(|| panic!("{}", items[0]));
    assert_eq!(ch["p"], a.id());
    assert_eq!(ch["ch"]["_id"], "lobby");
    assert_eq!(ch["ch"]["id"], "lobby");
    assert_eq!(ch["ch"]["count"], 1);
    assert!(ch["ch"]["crown"].is_null(), "{ch}");
    let settings = json!({
        "lobby": true, "visible": true, "chat": true, "crownsolo": false, "color": "#73b3cc",
        "color2": "#273546", "limit": 20, "noindex": false,
    });
    assert_eq!(ch["ch"]["settings"], settings);
    assert_eq!(ch["ppl"].as_array().map(Vec::len), Some(1));
    whole_person(person(ch, a.id()));
    assert_eq!(items[1], Item::Json(json!({"m": "c", "c": []})));
    assert_eq!(
        items[2],
        Item::Json(json!({"m": "nq", "allowance": 200, "max": 600, "maxHistLen": 3}))
    );
    a.nothing();
}

fn normal_settings() -> Value {
    json!({
        "visible": true, "chat": true, "crownsolo": false, "color": "#3b5054", "color2": "#001014",
        "limit": 50, "noindex": false,
    })
}

fn without_false_lobby(settings: &Value) -> Value {
    let mut settings = settings.clone();
    if settings["lobby"] == false {
        settings.as_object_mut().expect("settings").remove("lobby");
    }
    settings
}

/// Statements 32, 33.
fn a_new_room_belongs_to_its_creator(plan: Plan) {
    let server = plan.start();
    for (i, room) in ROOMS.into_iter().enumerate() {
        let mut a = server.guest();
        let mut message = json!({"m": "ch", "_id": room});
        if let Some(set) = [None, Some(json!({})), Some(json!([1]))][i].clone() {
            message["set"] = set;
        }
        let joined = a.enter(message);
        let crown = joined.crown();
        assert_eq!(crown["participantId"], a.id());
        assert_eq!(crown["userId"], a.id());
        assert!((crown["time"].as_f64().expect("a number") - now_ms()).abs() < 5000.0);
        for end in ["startPos", "endPos"] {
            coordinate(&crown[end]["x"]);
            coordinate(&crown[end]["y"]);
        }
        assert_eq!(without_false_lobby(joined.settings()), normal_settings());
        assert_eq!(joined.nq["allowance"], 600, "the holder's preset");
        assert_eq!(joined.nq["max"], 1800);
        assert_eq!(joined.ch["ch"]["id"], room);
        a.nothing();
    }
}

/// Statement 34.
fn initial_settings(plan: Plan) {
    let server = plan.start();
    let mut a = server.guest();
    let set = json!({"visible": false, "color": "#112233", "lobby": true, "junk": 1});
    let joined = a.enter(json!({"m": "ch", "_id": ROOMS[0], "set": set}));
    let settings = joined.settings();
    assert_eq!(settings["visible"], false);
    assert_eq!(settings["color"], "#112233");
    assert!(
        settings["color2"].is_null(),
        "a colour alone drops the default outer colour: {settings}"
    );
    assert!(settings["lobby"].is_null() || settings["lobby"] == false, "{settings}");
    assert!(settings["junk"].is_null());
    assert_eq!(settings["chat"], true);
    let set = json!({
        "color": "#112233", "color2": "#445566", "limit": "12", "crownsolo": "true", "chat": 0,
        "no cussing": true, "minOnlineTime": 0, "owner_id": "x", "noindex": null,
    });
    let joined = a.enter(json!({"m": "ch", "_id": ROOMS[1], "set": set}));
    let settings = joined.settings();
    assert_eq!(settings["color2"], "#445566");
    assert_eq!(settings["limit"], 12);
    assert_eq!(settings["crownsolo"], true);
    assert_eq!(settings["chat"], true, "a number is no boolean");
    assert_eq!(settings["no cussing"], true);
    assert!(settings["owner_id"].is_null());
    assert_eq!(settings["noindex"], false);
    // Lobbies have the settings that they have.
    let joined =
        a.enter(json!({"m": "ch", "_id": "lobby", "set": {"chat": false, "color": "#000000"}}));
    assert_eq!(joined.settings()["chat"], true);
    assert_eq!(joined.settings()["color"], "#73b3cc");
}

/// Statement 35.
fn initial_settings_of_others_are_ignored(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        let mut b = server.guest();
        let set = json!({"visible": false, "color": "#112233", "chat": false});
        let joined = b.enter(json!({"m": "ch", "_id": room, "set": set}));
        assert_eq!(without_false_lobby(joined.settings()), normal_settings());
        a.expect("p");
        a.nothing();
    }
}

/// Statement 36.
fn a_joiner_is_announced(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        let mut b = server.guest();
        let joined = b.join(room);
        assert_eq!(joined.ch["ch"]["count"], 2);
        assert_eq!(joined.ch["ppl"].as_array().map(Vec::len), Some(2));
        whole_person(person(&joined.ch, a.id()));
        whole_person(person(&joined.ch, b.id()));
        assert_eq!(joined.crown()["participantId"], a.id());
        let p = a.expect("p");
        whole_person(&p);
        assert_eq!(p["id"], b.id());
        assert_eq!(p["_id"], b.id());
        assert_eq!((coordinate(&p["x"]), coordinate(&p["y"])), (200.0, 100.0));
        a.nothing();
        b.nothing();
    }
}

/// Statements 37, 38.
fn a_leaver_is_announced(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        let [mut b, mut c, d, e] = [(); 4].map(|()| {
            let other = server.join(room);
            assert_eq!(a.expect("p")["id"], other.id());
            other
        });
        b.join(&format!("elsewhere than {room}"));
        assert_eq!(a.expect("bye")["p"], b.id());
        c.send(json!({"m": "bye"}));
        assert_eq!(a.expect("bye")["p"], c.id());
        let ids = (d.id().to_owned(), e.id().to_owned());
        d.hang_up();
        assert_eq!(a.expect("bye")["p"], ids.0);
        e.reset();
        assert_eq!(a.expect("bye")["p"], ids.1);
        a.nothing();
        b.barrier();
        b.lacks("bye");
    }
}

/// Statement 39.
fn joining_again_answers_only_the_joiner(plan: Plan) {
    let server = plan.start();
    for room in [ROOMS[0], "lobby"] {
        let mut a = server.join(room);
        let mut b = server.join(room);
        a.clear();
        let joined = b.enter(json!({"m": "ch", "_id": room, "set": {"color": "#000000"}}));
        assert_eq!((joined.room(), &joined.ch["ch"]["count"]), (room, &json!(2)));
        assert_ne!(joined.settings()["color"], "#000000");
        b.nothing();
        a.nothing();
        let joined = a.enter(json!({"m": "ch", "_id": room}));
        if room != "lobby" {
            assert_eq!(joined.crown()["participantId"], a.id(), "the crown stays");
        }
        b.nothing();
    }
}

/// Statement 40.
fn a_name_that_is_no_string_is_ignored(plan: Plan) {
    let server = plan.start();
    let mut a = server.guest();
    for message in
        [json!({"m": "ch"}), json!({"m": "ch", "_id": 5}), json!({"m": "ch", "_id": null})]
    {
        a.send(message);
    }
    a.send(json!([{"m": "ch", "_id": ["x"]}, {"m": "ch", "_id": {}}]));
    a.nothing();
    a.join(ROOMS[0]);
}

/// Statements 41, 42.
fn bad_names_lead_to_the_lobby(plan: Plan) {
    let server = plan.set("rate.join", "{ count = 100, per_ms = 100 }").start();
    let mut a = server.guest();
    let long = "x".repeat(513);
    let emoji = "\u{1f3b9}".repeat(257);
    for name in [
        &long,
        &emoji,
        "",
        " ",
        "   ",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\u{0}b",
        "a\u{b}b",
        "a\u{202e}b",
        "\u{2066}a",
        "\u{2067}",
        "\u{202b}x",
        "x\u{200f}",
    ] {
        a.join(ROOMS[0]);
        assert_eq!(a.enter(json!({"m": "ch", "_id": name})).room(), "lobby", "{name:?}");
    }
    for name in ["x".repeat(512), "\u{1f3b9}".repeat(256), "\u{e9}".repeat(512), " x ".to_owned()] {
        assert_eq!(a.join(&name).crown()["participantId"], a.id());
    }
}

fn twenty(server: &Server) -> Vec<Client> {
    (0..20).map(|_| server.join("lobby")).collect()
}

/// Statements 43, 44.
fn a_full_lobby_overflows(plan: Plan) {
    let server = plan.start();
    let crowd = twenty(&server);
    let mut a = server.guest();
    let joined = a.enter(json!({"m": "ch", "_id": "lobby"}));
    assert_eq!(joined.room(), "lobby2");
    assert_eq!(joined.settings()["lobby"], true);
    assert!(joined.crown().is_null());
    // Test lobbies are without a limit, and whoever is inside may ask again.
    let mut first = crowd.into_iter();
    let mut inside = first.next().expect("twenty");
    assert_eq!(inside.enter(json!({"m": "ch", "_id": "lobby"})).room(), "lobby");
    let joined = a.enter(json!({"m": "ch", "_id": "lolwutsecretlobbybackdoor"}));
    assert_eq!((joined.room(), &joined.ch["ch"]["count"]), ("lobby", &json!(21)));
    // Room again once people leave.
    drop(first);
    let deadline = Instant::now() + WITHIN;
    let mut b = server.guest();
    while b.enter(json!({"m": "ch", "_id": "lobby"})).room() != "lobby" {
        assert!(Instant::now() < deadline, "the lobby stays full");
        std::thread::sleep(Duration::from_millis(450));
    }
}

/// Statements 45, 46.
fn test_rooms_are_lobbies(plan: Plan) {
    let server = plan.set("rate.join", "{ count = 100, per_ms = 100 }").start();
    let mut a = server.guest();
    for room in ["test/x", "test/awkward", "lobby7", "lobby123456789", "lobbyNaN"] {
        let joined = a.join(room);
        assert_eq!(joined.settings()["lobby"], true, "{room}");
        assert!(joined.crown().is_null(), "{room}");
        assert_eq!(joined.nq["max"], 600, "{room}");
    }
    assert!(a.join("test/x").settings()["limit"].is_null());
    for room in
        ["test/", "lobbyx", "Lobby", "lobby1234567890", "lobby 1", "lobby-1", "xlobby", "Test/x"]
    {
        let joined = a.join(room);
        assert_eq!(joined.crown()["participantId"], a.id(), "{room}");
        assert_ne!(joined.settings()["lobby"], true, "{room}");
    }
}

/// Statement 47. The user has to be the same one, so it is production.
fn an_empty_room_waits_for_a_moment(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let mut a = server.join_from("203.0.113.1", room);
        a.send(json!({"m": "chset", "set": {"color": "#abcdef", "chat": true}}));
        a.expect("ch");
        a.say("still here");
        a.expect("a");
        a.hang_up();
        std::thread::sleep(Duration::from_millis(300));
        let mut b = server.guest_from("203.0.113.1");
        let joined = b.join(room);
        assert_eq!(joined.settings()["color"], "#abcdef");
        assert_eq!(joined.crown()["participantId"], b.id());
        assert_eq!(joined.c["c"][0]["a"], "still here");
        // Somebody else finds the room as it was as well, with the crown lying for a while.
        b.hang_up();
        std::thread::sleep(Duration::from_millis(300));
        let mut c = server.guest_from("203.0.113.2");
        let joined = c.join(room);
        assert_eq!(joined.settings()["color"], "#abcdef");
        assert!(joined.crown()["participantId"].is_null(), "{}", joined.ch);
    }
}

/// Statement 48. The delay is 3 s; here it is 200 ms.
fn a_room_that_stays_empty_is_gone(plan: Plan) {
    let server = plan.set("channel.empty_ms", 200).start();
    for room in ROOMS {
        let mut a = server.guest();
        a.enter(json!({"m": "ch", "_id": room, "set": {"color": "#abcdef"}}));
        a.say("gone soon");
        a.expect("a");
        a.hang_up();
    }
    std::thread::sleep(Duration::from_millis(900));
    for room in ROOMS {
        let mut b = server.guest();
        let joined = b.join(room);
        assert_eq!(joined.settings()["color"], "#3b5054");
        assert_eq!(joined.crown()["participantId"], b.id());
        assert_eq!(joined.c["c"], json!([]));
    }
}

/// Statement 49.
fn nothing_of_the_old_room_after_the_new_one(plan: Plan) {
    let server = plan.unlimited().start();
    let mut a = server.join(ROOMS[0]);
    let mut other = server.join(ROOMS[1]);
    let mut b = server.join(ROOMS[0]);
    let (a_id, b_id) = (a.id().to_owned(), b.id().to_owned());
    let mut here = 0;
    for _ in 0..40 {
        for i in 0..5 {
            a.play(now_ms() + f64::from(i), json!([{"n": "c4"}]));
            a.send(json!({"m": "m", "x": i, "y": 1}));
        }
        here = 1 - here;
        b.send(json!({"m": "ch", "_id": ROOMS[here]}));
        for i in 0..5 {
            a.play(now_ms() + f64::from(i), json!([{"n": "d4"}]));
        }
        let of_a = |item: &Item| {
            ["n", "m", "bye", "p"].iter().any(|kind| {
                item.json(kind).is_some_and(|v| v["p"] == a_id.as_str() || v["id"] == a_id.as_str())
            })
        };
        loop {
            let item = b.read();
            if let Some(ch) = item.json("ch") {
                assert_eq!(ch["ch"]["_id"], ROOMS[here]);
                break;
            }
            // On the way back, what comes before the `ch` cannot be of the room that it leads to.
            assert!(here == 1 || !of_a(&item), "{item} came before the room's `ch`");
        }
        a.barrier();
        b.barrier();
        for item in b.drain() {
            assert!(here == 0 || !of_a(&item), "{item} came after the new room's `ch`");
        }
    }
    other.barrier();
    assert_eq!(other.drain_kind("bye").iter().filter(|bye| bye["p"] == b_id.as_str()).count(), 20);
}

/// Statement 50.
fn names_are_case_sensitive(plan: Plan) {
    let server = plan.start();
    let names = ["Room", "room", "ROOM", "room ", "ro\u{f6}m", "roo\u{308}m"];
    let mut clients: Vec<Client> = names
        .iter()
        .map(|name| {
            let mut client = server.guest();
            let joined = client.join(name);
            assert_eq!((joined.room(), &joined.ch["ch"]["count"]), (*name, &json!(1)));
            client
        })
        .collect();
    clients[0].say("only here");
    clients[0].expect("a");
    for client in &mut clients {
        client.nothing();
    }
}

/// Statement 40, from the other side: of more joins than the rate allows the newest is carried out in the end
/// (clarification 2), since clients never repeat one.
fn a_burst_of_joins_ends_in_the_last_one(plan: Plan) {
    let server = plan.start();
    let mut a = server.guest();
    for i in 0..30 {
        a.send(json!({"m": "ch", "_id": format!("burst {i}")}));
    }
    let last = a.expect_where("ch", |ch| ch["ch"]["_id"] == "burst 29");
    assert_eq!(last["p"], a.id());
    let answered = a.drain_kind("ch").len();
    assert!((5..29).contains(&answered), "{answered} joins were carried out");
    a.clear();
    a.quiet();
}
