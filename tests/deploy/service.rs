//! The units in `deploy/systemd` under a real systemd, which is the first process of namespaces of its own.

use crate::{Running, can_run};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tutti_tests::eventually;
use tutti_tests::mpp::Client;
use tutti_tests::server::{binary, repository};
use tutti_tests::ws::{Dial, WebSocket};

/// A booted systemd with our units.
struct Systemd {
    _script: Running,
    init: String,
}

impl Systemd {
    fn boot() -> Self {
        let script = repository().join("tests/deploy/systemd.sh");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh"]).arg(script).arg(binary()).arg(repository());
        let script = Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let child = |of: &str| {
            let children =
                std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
            Some(children.split_whitespace().next()?.to_owned())
        };
        let name = |of: &str| std::fs::read_to_string(format!("/proc/{of}/comm")).ok();
        // The script starts `unshare`, which starts the first process, which becomes systemd.
        let init = eventually("systemd", || {
            let first = child(&child(&script.0.id().to_string())?)?;
            (name(&first)?.trim() == "systemd").then_some(first)
        });
        Systemd { _script: script, init }
    }

    /// What a command says inside.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let spaces = ["-t", &self.init, "--pid", "--mount", "--ipc", "--uts", "--cgroup"];
        let mut command = Command::new("nsenter");
        command.args(spaces).arg(program).args(arguments).env_remove("TUTTI_BIN");
        let output = command.output().expect("nsenter runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    fn property(&self, name: &str) -> String {
        self.run("systemctl", &["show", "tutti.service", "--value", "-p", name]).trim().to_owned()
    }

    /// Polls until a property is so.
    #[track_caller]
    fn until(&self, name: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let value = self.property(name);
            if fits(&value) {
                return value;
            }
            let status = || self.run("systemctl", &["status", "--no-pager", "tutti.service"]);
            assert!(Instant::now() < deadline, "{name} is {value:?}\n{}", status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn units_run_under_a_real_systemd() {
    if !can_run(&["systemd", "systemctl", "unshare", "nsenter"]) {
        return;
    }
    let systemd = Systemd::boot();
    systemd.until("ActiveState", |state| state == "active");
    // It is ready and says so, and its user is made for it.
    systemd.until("StatusText", |text| text.starts_with("0 connections in "));
    assert_eq!(systemd.property("LimitNOFILE"), "65536");
    let first = systemd.property("MainPID");
    let status = systemd.run("cat", &[&format!("/proc/{first}/status")]);
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{status}");
    }
    assert!(!status.contains("Uid:\t0\t"), "{status}");
    // What runs before it with `+` has the rights that the service itself has not.
    let tuned = systemd.run("cat", &["/run/stage/fake/proc/sys/net/core/somaxconn"]);
    assert_eq!(tuned, "4096\n");
    // People are served through systemd's socket.
    let address: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
    let join = || {
        let dial = Dial::default().header("X-Forwarded-For", "192.0.2.7");
        let socket = WebSocket::connect(address, &dial).unwrap_or_else(|r| panic!("{r:?}"));
        let mut client = Client::new(socket);
        client.hi();
        client
    };
    let mut client = join();
    let id = client.id().to_owned();
    client.join("Quiet corner");
    systemd.until("StatusText", |text| text.starts_with("1 connections in "));
    // `tutti tune` sees what the service has.
    let said = systemd.run("/usr/local/bin/tutti", &["tune", "check", "--conns", "500"]);
    assert!(said.contains("LimitNOFILE of tutti.service (systemctl show) is 65536"), "{said}");
    // Where systemd itself lacks the right to raise limits (CAP_SYS_RESOURCE), the process has less than its unit says.
    let limits = systemd.run("cat", &[&format!("/proc/{first}/limits")]);
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next()).expect("a limit");
    let real = format!("LimitNOFILE of process {first} is {files}");
    assert!(said.contains(&real), "no {real} in\n{said}");
    // A restart tells people, refuses nobody, and keeps identities.
    systemd.run("systemctl", &["--no-block", "restart", "tutti.service"]);
    client.closed_with(4000);
    let again = join();
    assert_eq!(again.id(), id, "the secret is kept in the state folder");
    let second = systemd.until("MainPID", |pid| pid != first && pid != "0");
    systemd.until("ActiveState", |state| state == "active");
    // One that hangs is killed and started again.
    systemd.run("kill", &["-STOP", &second]);
    systemd.until("NRestarts", |count| count != "0");
    systemd.until("ActiveState", |state| state == "active");
    assert_eq!(join().id(), id);
    systemd.run("systemctl", &["stop", "tutti.socket", "tutti.service"]);
    assert_eq!(systemd.property("Result"), "success");
}

#[test]
fn units_are_sound() {
    if !can_run(&["systemd-analyze"]) {
        return;
    }
    let unit = repository().join("deploy/systemd/tutti.service");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=20"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze runs");
    assert!(output.status.success(), "exposure is above 2.0: {output:?}");
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .arg(repository().join("deploy/systemd/tutti.socket"))
        .output()
        .expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&output.stderr);
    // The program is not installed where tests run.
    let faults: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("tutti.s") && !line.contains("is not executable"))
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
}
