//! Line chat, statements 48 to 60 of its checklist: history, limits, leaving, and people's own programs.

use crate::{ROOMS, line::door};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tutti_tests::line::{Terminal, untimed};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    newcomers_see_the_last_ten,
    history_and_live_lines_join,
    floods_are_dropped_and_ended,
    changes_have_rates,
    deaf_readers_are_closed,
    stalled_readers_are_closed,
    pipes_are_answered,
    real_programs_work,
    stopping_is_said,
    silence_is_no_fault,
    idle_ends_where_it_is_set,
    coming_and_going_leaves_nothing,
    wanderers_lose_nothing,
    the_nameless_cost_little,
    hot_rooms_know_each_line_end,
);

/// Line chat's statements 48, 50.
fn newcomers_see_the_last_ten(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut b = Terminal::named(&server, "bob");
    b.say("/join an empty room");
    b.expect("You joined #an empty room");
    b.nothing();
    (1..=15).for_each(|n| a.say(&format!("line {n}")));
    a.find("alice: line 15");
    b.say(&format!("/join {}", ROOMS[0]));
    b.expect(&format!("You joined #{}", ROOMS[0]));
    b.expect(&format!("*** Last 10 messages in #{}", ROOMS[0]));
    (6..=15).for_each(|n| b.expect_timed(&format!("alice: line {n}")));
    b.expect("*** End of history");
    a.say("live");
    b.expect_timed("alice: live");
}

/// Line chat's statement 49.
fn history_and_live_lines_join(plan: Plan) {
    let server = door(plan).start();
    let mut b = Terminal::in_room(&server, "bob", ROOMS[1]);
    let mut a = Terminal::named(&server, "alice");
    for n in 0..1_000 {
        b.say(&format!("{n}"));
        if n == 400 {
            a.say(&format!("/join {}", ROOMS[1]));
        }
    }
    a.find(&format!("You joined #{}", ROOMS[1]));
    let mut numbers: Vec<u32> = Vec::new();
    while numbers.last() != Some(&999) {
        let line = a.line();
        if let Some(number) = untimed(&line).and_then(|rest| rest.strip_prefix("bob: ")) {
            numbers.push(number.parse().expect("bob says numbers"));
        }
    }
    let expected: Vec<u32> = (numbers[0]..1_000).collect();
    assert_eq!(numbers, expected);
    assert!(numbers[0] <= 992, "history came before: {}", numbers[0]);
}

/// Line chat's statements 51, 52.
fn floods_are_dropped_and_ended(plan: Plan) {
    let server = plan.line().admin().start();
    let mut b = Terminal::named(&server, "bob");
    let mut a = Terminal::at_prompt(&server);
    a.say("alice");
    a.expect("Welcome alice! You are in #lobby");
    a.expect("Type /help for available commands");
    b.expect("*** alice joined the room");
    a.send((0..40).map(|n| format!("line {n}\n")).collect::<String>());
    for n in 0..20 {
        a.expect_timed(&format!("alice: line {n}"));
        b.expect_timed(&format!("alice: line {n}"));
    }
    a.expect("ERROR: You are sending too fast");
    a.send((0..200).map(|n| format!("flood {n}\n")).collect::<String>());
    let last = a.ends();
    assert_eq!(last.last().map(String::as_str), Some("ERROR: Flooding"));
    assert!(last.len() < 20, "{last:?}");
    b.find("*** alice left the room");
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(metrics.contains("limit=\"line.rate\""), "{metrics}");
    assert!(metrics.contains("reason=\"line.flooding\""), "{metrics}");
    // Whoever wants to go is not held up by the rate.
    let mut c = Terminal::named(&server, "carol");
    let lines: String = (0..40).map(|n| format!("line {n}\n")).collect();
    c.send(lines + "/quit\n");
    let last = c.ends();
    assert!(last.iter().any(|line| line == "ERROR: You are sending too fast"), "{last:?}");
    assert_eq!(last.last().map(String::as_str), Some("Goodbye!"));
}

/// Section 11: rates of `/join`, `/nick` and `/color`.
fn changes_have_rates(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::named(&server, "alice");
    let too_fast = "ERROR: You are sending too fast";
    (0..5).for_each(|n| a.join(&format!("room {n}")));
    a.say("/join one more");
    a.expect(too_fast);
    a.say("/color #112233");
    a.expect("Your color is #112233");
    a.say("/nick alicia");
    a.expect("You are now known as alicia");
    a.say("/nick alice");
    a.expect(too_fast);
    std::thread::sleep(Duration::from_millis(1_100));
    a.join("one more");
}

/// Line chat's statements 53, 54.
fn deaf_readers_are_closed(plan: Plan) {
    let server = door(plan)
        .set("line.outbox_mark_bytes", 4_096)
        .set("line.outbox_bytes", 65_536)
        .admin()
        .start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut b = Terminal::in_room(&server, "bob", ROOMS[0]);
    a.clear();
    let text = "x".repeat(500);
    let mut worst = Duration::ZERO;
    let mut closed = false;
    for n in 0..20_000 {
        let start = Instant::now();
        b.say(&format!("{n} {text}"));
        loop {
            let line = b.line();
            closed |= line == "*** alice left the room";
            if line.ends_with(&format!("bob: {n} {text}")) {
                break;
            }
        }
        worst = worst.max(start.elapsed());
        if closed {
            break;
        }
    }
    assert!(closed, "who does not read is closed");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    let lines = a.ends();
    let numbers: Vec<u64> = lines
        .iter()
        .filter(|line| line.len() > 500)
        .filter_map(|line| untimed(line)?.strip_prefix("bob: ")?.split(' ').next()?.parse().ok())
        .collect();
    let expected: Vec<u64> = (0..numbers.len() as u64).collect();
    assert!(!numbers.is_empty() && numbers == expected, "no line is missing in between");
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(metrics.contains("reason=\"backlog\""), "{metrics}");
}

/// Section 11: who takes nothing of what waits for a while is closed, however little it is.
fn stalled_readers_are_closed(plan: Plan) {
    let server =
        door(plan).set("line.stalled_ms", 1_000).set("line.outbox_bytes", 100_000_000).start();
    let a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut b = Terminal::in_room(&server, "bob", ROOMS[0]);
    let text = "x".repeat(500);
    // More than the sockets of both ends hold, so that something waits.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "who takes nothing is closed");
        (0..200).for_each(|_| b.say(&text));
        // Below the door's rate of lines, on fast machines too.
        std::thread::sleep(Duration::from_millis(25));
        if b.drain().iter().any(|line| line == "*** alice left the room") {
            break;
        }
    }
    drop(a);
}

/// Runs a shell command with the door's port in `$PORT`; what it printed.
fn shell(server: &Server, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", script])
        .env("PORT", server.line_addr().port().to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("there is a shell");
    String::from_utf8(output.stdout).expect("lines are UTF-8")
}

fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|output| output.status.success())
}

/// Line chat's statement 55.
fn pipes_are_answered(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::named(&server, "alice");
    let mut piped = Terminal::open(server.line_addr());
    piped.send("bob\nhi\n/users\n");
    piped.end();
    let lines = piped.ends();
    assert!(lines[1].ends_with("Welcome bob! You are in #lobby"), "{lines:?}");
    assert!(lines.iter().any(|line| untimed(line) == Some("bob: hi")), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("  alice"), "{lines:?}");
    a.expect("*** bob joined the room");
    a.expect_timed("bob: hi");
    a.expect("*** bob left the room");
    // Where the room is on another shard as well.
    for (n, room) in ROOMS.into_iter().enumerate() {
        let mut piped = Terminal::open(server.line_addr());
        piped.send(format!("bob{n}\n/join {room}\nhi\n/me goes\nlast words"));
        piped.end();
        let lines = piped.ends();
        let last = lines.last().and_then(|line| untimed(line)).map(str::to_owned);
        assert_eq!(last, Some(format!("bob{n}: last words")), "{lines:?}");
    }
}

/// Line chat's statement 55 with the real `nc`, and a session of the real `telnet`. `scripts/test.sh` installs both.
fn real_programs_work(plan: Plan) {
    if !has("nc") || !has("telnet") {
        assert!(
            std::env::var_os("CI").is_none(),
            "nc and telnet are installed where all is tested"
        );
        return;
    }
    let server = door(plan).start();
    let mut a = Terminal::named(&server, "alice");
    let said = shell(&server, r"printf 'bob\nhi\n' | nc -N 127.0.0.1 $PORT");
    assert!(
        said.contains("Welcome bob! You are in #lobby\n") && said.contains("bob: hi\n"),
        "{said}"
    );
    a.expect("*** bob joined the room");
    a.expect_timed("bob: hi");
    a.expect("*** bob left the room");
    let script = r"(sleep 0.3; printf 'carol\n'; sleep 0.3; printf '/users\n'; sleep 0.3; printf '/quit\n'; sleep 0.5) |
        telnet 127.0.0.1 $PORT";
    let said = shell(&server, script);
    for line in ["Welcome carol! You are in #lobby", "  carol (you)", "  alice", "Goodbye!"] {
        assert!(said.contains(line), "{line} in {said}");
    }
    a.expect("*** carol joined the room");
    a.expect("*** carol left the room");
}

/// Line chat's statement 57.
fn stopping_is_said(plan: Plan) {
    let mut server = door(plan).start();
    let mut all: Vec<Terminal> =
        (0..9).map(|n| Terminal::in_room(&server, &format!("user{n}"), ROOMS[n % 3])).collect();
    let mut nameless = Terminal::at_prompt(&server);
    all.iter_mut().for_each(Terminal::clear);
    server.stop();
    for one in all.iter_mut().chain([&mut nameless]) {
        let last = one.ends_within(Duration::from_secs(5));
        let last = last.last().map(String::as_str);
        assert_eq!(last, Some("*** Server is shutting down. Goodbye!"));
    }
}

/// Line chat's statement 58: what ends silent pianos does not end silent terminals. The next needs a cable: that the
/// kernel is asked to look after the peers is what can be seen.
///
/// Line chat's statement 56.
fn silence_is_no_fault(plan: Plan) {
    let server = door(plan)
        .set("limits.ping_ms", 200)
        .set("limits.silence_ms", 600)
        .set("limits.hello_ms", 300)
        .start();
    let mut a = Terminal::named(&server, "alice");
    std::thread::sleep(Duration::from_secs(2));
    let timers = Command::new("ss")
        .args(["-Htno", "state", "established"])
        .arg(format!("( sport = :{} )", server.line_addr().port()))
        .output();
    a.say("still here");
    a.expect_timed("alice: still here");
    if let Ok(timers) = timers {
        let text = String::from_utf8_lossy(&timers.stdout).into_owned();
        assert!(text.contains("keepalive"), "{text}");
    }
}

/// Section 11: an operator may end those who say nothing.
fn idle_ends_where_it_is_set(plan: Plan) {
    let server = door(plan).set("line.idle_ms", 1_500).set("limits.ping_ms", 200).start();
    let mut a = Terminal::at_prompt(&server);
    a.say("alice");
    a.expect("Welcome alice! You are in #lobby");
    let lines = a.ends();
    assert_eq!(lines[1..], ["*** Idle, closing in 60 seconds", "ERROR: Timed out"]);
}

/// Line chat's statement 59.
fn coming_and_going_leaves_nothing(plan: Plan) {
    let server = door(plan).set("channel.empty_ms", 0).admin().start();
    let gauge = |name: &str| -> u64 {
        let text = tutti_tests::http::get(server.admin(), "/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with(&format!("tutti_{name}{{")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    let rooms = gauge("channels");
    let round = |from: usize, to: usize| {
        for n in from..to {
            let mut a = Terminal::open(server.line_addr());
            a.send(format!("user{n}\n/join {}{}\nhi\n", ROOMS[n % 3], n % 7));
            a.find(&format!("user{n}: hi"));
            if n % 2 == 0 {
                a.say("/quit");
            }
        }
    };
    round(0, 300);
    let before = server.resident_kib();
    round(300, 1_000);
    tutti_tests::eventually("nothing is left", || {
        let left = (gauge("nicks"), gauge("connections"), gauge("channels"));
        (left == (0, 0, rooms)).then_some(())
    });
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 2_048, "{grown} KiB are left of 700 who came and went");
}

/// Line chat's statement 60.
fn wanderers_lose_nothing(plan: Plan) {
    let server = door(plan).unlimited().start();
    let mut listeners: Vec<Terminal> = ROOMS
        .into_iter()
        .enumerate()
        .map(|(n, room)| Terminal::in_room(&server, &format!("listener{n}"), room))
        .collect();
    let mut a = Terminal::named(&server, "alice");
    let mut said = [0; 3];
    let mut input = String::new();
    for n in 0..300 {
        let at = n % 3;
        input += &format!(
            "/join {}\n{}\n/msg listener{} p{n}\n{}\n",
            ROOMS[at],
            said[at],
            (n + 1) % 3,
            said[at] + 1
        );
        said[at] += 2;
    }
    a.send(input);
    a.end();
    for (at, listener) in listeners.iter_mut().enumerate() {
        let (mut next, mut letters) = (0, Vec::new());
        while next < said[at] || letters.len() < 100 {
            let line = listener.line();
            let Some(rest) = untimed(&line) else { continue };
            if let Some(letter) = rest.strip_prefix("[Private from alice]: p") {
                letters.push(letter.parse::<usize>().expect("letters are numbered"));
            } else if let Some(number) = rest.strip_prefix("alice: ") {
                assert_eq!(number, next.to_string());
                next += 1;
            }
        }
        let expected: Vec<usize> = (0..300).filter(|n| (n + 1) % 3 == at).collect();
        assert_eq!(letters, expected);
    }
    let last = a.ends_within(Duration::from_secs(20));
    assert!(!last.iter().any(|line| line.starts_with("ERROR")), "{last:?}");
}

/// Thousands that never say a nick cost little, and the others nothing.
fn the_nameless_cost_little(plan: Plan) {
    let server = door(plan).unlimited().admin().start();
    let mut a = Terminal::named(&server, "alice");
    let warm: Vec<Terminal> = (0..200).map(|_| Terminal::open(server.line_addr())).collect();
    let before = server.resident_kib();
    let nameless: Vec<Terminal> = (0..2_000).map(|_| Terminal::open(server.line_addr())).collect();
    a.say("hello");
    a.expect_timed("alice: hello");
    tutti_tests::eventually("all were accepted", || {
        let text = tutti_tests::http::get(server.admin(), "/metrics").text();
        text.contains("tutti_door_sockets{door=\"line\"} 2201").then_some(())
    });
    let each = (server.resident_kib().saturating_sub(before)) as f64 / 2_000.0;
    assert!(each < 1.5, "{each} KiB for each that waits at the prompt");
    drop((warm, nameless));
}

/// The line end that a terminal speaks, and `/joins`, in a room whose members are spread over the shards.
fn hot_rooms_know_each_line_end(plan: Plan) {
    let spreads = plan.shards() > 1;
    let server = door(plan)
        .unlimited()
        .admin()
        .set("hot.promote_rate", 10)
        .set("hot.promote_members", 4)
        .set("hot.demote_rate", 1)
        .set("hot.demote_after_s", 600)
        .start();
    let mut early: Vec<Terminal> =
        (0..6).map(|n| Terminal::in_room(&server, &format!("early{n}"), ROOMS[0])).collect();
    let is_hot = || {
        let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
        let mut gauges = metrics.lines().filter(|line| line.starts_with("tutti_hot_channels{"));
        gauges.any(|line| !line.ends_with(" 0"))
    };
    tutti_tests::eventually("the room is hot", || {
        for one in &mut early {
            (0..5).for_each(|_| one.say("warm"));
            one.clear();
        }
        (!spreads || is_hot()).then_some(())
    });
    let mut late: Vec<Terminal> =
        (0..6).map(|n| Terminal::in_room(&server, &format!("late{n}"), ROOMS[0])).collect();
    for (n, one) in late.iter_mut().enumerate() {
        one.send(format!("line {n}\r\n"));
        assert!(one.find(&format!("late{n}: line {n}\r")).ends_with('\r'));
        one.send("/joins off\r\n/joins on\r\n");
        one.find("Join and leave lines are on\r");
    }
    let _newcomer = Terminal::in_room(&server, "newcomer", ROOMS[0]);
    for one in &mut late {
        one.find("*** newcomer joined the room\r");
    }
}
