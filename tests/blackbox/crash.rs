//! The server is killed at any moment, the disk is full: nothing that was confirmed is lost, and the file opens.

use serde_json::{Value, json};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};
use tutti_tests::{
    WITHIN, http,
    mpp::Client,
    server::{Plan, Server, binary, run},
};

/// Rounds of every test run; `CRASH_ROUNDS=200` is the whole of it, a minute or two.
const ROUNDS: u32 = 20;
const GUESTS: u32 = 8;

fn rounds() -> u32 {
    std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS)
}

/// A number below `end`, as random as the time.
fn below(end: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(now.expect("it is later than 1970").subsec_nanos()).wrapping_mul(0x9e37_79b9) % end
}

fn plan() -> Plan {
    Plan::new(2)
        .production()
        .behind_proxy()
        .unlimited()
        .set("storage.restart_ms", 86_400_000)
        .set("storage.history_messages", 1_000)
}

fn db(data: &Path, words: &[&str]) -> Output {
    // What it says may be more than a pipe holds.
    let output = Command::new(binary()).arg("db").args(words).arg("--data").arg(data).output();
    output.expect("the program starts")
}

#[track_caller]
fn export(data: &Path) -> Vec<Value> {
    let output = db(data, &["export"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Talks, bans, and counts what was confirmed, until the server is gone.
fn use_until_killed(host: &mut Client, guests: &[String]) -> Vec<String> {
    let mut confirmed = Vec::new();
    for (n, guest) in guests.iter().cycle().enumerate() {
        let text = format!(r#"[{{"m":"a","message":"line {n}"}}]"#);
        // Those who are banned already are banned anew, for longer.
        let ms = 600_000 + 60_000 * (n / guests.len());
        let ban = format!(r#"[{{"m":"kickban","_id":"{guest}","ms":{ms}}}]"#);
        if !host.try_send(&text) || !host.try_send(&ban) {
            break;
        }
        let deadline = Instant::now() + WITHIN;
        loop {
            let told = host.drain_kind("notification");
            if told.iter().any(|told| told["text"].as_str().is_some_and(|t| t.contains("banned"))) {
                if n < guests.len() {
                    confirmed.push(guest.clone());
                }
                break;
            }
            if host.is_over() {
                return confirmed;
            }
            assert!(Instant::now() < deadline, "a ban is confirmed or the server is gone");
            host.pump(deadline);
        }
    }
    confirmed
}

/// Killed at any moment under load, again and again.
#[test]
fn nothing_confirmed_is_lost_when_the_server_is_killed() {
    let mut server = plan().start();
    let data = server.dir().join("data");
    let mut confirmed: Vec<(String, String)> = Vec::new();
    for round in 0..rounds() {
        let room = format!("round {round}");
        let mut host = server.join_from("203.0.113.1", &room);
        let guests: Vec<Client> = (0..GUESTS)
            .map(|n| server.join_from(&format!("203.0.113.{}", 10 + n), &room))
            .collect();
        let ids: Vec<String> = guests.iter().map(|guest| guest.id().to_owned()).collect();
        host.clear();
        let pid = server.pid();
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_micros(below(60_000)));
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
        });
        let bans = use_until_killed(&mut host, &ids);
        killer.join().expect("the killer ends").expect("the server was there");
        confirmed.extend(bans.into_iter().map(|guest| (room.clone(), guest)));
        server.crash();
        let checked = db(&data, &["check"]);
        assert!(checked.status.success(), "round {round}: {checked:?}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kept: HashSet<[String; 3]> = export(&data)
            .iter()
            .map(|row| [&row["table"], &row["channel"], &row["target"]].map(text))
            .collect();
        for (room, guest) in &confirmed {
            for table in ["bans", "audit"] {
                let row = [table, room, guest].map(str::to_owned);
                assert!(kept.contains(&row), "round {round}: {row:?} was confirmed and is gone");
            }
        }
        // It is not only in the file.
        if let Some((room, guest)) = confirmed.last()
            && let Some(n) = ids.iter().position(|id| id == guest)
        {
            let mut guest = server.guest_from(&format!("203.0.113.{}", 10 + n));
            guest.send(json!({"m": "ch", "_id": room}));
            assert_eq!(guest.joined().room(), "test/awkward", "round {round}");
        }
    }
    println!("{} rounds, {} bans confirmed, none lost", rounds(), confirmed.len());
    assert!(!confirmed.is_empty(), "something was confirmed before a kill");
}

/// A small file system of its own over a folder.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where that is not allowed.
    fn over(dir: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes},mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Mounted(dir.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = http::get(server.admin(), "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("tutti_{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + 2 * WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The disk is full: people notice nothing but that a ban could not be written down, and once there is room again all
/// of it is kept.
#[test]
fn a_full_disk_costs_nobody_anything() {
    let mut server = plan().admin().start();
    server.stop();
    let data = server.dir().join("data");
    let Some(mounted) = Mounted::over(&data, 1 << 20) else {
        println!("skipped: a file system of its own can only be mounted by root");
        return;
    };
    server.restart();
    let mut host = server.join_from("203.0.113.1", "room");
    let mut guest = server.join_from("203.0.113.2", "room");
    host.say("before");
    host.expect("a");
    until("it is written", || metric(&server, "storage_writes_total") > 2);
    // All that is left of the disk.
    let filler = data.join("filler");
    let mut bytes = vec![0u8; 1 << 20];
    while !bytes.is_empty() && fs::write(&filler, &bytes).is_err() {
        bytes.truncate(bytes.len() - 4_096);
    }
    // The log has room for some before it has to grow.
    for n in 0..400 {
        host.say(&format!("{n}: {}", "x".repeat(400)));
        host.expect("a");
        guest.expect("a");
    }
    until("the disk refuses", || metric(&server, "storage_failing") == 1);
    host.clear();
    host.send(json!({"m": "kickban", "_id": guest.id(), "ms": 600_000}));
    guest.expect_where("ch", |ch| ch["ch"]["_id"] == "test/awkward");
    host.expect_where("notification", |told| {
        told["text"].as_str().is_some_and(|text| text.contains("could not be written down"))
    });
    let mut late = server.join_from("203.0.113.3", "another room");
    late.say("people come and talk");
    late.expect("a");
    let complaints = || server.log().matches("cannot write to the data folder").count();
    thread::sleep(Duration::from_millis(2_500));
    assert_eq!(complaints(), 1, "once a minute, however often it is tried");
    assert!(metric(&server, "storage_errors_total") > 1, "and it is tried");
    fs::remove_file(&filler).expect("there is room again");
    // What waits is more than this small disk holds in one go, so it is made a little larger.
    let larger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&data).output();
    assert!(larger.is_ok_and(|output| output.status.success()), "it can be made larger");
    until("storage works again", || metric(&server, "storage_failing") == 0);
    assert_eq!(metric(&server, "storage_dropped_total"), 0);
    server.crash();
    let rows = export(&data);
    let count = |table: &str| rows.iter().filter(|row| row["table"] == table).count();
    assert_eq!((count("bans"), count("messages")), (1, 402), "nothing is missing");
    server.stop();
    drop(mounted);
}

/// Copies while a server writes, and the copy serves.
#[test]
fn a_backup_of_a_running_server_is_whole() {
    let mut server = plan().start();
    let data = server.dir().join("data");
    let mut host = server.join_from("203.0.113.1", "room");
    for n in 0..120 {
        host.say(&format!("line {n}"));
        if n == 60 {
            host.expect_where("a", |a| a["a"] == "line 50");
            // Longer than it takes to be written.
            thread::sleep(Duration::from_millis(300));
            let copy = server.dir().join("copy.db");
            let copied = db(&data, &["backup", copy.to_str().expect("a plain path")]);
            assert!(copied.status.success(), "{copied:?}");
            let again = db(&data, &["backup", copy.to_str().expect("a plain path")]);
            assert_eq!(again.status.code(), Some(2), "{again:?}");
            assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));
        }
    }
    host.expect_where("a", |a| a["a"] == "line 119");
    server.stop();
    // Restored as the documentation says.
    fs::remove_file(data.join("tutti.db")).expect("it was there");
    fs::copy(server.dir().join("copy.db"), data.join("tutti.db")).expect("it is restored");
    server.restart();
    let mut host = server.guest_from("203.0.113.1");
    let joined = host.join("room");
    let said = joined.c["c"].as_array().expect("a list");
    assert!(!said.is_empty() && said.len() <= 32, "{said:?}");
    let checked = db(&data, &["check"]);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && text.contains("sound"), "{text}");
}

/// What the tool says where there is nothing, or nothing that it knows.
#[test]
fn the_tool_names_what_is_wrong() {
    let server = Plan::new(1).start();
    let data = server.dir().join("data");
    let forgotten = db(&data, &["prune"]);
    assert!(forgotten.status.success(), "beside a running server: {forgotten:?}");
    assert!(String::from_utf8_lossy(&forgotten.stdout).contains("forgotten: 0 messages"));
    let nowhere = db(&server.dir().join("nowhere"), &["check"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("no server has run on this folder"));
    let memory = run(&["db", "check", "--data", "memory"]);
    assert!(String::from_utf8_lossy(&memory.stderr).contains("keeps nothing"), "{memory:?}");
}

/// Half an export must not pass for a whole one.
#[test]
fn an_export_that_finds_no_room_says_so() {
    let server = plan().start();
    server.ctl_json(&["ban", "203.0.113.9"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
    let data = server.dir().join("data");
    let mut export = Command::new(binary());
    export.args(["db", "export", "--data"]).arg(data).stdout(full);
    let output = export.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not all is written"), "{output:?}");
}
