//! The files in `deploy/` and `tutti tune`, tried with the programs that they are for.
//!
//! | module | what |
//! | --- | --- |
//! | `proxies` | Debian's nginx and HAProxy with our files, real WebSockets through them |
//! | `tune` | the built binary on real settings, each time in namespaces of its own |
//! | `service` | the units under a real systemd in namespaces of its own |
//! | `metrics` | every metric that an alert or the dashboard names exists |
//!
//! They need root, packages of Debian's, and a network namespace with the addresses of [`CLIENTS`]:
//! `scripts/test.sh deploy` sees to all of it. Anywhere else each of them says `SKIPPED`.

mod metrics;
mod proxies;
mod service;
mod tune;

use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Addresses of the namespace that clients come from, none of them loopback: that one is exempt from limits.
const CLIENTS: [&str; 2] = ["192.0.2.7", "192.0.2.8"];

/// Whether a test can run here, which it cannot without these programs. It says so if not.
fn can_run(programs: &[&str]) -> bool {
    if std::env::var_os("DEPLOY_TESTS").is_none() {
        println!("\nSKIPPED: it needs a namespace of its own: scripts/test.sh deploy");
        return false;
    }
    for program in programs {
        let dirs = ["/usr/sbin", "/usr/bin", "/lib/systemd", "/bin", "/usr/local/bin"];
        if !dirs.iter().any(|dir| Path::new(dir).join(program).exists()) {
            println!("\nSKIPPED: there is no {program}");
            return false;
        }
    }
    true
}

/// A folder for one test, gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tutti-{name}-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a writable folder");
        Scratch(path)
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that ends with this.
struct Running(Child);

impl Running {
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        Running(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Told first, so that it can end what it has started.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Replaces a part that stands exactly so often in a text.
#[track_caller]
fn swap(text: &str, times: usize, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), times, "`{from}` in\n{text}");
    text.replace(from, to)
}

fn deploy(path: &str) -> String {
    let path = tutti_tests::server::repository().join("deploy").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
