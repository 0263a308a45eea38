//! Line chat, statements 25 to 47 of its checklist: commands.

use crate::{ROOMS, line::door};
use tutti_tests::line::Terminal;
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    text_reaches_the_room,
    nicks_can_be_changed,
    rooms_are_joined_and_left,
    input_goes_on_in_the_new_room,
    rooms_are_listed,
    users_are_listed,
    private_messages_cross_rooms,
    answers_go_to_the_last_writer,
    words_and_mistakes,
    quitting_says_goodbye,
    people_are_away_and_back,
    texts_have_a_length,
    history_is_shown_on_request,
    joins_can_be_hidden,
    kicks_lead_to_the_lobby,
    a_failing_join_changes_nothing,
    crowns_and_chat_are_told,
);

fn pair(server: &Server) -> [Terminal; 2] {
    let mut a = Terminal::named(server, "alice");
    let b = Terminal::named(server, "bob");
    a.clear();
    [a, b]
}

/// Line chat's statements 25, 26.
fn text_reaches_the_room(plan: Plan) {
    let server = door(plan).start();
    let [mut a, mut b] = pair(&server);
    let mut c = Terminal::in_room(&server, "carol", "elsewhere");
    a.clear();
    b.clear();
    a.say("hello there");
    let line = a.line();
    b.expect(&line);
    let now = tutti_tests::mpp::now_ms() as u64 / 1_000;
    let clock = |at: u64| format!("{:02}:{:02}:{:02}", at / 3_600 % 24, at / 60 % 60, at % 60);
    let likely: Vec<String> =
        (now - 10..=now + 1).map(|at| format!("[{}] alice: hello there", clock(at))).collect();
    assert!(likely.contains(&line), "{line}");
    c.quiet();
}

/// Line chat's statements 27-29.
fn nicks_can_be_changed(plan: Plan) {
    let server = door(plan).start();
    let [mut a, mut b] = pair(&server);
    a.say("/nick ALICE");
    a.expect("You are now known as ALICE");
    b.expect("*** alice is now known as ALICE");
    a.send("/nick eve\nhello\n");
    a.expect("You are now known as eve");
    a.expect_timed("eve: hello");
    b.expect("*** ALICE is now known as eve");
    b.expect_timed("eve: hello");
    b.say("/msg eve psst");
    b.expect("[Private to eve]: psst");
    a.expect_timed("[Private from bob]: psst");
    b.say("/users");
    assert_eq!(b.drain(), ["Users in #lobby:", "  bob (you)", "  eve"]);
    b.say("/msg alice psst");
    b.expect("ERROR: User not found");
    let mut other = Terminal::named(&server, "alice");
    b.expect("*** alice joined the room");
    other.say("/nick eve");
    other.expect("ERROR: Nickname already taken");
    other.say("/nick x");
    other.expect("ERROR: Nickname must be at least 3 characters");
    other.say("/nick");
    other.expect("ERROR: Usage: /nick <new_nickname>");
    other.say("still alice");
    b.expect_timed("alice: still alice");
}

/// Line chat's statements 30-32, 34.
fn rooms_are_joined_and_left(plan: Plan) {
    let server = door(plan).start();
    for (n, room) in ROOMS.into_iter().enumerate() {
        let [mut a, mut b] =
            [format!("alice{n}"), format!("bob{n}")].map(|nick| Terminal::named(&server, &nick));
        a.clear();
        b.join(room);
        a.expect(&format!("*** bob{n} left the room"));
        a.say(&format!("/join #{room}"));
        a.expect(&format!("You joined #{room}"));
        b.expect(&format!("*** alice{n} joined the room"));
        for same in [room.to_owned(), format!("#{room}")] {
            a.say(&format!("/join {same}"));
            a.expect("ERROR: Already in that room");
        }
        let mut piano = server.guest();
        assert_eq!(piano.join(room).room(), room);
        a.expect_start("*** Anonymous~");
        a.say("/leave");
        a.expect("You returned to #lobby");
        b.find(&format!("*** alice{n} left the room"));
        a.say("/leave");
        a.expect("ERROR: Already in that room");
        a.say("/join #");
        a.expect("ERROR: Invalid room name");
        a.say("/quit");
        a.ends();
        b.say("/quit");
        b.ends();
    }
}

/// Line chat's statement 33.
fn input_goes_on_in_the_new_room(plan: Plan) {
    let server = door(plan).start();
    for (n, room) in ROOMS.into_iter().enumerate() {
        let mut b = Terminal::in_room(&server, &format!("bob{n}"), room);
        let mut a = Terminal::named(&server, &format!("alice{n}"));
        a.send(format!("/join {room}\nhello\n/me waves\n/leave\nbye\n"));
        a.expect(&format!("You joined #{room}"));
        a.expect_timed(&format!("alice{n}: hello"));
        a.expect_timed(&format!("* alice{n} waves"));
        a.expect("You returned to #lobby");
        a.find(&format!("alice{n}: bye"));
        b.expect(&format!("*** alice{n} joined the room"));
        b.expect_timed(&format!("alice{n}: hello"));
        b.expect_timed(&format!("* alice{n} waves"));
        b.expect(&format!("*** alice{n} left the room"));
        b.quiet();
    }
}

/// What `/rooms` says.
fn rooms(terminal: &mut Terminal) -> Vec<String> {
    terminal.say("/rooms");
    terminal.drain()
}

/// Line chat's statements 35, 36.
fn rooms_are_listed(plan: Plan) {
    let server = door(plan).set("channel.empty_ms", 1_000).start();
    let mut a = Terminal::named(&server, "alice");
    let mut b = Terminal::in_room(&server, "bob", "zoo");
    let mut c = Terminal::in_room(&server, "carol", "zoo");
    let mut d = Terminal::in_room(&server, "dave", "garden");
    tutti_tests::eventually("all rooms are listed", || {
        a.clear();
        let expected =
            ["Available rooms:", "  #lobby (1 user)", "  #zoo (2 users)", "  #garden (1 user)"];
        (rooms(&mut a) == expected).then_some(())
    });
    d.say("said in the garden");
    d.clear();
    for one in [&mut b, &mut c, &mut d] {
        one.say("/leave");
        one.find("You returned to #lobby");
    }
    tutti_tests::eventually("empty rooms are off the list", || {
        a.clear();
        (rooms(&mut a) == ["Available rooms:", "  #lobby (4 users)"]).then_some(())
    });
    // One who comes back soon finds the room again, and later one of the same name.
    d.say("/join garden");
    d.find("You joined #garden");
    d.find("dave: said in the garden");
    d.find("*** End of history");
    d.say("/leave");
    d.find("You returned to #lobby");
    std::thread::sleep(std::time::Duration::from_millis(1_300));
    d.clear();
    d.say("/join garden");
    d.expect("You joined #garden");
    d.nothing();
}

/// Line chat's statement 37.
fn users_are_listed(plan: Plan) {
    let server = door(plan).start();
    let mut b = Terminal::in_room(&server, "bob", "hall");
    let _c = Terminal::in_room(&server, "Carol", "hall");
    let mut a = Terminal::in_room(&server, "zoe", "hall");
    let mut piano = server.guest();
    piano.join("hall");
    let handle = format!("Anonymous~{}", &piano.id()[..4]);
    b.say("/away for lunch");
    b.find("You are away");
    a.find(&format!("*** {handle} joined the room"));
    for command in ["/users", "/who"] {
        a.say(command);
        let expected = [
            "Users in #hall:",
            "  zoe (you)",
            "  Carol",
            "  bob (away)",
            &format!("  {handle} [piano]"),
        ];
        assert_eq!(a.drain(), expected);
    }
}

/// Line chat's statements 38, 39.
fn private_messages_cross_rooms(plan: Plan) {
    let server = door(plan).start();
    let mut all: Vec<Terminal> = ROOMS
        .into_iter()
        .enumerate()
        .map(|(n, room)| Terminal::in_room(&server, &format!("user{n}"), room))
        .collect();
    let mut bystander = Terminal::in_room(&server, "bystander", ROOMS[0]);
    all[0].clear();
    for from in 0..3 {
        for to in 0..3 {
            all[from].say(&format!("/msg USER{to} from {from}"));
            if from != to {
                all[from].expect(&format!("[Private to user{to}]: from {from}"));
                all[to].expect_timed(&format!("[Private from user{from}]: from {from}"));
            } else {
                let mut both = [all[from].line(), all[from].line()];
                both.sort();
                assert_eq!(both[1], format!("[Private to user{to}]: from {from}"));
                let from_self = format!("[Private from user{from}]: from {from}");
                assert_eq!(tutti_tests::line::untimed(&both[0]), Some(&*from_self));
            }
        }
    }
    all[0].say("/pm user1 the same");
    all[0].expect("[Private to user1]: the same");
    all[0].say("/msg nobody hi");
    all[0].expect("ERROR: User not found");
    for usage in ["/msg user1", "/msg", "/pm user1 "] {
        all[0].say(usage);
        all[0].expect("ERROR: Usage: /msg <user> <message>");
    }
    all[1].expect_timed("[Private from user0]: the same");
    for one in &mut all {
        one.quiet();
    }
    bystander.quiet();
}

/// Line chat's statement 40.
fn answers_go_to_the_last_writer(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut b = Terminal::in_room(&server, "bob", ROOMS[1]);
    let mut c = Terminal::in_room(&server, "carol", ROOMS[2]);
    a.say("/r hello");
    a.expect("ERROR: Nobody has written to you");
    b.say("/msg alice one");
    b.expect("[Private to alice]: one");
    c.say("/msg alice two");
    c.expect("[Private to alice]: two");
    a.expect_timed("[Private from bob]: one");
    a.expect_timed("[Private from carol]: two");
    a.say("/join elsewhere");
    a.find("You joined #elsewhere");
    c.say("/nick caro");
    c.expect("You are now known as caro");
    a.say("/r three");
    a.expect("[Private to caro]: three");
    c.expect_timed("[Private from alice]: three");
    c.say("/quit");
    c.ends();
    a.say("/r four");
    a.expect("ERROR: User not found");
    b.quiet();
}

/// Line chat's statements 41-44.
fn words_and_mistakes(plan: Plan) {
    let server = door(plan).start();
    let [mut a, mut b] = pair(&server);
    a.say("/me waves");
    a.expect_timed("* alice waves");
    b.expect_timed("* alice waves");
    for help in ["/Help", "/?"] {
        a.say(help);
        let lines = a.drain();
        assert_eq!(lines[0], "Available commands:");
        for name in [
            "nick", "join", "leave", "rooms", "users", "who", "msg", "pm", "r", "me", "history",
            "away", "back", "joins", "color", "kick", "ban", "unban", "help", "?", "quit", "exit",
        ] {
            let named =
                |line: &String| line.split([' ', ')', '(']).any(|word| word == format!("/{name}"));
            assert!(lines.iter().any(named), "/{name} in {lines:#?}");
        }
        for line in &lines[1..] {
            assert!(line.starts_with("  /") && line[26..].starts_with(" - "), "{line:?}");
        }
    }
    a.say("/nosuch thing");
    a.expect("ERROR: Unknown command: /nosuch. Type /help for available commands");
    b.nothing();
    a.say("//shrug");
    b.expect_timed("alice: /shrug");
}

/// Line chat's statement 45.
fn quitting_says_goodbye(plan: Plan) {
    let server = door(plan).start();
    let mut b = Terminal::named(&server, "bob");
    for quit in ["/quit", "/exit"] {
        let mut a = Terminal::named(&server, "alice");
        b.clear();
        a.send(format!("{quit}\nnever said\n"));
        assert_eq!(a.ends(), ["Goodbye!"]);
        b.expect("*** alice left the room");
        b.quiet();
    }
}

/// Line chat's statement 46, and `/color`.
fn people_are_away_and_back(plan: Plan) {
    let server = door(plan).start();
    let [mut a, mut b] = pair(&server);
    a.say("/away");
    a.expect("You are away");
    b.say("/users");
    assert_eq!(b.drain(), ["Users in #lobby:", "  bob (you)", "  alice (away)"]);
    a.say("/back");
    a.expect("You are back");
    b.say("/users");
    assert_eq!(b.drain(), ["Users in #lobby:", "  bob (you)", "  alice"]);
    a.say("/color #C0FFEE");
    a.expect("Your color is #c0ffee");
    a.say("/color blue");
    a.expect("ERROR: Usage: /color #rrggbb");
    b.quiet();
}

/// Line chat's statement 47.
fn texts_have_a_length(plan: Plan) {
    let server = door(plan).start();
    let [mut a, mut b] = pair(&server);
    let too_long = "ERROR: Message too long (max 512 characters)";
    for (unit, most) in [("x", 512), ("\u{e9}", 512), ("\u{1f600}", 256)] {
        let text = unit.repeat(most);
        a.say(&text);
        b.expect_timed(&format!("alice: {text}"));
        a.clear();
        a.say(&format!("{text}{unit}"));
        a.expect(too_long);
        a.say(&format!("/msg bob {text}{unit}"));
        a.expect(too_long);
    }
    b.nothing();
}

/// `/history`, sections 6 and 9.
fn history_is_shown_on_request(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    a.say("/history");
    a.nothing();
    (0..60).for_each(|n| a.say(&format!("line {n}")));
    a.find("alice: line 59");
    for (command, first) in [("/history", 50), ("/history 3", 57), ("/history 50", 10)] {
        a.say(command);
        a.expect(&format!("*** Last {} messages in #{}", 60 - first, ROOMS[0]));
        for n in first..60 {
            a.expect_timed(&format!("alice: line {n}"));
        }
        a.expect("*** End of history");
    }
    for wrong in ["/history 0", "/history 51", "/history x"] {
        a.say(wrong);
        a.expect("ERROR: Usage: /history [n]");
    }
}

/// `/joins`, section 6.
fn joins_can_be_hidden(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    a.say("/joins off");
    a.expect("Join and leave lines are off");
    let mut b = Terminal::in_room(&server, "bob", ROOMS[0]);
    b.say("hi");
    a.expect_timed("bob: hi");
    b.say("/leave");
    b.find("You returned to #lobby");
    a.say("/joins on");
    a.expect("Join and leave lines are on");
    b.join(ROOMS[0]);
    a.expect("*** bob joined the room");
}

/// `/kick`, `/ban` and `/unban`, section 10.
fn kicks_lead_to_the_lobby(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut b = Terminal::in_room(&server, "bob", ROOMS[0]);
    let mut c = Terminal::in_room(&server, "carol", ROOMS[0]);
    a.clear();
    b.clear();
    for command in ["/kick alice", "/ban alice", "/unban alice"] {
        b.say(command);
        b.expect("ERROR: You are not allowed to do that");
    }
    a.say("/kick nobody");
    a.expect("ERROR: User not found");
    a.say("/kick BOB");
    // The room is told first, and both when it is certain to last.
    a.expect("*** bob left the room");
    a.expect("*** bob was kicked by alice");
    a.expect("Kicked bob");
    b.expect(&format!("*** You were kicked from #{} by alice", ROOMS[0]));
    b.expect("You returned to #lobby");
    c.find("*** bob was kicked by alice");
    b.join(ROOMS[0]);
    a.clear();
    a.say("/ban bob 2");
    a.find("Banned bob for 2 minutes");
    b.expect(&format!("*** You were kicked from #{} by alice", ROOMS[0]));
    b.find("You returned to #lobby");
    c.find("*** bob was banned by alice for 2 minutes");
    b.clear();
    b.say(&format!("/join {}", ROOMS[0]));
    let line = b.line();
    let seconds = line
        .strip_prefix(&format!("ERROR: You are banned from #{} for ", ROOMS[0]))
        .and_then(|rest| rest.strip_suffix(" more seconds"));
    let seconds: u32 = seconds.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!((100..=120).contains(&seconds), "{line}");
    a.clear();
    a.say("/unban bob");
    a.expect("Unbanned bob");
    b.join(ROOMS[0]);
    c.say("/leave");
    c.find("You returned to #lobby");
    c.say("/kick bob");
    c.expect("ERROR: You are not allowed to do that");
}

/// Section 8: a failing join leaves the person where it was, and nobody hears anything.
fn a_failing_join_changes_nothing(plan: Plan) {
    let server = door(plan).start();
    for (n, room) in ROOMS.into_iter().enumerate() {
        let mut piano = server.guest();
        piano.enter(serde_json::json!({"m": "ch", "_id": room, "set": {"limit": 1}}));
        let mut b = Terminal::in_room(&server, &format!("bob{n}"), "start");
        let mut a = Terminal::in_room(&server, &format!("alice{n}"), "start");
        b.clear();
        a.send(format!("/join {room}\nstill here\n"));
        a.expect(&format!("ERROR: #{room} is full"));
        a.expect_timed(&format!("alice{n}: still here"));
        b.expect_timed(&format!("alice{n}: still here"));
        b.quiet();
        piano.quiet();
    }
}

/// Section 7: what is told of crowns and of chat being switched, and that it is refused where it is off.
fn crowns_and_chat_are_told(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut b = Terminal::in_room(&server, "bob", ROOMS[0]);
    let mut piano = server.join(ROOMS[0]);
    b.clear();
    a.say("/quit");
    a.ends();
    b.expect("*** alice left the room");
    b.expect("*** bob now holds the crown");
    b.say("/leave");
    b.find("You returned to #lobby");
    piano.barrier();
    b.join(ROOMS[0]);
    piano.send(serde_json::json!({"m": "chset", "set": {"chat": false}}));
    b.expect("*** Chat is now off");
    b.send("not said\n/me does not\n");
    b.expect(&format!("ERROR: Chat is disabled in #{}", ROOMS[0]));
    b.expect(&format!("ERROR: Chat is disabled in #{}", ROOMS[0]));
    piano.send(serde_json::json!({"m": "chset", "set": {"chat": true}}));
    b.expect("*** Chat is now on");
    b.say("said");
    b.expect_timed("bob: said");
}
