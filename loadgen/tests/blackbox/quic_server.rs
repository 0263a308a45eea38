//! A server of the QUIC door that does one thing wrong, and counts how often it did.
//!
//! quinn carries it; what it says, and to whom, is decided under one lock as in the other servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, ServerConfig};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::server::Did;

/// What goes wrong. Numbers say how often: one delivery of a message in so many.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wrong {
    Nothing,
    Lose(u64),
    Repeat(u64),
    /// Delivers it behind the next one of the same sender.
    Reorder(u64),
    /// Writes every frame in pieces of seven bytes.
    Split,
    /// Answers `Auth` with this.
    RefuseAuth(&'static str),
    /// Answers `JoinRoom` with an error that says this.
    RefuseJoin(&'static str),
    /// Says goodbye with this reason to everybody, after so many messages.
    Goodbye(u64, &'static str),
    /// Announces a frame of this length.
    Announce(u32),
    /// Does not answer `Hello`.
    Mute,
    /// Pings everybody at each message, and counts the pongs in `closed`.
    Ping,
}

struct Member {
    name: String,
    room: u64,
    lane: UnboundedSender<Vec<u8>>,
    control: UnboundedSender<Vec<u8>>,
    /// By sender: a message that goes behind the next one.
    held: BTreeMap<usize, Vec<u8>>,
}

struct World {
    wrong: Wrong,
    did: Did,
    members: BTreeMap<usize, Member>,
    rooms: BTreeMap<String, u64>,
    next: usize,
}

pub(crate) struct QuicServer {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    /// Ends all of its tasks when it is dropped.
    _runtime: Runtime,
}

impl QuicServer {
    pub(crate) fn start(wrong: Wrong) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (did, members, rooms) = (Did::default(), BTreeMap::new(), BTreeMap::new());
        let world = Arc::new(Mutex::new(World { wrong, did, members, rooms, next: 0 }));
        let endpoint = {
            let _inside = runtime.enter();
            Endpoint::server(config(), "127.0.0.1:0".parse().expect("an address")).expect("bound")
        };
        let address = endpoint.local_addr().expect("bound");
        let all = world.clone();
        runtime.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(serve(all.clone(), incoming));
            }
        });
        Self { address, world, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("quic://{}", self.address)
    }

    pub(crate) fn did(&self) -> Did {
        lock(&self.world).did
    }
}

fn config() -> ServerConfig {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .expect("a certificate of its own");
    tls.alpn_protocols = vec![b"garou/1".to_vec()];
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).expect("TLS for QUIC")))
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn frame(kind: u8, payload: &Value) -> Vec<u8> {
    let text = payload.to_string();
    let mut out = vec![kind];
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out
}

async fn read_frame(stream: &mut RecvStream) -> Option<(u8, Value)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.ok()?;
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    assert!(len < 1 << 16, "longer than anything that a load generator says");
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[0], serde_json::from_slice(&payload).expect("JSON")))
}

async fn write_all(mut to: SendStream, mut from: UnboundedReceiver<Vec<u8>>, size: usize) {
    while let Some(bytes) = from.recv().await {
        for part in bytes.chunks(size) {
            if to.write_all(part).await.is_err() {
                return;
            }
            // Pieces shall not be put together again.
            if size < bytes.len() {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// One connection from its handshake to its end.
async fn serve(world: Arc<Mutex<World>>, incoming: Incoming) -> Option<()> {
    let connection = incoming.await.ok()?;
    let wrong = lock(&world).wrong.clone();
    let size = if wrong == Wrong::Split { 7 } else { usize::MAX };
    let (send, mut control) = connection.accept_bi().await.ok()?;
    let (tell, told) = unbounded_channel();
    tokio::spawn(write_all(send, told, size));
    let (0x00, _) = read_frame(&mut control).await? else { panic!("no Hello") };
    if wrong == Wrong::Mute {
        connection.closed().await;
        return None;
    }
    tell.send(frame(0x01, &json!({"version": 1, "num_shards": 1}))).ok()?;
    let (0x02, auth) = read_frame(&mut control).await? else { panic!("no Auth") };
    if let Wrong::RefuseAuth(text) = wrong {
        tell.send(frame(0x04, &json!({"code": 1003, "message": text}))).ok()?;
        connection.closed().await;
        return None;
    }
    if let Wrong::Announce(len) = wrong {
        tell.send([&[0x30][..], &len.to_be_bytes()].concat()).ok()?;
    }
    let name = auth["credentials"].as_str().expect("a name").to_owned();
    tell.send(frame(0x03, &json!({"user_id": 1, "username": name, "rooms": []}))).ok()?;
    let (lane, written) = unbounded_channel();
    let stream = connection.open_uni().await.ok()?;
    tokio::spawn(write_all(stream, written, size));
    let own =
        lock(&world).admit(Member { name, room: 0, lane, control: tell, held: BTreeMap::new() });
    let all = world.clone();
    tokio::spawn(async move {
        while let Some((kind, _)) = read_frame(&mut control).await {
            assert_eq!(kind, 0x06, "a pong");
            lock(&all).did.closed += 1;
        }
    });
    obey(&world, own, &connection).await;
    lock(&world).members.remove(&own);
    None
}

async fn obey(world: &Mutex<World>, own: usize, connection: &Connection) -> Option<()> {
    loop {
        let mut commands = connection.accept_uni().await.ok()?;
        while let Some((kind, payload)) = read_frame(&mut commands).await {
            let mut world = lock(world);
            match kind {
                0x10 => world.say(own, &payload),
                0x15 => world.join(own, payload["name"].as_str().expect("a name")),
                0x16 => world.members.get_mut(&own).expect("a member").room = 0,
                _ => panic!("a frame {kind:#x}"),
            }
        }
    }
}

impl World {
    fn admit(&mut self, member: Member) -> usize {
        self.next += 1;
        self.members.insert(self.next, member);
        self.next
    }

    fn join(&mut self, own: usize, name: &str) {
        let next = 4096 + self.rooms.len() as u64;
        let room = *self.rooms.entry(name.to_owned()).or_insert(next);
        let member = self.members.get_mut(&own).expect("a member");
        if let Wrong::RefuseJoin(text) = self.wrong {
            let _ = member.control.send(frame(0xff, &json!({"code": 1008, "message": text})));
            return;
        }
        member.room = room;
        let said = json!({"room_id": room, "name": name, "content": "~0.0.1.1~", "username": "x"});
        let init = json!({"room_id": room, "name": name, "recent_messages": [said]});
        let _ = member.lane.send(frame(0x37, &init));
    }

    fn say(&mut self, own: usize, payload: &Value) {
        self.did.notes += 1;
        let sender = &self.members[&own];
        let (name, room) = (sender.name.clone(), sender.room);
        assert_eq!(payload["room_id"], room, "it is where it says it is");
        if let Wrong::Goodbye(after, reason) = self.wrong
            && self.did.notes == after
        {
            for member in self.members.values() {
                let _ = member.control.send(frame(0x08, &json!({"reason": reason})));
            }
        }
        if self.wrong == Wrong::Ping {
            for member in self.members.values() {
                let _ = member.control.send(frame(0x05, &json!({"timestamp": 1})));
            }
        }
        let message = frame(
            0x30,
            &json!({
                "message_id": self.did.notes, "room_id": room, "content": payload["content"],
                "sender": {"user_id": 1, "username": name}, "nonce": payload["nonce"],
            }),
        );
        for member in self.members.values_mut().filter(|member| member.room == room) {
            self.did.due += 1;
            let turn = |every: u64| self.did.due.is_multiple_of(every);
            let send = |bytes: &[u8]| drop(member.lane.send(bytes.to_vec()));
            if let Some(held) = member.held.remove(&own) {
                send(&message);
                send(&held);
                self.did.lost -= 1;
                self.did.reordered += 1;
                continue;
            }
            match self.wrong {
                Wrong::Lose(every) if turn(every) => self.did.lost += 1,
                Wrong::Repeat(every) if turn(every) => {
                    self.did.repeated += 1;
                    send(&message);
                    send(&message);
                }
                Wrong::Reorder(every) if turn(every) => {
                    // Lost until the next one comes, if one does.
                    self.did.lost += 1;
                    member.held.insert(own, message.clone());
                }
                _ => send(&message),
            }
        }
    }
}
