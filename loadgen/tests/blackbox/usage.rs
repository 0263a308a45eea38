//! Wrong words, hosts that are too small, and results that are shown again.

use std::path::PathBuf;
use std::process::Command;

use crate::server::{Server, Wrong};
use crate::tool::{band, command, ended, number, run, wait};

#[track_caller]
fn refused(args: &[&str], said: &str) {
    let ended = run(args);
    assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
    assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{args:?}");
}

#[test]
fn wrong_words_name_the_right_ones() {
    refused(&["cannonical"], "near: `canonical`");
    refused(&["--set=membrs=3"], "memb");
    refused(&["--set=band.membrs=3"], "is `members`");
    refused(&["--set=nobody.members=3"], "there are: band");
    refused(&["--members=0"], "at least 1");
    refused(&["--senders=101"], "cannot send");
    refused(&["--seconds=0"], "`measure_s` is 0");
    refused(&["--seconds=nan"], "measure_s");
    refused(&["--rate=-1"], "from 0.001");
    refused(&["--dialect=morse"], "morse");
    refused(&["--assert=p99<"], "--assert");
    refused(&["--find-max=rss<1"], "--find-max");
    refused(&["--url=http://127.0.0.1/"], "ws://");
    refused(&["--url=wss://127.0.0.1/"], "TLS");
    refused(&["--sources=x"], "no address");
    refused(&["--cpus=x"], "a list of CPUs");
    refused(&["--prefix=\"", "idle"], "--prefix");
    refused(&["--wait=soon"], "--wait");
    refused(&["idle", "--compare", "a", "b"], "cannot be used");
    refused(&["--print=nothing"], "these are: canonical");
    refused(&["missing.toml"], "cannot be read");
}

#[test]
fn a_cpu_that_is_not_there_is_named() {
    let server = Server::start(Wrong::Nothing);
    let url = server.url();
    let ended = run(&band(&url, &["--cpus=4000"]));
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("--cpus"), "{}", ended.stderr);
}

#[test]
fn too_few_descriptors_name_the_command_that_helps() {
    let server = Server::start(Wrong::Nothing);
    let mut shell = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_tutti-loadgen");
    shell.args(["-c", "ulimit -n 64; exec \"$0\" --quiet --url \"$1\"", binary, &server.url()]);
    let ended = ended(shell.output().expect("a shell"));
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("ulimit -Hn 200"), "{}", ended.stderr);
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_the_run() {
    for flag in ["--json", "--html"] {
        let ended = run(&["idle", "--url=ws://127.0.0.1:1/", flag, "/nowhere/x"]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("/nowhere/x"), "{}", ended.stderr);
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loadgen-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn conditions_decide_the_exit_code() {
    let server = Server::start(Wrong::Lose(50));
    let url = server.url();
    let held = run(&band(&url, &["--assert=lost>0,p99<10s", "--assert=repeated=0"]));
    assert_eq!(held.code, 0, "{held:?}");
    let failed = run(&band(&url, &["--assert=p99<10s", "--assert=lost=0"]));
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("lost"), "{}", failed.stderr);
}

#[test]
fn the_highest_rate_of_a_server_that_loses_is_none() {
    let server = Server::start(Wrong::Lose(20));
    let url = server.url();
    let more = ["--find-max=lost=0", "--seconds=0.2", "--rate=0.4", "--set=drain_s=0.05"];
    // With 0.2 s at a few notes a second there are fewer than 20 deliveries, and with more there are losses.
    let result = run(&band(&url, &more)).result();
    let steps = result["steps"].as_array().expect("steps");
    assert!(steps.iter().any(|step| step["held"] == false), "{steps:?}");
    assert!(steps.iter().filter(|step| step["held"] == true).all(|step| step["lost"] == 0));
}

#[test]
fn processes_that_ran_together_are_joined_and_shown() {
    let server = Server::start(Wrong::Lose(10));
    let (url, folder) = (server.url(), Folder::new("join"));
    let (a, b, page) = (folder.file("a.json"), folder.file("b.json"), folder.file("all.html"));
    let start = |prefix: &str, path: &str| {
        let json = format!("--json={path}");
        let mut args = band(&url, &["--prefix", prefix]);
        args.retain(|arg| !arg.starts_with("--json"));
        args.push(&json);
        command(&args).spawn().expect("it starts")
    };
    let both = [start("test/one", &a), start("test/two", &b)];
    for child in both {
        let ended = wait(child);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let joined = run(&["--join", &a, &b, "--json=-"]);
    assert_eq!(joined.code, 0, "{joined:?}");
    let (joined, did) = (joined.result(), server.did());
    assert_eq!(number(&joined, "/faults/lost") as u64, did.lost);
    assert_eq!(number(&joined, "/faults/stray"), 0.0);
    assert_eq!(number(&joined, "/environment/processes"), 2.0);
    assert_eq!(number(&joined, "/traffic/connections"), 16.0);

    let shown = run(&["--render", &a, &b, "--html", &page]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.contains("<svg") && html.ends_with("</html>"), "{}", html.len());
    let compared = run(&["--compare", &a, &b]);
    assert_eq!(compared.code, 0, "{compared:?}");
    assert!(compared.stdout.contains("throughput"), "{}", compared.stdout);
    std::fs::write(&b, "{}").expect("written");
    let bad = run(&["--join", &a, &b]);
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(bad.stderr.contains("b.json"), "{}", bad.stderr);
}
