//! Line chat, statements 1 to 24 of its checklist: bytes and lines, the greeting, nicks.

use std::io::Write;
use std::time::Duration;
use tutti_tests::line::{PROMPT, Terminal, WELCOME};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    greeting_has_a_prompt,
    every_line_end_works,
    line_ends_follow_the_peer,
    telnet_is_swallowed,
    long_lines_are_refused,
    endless_lines_cost_nothing,
    spoiled_lines_are_answered,
    terminals_cannot_be_drawn_on,
    single_bytes_give_the_same,
    the_last_line_needs_no_end,
    bad_nicks_are_explained,
    taken_nicks_are_refused,
    silence_at_the_prompt_ends,
    requests_are_not_chat,
    places_are_limited,
    quitting_frees_the_nick,
    races_have_one_winner,
    proxies_speak_for_clients,
);

/// The door open, with no rates that tests would run into.
pub(crate) fn door(plan: Plan) -> Plan {
    plan.line()
        .set("line.rate", 10_000)
        .set("line.burst", 10_000)
        .set("line.connections_per_address", "\"unlimited\"")
}

/// Line chat's statements 1, 15, 19.
fn greeting_has_a_prompt(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::open(server.line_addr());
    a.expect(WELCOME);
    a.prompt();
    a.say("system");
    a.expect("Invalid nickname: Nickname is reserved");
    a.prompt();
    a.say("alice");
    a.expect("Welcome alice! You are in #lobby");
    a.expect("Type /help for available commands");
    a.nothing();
    a.say("/users");
    assert_eq!(a.drain(), ["Users in #lobby:", "  alice (you)"]);
}

/// What a session says whose lines end so, with LF as its line ends.
fn session(server: &Server, nick: &str, end: &str, byte_by_byte: bool) -> String {
    let mut a = Terminal::open(server.line_addr());
    let lines = ["x!y", nick, "/users", "", "hello", "/nosuch", "/join a room", "/quit"];
    let input: String = lines.iter().map(|line| format!("{line}{end}")).collect();
    if byte_by_byte {
        for byte in input.bytes() {
            a.send([byte]);
        }
    } else {
        a.send(input);
    }
    let said = a.ends().join("\n").replace('\r', "");
    let timeless = said.lines().map(|line| match tutti_tests::line::untimed(line) {
        Some(rest) => format!("[] {rest}\n"),
        None => format!("{line}\n"),
    });
    timeless.filter(|line| !line.contains("history") && !line.contains("Last ")).collect()
}

/// Line chat's statement 2.
fn every_line_end_works(plan: Plan) {
    let server = door(plan).set("channel.empty_ms", 0).set("chat.history", 0).start();
    let expected = session(&server, "alice", "\n", false);
    assert!(
        expected.contains("You joined #a room") && expected.ends_with("Goodbye!\n"),
        "{expected}"
    );
    for end in ["\r\n", "\r\0", "\r"] {
        assert_eq!(session(&server, "alice", end, false), expected, "{end:?}");
    }
}

/// Line chat's statements 3, 4.
fn line_ends_follow_the_peer(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::at_prompt(&server);
    a.say("alice");
    a.expect("Welcome alice! You are in #lobby");
    a.clear();
    a.send("one\r");
    a.expect_start("[");
    a.send("\ntwo\n");
    let two = a.line();
    assert!(two.ends_with("alice: two\r"), "{two:?}");
    a.say("/back");
    a.expect("You are back\r");
    a.say("/help");
    a.expect("Available commands:\r");
}

/// Line chat's statements 5, 6, 7.
fn telnet_is_swallowed(plan: Plan) {
    let server = door(plan).start();
    let mut b = Terminal::named(&server, "bob");
    let mut a = Terminal::at_prompt(&server);
    a.send(b"\xff\xfd\x03\xff\xfb\x1f\xff\xfa\x1f\0P\0\x18\xff\xf0ali\xff\xfe\x01ce\r\n");
    a.find("Welcome alice! You are in #lobby\r");
    b.expect("*** alice joined the room");
    for command in [251, 252, 253, 254] {
        a.send([&b"h"[..], &[255, command, 1], b"i\r\n"].concat());
        b.expect_timed("alice: hi");
    }
    let mut long = [&b"lo\xff\xfa"[..], &[b'x'; 10_000], b"\n\xff\xff", b"\xff\xf0ng\r\n"].concat();
    for part in long.chunks_mut(777) {
        a.send(part);
    }
    b.expect_timed("alice: long");
    b.nothing();
    a.drain();
    assert!(!a.seen().contains(&255));
}

/// Line chat's statement 8.
fn long_lines_are_refused(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::named(&server, "alice");
    a.say(&"x".repeat(2048));
    a.expect("ERROR: Message too long (max 512 characters)");
    a.say(&"x".repeat(2049));
    a.expect("ERROR: Line too long (max 2048 bytes)");
    a.say("works");
    a.expect_timed("alice: works");
}

/// Line chat's statement 9.
fn endless_lines_cost_nothing(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::named(&server, "alice");
    let part = vec![b'x'; 1 << 20];
    a.send(&part);
    a.send(&part);
    let before = server.resident_kib();
    for _ in 0..100 {
        a.send(&part);
    }
    a.say("");
    a.expect("ERROR: Line too long (max 2048 bytes)");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 1_024, "{grown} KiB more for a line of 100 MB");
}

/// Line chat's statement 10, and section 11: five such lines end the connection.
fn spoiled_lines_are_answered(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::named(&server, "alice");
    let mut b = Terminal::named(&server, "bob");
    a.clear();
    a.send(b"caf\xe9\n");
    a.expect("ERROR: Invalid UTF-8");
    a.send(b"\xff\xff\nlives\n");
    a.expect("ERROR: Invalid UTF-8\r");
    b.expect_timed("alice: lives");
    a.send(b"\xc0\n\xc1\n\xc2\nnot said\n");
    let last = a.ends();
    assert_eq!(
        last.iter().filter(|line| line.starts_with("ERROR: Invalid")).count(),
        3,
        "{last:?}"
    );
    b.expect("*** alice left the room");
    b.nothing();
}

/// Line chat's statements 11, 12.
fn terminals_cannot_be_drawn_on(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::named(&server, "alice");
    let mut b = Terminal::named(&server, "bob");
    a.clear();
    a.send("\x1b[2J\x1b[31mr\0e\x07d\u{9b}\u{202e}\u{2066} \x1bM\ttext\x1b[0m\n \t \n\n");
    b.expect_timed("alice: red  text");
    a.expect_timed("alice: red  text");
    a.nothing();
    b.nothing();
}

/// Line chat's statement 13; that any split gives the same lines is a property of the framing as well.
fn single_bytes_give_the_same(plan: Plan) {
    let server = door(plan).set("channel.empty_ms", 0).set("chat.history", 0).start();
    for end in ["\n", "\r\n"] {
        let whole = session(&server, "alice", end, false);
        assert_eq!(session(&server, "alice", end, true), whole);
    }
}

/// Line chat's statement 14.
fn the_last_line_needs_no_end(plan: Plan) {
    let server = door(plan).start();
    let mut b = Terminal::named(&server, "bob");
    let mut a = Terminal::named(&server, "alice");
    b.clear();
    a.send("/me goes\nwithout end");
    a.end();
    b.expect_timed("* alice goes");
    b.expect_timed("alice: without end");
    b.expect("*** alice left the room");
    let last = a.ends();
    assert!(last.last().is_some_and(|line| line.ends_with("alice: without end")), "{last:?}");
    let mut c = Terminal::at_prompt(&server);
    c.send("carol");
    c.end();
    assert_eq!(c.ends().first().map(String::as_str), Some("Welcome carol! You are in #lobby"));
    b.expect("*** carol joined the room");
    b.expect("*** carol left the room");
    let mut c = Terminal::at_prompt(&server);
    c.send("c!");
    c.end();
    let last = c.ends();
    assert_eq!(
        last.first().map(String::as_str),
        Some("Invalid nickname: Nickname must be at least 3 characters")
    );
}

/// Line chat's statements 16, 17.
fn bad_nicks_are_explained(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::at_prompt(&server);
    a.say("ab");
    a.expect("Invalid nickname: Nickname must be at least 3 characters");
    a.prompt();
    a.say("a23456789012345678901");
    a.expect("Invalid nickname: Nickname must be at most 20 characters");
    a.prompt();
    a.say("alice!");
    let last = a.ends();
    let alphabet = "Nickname can only contain letters, numbers, underscore and dash";
    assert_eq!(last, [format!("Invalid nickname: {alphabet}")]);
    let mut a = Terminal::at_prompt(&server);
    a.say("/QUIT");
    assert_eq!(a.ends(), ["Goodbye!"]);
}

/// Line chat's statements 17, 18.
fn taken_nicks_are_refused(plan: Plan) {
    let server = door(plan).start();
    let _alice = Terminal::named(&server, "alice");
    let mut b = Terminal::at_prompt(&server);
    let taken = "Registration failed: Nickname already taken";
    b.say("alice");
    b.expect(taken);
    b.prompt();
    b.say("ALICE");
    b.expect(taken);
    b.prompt();
    b.say("bob");
    b.expect("Welcome bob! You are in #lobby");
    let mut c = Terminal::at_prompt(&server);
    c.send("alice\nBOB\nAlice\ncarol\n");
    let last = c.ends().join("\n");
    assert_eq!(last, format!("{taken}\n{PROMPT}{taken}\n{PROMPT}{taken}"));
}

/// Line chat's statement 20, and that both kinds of waiting for a nick end.
fn silence_at_the_prompt_ends(plan: Plan) {
    let server = door(plan).set("line.nick_timeout_ms", 1_500).admin().start();
    let _alice = Terminal::named(&server, "alice");
    let mut silent = Terminal::at_prompt(&server);
    let mut refused = Terminal::at_prompt(&server);
    refused.say("alice");
    refused.expect("Registration failed: Nickname already taken");
    refused.prompt();
    assert_eq!(silent.ends(), ["ERROR: Timed out"]);
    assert_eq!(refused.ends(), ["ERROR: Timed out"]);
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(metrics.contains("reason=\"line.nick_timeout_ms\""), "{metrics}");
}

/// Line chat's statement 21.
fn requests_are_not_chat(plan: Plan) {
    let server = door(plan).admin().start();
    let mut b = Terminal::named(&server, "bob");
    for line in ["GET / HTTP/1.1", "POST /x HTTP/1.0"] {
        let mut a = Terminal::at_prompt(&server);
        a.send(format!("{line}\r\nHost: x\r\n\r\nmallory\r\nsays this\r\n"));
        assert_eq!(a.ends(), [""; 0]);
    }
    // Too long to be known for a request, and behind an empty line.
    let mut a = Terminal::at_prompt(&server);
    let path = "x".repeat(3_000);
    a.send(format!("POST /{path} HTTP/1.1\r\nHost: x\r\n\r\nmallory\r\nsays this\r\n"));
    assert_eq!(a.ends(), ["ERROR: Line too long (max 2048 bytes)\r"]);
    let mut a = Terminal::at_prompt(&server);
    a.send("\r\nGET / HTTP/1.1\r\nmallory\r\nsays this\r\n");
    assert_eq!(a.ends(), [""; 0]);
    b.quiet();
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(metrics.contains("reason=\"line.http\""), "{metrics}");
}

/// Line chat's statement 22.
fn places_are_limited(plan: Plan) {
    let server = plan.clone().line().admin().start();
    let mut held = fill(&server, 20);
    held.pop();
    held.extend(fill(&server, 1));
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(metrics.contains("reason=\"line.connections_per_address\""), "{metrics}");
    drop(held);
    drop(server);
    let server = door(plan).start();
    fill(&server, 1_000);
}

/// Takes all places, which are this many. One that somebody just left may be taken for a moment yet.
fn fill(server: &Server, places: usize) -> Vec<Terminal> {
    let mut held = vec![];
    tutti_tests::eventually("all places are taken", || {
        let mut next = Terminal::open(server.line_addr());
        while next.line() == WELCOME {
            held.push(next);
            assert!(held.len() <= places, "more get in");
            next = Terminal::open(server.line_addr());
        }
        assert_eq!(next.ends(), [""; 0]);
        (held.len() == places).then_some(())
    });
    held
}

/// Line chat's statement 23.
fn quitting_frees_the_nick(plan: Plan) {
    let server = door(plan).start();
    for _ in 0..5 {
        let mut a = Terminal::named(&server, "alice");
        a.say("/quit");
        assert_eq!(a.ends(), ["Goodbye!"]);
    }
}

/// Line chat's statement 24.
fn races_have_one_winner(plan: Plan) {
    let server = door(plan).start();
    for round in 0..10 {
        let mut all: Vec<Terminal> = (0..6).map(|_| Terminal::at_prompt(&server)).collect();
        for one in &mut all {
            one.say(&format!("racer{round}"));
        }
        let first: Vec<String> = all.iter_mut().map(Terminal::line).collect();
        let won = first.iter().filter(|line| line.starts_with("Welcome racer")).count();
        assert_eq!(won, 1, "{first:?}");
    }
}

/// Section 2: a client address from a PROXY header of a trusted proxy, and of nobody else.
fn proxies_speak_for_clients(plan: Plan) {
    let server = door(plan).behind_proxy().set("line.connections_per_address", 1).start();
    let proxied = |address: &str| {
        let mut terminal = Terminal::open(server.line_addr());
        let header = format!("PROXY TCP4 {address} 127.0.0.1 4000 8023\r\n");
        terminal.stream().write_all(header.as_bytes()).expect("a header is taken");
        terminal.line()
    };
    let first = Terminal::open(server.line_addr());
    first.stream().write_all(b"PROXY TCP4 198.51.100.1 127.0.0.1 4000 8023\r\n").expect("taken");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(proxied("198.51.100.1"), "Registration failed: Server is full");
    assert_eq!(proxied("198.51.100.2"), WELCOME);
}
