//! `tutti ctl` against a server of a test, and its socket without it.

use crate::server::{Server, run};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

impl Server {
    /// Where its control socket is.
    pub fn ctl_socket(&self) -> PathBuf {
        self.dir().join("data/ctl.sock")
    }

    /// Runs `tutti ctl` with these arguments.
    pub fn ctl(&self, args: &[&str]) -> Output {
        let socket = self.ctl_socket();
        let socket = socket.to_str().expect("the temporary folder has a plain name");
        run(&[&["ctl", "--socket", socket], args].concat())
    }

    /// The same with `--json`, of what has to succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn ctl_json(&self, args: &[&str]) -> Value {
        let output = self.ctl(&[&["--json"], args].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "ctl {args:?}: {output:?}");
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The code of the failure of what must not succeed.
    ///
    /// # Panics
    /// When it succeeds, or fails in another way than by the server's word.
    #[track_caller]
    pub fn ctl_refused(&self, args: &[&str]) -> String {
        let output = self.ctl(&[&["--json"], args].concat());
        assert_eq!(output.status.code(), Some(1), "ctl {args:?}: {output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("a failure is JSON too");
        answer["error"]["code"].as_str().expect("a failure has a code").to_owned()
    }

    /// What the control socket answers to these bytes, line by line until it closes or says nothing more.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub fn ctl_raw(&self, bytes: &[u8]) -> Vec<Value> {
        let mut stream = UnixStream::connect(self.ctl_socket()).expect("the socket is there");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time is set");
        // It may be closed while it is still written to.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.map(|line| serde_json::from_str(&line).expect("answers are JSON")).collect()
    }
}
