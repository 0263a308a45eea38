//! The binary under test.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stderr: String,
    pub(crate) stdout: String,
}

impl Ended {
    /// The result that was printed.
    #[track_caller]
    pub(crate) fn result(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no result ({error}): {self:?}"))
    }
}

/// The command with these arguments, and nothing shown while it runs.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutti-loadgen"));
    command.args(args).arg("--quiet").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(args: &[&str]) -> Ended {
    ended(command(args).output().expect("it starts"))
}

pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().unwrap_or(-1);
    Ended { code, stderr: text(output.stderr), stdout: text(output.stdout) }
}

pub(crate) fn wait(child: Child) -> Ended {
    ended(child.wait_with_output().expect("it ends"))
}

/// Two channels of four people, two of whom play 50 notes a second each for a second: 600 deliveries.
pub(crate) const BAND: &[&str] = &[
    "fanout",
    "--json=-",
    "--channels=2",
    "--members=4",
    "--senders=2",
    "--rate=50",
    "--seconds=1",
    "--set=warm_s=0",
    "--set=settle_s=0",
    "--wait=0",
];

/// [`BAND`] against `url`, with more arguments, which take the place of the same ones.
pub(crate) fn band<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let name = |arg: &str| arg.rsplit_once('=').map(|(name, _)| name.to_owned());
    let mut args = BAND.to_vec();
    args.retain(|arg| name(arg).is_none() || more.iter().all(|other| name(other) != name(arg)));
    [&args[..], &["--url", url], more].concat()
}

/// Runs a scenario of these words against `url`.
pub(crate) fn run_scenario(name: &str, text: &str, url: &str) -> Ended {
    let path = std::env::temp_dir().join(format!("{name}-{}.toml", std::process::id()));
    std::fs::write(&path, text).expect("written");
    let ended = run(&[path.to_str().expect("text"), "--url", url, "--json=-"]);
    let _ = std::fs::remove_file(&path);
    ended
}

/// A number in the result, by a path like `/faults/lost`.
#[track_caller]
pub(crate) fn number(result: &Value, path: &str) -> f64 {
    let found = result.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no {path} in {result}"))
}
