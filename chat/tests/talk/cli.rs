//! The program, as scripts use it.

use crate::mock::{Folder, Manner, Mock};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

/// The program with a server and a place for what it knows.
struct Program<'a> {
    mock: &'a Mock,
    folder: Folder,
}

impl Program<'_> {
    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti-chat"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TUTTI_"))
        {
            command.env_remove(name);
        }
        command
            .args(["--server", &self.mock.address.to_string(), "--name", name])
            .args(args)
            .env("XDG_CONFIG_HOME", &self.folder.0)
            .env("TZ", "UTC")
            .current_dir(&self.folder.0)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, name: &str, args: &[&str]) -> Output {
        self.command(name, args).output().unwrap()
    }

    /// What a run that ends well prints.
    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let output = self.run("script", args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        assert_eq!(errors, "");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a run that fails says.
    #[track_caller]
    fn bad(&self, args: &[&str]) -> String {
        let output = self.run("script", args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn program(mock: &Mock) -> Program<'_> {
    Program { mock, folder: Folder::new() }
}

/// A child that is gone with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_sent_is_tailed() {
    let mock = Mock::start(Manner::default());
    let program = program(&mock);
    let jam = mock.world().channel("jam session");
    mock.say(jam, "before");
    let tail = program
        .command("tail", &["tail", "#jam session", "--json", "--count", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut tail = Running(tail);
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["data"]["content"], "before");
    assert_eq!(program.good(&["send", "jam session", "hello"]), "");
    let joined = next();
    assert_eq!(
        (&joined["event"], &joined["data"]["user"]["username"]),
        (&"user_joined".into(), &"script".into())
    );
    let message = next();
    assert_eq!(
        (&message["event"], &message["data"]["content"]),
        (&"message".into(), &"hello".into())
    );
    assert_eq!(next()["event"], "user_left");
    let ack: Value =
        serde_json::from_str(&program.good(&["send", "#jam session", "-x", "--action", "--json"]))
            .unwrap();
    assert_eq!(ack["room_id"], jam);
    assert_eq!(next()["event"], "user_joined");
    let message = next();
    assert_eq!(
        (&message["data"]["kind"], &message["data"]["message_id"]),
        (&"action".into(), &ack["message_id"])
    );
    assert!(tail.0.wait().unwrap().success());
    let history = program.good(&["tail", "jam session", "--count", "0"]);
    let texts: Vec<&str> = history.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    assert_eq!(texts, ["Mock: before", "script: hello", "* script -x"]);
    assert_eq!(
        program.good(&["tail", "jam session", "--count", "0", "-n", "1"]).lines().count(),
        1
    );
}

#[test]
fn each_line_of_the_input_is_a_message_also_when_the_server_wants_them_slower() {
    let mock = Mock::start(Manner { refuse_haste: 2, ..Manner::default() });
    let program = program(&mock);
    let mut command = program.command("script", &["send", "lobby", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"one\n\ntwo\nthree").unwrap();
    assert!(child.wait().unwrap().success());
    let world = mock.world();
    let said: Vec<&Value> =
        world.rooms[&1].messages.iter().map(|message| &message["content"]).collect();
    assert_eq!(said, ["one", "two", "three"]);
}

#[test]
fn rooms_and_people_are_listed() {
    let mock = Mock::start(Manner::default());
    let program = program(&mock);
    for name in ["a", "b", "c"] {
        mock.world().channel(name);
    }
    let rooms = program.good(&["rooms"]);
    let mut rooms: Vec<&str> = rooms.lines().collect();
    rooms.sort_unstable();
    // This client itself is in the lobby.
    assert_eq!(rooms, ["#a (0 users)", "#b (0 users)", "#c (0 users)", "#lobby (1 user)"]);
    let one: Value = serde_json::from_str(&program.good(&["rooms", "lob", "--json"])).unwrap();
    assert_eq!(one["room_id"], 1);
    assert_eq!(program.good(&["who", "b"]), "script (you)\n");
    let one: Value = serde_json::from_str(&program.good(&["who", "lobby", "--json"])).unwrap();
    assert_eq!(one["username"], "script");
}

#[test]
fn files_go_up_and_come_down() {
    let mock = Mock::start(Manner::default());
    let program = program(&mock);
    std::fs::write(program.folder.file("notes.txt"), "do re mi").unwrap();
    let url = program.good(&["upload", "lobby", "notes.txt"]);
    let url = url.trim();
    let tail = program.good(&["tail", "lobby", "--count", "0"]);
    assert!(
        tail.trim_end().ends_with(&format!("script: notes.txt [file] notes.txt (8 bytes) {url}")),
        "{tail}"
    );
    assert!(program.bad(&["download", "lobby", url]).contains("notes.txt"));
    assert_eq!(program.good(&["download", "lobby", url, "-o", "copy.txt"]), "copy.txt\n");
    assert_eq!(std::fs::read_to_string(program.folder.file("copy.txt")).unwrap(), "do re mi");
    assert!(program.bad(&["download", "lobby", "99"]).contains("no such file"));
}

#[test]
fn an_upload_goes_on_when_its_connection_is_cut() {
    let mock = Mock::start(Manner::default());
    let program = program(&mock);
    std::fs::write(program.folder.file("cut.bin"), vec![7; 300_000]).unwrap();
    let url = program.good(&["upload", "lobby", "cut.bin"]);
    program.good(&["download", "lobby", url.trim(), "-o", "copy.bin"]);
    assert_eq!(std::fs::read(program.folder.file("copy.bin")).unwrap(), vec![7; 300_000]);
    assert!(mock.world().parts.is_empty(), "the first part was used");
}

#[test]
fn failures_say_what_is_wrong() {
    let mock = Mock::start(Manner::default());
    let program = program(&mock);
    assert!(program.bad(&["send", "lobby", "forbidden"]).contains("not that (1004)"));
    assert!(
        program.bad(&["send", "id:77", "x"]).contains("cannot enter id:77: no such room (1005)")
    );
    assert!(program.bad(&["send", "#", "x"]).contains("a room has a name"));
    let refused = program.run("nobody", &["rooms"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refuses the login: not nobody"));
    // The interactive client asks for what it needs.
    assert!(program.bad(&[]).contains("needs a terminal"));
    let known = program.folder.file("tutti-chat/known_servers");
    std::fs::write(&known, format!("{} {}\n", mock.address, "0".repeat(64))).unwrap();
    let distrust = program.bad(&["rooms"]);
    assert!(distrust.contains("somebody may be in between"), "{distrust}");
    assert!(program.good(&["--fingerprint", &mock.fingerprint, "rooms"]).contains("#lobby"));
    assert!(program.good(&["--insecure", "rooms"]).contains("#lobby"));
}
