//! A small server of the protocol: enough of it to talk to, and to be as awkward as the page allows.
//!
//! It knows frames as numbers and JSON values, and nothing of the client's library.

mod commands;
mod files;
mod streams;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use streams::Out;
use tokio::sync::mpsc::UnboundedSender;

pub(crate) const LANES: u64 = 8;

/// How the server behaves.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// What comes on lanes comes this much later than what comes on hot streams.
    pub(crate) lane_delay: Duration,
    /// Messages that are accepted, but whose acknowledgement gets lost with the connection.
    pub(crate) lose_acks: u32,
    /// Messages that are refused for their haste.
    pub(crate) refuse_haste: u32,
    /// A server that does not want early data.
    pub(crate) no_early_data: bool,
    /// Bytes that are written on control after the login, whatever they mean.
    pub(crate) noise: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) room_type: String,
    pub(crate) topic: Option<String>,
    pub(crate) seq: u64,
    pub(crate) messages: Vec<Value>,
    /// Users, and their connections that are inside.
    pub(crate) members: BTreeMap<u64, BTreeSet<usize>>,
    /// Those who may enter a room that is no channel.
    pub(crate) allowed: BTreeSet<u64>,
}

pub(crate) struct Conn {
    pub(crate) user_id: u64,
    pub(crate) out: UnboundedSender<Out>,
    pub(crate) datagrams: quinn::Connection,
    /// Joins of each room, from 1.
    pub(crate) memberships: HashMap<u64, u32>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) manner: Manner,
    pub(crate) names: BTreeMap<u64, String>,
    pub(crate) rooms: BTreeMap<u64, Room>,
    pub(crate) conns: BTreeMap<usize, Conn>,
    pub(crate) acks: HashMap<(u64, String), Value>,
    pub(crate) uploads: BTreeMap<u64, files::Upload>,
    /// What came of uploads whose connections were cut, by checksum.
    pub(crate) parts: BTreeMap<String, Vec<u8>>,
    pub(crate) last_id: u64,
    pub(crate) last_conn: usize,
    /// Logins that came before the handshake was complete.
    pub(crate) early_logins: usize,
    /// All frames that came on control and command streams, by type.
    pub(crate) seen: Vec<u8>,
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A number for a name, above those of tokens and configured rooms.
fn hash(name: &str) -> u64 {
    let digest = Sha256::digest(name);
    4096 + (u64::from_be_bytes(digest[..8].try_into().unwrap()) >> 14)
}

impl World {
    pub(crate) fn id(&mut self) -> u64 {
        self.last_id += 1;
        (1 << 44) + self.last_id
    }

    pub(crate) fn user(&self, user_id: u64) -> Value {
        json!({"user_id": user_id, "username": self.names[&user_id], "role": "member", "presence": "online",
            "door": "quic"})
    }

    pub(crate) fn send(&self, conn: usize, out: Out) {
        if let Some(conn) = self.conns.get(&conn) {
            let _ = conn.out.send(out);
        }
    }

    /// Sends a sequenced frame to all connections in a room; fills in the room and the number.
    pub(crate) fn publish(&mut self, room_id: u64, kind: u8, mut payload: Value) -> Value {
        let room = self.rooms.get_mut(&room_id).unwrap();
        room.seq += 1;
        payload["room_id"] = room_id.into();
        payload["seq"] = room.seq.into();
        let conns: Vec<usize> = room.members.values().flatten().copied().collect();
        for conn in conns {
            self.send(conn, Out::Room { room_id, kind, payload: payload.clone() });
        }
        payload
    }

    /// The room of that name, which is made if there is none.
    pub(crate) fn channel(&mut self, name: &str) -> u64 {
        let room_id = if name == "lobby" { 1 } else { hash(name) };
        self.rooms.entry(room_id).or_insert_with(|| Room {
            name: name.into(),
            room_type: "channel".into(),
            ..Room::default()
        });
        room_id
    }

    pub(crate) fn enter(&mut self, conn: usize, room_id: u64) {
        let user_id = self.conns[&conn].user_id;
        let room = self.rooms.get_mut(&room_id).unwrap();
        if room.members.get(&user_id).is_some_and(|conns| conns.contains(&conn)) {
            return;
        }
        if !room.members.contains_key(&user_id) {
            let user = self.user(user_id);
            self.publish(room_id, 0x35, json!({"user": user, "joined_at": now_ms()}));
        }
        let room = self.rooms.get_mut(&room_id).unwrap();
        room.members.entry(user_id).or_default().insert(conn);
        let membership = self.conns.get_mut(&conn).unwrap().memberships.entry(room_id).or_default();
        *membership += 1;
        let (membership, room) = (*membership, &self.rooms[&room_id]);
        let members: Vec<Value> = room.members.keys().map(|user| self.user(*user)).collect();
        let recent = &room.messages[room.messages.len().saturating_sub(50)..];
        let payload = json!({"room_id": room_id, "name": room.name, "room_type": room.room_type,
            "members": members, "recent_messages": recent, "seq": room.seq, "member_count": members.len(),
            "role": "member", "topic": room.topic, "post_role": "member", "max_message_chars": 512,
            "muted_until": null, "chat_enabled": true, "membership": membership});
        self.send(conn, Out::Init { room_id, payload });
    }

    pub(crate) fn leave(&mut self, conn: usize, room_id: u64, reason: &str) {
        let Some(user_id) = self.conns.get(&conn).map(|conn| conn.user_id) else { return };
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let Some(conns) = room.members.get_mut(&user_id) else { return };
        if !conns.remove(&conn) {
            return;
        }
        let last = conns.is_empty();
        if last {
            room.members.remove(&user_id);
        }
        let membership = self.conns[&conn].memberships[&room_id];
        let payload = json!({"room_id": room_id, "reason": reason, "by": null, "until": null,
            "membership": membership});
        self.send(conn, Out::Close { room_id, payload });
        if last {
            self.publish(
                room_id,
                0x36,
                json!({"user_id": user_id, "left_at": now_ms(), "reason": reason}),
            );
        }
    }

    pub(crate) fn gone(&mut self, conn: usize) {
        let rooms: Vec<u64> = self.rooms.keys().copied().collect();
        for room_id in rooms {
            self.leave(conn, room_id, "disconnected");
        }
        self.conns.remove(&conn);
    }
}

/// A running server.
pub(crate) struct Mock {
    pub(crate) address: SocketAddr,
    /// SHA-256 of its certificate, hex.
    pub(crate) fingerprint: String,
    /// Its certificate, PEM.
    pub(crate) pem: String,
    pub(crate) world: Arc<Mutex<World>>,
    endpoint: Endpoint,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Mock {
    pub(crate) fn start(manner: Manner) -> Self {
        let key =
            rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
        let world = World { manner, ..World::default() };
        Self::start_at(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            &key,
            Arc::new(Mutex::new(world)),
        )
    }

    fn start_at(
        address: SocketAddr,
        key: &rcgen::CertifiedKey<rcgen::KeyPair>,
        world: Arc<Mutex<World>>,
    ) -> Self {
        world.lock().unwrap().channel("lobby");
        let certificate: CertificateDer<'static> = key.cert.der().clone();
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private)
            .unwrap();
        tls.alpn_protocols = vec![b"garou/1".to_vec()];
        let early = !world.lock().unwrap().manner.no_early_data;
        tls.max_early_data_size = if early { u32::MAX } else { 0 };
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let mut transport = quinn::TransportConfig::default();
        transport.max_concurrent_bidi_streams(8_u8.into()).max_concurrent_uni_streams(16_u8.into());
        config.transport_config(Arc::new(transport));
        let (tell, told) = std::sync::mpsc::channel();
        let shared = world.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let endpoint = Endpoint::server(config, address).unwrap();
                tell.send(endpoint.clone()).unwrap();
                while let Some(incoming) = endpoint.accept().await {
                    if let Ok(connecting) = incoming.accept() {
                        tokio::spawn(streams::serve(connecting, shared.clone()));
                    }
                }
                endpoint.wait_idle().await;
            });
        });
        let endpoint: Endpoint = told.recv().unwrap();
        let fingerprint =
            Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02x}")).collect();
        let address = endpoint.local_addr().unwrap();
        Self { address, fingerprint, pem: key.cert.pem(), world, endpoint, thread: Some(thread) }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Says goodbye to everybody; they may come back after `retry_after_ms`.
    pub(crate) fn shake_off(&self, retry_after_ms: u32) {
        let world = self.world();
        for conn in world.conns.keys() {
            world.send(*conn, Out::Goodbye { code: 1, reason: "restart", retry_after_ms });
        }
    }

    /// Closes all connections without a word.
    pub(crate) fn cut(&self) {
        for conn in self.world().conns.values() {
            conn.datagrams.close(VarInt::from_u32(0x0D), b"");
        }
    }

    /// Moves a room to streams of its own, or back, on all connections.
    pub(crate) fn heat(&self, room_id: u64, hot: bool) {
        let world = self.world();
        let room = &world.rooms[&room_id];
        let first_seq = room.seq + 1;
        for conn in room.members.values().flatten() {
            let out = if hot {
                Out::Promote { room_id, first_seq }
            } else {
                Out::Demote { room_id, first_seq }
            };
            world.send(*conn, out);
        }
    }

    /// Says something as somebody who has no connection.
    pub(crate) fn say(&self, room_id: u64, content: &str) -> u64 {
        let mut world = self.world();
        world.names.entry(5).or_insert_with(|| "Mock".into());
        let sender = world.user(5);
        commands::say(&mut world, room_id, sender, content, &json!({}))["message_id"]
            .as_u64()
            .unwrap()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(1), b"");
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.expect("the mock server has not failed");
        }
    }
}

/// A folder that is gone with this value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static LAST: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tutti-chat-test-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
