//! A server of the TCP line chat that does one thing wrong, and counts how often it did.
//!
//! As [`crate::server`]: a thread a connection and one lock around everything.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::server::Did;

/// What goes wrong. Numbers say how often: one delivery of a line in so many.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wrong {
    Nothing,
    Lose(u64),
    Repeat(u64),
    /// Delivers it behind the next one of the same sender.
    Reorder(u64),
    /// Delivers it with another text.
    Corrupt(u64),
    /// Delivers it under the name of somebody else.
    Misname(u64),
    /// Delivers it to somebody of another room as well.
    Misplace(u64),
    /// Writes everything in pieces of three bytes.
    Split,
    /// Says this instead of the prompt, and closes.
    Refuse(&'static str),
    /// Answers every nick with this.
    RefuseNick(&'static str),
    /// Answers every `/join` with this.
    RefuseJoin(&'static str),
    /// Says nothing at all.
    Mute,
    /// Answers one line in so many with an error, and does not deliver it.
    Limit(u64),
    /// Says goodbye to somebody, at every one in so many lines.
    CloseOne(u64),
    /// Hangs up on everybody and stops listening, after so many lines.
    Die(u64),
    /// Sends noise behind the welcome, from this seed on.
    Babble(u64),
    /// Sends this without a line end.
    Endless(usize),
}

struct Member {
    nick: String,
    room: String,
    stream: TcpStream,
    /// By sender: a line that goes behind the next one.
    held: BTreeMap<usize, String>,
}

struct World {
    wrong: Wrong,
    did: Did,
    members: BTreeMap<usize, Member>,
    /// By room: what was said, for those who come later.
    said: BTreeMap<String, Vec<String>>,
    next: usize,
    dead: bool,
    /// The first bytes of each connection that were no line.
    claims: Vec<Vec<u8>>,
}

pub(crate) struct ChatServer {
    pub(crate) address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl ChatServer {
    pub(crate) fn start(wrong: Wrong) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let world = Arc::new(Mutex::new(World {
            wrong,
            did: Did::default(),
            members: BTreeMap::new(),
            said: BTreeMap::new(),
            next: 0,
            dead: false,
            claims: Vec::new(),
        }));
        let all = world.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let world = all.clone();
                if lock(&world).dead {
                    return;
                }
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || serve(&world, stream));
            }
        });
        Self { address, world }
    }

    pub(crate) fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub(crate) fn did(&self) -> Did {
        lock(&self.world).did
    }

    /// PROXY headers that were sent.
    pub(crate) fn claims(&self) -> Vec<Vec<u8>> {
        lock(&self.world).claims.clone()
    }
}

impl Drop for ChatServer {
    fn drop(&mut self) {
        lock(&self.world).dead = true;
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// One connection from its prompt to its end.
fn serve(world: &Mutex<World>, stream: TcpStream) -> Option<()> {
    let wrong = lock(world).wrong.clone();
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    match wrong {
        Wrong::Refuse(text) => {
            lock(world).write(&stream, &format!("{text}\n"));
            return None;
        }
        Wrong::Mute => {
            read_line(&mut reader)?;
            return None;
        }
        _ => lock(world).write(&stream, "Welcome to the chat server!\nEnter your nickname: "),
    }
    // A PROXY header begins with bytes that no nick begins with.
    if reader.fill_buf().ok()?.starts_with(b"\r\n\r\n\0") {
        let mut header = [0; 28];
        std::io::Read::read_exact(&mut reader, &mut header).ok()?;
        lock(world).claims.push(header.to_vec());
    }
    let nick = read_line(&mut reader)?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!((3..=20).contains(&nick.len()) && nick.chars().all(good), "not a nick: {nick}");
    if let Wrong::RefuseNick(text) = wrong {
        lock(world).write(&stream, &format!("{text}\nEnter your nickname: "));
        read_line(&mut reader)?;
        return None;
    }
    let own = lock(world).welcome(nick, &stream);
    if let Wrong::Babble(seed) = wrong {
        babble(stream.try_clone().ok()?, seed ^ (own as u64) << 32 | 1);
    }
    if let Wrong::Endless(bytes) = wrong {
        (&stream).write_all(&vec![b'x'; bytes]).ok()?;
    }
    while let Some(line) = read_line(&mut reader) {
        let mut world = lock(world);
        match line.strip_prefix('/') {
            Some(command) => world.obey(own, command),
            None => world.say(own, &line),
        }
        if world.dead {
            break;
        }
    }
    lock(world).leave(own);
    None
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
    Some(line.strip_suffix('\n')?.to_owned())
}

/// Lines that are nearly right, for a second.
fn babble(mut stream: TcpStream, seed: u64) {
    let texts = [
        "[12:00:00] 1-0-1: ~0.1.1761000000000123.5~\n",
        "You joined #test/load\n",
        "ERROR: Server error\n",
        "*** Last 3 messages in #x\n",
        "*** End of history\n",
        "Welcome x! You are in #lobby\n",
        "*** x joined the room\n",
    ];
    let mut random = seed;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 8) % below
    };
    std::thread::spawn(move || {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            let mut text = texts[next(texts.len() as u64) as usize].as_bytes().to_vec();
            for _ in 0..next(3) {
                let at = next(text.len() as u64) as usize;
                text[at] = next(256) as u8;
            }
            if stream.write_all(&text).is_err() {
                return;
            }
        }
    });
}

impl World {
    /// Puts somebody into the lobby, as a real server does.
    fn welcome(&mut self, nick: String, stream: &TcpStream) -> usize {
        let taken = self.members.values().any(|member| member.nick == nick);
        assert!(!taken, "the nick {nick} is used twice");
        self.next += 1;
        let text = format!(
            "Welcome {nick}! You are in #lobby\nType /help for available commands\n{}",
            self.history("lobby")
        );
        let stream = stream.try_clone().expect("a descriptor");
        let member = Member { nick, room: "lobby".to_owned(), stream, held: BTreeMap::new() };
        self.members.insert(self.next, member);
        self.send(self.next, &text);
        self.tell_others(self.next, "joined the room");
        self.next
    }

    fn history(&self, room: &str) -> String {
        let said = self.said.get(room).map_or(&[][..], Vec::as_slice);
        let last = &said[said.len().saturating_sub(10)..];
        if last.is_empty() {
            return String::new();
        }
        let n = last.len();
        format!("*** Last {n} messages in #{room}\n{}*** End of history\n", last.concat())
    }

    fn obey(&mut self, own: usize, command: &str) {
        let (name, room) = command.split_once(' ').unwrap_or((command, ""));
        if name != "join" {
            return self.send(own, "ERROR: Unknown command\n");
        }
        if let Wrong::RefuseJoin(text) = self.wrong {
            return self.send(own, &format!("{text}\n"));
        }
        self.tell_others(own, "left the room");
        self.members.get_mut(&own).expect("a member").room = room.to_owned();
        let text = format!("You joined #{room}\n{}", self.history(room));
        self.send(own, &text);
        self.tell_others(own, "joined the room");
    }

    fn tell_others(&mut self, own: usize, what: &str) {
        let text = format!("*** {} {what}\n", self.members[&own].nick);
        for member in self.audience(own).into_iter().filter(|&member| member != own) {
            self.send(member, &text);
        }
    }

    fn audience(&self, own: usize) -> Vec<usize> {
        let Some(room) = self.members.get(&own).map(|member| &member.room) else {
            return Vec::new();
        };
        let there = self.members.iter().filter(|(_, member)| member.room == *room);
        there.map(|(number, _)| *number).collect()
    }

    fn say(&mut self, own: usize, text: &str) {
        self.did.notes += 1;
        match self.wrong {
            Wrong::Limit(every) if self.did.notes.is_multiple_of(every) => {
                let n = self.audience(own).len() as u64;
                (self.did.due, self.did.lost) = (self.did.due + n, self.did.lost + n);
                return self.send(own, "ERROR: You are sending too fast\n");
            }
            Wrong::Die(after) if self.did.notes == after => return self.die(),
            Wrong::CloseOne(every) if self.did.notes.is_multiple_of(every) => self.close_one(own),
            _ => {}
        }
        let Some(member) = self.members.get(&own) else { return };
        let (nick, room) = (member.nick.clone(), member.room.clone());
        let line = format!("[12:34:56] {nick}: {text}\n");
        self.said.entry(room.clone()).or_default().push(line.clone());
        for member in self.audience(own) {
            self.did.due += 1;
            let n = self.did.due;
            let turn = |every: u64| n.is_multiple_of(every);
            if let Some(held) = self.members.get_mut(&member).and_then(|it| it.held.remove(&own)) {
                self.send(member, &line);
                self.send(member, &held);
                self.did.lost -= 1;
                self.did.reordered += 1;
                continue;
            }
            match self.wrong {
                Wrong::Lose(every) if turn(every) => self.did.lost += 1,
                Wrong::Repeat(every) if turn(every) => {
                    self.did.repeated += 1;
                    self.send(member, &line);
                    self.send(member, &line);
                }
                Wrong::Reorder(every) if turn(every) => {
                    // Lost until the next one comes, if one does.
                    self.did.lost += 1;
                    let held = self.members.get_mut(&member).expect("of the audience");
                    held.held.insert(own, line.clone());
                }
                // What cannot be read may have been any: it is lost as well.
                Wrong::Corrupt(every) if turn(every) => {
                    self.did.corrupted += 1;
                    self.did.lost += 1;
                    self.send(member, &line.replacen('.', ",", 1));
                }
                Wrong::Misname(every) if turn(every) => {
                    self.did.corrupted += 1;
                    self.did.lost += 1;
                    self.send(member, &format!("[12:34:56] nobody: {text}\n"));
                }
                Wrong::Misplace(every) if turn(every) => {
                    self.send(member, &line);
                    let other = self.members.iter().find(|(_, other)| other.room != room);
                    let other = *other.expect("there is another room").0;
                    self.did.stray += 1;
                    self.send(other, &line);
                }
                _ => self.send(member, &line),
            }
        }
    }

    fn send(&self, to: usize, text: &str) {
        if let Some(member) = self.members.get(&to) {
            self.write(&member.stream, text);
        }
    }

    fn write(&self, mut stream: &TcpStream, text: &str) {
        let size = if self.wrong == Wrong::Split { 3 } else { text.len() };
        // Who has hung up hears nothing.
        let _ = text.as_bytes().chunks(size).try_for_each(|part| stream.write_all(part));
    }

    fn die(&mut self) {
        self.dead = true;
        for member in self.members.values() {
            let _ = member.stream.shutdown(Shutdown::Both);
        }
        self.members.clear();
    }

    fn close_one(&mut self, but: usize) {
        let Some((&number, _)) = self.members.iter().rfind(|(number, _)| **number != but) else {
            return;
        };
        self.did.closed += 1;
        self.send(number, "ERROR: Flooding\n");
        let member = self.members.remove(&number).expect("it was there");
        let _ = member.stream.shutdown(Shutdown::Both);
    }

    fn leave(&mut self, own: usize) {
        if self.members.contains_key(&own) {
            self.tell_others(own, "left the room");
            self.members.remove(&own);
        }
    }
}
