//! A client of the Multiplayer Piano protocol: messages out, expectations in.
//!
//! Whatever arrives lands in one ordered inbox, element by element. An expectation takes the first element that
//! fits and leaves the rest; [`Client::barrier`] waits for the answer to a `t`, which travels behind everything
//! that the server had for this connection before, so "gets nothing" needs no sleeping where one shard has
//! handled both.

use crate::ws::{Event, WebSocket};
use crate::{QUIET, WITHIN};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One thing in the inbox.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// An element of a JSON text frame.
    Json(Value),
    /// A binary frame.
    Binary(Vec<u8>),
}

impl Item {
    /// The element, if it is one whose `m` is `kind`.
    pub fn json(&self, kind: &str) -> Option<&Value> {
        match self {
            Self::Json(value) if value["m"] == kind => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(value) => {
                let text = value.to_string();
                match text.char_indices().nth(400) {
                    Some((at, _)) => write!(f, "{}...", &text[..at]),
                    None => f.write_str(&text),
                }
            }
            Self::Binary(bytes) => write!(f, "binary {bytes:02x?}"),
        }
    }
}

/// How a connection ended, as the client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A close frame with this code, or with none.
    Close(Option<u16>),
    /// No close frame.
    Cut,
}

/// The three messages that answer a `ch`.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The whole `ch` message.
    pub ch: Value,
    /// The whole `c` message.
    pub c: Value,
    /// The whole `nq` message.
    pub nq: Value,
}

impl Joined {
    /// The channel's name.
    pub fn room(&self) -> &str {
        self.ch["ch"]["_id"].as_str().unwrap_or_default()
    }

    /// The channel's settings.
    pub fn settings(&self) -> &Value {
        &self.ch["ch"]["settings"]
    }

    /// The channel's crown, or null.
    pub fn crown(&self) -> &Value {
        &self.ch["ch"]["crown"]
    }
}

/// Whole milliseconds since 1970 by this machine's clock. Whole, because decimal fractions of such large
/// numbers need not come back from JSON to the last bit.
pub fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as f64
}

/// A connection that speaks the protocol.
#[derive(Debug)]
pub struct Client {
    ws: WebSocket,
    inbox: VecDeque<Item>,
    ended: Option<Ended>,
    id: String,
    hello: Value,
    quick: bool,
}

impl Client {
    /// Takes an upgraded connection and reads the `b` that has to come first.
    ///
    /// # Panics
    /// When anything else comes first.
    #[track_caller]
    pub fn new(ws: WebSocket) -> Self {
        let mut client = Self {
            ws,
            inbox: VecDeque::new(),
            ended: None,
            id: String::new(),
            hello: Value::Null,
            quick: false,
        };
        let first = client.read();
        assert!(first.json("b").is_some_and(|b| b["code"].is_string()), "first came {first}");
        client
    }

    /// The user id that the last `hi` gave.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The last `hi` message.
    pub fn hello(&self) -> &Value {
        &self.hello
    }

    /// The connection below, for raw frames. Reading from it bypasses the inbox.
    pub fn ws(&mut self) -> &mut WebSocket {
        &mut self.ws
    }

    /// From now on barriers are binary, so that the server goes on treating this connection as a quick one.
    pub fn speak_quick(&mut self) {
        self.quick = true;
    }

    /// The opposite of [`Client::speak_quick`].
    pub fn speak_text(&mut self) {
        self.quick = false;
    }

    /// Sends an object as an array of one, or an array as it is.
    #[track_caller]
    pub fn send(&mut self, message: Value) {
        let text = if message.is_array() { message.to_string() } else { format!("[{message}]") };
        self.send_text(&text);
    }

    /// Sends a text frame as it is.
    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        if let Err(e) = self.ws.send_text(text) {
            panic!("cannot send {text:.200}: {e}; {}", self.account());
        }
    }

    /// Sends a text frame and says whether the socket took it.
    pub fn try_send(&mut self, text: &str) -> bool {
        self.ws.send_text(text).is_ok()
    }

    /// Sends a binary frame.
    #[track_caller]
    pub fn send_binary(&mut self, bytes: &[u8]) {
        if let Err(e) = self.ws.send_binary(bytes) {
            panic!("cannot send {bytes:02x?}: {e}; {}", self.account());
        }
    }

    /// Moves what arrives before `deadline` into the inbox, until something has; `false` when nothing did.
    #[track_caller]
    pub fn pump(&mut self, deadline: Instant) -> bool {
        let before = self.inbox.len();
        while self.ended.is_none() && self.inbox.len() == before {
            match self.ws.read(deadline) {
                None => return false,
                Some(Event::Text(text)) => match serde_json::from_str(&text) {
                    Ok(Value::Array(elements)) => {
                        for element in elements {
                            assert!(element["m"].is_string(), "an element without `m` in {text}");
                            self.inbox.push_back(Item::Json(element));
                        }
                    }
                    _ => panic!("a text frame that is not a JSON array: {text}"),
                },
                Some(Event::Binary(bytes)) => self.inbox.push_back(Item::Binary(bytes)),
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                Some(Event::Close(code, _)) => self.ended = Some(Ended::Close(code)),
                Some(Event::End) => self.ended = Some(Ended::Cut),
            }
        }
        self.inbox.len() > before
    }

    /// Takes the next thing of any kind.
    ///
    /// # Panics
    /// When nothing comes within [`WITHIN`].
    #[track_caller]
    pub fn read(&mut self) -> Item {
        if self.inbox.is_empty() && !self.pump(Instant::now() + WITHIN) {
            panic!("nothing came within {WITHIN:?}; {}", self.account());
        }
        self.inbox.pop_front().expect("just filled")
    }

    /// Takes the first item for which `fits` yields something.
    ///
    /// # Panics
    /// When none comes within [`WITHIN`]; `what` says what was waited for.
    #[track_caller]
    pub fn take<T>(&mut self, what: &str, fits: impl Fn(&Item) -> Option<T>) -> T {
        let deadline = Instant::now() + WITHIN;
        let mut seen = 0;
        loop {
            for i in seen..self.inbox.len() {
                if let Some(found) = fits(&self.inbox[i]) {
                    self.inbox.remove(i);
                    return found;
                }
            }
            seen = self.inbox.len();
            if !self.pump(deadline) {
                panic!("no {what} within {WITHIN:?}; {}", self.account());
            }
        }
    }

    /// Takes the first element whose `m` is `kind`.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> Value {
        self.take(&format!("`{kind}`"), |item| item.json(kind).cloned())
    }

    /// Takes the first element whose `m` is `kind` and for which `fits` holds.
    #[track_caller]
    pub fn expect_where(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.take(&format!("fitting `{kind}`"), |item| {
            item.json(kind).filter(|value| fits(value)).cloned()
        })
    }

    /// Takes the first binary frame that starts with `opcode`.
    #[track_caller]
    pub fn expect_binary(&mut self, opcode: u8) -> Vec<u8> {
        self.take(&format!("binary {opcode:02x}"), |item| match item {
            Item::Binary(bytes) if bytes.first() == Some(&opcode) => Some(bytes.clone()),
            _ => None,
        })
    }

    /// Sends a `t` and reads up to its answer. Everything that the server had for this connection when it
    /// handled the `t` is in the inbox afterwards.
    ///
    /// # Panics
    /// When the answer does not come within [`WITHIN`].
    #[track_caller]
    pub fn barrier(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1_000_000_001);
        let e = NEXT.fetch_add(1, Ordering::Relaxed);
        if self.quick {
            let echo = (e as f64).to_be_bytes();
            let mut frame = vec![5, 0, 0, 8];
            frame.extend_from_slice(&echo);
            self.send_binary(&frame);
            self.take("answer to a binary `t`", |item| match item {
                Item::Binary(bytes) if bytes.first() == Some(&5) && bytes.ends_with(&echo) => {
                    Some(())
                }
                _ => None,
            });
        } else {
            self.send(json!({"m": "t", "e": e}));
            self.take("answer to `t`", |item| {
                item.json("t").filter(|t| t["e"].as_f64() == Some(e as f64)).map(|_| ())
            });
        }
    }

    /// Puts something back to the front of the inbox.
    pub fn put_back(&mut self, item: Item) {
        self.inbox.push_front(item);
    }

    /// Empties the inbox and returns what was in it.
    pub fn drain(&mut self) -> Vec<Item> {
        self.inbox.drain(..).collect()
    }

    /// Empties the inbox and returns its elements whose `m` is `kind`.
    pub fn drain_kind(&mut self, kind: &str) -> Vec<Value> {
        self.drain().iter().filter_map(|item| item.json(kind).cloned()).collect()
    }

    /// Passes a barrier and forgets everything that came before.
    #[track_caller]
    pub fn clear(&mut self) {
        self.barrier();
        self.inbox.clear();
    }

    /// Passes a barrier and expects an empty inbox: nothing came since it was emptied last.
    #[track_caller]
    pub fn nothing(&mut self) {
        self.barrier();
        assert!(self.inbox.is_empty(), "expected nothing; {}", self.account());
    }

    /// Passes a barrier and expects that the inbox holds no element of this kind.
    #[track_caller]
    pub fn no(&mut self, kind: &str) {
        self.barrier();
        self.lacks(kind);
    }

    /// Expects that the inbox holds no element of this kind now.
    #[track_caller]
    pub fn lacks(&self, kind: &str) {
        let found = self.inbox.iter().any(|item| item.json(kind).is_some());
        assert!(!found, "expected no `{kind}`; {}", self.account());
    }

    /// Watches for [`QUIET`] and expects that nothing comes and the connection stays open.
    #[track_caller]
    pub fn quiet(&mut self) {
        self.quiet_for(QUIET);
    }

    /// Watches for this long and expects that nothing comes and the connection stays open.
    #[track_caller]
    pub fn quiet_for(&mut self, time: Duration) {
        self.watch(time);
        assert!(self.inbox.is_empty(), "expected nothing; {}", self.account());
        assert_eq!(self.ended, None, "expected an open connection");
    }

    /// Reads into the inbox for this long.
    #[track_caller]
    pub fn watch(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while self.pump(deadline) {}
    }

    /// Reads until the connection ends and says how.
    ///
    /// # Panics
    /// When it is still open after [`WITHIN`].
    #[track_caller]
    pub fn ended(&mut self) -> Ended {
        self.ended_within(WITHIN)
    }

    /// Like [`Client::ended`], with another deadline.
    #[track_caller]
    pub fn ended_within(&mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        while self.ended.is_none() {
            if !self.pump(deadline) && self.ended.is_none() {
                panic!("still open after {within:?}; {}", self.account());
            }
        }
        self.ended.expect("just seen")
    }

    /// Expects that the server closes with this code.
    #[track_caller]
    pub fn closed_with(&mut self, code: u16) {
        assert_eq!(self.ended(), Ended::Close(Some(code)));
    }

    /// Whether the end of the connection was already seen.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Says `hi` and takes `hi` and `nq`; returns the `hi`.
    #[track_caller]
    pub fn hi(&mut self) -> Value {
        self.hi_with(json!({"m": "hi"}))
    }

    /// Says this `hi` and takes `hi` and `nq`; returns the `hi`.
    #[track_caller]
    pub fn hi_with(&mut self, message: Value) -> Value {
        self.send(message);
        self.hello = self.expect("hi");
        self.expect("nq");
        self.hello["u"]["_id"].as_str().expect("a user id").clone_into(&mut self.id);
        self.hello.clone()
    }

    /// Joins a room, expects to land there, and forgets whatever else came.
    #[track_caller]
    pub fn join(&mut self, room: &str) -> Joined {
        let joined = self.enter(json!({"m": "ch", "_id": room}));
        assert_eq!(joined.room(), room);
        self.inbox.clear();
        joined
    }

    /// Sends this `ch` and takes its three answers.
    #[track_caller]
    pub fn enter(&mut self, message: Value) -> Joined {
        self.send(message);
        self.joined()
    }

    /// Takes `ch`, `c`, `nq`, which have to follow each other.
    #[track_caller]
    pub fn joined(&mut self) -> Joined {
        let ch = self.expect("ch");
        assert!(
            ch["ch"]["settings"].is_object() && ch["ppl"].is_array() && ch["p"].is_string(),
            "{ch}"
        );
        let c = self.expect("c");
        let nq = self.expect("nq");
        Joined { ch, c, nq }
    }

    /// Sends a chat line.
    #[track_caller]
    pub fn say(&mut self, text: &str) {
        self.send(json!({"m": "a", "message": text}));
    }

    /// Plays notes at the time `t`.
    #[track_caller]
    pub fn play(&mut self, t: f64, notes: Value) {
        self.send(json!({"m": "n", "t": t, "n": notes}));
    }

    /// Ends the connection without a close frame.
    pub fn hang_up(self) {
        self.ws.hang_up();
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.ws.reset();
    }

    /// What is in the inbox and whether the connection ended, for messages of failed expectations.
    pub fn account(&self) -> String {
        let mut text = format!("inbox of {} ({} items", self.id, self.inbox.len());
        if let Some(ended) = self.ended {
            text.push_str(&format!(", {ended:?}"));
        }
        text.push(')');
        for item in self.inbox.iter().take(40) {
            text.push_str(&format!("\n  {item}"));
        }
        text
    }
}

/// Passes a barrier on the first connection, then on all others, and empties their inboxes: what the first had
/// sent is handled, and its effects in the same room have reached everybody.
#[track_caller]
pub fn clear_all(clients: &mut [&mut Client]) {
    for client in clients.iter_mut() {
        client.barrier();
    }
    for client in clients {
        client.clear();
    }
}

/// The participant with this id in a `ch` message.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn person<'a>(ch: &'a Value, id: &str) -> &'a Value {
    let found = ch["ppl"].as_array().and_then(|ppl| ppl.iter().find(|p| p["id"] == id));
    found.unwrap_or_else(|| panic!("no {id} in {ch}"))
}

/// Expects a participant object with every field that it must have.
#[track_caller]
pub fn whole_person(p: &Value) {
    for field in ["id", "_id", "name", "color"] {
        assert!(p[field].is_string(), "`{field}` in {p}");
    }
    for field in ["x", "y"] {
        assert!(p[field].is_number() || p[field].is_string(), "`{field}` in {p}");
    }
}

/// A coordinate, which may be a number or a numeric string.
#[track_caller]
pub fn coordinate(value: &Value) -> f64 {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number.unwrap_or_else(|| panic!("{value} is no coordinate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::Dial;
    use std::net::{SocketAddr, TcpListener};
    use tungstenite::Message;

    /// A server that knows `hi`, `ch`, `t` and `bye`, and answers everything else with a copy.
    fn stub() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let addr = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accept");
            let mut peer = tungstenite::accept(stream).expect("handshake");
            peer.send(Message::text(r#"[{"m":"b","code":""}]"#)).expect("send");
            while let Ok(message) = peer.read() {
                let reply = match message {
                    Message::Text(text) => {
                        let heard: Value = serde_json::from_str(text.as_str()).expect("json");
                        match heard[0]["m"].as_str() {
                            Some("hi") => json!([
                                {"m": "hi", "t": 1, "u": {"_id": "abc"}}, {"m": "nq", "max": 1}
                            ]),
                            Some("ch") => json!([
                                {"m": "ch", "p": "abc", "ppl": [], "ch": {"_id": heard[0]["_id"], "settings": {}}},
                                {"m": "c", "c": []}, {"m": "nq"}
                            ]),
                            Some("t") => json!([{"m": "t", "t": 2, "e": heard[0]["e"]}]),
                            Some("bye") => {
                                let _ = peer.close(None);
                                continue;
                            }
                            _ => heard,
                        }
                        .to_string()
                        .into()
                    }
                    Message::Binary(bytes) => {
                        Message::binary([&bytes[..4], &[0; 8], &bytes[4..]].concat())
                    }
                    _ => continue,
                };
                peer.send(reply).expect("send");
            }
        });
        addr
    }

    #[test]
    fn expectations_take_what_fits_and_leave_the_rest() {
        let ws = WebSocket::connect(stub(), &Dial::default()).expect("upgrade");
        let mut client = Client::new(ws);
        client.hi();
        assert_eq!(client.id(), "abc");
        assert_eq!(client.join("Room").room(), "Room");
        client.send(json!([{"m": "x", "v": 1}, {"m": "y"}, {"m": "x", "v": 2}]));
        assert_eq!(client.expect_where("x", |x| x["v"] == 2)["v"], 2);
        client.barrier();
        assert_eq!(client.drain_kind("x"), [json!({"m": "x", "v": 1})]);
        client.nothing();
        client.speak_quick();
        client.nothing();
        client.speak_text();
        client.quiet_for(Duration::from_millis(30));
        client.send(json!({"m": "bye"}));
        assert_eq!(client.ended(), Ended::Close(None));
    }

    #[test]
    #[should_panic(expected = "expected nothing")]
    fn a_barrier_notices_what_should_not_be_there() {
        let mut client =
            Client::new(WebSocket::connect(stub(), &Dial::default()).expect("upgrade"));
        client.send(json!({"m": "x"}));
        client.nothing();
    }
}
