//! A person at a terminal: a plain socket, lines out, lines in.

use crate::server::Server;
use crate::{QUIET, WITHIN};
use std::collections::VecDeque;
use std::fmt;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What the server says first.
pub const WELCOME: &str = "Welcome to the chat server!";
/// What asks for a nick, without a line end.
pub const PROMPT: &str = "Enter your nickname: ";
/// The answer that [`Terminal::barrier`] waits for.
const BARRIER: &str = "ERROR: Usage: /joins on|off";

/// A connection to the door of line chat.
pub struct Terminal {
    stream: TcpStream,
    /// What was read and is no line yet.
    rest: Vec<u8>,
    lines: VecDeque<String>,
    /// Everything that was read, for the account of a failure.
    seen: Vec<u8>,
    ended: bool,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = String::from_utf8_lossy(&self.seen);
        let from = seen.char_indices().rev().nth(1500).map_or(0, |(at, _)| at);
        write!(f, "{}", &seen[from..])
    }
}

impl Terminal {
    /// Connects, and reads nothing yet.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the door of line chat is open");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream, rest: vec![], lines: VecDeque::new(), seen: vec![], ended: false }
    }

    /// Connects and reads up to the prompt.
    #[track_caller]
    pub fn at_prompt(server: &Server) -> Self {
        let mut terminal = Self::open(server.line_addr());
        terminal.expect(WELCOME);
        terminal.prompt();
        terminal
    }

    /// Connects and takes a nick, in the lobby; everything that is said at first is read.
    #[track_caller]
    pub fn named(server: &Server, nick: &str) -> Self {
        let mut terminal = Self::at_prompt(server);
        terminal.say(nick);
        terminal.expect_start(&format!("Welcome {nick}! You are in #lobby"));
        terminal.expect("Type /help for available commands");
        terminal.clear();
        terminal
    }

    /// The same, and goes to a room.
    #[track_caller]
    pub fn in_room(server: &Server, nick: &str, room: &str) -> Self {
        let mut terminal = Self::named(server, nick);
        terminal.join(room);
        terminal
    }

    /// Goes to a room; its history is read.
    #[track_caller]
    pub fn join(&mut self, room: &str) {
        self.say(&format!("/join {room}"));
        self.find(&format!("You joined #{room}"));
        self.clear();
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the connection is broken.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes what is sent");
    }

    /// Sends a line.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        self.send(format!("{line}\n"));
    }

    /// Says that no more comes.
    pub fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads what comes until the deadline; whether anything did.
    fn pump(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.ended {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).expect("a socket option");
        let mut bytes = [0; 1 << 16];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.seen.extend_from_slice(&bytes[..count]);
                self.rest.extend_from_slice(&bytes[..count]);
                while let Some(at) = self.rest.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = self.rest.drain(..=at).take(at).collect();
                    self.lines.push_back(String::from_utf8(line).expect("lines are UTF-8"));
                }
                return true;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
        false
    }

    /// The next line, with its CR if it has one.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(line) = self.lines.pop_front() {
                return line;
            }
            if !self.pump(deadline) && (self.ended || Instant::now() >= deadline) {
                panic!("no line came (ended: {}); seen:\n{self:?}", self.ended);
            }
        }
    }

    /// The next line is this.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        let got = self.line();
        assert_eq!(got, line, "seen:\n{self:?}");
    }

    /// The next line begins so; it is returned.
    #[track_caller]
    pub fn expect_start(&mut self, start: &str) -> String {
        let got = self.line();
        assert!(got.starts_with(start), "{got:?} is not {start:?}...; seen:\n{self:?}");
        got
    }

    /// The next line is `[HH:MM:SS] ` and this.
    #[track_caller]
    pub fn expect_timed(&mut self, rest: &str) {
        let got = self.line();
        assert_eq!(untimed(&got), Some(rest), "{got:?}; seen:\n{self:?}");
    }

    /// Reads lines up to this one, which is returned; a time in front of it does not matter.
    #[track_caller]
    pub fn find(&mut self, line: &str) -> String {
        loop {
            let got = self.line();
            if got == line || untimed(&got) == Some(line) {
                return got;
            }
        }
    }

    /// Reads up to the prompt.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn prompt(&mut self) {
        let deadline = Instant::now() + WITHIN;
        while !self.rest.starts_with(PROMPT.as_bytes()) {
            let came = self.pump(deadline);
            assert!(came, "no prompt (ended: {}); seen:\n{self:?}", self.ended);
        }
        self.rest.drain(..PROMPT.len());
        assert!(self.rest.is_empty(), "the prompt has no line end; seen:\n{self:?}");
    }

    /// Waits for the answer to a line, behind which nothing is that was said before.
    #[track_caller]
    fn barrier(&mut self) -> Vec<String> {
        self.say("/joins perhaps");
        let mut before = Vec::new();
        loop {
            let line = self.line();
            if line.trim_end() == BARRIER {
                return before;
            }
            before.push(line);
        }
    }

    /// Everything that is there before the answer to a line of our own.
    #[track_caller]
    pub fn drain(&mut self) -> Vec<String> {
        self.barrier()
    }

    /// Forgets it.
    #[track_caller]
    pub fn clear(&mut self) {
        self.barrier();
    }

    /// There is nothing.
    #[track_caller]
    pub fn nothing(&mut self) {
        let before = self.barrier();
        assert!(before.is_empty(), "{before:?}");
    }

    /// There is nothing for a while, where several shards had a part.
    #[track_caller]
    pub fn quiet(&mut self) {
        std::thread::sleep(QUIET);
        self.nothing();
    }

    /// Everything up to the end of the connection, which has to come.
    ///
    /// # Panics
    /// When it does not come in time.
    #[track_caller]
    pub fn ends_within(&mut self, within: Duration) -> Vec<String> {
        let deadline = Instant::now() + within;
        while self.pump(deadline) {}
        assert!(self.ended, "the connection lives; seen:\n{self:?}");
        let mut lines: Vec<String> = self.lines.drain(..).collect();
        if !self.rest.is_empty() {
            lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned());
        }
        lines
    }

    /// The same within the usual time.
    #[track_caller]
    pub fn ends(&mut self) -> Vec<String> {
        self.ends_within(WITHIN)
    }

    /// All bytes that were read.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }
}

/// What follows `[HH:MM:SS] `, if the line begins so.
pub fn untimed(line: &str) -> Option<&str> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    (time.split(':').count() == 3 && time.split(':').all(digits)).then_some(rest)
}
