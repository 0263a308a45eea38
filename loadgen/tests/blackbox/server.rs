//! A Multiplayer Piano server that does one thing wrong, and counts how often it did.
//!
//! A thread a connection and one lock around everything: what it does is in one order, and so is what it counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What goes wrong. Numbers say how often: one delivery of a note in so many.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wrong {
    Nothing,
    Lose(u64),
    Repeat(u64),
    /// Delivers it behind the next one of the same sender.
    Reorder(u64),
    /// Delivers it with another velocity.
    Corrupt(u64),
    /// Delivers it to somebody of another channel as well.
    Misplace(u64),
    /// Delivers everything late.
    Delay(Duration),
    /// Stops for a while, after so many notes.
    Stall(u64, Duration),
    /// Puts so many messages into an array, or fewer when there are none for a while.
    Merge(usize),
    /// Writes every frame in pieces.
    Split,
    /// Sends every message as three WebSocket frames.
    Fragment,
    /// Prints JSON with spaces, with keys in another order, and numbers in another way.
    Print,
    /// Answers every request with this status.
    Refuse(&'static str),
    /// Accepts and never answers.
    Mute,
    /// Hangs up on everybody and stops listening, after so many notes.
    Die(u64),
    /// Delivers nothing more, after so many notes.
    Freeze(u64),
    /// Closes somebody's connection with code 4000, at every one in so many notes.
    CloseOne(u64),
    /// Seats everybody in this channel, whatever they ask for.
    Seat(&'static str),
    /// Sends these bytes behind the handshake.
    Say(Vec<u8>),
    /// Sends changed messages between the right ones, in random pieces, from this seed on.
    Babble(u64),
}

/// What it did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Did {
    /// Notes that it was sent.
    pub(crate) notes: u64,
    /// Deliveries of notes that it should have made.
    pub(crate) due: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupted: u64,
    pub(crate) stray: u64,
    pub(crate) closed: u64,
}

struct Member {
    channel: String,
    stream: TcpStream,
    quick: bool,
    waiting: Vec<String>,
    /// By sender: a note that goes behind the next one.
    held: BTreeMap<usize, String>,
}

struct World {
    wrong: Wrong,
    did: Did,
    members: BTreeMap<usize, Member>,
    next: usize,
    accepted: u64,
    dead: bool,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    world: Arc<Mutex<World>>,
}

/// A frame that is to be written later.
type Late = (Instant, TcpStream, Vec<u8>);

impl Server {
    pub(crate) fn start(wrong: Wrong) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (did, members) = (Did::default(), BTreeMap::new());
        let world = World { wrong, did, members, next: 0, accepted: 0, dead: false };
        let world = Arc::new(Mutex::new(world));
        let (late, due) = channel();
        std::thread::spawn(move || deliver_late(&due));
        let (all, ticking) = (world.clone(), Arc::downgrade(&world));
        std::thread::spawn(move || {
            while let Some(world) = ticking.upgrade() {
                lock(&world).flush();
                drop(world);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (world, late) = (all.clone(), late.clone());
                if lock(&world).dead {
                    return;
                }
                let Ok(stream) = stream else { continue };
                lock(&world).accepted += 1;
                std::thread::spawn(move || serve(&world, &late, stream));
            }
        });
        Self { address, world }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Connections that have been accepted.
    pub(crate) fn n_connections(&self) -> u64 {
        lock(&self.world).accepted
    }

    pub(crate) fn did(&self) -> Did {
        lock(&self.world).did
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        lock(&self.world).dead = true;
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn deliver_late(due: &Receiver<Late>) {
    while let Ok((at, mut stream, bytes)) = due.recv() {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let _ = stream.write_all(&bytes);
    }
}

/// One connection from its request to its end.
fn serve(world: &Mutex<World>, late: &Sender<Late>, mut stream: TcpStream) -> Option<()> {
    let wrong = lock(world).wrong.clone();
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    match &wrong {
        Wrong::Refuse(status) => {
            let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
            return None;
        }
        Wrong::Mute => loop {
            reader.read_exact(&mut [0]).ok()?;
        },
        _ => {}
    }
    // The key of RFC 6455's example, which has a known answer.
    assert!(find(&head, b"dGhlIHNhbXBsZSBub25jZQ==").is_some(), "another key");
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(answer.as_bytes()).ok()?;
    if let Wrong::Say(bytes) = &wrong {
        stream.write_all(bytes).ok()?;
    }
    if let Wrong::Babble(seed) = wrong {
        let stream = stream.try_clone().ok()?;
        let number = lock(world).accepted;
        std::thread::spawn(move || babble(stream, seed ^ number << 32 | 1));
    }
    let mut own = None;
    while let Some((opcode, payload)) = read_frame(&mut reader) {
        let mut world = lock(world);
        if opcode == 2 {
            world.hear_quick(&mut own, &stream, &payload);
        } else if opcode == 1 {
            let messages: Vec<Value> = serde_json::from_slice(&payload).expect("JSON");
            for message in messages {
                world.hear(&mut own, &stream, &message, late);
            }
        }
        if world.dead {
            break;
        }
    }
    if let Some(own) = own {
        lock(world).members.remove(&own);
    }
    None
}

/// Frames that are nearly right, until the other end has had enough.
fn babble(mut stream: TcpStream, seed: u64) -> Option<()> {
    let texts = [
        r#"[{"m":"n","t":1761000000000.123,"p":"000000000000000000000001","n":[{"n":"c4","v":0.5}]}]"#,
        r#"[{"m":"a","a":"~0.1.1761000000000123.5~","p":{"id":"000000000000000000000001"}},{"m":"hi"}]"#,
        r#"[{"m":"m","id":"000000000000000000000001","x":"50.00","y":"99.99"}]"#,
        r#"[{"m":"ch","p":"000000000000000000000001","ch":{"_id":"x"},"ppl":[]},{"m":"c","c":[]}]"#,
        r#"[{"m":"ls","c":false,"u":[{"_id":"x","count":1}]},{"m":"t","t":1,"e":5}]"#,
        r#"[{"m":"notification","text":"x"},{"m":"hi"}]"#,
    ];
    let mut random = seed;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 8) % below
    };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let mut text = texts[next(texts.len() as u64) as usize].as_bytes().to_vec();
        for _ in 0..next(4) {
            let at = next(text.len() as u64) as usize;
            match next(4) {
                0 => text.truncate(at),
                1 => text[at] = next(256) as u8,
                2 => text[at] = b'9',
                _ => text.extend_from_within(at..),
            }
            if text.is_empty() {
                break;
            }
        }
        let seldom = [0x82, 0x89, 0x8a, 0x01, 0x00, 0x80, 0x88, 0xc1][next(8) as usize];
        let first = if next(40) > 0 { 0x81 } else { seldom };
        let mut bytes = frame(first, &text);
        if next(2000) == 0 {
            bytes[1] = next(256) as u8;
        }
        while !bytes.is_empty() {
            let rest = bytes.split_off((next(200) as usize + 1).min(bytes.len()));
            stream.write_all(&bytes).ok()?;
            bytes = rest;
        }
    }
    None
}

fn find(all: &[u8], part: &[u8]) -> Option<usize> {
    all.windows(part.len()).position(|window| window == part)
}

fn read_frame(reader: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut start = [0; 2];
    reader.read_exact(&mut start).ok()?;
    let mut len = usize::from(start[1] & 0x7f);
    if len == 126 {
        let mut more = [0; 2];
        reader.read_exact(&mut more).ok()?;
        len = usize::from(u16::from_be_bytes(more));
    }
    assert!(len < 1 << 16, "longer than anything that a load generator says");
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).ok()?;
    let mut payload = vec![0; len];
    reader.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((start[0] & 0x0f, payload))
}

/// An unmasked frame, final or not.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len) if len < 126 => out.push(len as u8),
        Ok(len) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

impl World {
    fn hear(
        &mut self,
        own: &mut Option<usize>,
        stream: &TcpStream,
        message: &Value,
        late: &Sender<Late>,
    ) {
        let name = message["m"].as_str().expect("a name");
        match name {
            "hi" => {
                self.write(stream, &[json!({"m": "hi", "t": 1, "u": {"_id": "x"}}).to_string()])
            }
            "ch" => {
                let quick = false;
                self.seat(own, stream, message["_id"].as_str().expect("a channel"), quick);
            }
            "t" => self.write(stream, &[json!({"m": "t", "t": 1, "e": message["e"]}).to_string()]),
            "n" => {
                let own = own.expect("notes come from a channel");
                let note = json!({"m": "n", "t": message["t"], "p": id(own), "n": message["n"]});
                self.play(own, &note, late);
            }
            "a" => {
                let own = own.expect("chat comes from a channel");
                let person = json!({"_id": id(own), "id": id(own), "name": "x"});
                let line = json!({"m": "a", "t": 1, "a": message["message"], "p": person});
                for member in self.audience(own, true) {
                    self.send(member, line.to_string());
                }
            }
            "m" => {
                let own = own.expect("moves come from a channel");
                let place = json!({"m": "m", "id": id(own), "x": message["x"], "y": message["y"]});
                for member in self.audience(own, false) {
                    self.send(member, place.to_string());
                }
            }
            _ => {}
        }
    }

    fn hear_quick(&mut self, own: &mut Option<usize>, stream: &TcpStream, payload: &[u8]) {
        let (op, body) = (payload[0], &payload[4..]);
        match op {
            0x01 => self.write(stream, &[json!({"m": "hi"}).to_string()]),
            0x0c => {
                let channel = String::from_utf8(body[2..].to_vec()).expect("a channel");
                self.seat(own, stream, &channel, true);
            }
            0x07 => {
                let own = own.expect("notes come from a channel");
                let id = id(own);
                let mut out = body.to_vec();
                out.extend_from_slice(&(id.len() as u16).to_be_bytes());
                out.extend_from_slice(id.as_bytes());
                let mut whole = (out.len() as u32).to_be_bytes().to_vec();
                whole[0] = 0x07;
                whole.extend_from_slice(&out);
                self.did.notes += 1;
                for member in self.audience(own, false) {
                    self.did.due += 1;
                    assert!(self.members[&member].quick, "all speak the same here");
                    let _ = self.members[&member]
                        .stream
                        .try_clone()
                        .and_then(|mut stream| stream.write_all(&frame(0x82, &whole)));
                }
            }
            _ => {}
        }
    }

    fn seat(&mut self, own: &mut Option<usize>, stream: &TcpStream, channel: &str, quick: bool) {
        let channel = match self.wrong {
            Wrong::Seat(name) => name,
            _ => channel,
        };
        let number = *own.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let member = Member {
            channel: channel.to_owned(),
            stream: stream.try_clone().expect("a descriptor"),
            quick,
            waiting: Vec::new(),
            held: BTreeMap::new(),
        };
        self.members.insert(number, member);
        let told =
            json!({"m": "ch", "p": id(number), "ch": {"_id": channel, "count": 1}, "ppl": []});
        self.write(stream, &[told.to_string()]);
    }

    fn audience(&self, own: usize, echo: bool) -> Vec<usize> {
        let Some(channel) = self.members.get(&own).map(|member| &member.channel) else {
            return Vec::new();
        };
        let hears = |(number, member): &(&usize, &Member)| {
            member.channel == *channel && (echo || **number != own)
        };
        self.members.iter().filter(hears).map(|(number, _)| *number).collect()
    }

    fn play(&mut self, own: usize, note: &Value, late: &Sender<Late>) {
        self.did.notes += 1;
        match self.wrong {
            Wrong::Stall(after, pause) if self.did.notes == after => std::thread::sleep(pause),
            Wrong::Freeze(after) if self.did.notes > after => return,
            Wrong::Die(after) if self.did.notes == after => return self.die(),
            Wrong::CloseOne(every) if self.did.notes.is_multiple_of(every) => self.close_one(own),
            _ => {}
        }
        let text = note.to_string();
        for member in self.audience(own, false) {
            self.did.due += 1;
            let n = self.did.due;
            let turn = |every: u64| n.is_multiple_of(every);
            if let Some(held) = self.members.get_mut(&member).and_then(|it| it.held.remove(&own)) {
                self.send(member, text.clone());
                self.send(member, held);
                self.did.lost -= 1;
                self.did.reordered += 1;
                continue;
            }
            match self.wrong {
                Wrong::Lose(every) if turn(every) => self.did.lost += 1,
                Wrong::Repeat(every) if turn(every) => {
                    self.did.repeated += 1;
                    self.send(member, text.clone());
                    self.send(member, text.clone());
                }
                Wrong::Reorder(every) if turn(every) => {
                    // Lost until the next one comes, if one does.
                    self.did.lost += 1;
                    let held = self.members.get_mut(&member).expect("of the audience");
                    held.held.insert(own, text.clone());
                }
                Wrong::Corrupt(every) if turn(every) => {
                    self.did.corrupted += 1;
                    let mut changed = note.clone();
                    changed["n"][0]["v"] = json!(0.9999);
                    self.send(member, changed.to_string());
                }
                Wrong::Misplace(every) if turn(every) => {
                    self.send(member, text.clone());
                    let channel = self.members[&own].channel.clone();
                    let other = self.members.iter().find(|(_, other)| other.channel != channel);
                    let other = *other.expect("there is another channel").0;
                    self.did.stray += 1;
                    self.send(other, text.clone());
                }
                Wrong::Delay(by) => {
                    let stream = self.members[&member].stream.try_clone().expect("a descriptor");
                    let bytes = frame(0x81, format!("[{text}]").as_bytes());
                    late.send((Instant::now() + by, stream, bytes)).expect("it listens");
                }
                _ => self.send(member, text.clone()),
            }
        }
    }

    /// Sends one message, or puts it to those that wait.
    fn send(&mut self, to: usize, text: String) {
        let Some(member) = self.members.get_mut(&to) else { return };
        let Wrong::Merge(most) = self.wrong else {
            let stream = member.stream.try_clone().expect("a descriptor");
            return self.write(&stream, &[text]);
        };
        member.waiting.push(text);
        if member.waiting.len() >= most {
            self.flush_one(to);
        }
    }

    fn flush(&mut self) {
        let all: BTreeSet<usize> = self.members.keys().copied().collect();
        all.into_iter().for_each(|member| self.flush_one(member));
    }

    fn flush_one(&mut self, member: usize) {
        let member = self.members.get_mut(&member).expect("a member");
        let waiting = std::mem::take(&mut member.waiting);
        if !waiting.is_empty() {
            let stream = member.stream.try_clone().expect("a descriptor");
            self.write(&stream, &waiting);
        }
    }

    /// One array of messages, framed as this server frames.
    fn write(&self, mut stream: &TcpStream, messages: &[String]) {
        let text = match self.wrong {
            Wrong::Print => printed_otherwise(messages),
            _ => format!("[{}]", messages.join(",")),
        };
        let bytes = text.as_bytes();
        // Who has hung up hears nothing.
        let _ = match self.wrong {
            Wrong::Split => {
                frame(0x81, bytes).chunks(7).try_for_each(|part| stream.write_all(part))
            }
            Wrong::Fragment => {
                let third = bytes.len() / 3;
                let frames = [
                    frame(0x01, &bytes[..third]),
                    // Control frames may stand between.
                    frame(0x89, b"?"),
                    frame(0x00, &bytes[third..third * 2]),
                    frame(0x80, &bytes[third * 2..]),
                ];
                stream.write_all(&frames.concat())
            }
            _ => stream.write_all(&frame(0x81, bytes)),
        };
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
        let member = self.members.remove(&number).expect("it was there");
        self.did.closed += 1;
        let _ = (&member.stream).write_all(&frame(0x88, b"\x0f\xa0enough"));
        let _ = member.stream.shutdown(Shutdown::Both);
    }
}

fn id(number: usize) -> String {
    format!("{number:024x}")
}

/// Spaces everywhere, `m` last, and each velocity with an exponent.
fn printed_otherwise(messages: &[String]) -> String {
    let printed = messages.iter().map(|text| {
        let message: serde_json::Map<String, Value> = serde_json::from_str(text).expect("own JSON");
        let mut parts = Vec::new();
        for (key, value) in message.iter().filter(|(key, _)| *key != "m") {
            let mut value = value.to_string();
            if key == "n" {
                let (start, velocity) = value.split_once("\"v\":").expect("a velocity");
                let (number, end) = velocity.split_once('}').expect("an end");
                let thousandths = number.parse::<f64>().expect("a number") * 1e3;
                value = format!("{start}\"v\" : {thousandths:.4}e-3}}{end}");
                value = value.replace("\"v\" : ", "\"v\":");
            }
            parts.push(format!("\"{key}\" : {value}"));
        }
        parts.push(format!("\"m\" : {}", message["m"]));
        format!("{{ {} }}", parts.join(" , "))
    });
    format!("[ {} ]", printed.collect::<Vec<_>>().join(" , "))
}
