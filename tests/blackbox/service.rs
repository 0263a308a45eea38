//! The service manager: what it is told, and the sockets that it hands over.

use crate::ROOMS;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tutti_tests::mpp::Client;
use tutti_tests::server::{Plan, Server, binary};
use tutti_tests::{WITHIN, http};

on_1_2_5_shards!(
    it_says_ready_alive_and_stopping,
    a_shard_that_is_stuck_starves_the_watchdog,
    one_late_answer_is_no_reason_to_be_killed,
    a_socket_that_was_handed_over_serves_all_shards,
    who_connects_during_a_restart_is_served_after_it,
    who_was_sent_away_can_wait_for_the_restart,
);

/// What a service manager would hear.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tutti-notify-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let socket = UnixDatagram::bind(&path).expect("a writable folder");
        Manager { socket, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("the name is plain")
    }

    /// The next message within the time, as it came.
    fn next(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).expect("a time above zero");
        let mut buffer = [0; 4096];
        let count = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    /// Reads on until a message has a line that begins with this.
    #[track_caller]
    fn until(&self, begin: &str) -> String {
        let deadline = Instant::now() + WITHIN;
        let mut heard = Vec::new();
        while let Some(left) =
            deadline.checked_duration_since(Instant::now()).filter(|t| !t.is_zero())
        {
            let Some(message) = self.next(left) else { break };
            if message.lines().any(|line| line.starts_with(begin)) {
                return message;
            }
            heard.push(message);
        }
        panic!("no {begin} within {WITHIN:?}; heard {heard:?}");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn it_says_ready_alive_and_stopping(plan: Plan) {
    let manager = Manager::new();
    let shards = plan.shards();
    let plan = plan.env("NOTIFY_SOCKET", manager.path()).env("WATCHDOG_USEC", "200000");
    let mut server = plan.start();
    manager.until("READY=1");
    let _a = server.join(ROOMS[0]);
    // Alive and its status come again and again, ready never.
    let message = manager.until("STATUS=1 connections in ");
    assert!(message.contains(&format!("channels on {shards} shards\n")), "{message}");
    assert!(message.contains("WATCHDOG=1"), "{message}");
    for _ in 0..3 {
        let message = manager.until("WATCHDOG=1");
        assert!(!message.contains("READY"), "{message}");
    }
    server.signal(Signal::TERM);
    manager.until("STOPPING=1");
    assert_eq!(server.wait(WITHIN).and_then(|status| status.code()), Some(0));
}

/// The thread of a shard. Helpers that it started later bear its name as well.
fn thread_of(server: &Server, shard: u32) -> i32 {
    let name = format!("tutti-{shard}-");
    let tasks = format!("/proc/{}/task", server.pid().as_raw_nonzero());
    let tasks = std::fs::read_dir(tasks).expect("the server runs");
    let named = tasks.filter_map(|task| {
        let task = task.ok()?.path();
        let comm = std::fs::read_to_string(task.join("comm")).ok()?;
        let id = task.file_name()?.to_str()?.parse().ok()?;
        comm.starts_with(&name).then_some(id)
    });
    named.min().unwrap_or_else(|| panic!("no thread is called {name}"))
}

/// One call to the tracer's interface of the system.
fn trace(request: libc::c_uint, thread: i32) {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take no pointers; the thread belongs to a child of this test.
    let result = unsafe { libc::ptrace(request, thread, none, none) };
    assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
}

/// Holds the thread of one shard alone; the others run on. `PTRACE_DETACH` lets it go.
fn hold(server: &Server, shard: u32) -> i32 {
    let thread = thread_of(server, shard);
    trace(libc::PTRACE_SEIZE, thread);
    trace(libc::PTRACE_INTERRUPT, thread);
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    let waited = unsafe { libc::waitpid(thread, &mut status, libc::__WALL) };
    assert_eq!(waited, thread);
    thread
}

/// The manager's time runs from the last sign of life, so the next must not wait for a whole interval more.
fn one_late_answer_is_no_reason_to_be_killed(plan: Plan) {
    let manager = Manager::new();
    let stuck = plan.shards() - 1;
    let patience = Duration::from_secs(2);
    let plan = plan.env("NOTIFY_SOCKET", manager.path()).env("WATCHDOG_USEC", "2000000");
    let server = plan.start();
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
    let alive = Instant::now();
    let thread = hold(&server, stuck);
    manager.until("STATUS=of ");
    trace(libc::PTRACE_DETACH, thread);
    manager.until("WATCHDOG=1");
    assert!(alive.elapsed() < patience, "silent for {:?}", alive.elapsed());
}

fn a_shard_that_is_stuck_starves_the_watchdog(plan: Plan) {
    let manager = Manager::new();
    let stuck = plan.shards() - 1;
    let plan = plan.env("NOTIFY_SOCKET", manager.path()).env("WATCHDOG_USEC", "400000");
    let server = plan.start();
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
    let thread = hold(&server, stuck);
    let says = format!("of {} shards these do not answer: {stuck}", stuck + 1);
    manager.until(&format!("STATUS={says}"));
    let deadline = Instant::now() + Duration::from_millis(900);
    while Instant::now() < deadline {
        if let Some(message) = manager.next(Duration::from_millis(100)) {
            assert!(!message.contains("WATCHDOG"), "{message}");
        }
    }
    trace(libc::PTRACE_DETACH, thread);
    manager.until("WATCHDOG=1");
    assert!(server.log().contains(&says), "{}", server.log());
}

fn accepted(server: &Server) -> f64 {
    let text = http::get(server.admin(), "/metrics").text();
    let lines = text.lines().filter(|line| line.starts_with("tutti_accepted_total{"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

fn a_socket_that_was_handed_over_serves_all_shards(plan: Plan) {
    let server = plan.activated().admin().start();
    let mut clients: Vec<Client> = (0..12).map(|n| server.join(ROOMS[n % 3])).collect();
    clients[0].say("through one socket");
    for n in [3, 6, 9] {
        clients[n].expect("a");
    }
    for client in &mut clients {
        client.barrier();
    }
    // One more is the probe that waited for the server.
    assert!(accepted(&server) >= 13.0, "{}", accepted(&server));
    // Nobody spins on it.
    let turns = || {
        let text = http::get(server.admin(), "/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with("tutti_turns_total{"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>()
    };
    let before = turns();
    std::thread::sleep(Duration::from_millis(200));
    assert!(turns() - before < 200.0, "{} turns in 0.2 s", turns() - before);
}

fn who_connects_during_a_restart_is_served_after_it(plan: Plan) {
    let mut server = plan.activated().start();
    let mut a = server.join(ROOMS[0]);
    server.stop();
    a.closed_with(4000);
    let mut early = TcpStream::connect(server.addr()).expect("the manager's socket still listens");
    early.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("queued");
    server.restart();
    early.set_read_timeout(Some(WITHIN)).expect("a time above zero");
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.guest().barrier();
}

/// Shards stop one after the other; none of them may let somebody in whom another has just sent away.
fn who_was_sent_away_can_wait_for_the_restart(plan: Plan) {
    let mut server = plan.activated().start();
    for round in 0..8 {
        let mut a = server.join(ROOMS[round % 3]);
        server.signal(Signal::TERM);
        a.closed_with(4000);
        let mut again: Vec<TcpStream> = (0..4)
            .map(|_| TcpStream::connect(server.addr()).expect("the socket still listens"))
            .collect();
        for stream in &mut again {
            let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            stream.write_all(head).expect("queued");
        }
        assert_eq!(server.wait(WITHIN).and_then(|status| status.code()), Some(0));
        server.restart();
        for mut stream in again {
            stream.set_read_timeout(Some(WITHIN)).expect("a time above zero");
            let mut answer = String::new();
            let read = stream.read_to_string(&mut answer);
            assert!(answer.starts_with("HTTP/1.1 200"), "round {round}: {read:?} {answer}");
        }
    }
}

#[test]
fn a_socket_that_cannot_be_listened_on_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let file = std::fs::File::open("/proc/self/status").expect("there is one");
    let stdins: [(Stdio, &str); 2] = [
        (std::os::fd::OwnedFd::from(peer).into(), "does not listen"),
        (file.into(), "is no socket"),
    ];
    for (stdin, what) in stdins {
        let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 0</dev/null";
        let output = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(binary())
            .args(["serve", "--data", "memory", "--admin", "off", "--quic", "off"])
            .env_remove("TUTTI_BIN")
            .stdin(stdin)
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(what) && said.contains("ListenStream="), "{said}");
    }
}
