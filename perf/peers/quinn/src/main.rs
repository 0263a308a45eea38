//! A QUIC chat server the way it is usually written with quinn: a task a connection and stream, a broadcast channel a
//! room, and for each member a task that writes the room's messages to a stream of its own.
//!
//! It speaks as much of the QUIC door's protocol as a load generator needs: `Hello`, `Auth` by name, `JoinRoom` by
//! name, `LeaveRoom`, `SendMessage` and `Ping`. Its messages have every key that the protocol asks for. Who joins no
//! room is an echo server's client. It checks and limits nothing, and a receiver that falls behind its room misses
//! messages.

mod frame;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, Incoming, RecvStream, ServerConfig, TransportConfig};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::AbortHandle;

use frame::Frame;

/// Ids are as long as those of a server that draws or derives them, so that messages are as long as its messages.
const FIRST_ID: u64 = 1 << 52;
/// Messages that a room keeps for receivers that are behind.
const ROOM_CAPACITY: usize = 1024;

/// A QUIC chat server on tokio and quinn.
#[derive(Debug, Parser)]
struct Options {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:9800")]
    listen: SocketAddr,
    /// Worker threads of the runtime.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
}

#[derive(Deserialize)]
struct Auth {
    credentials: String,
}

#[derive(Deserialize)]
struct Join {
    name: String,
}

#[derive(Deserialize)]
struct Leave {
    room_id: u64,
}

#[derive(Deserialize)]
struct Send {
    room_id: u64,
    content: String,
    nonce: String,
}

#[derive(Clone, Serialize)]
struct User {
    user_id: u64,
    username: String,
    door: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    message_id: u64,
    room_id: u64,
    sender: &'a User,
    content: &'a str,
    timestamp: u64,
    attachments: [&'a str; 0],
    nonce: &'a str,
    seq: u64,
    kind: &'a str,
    deleted: bool,
    reactions: [&'a str; 0],
    attachment_info: [&'a str; 0],
}

struct Room {
    name: String,
    messages: broadcast::Sender<Bytes>,
    members: Mutex<HashMap<u64, User>>,
    seq: AtomicU64,
}

#[derive(Default)]
struct Server {
    /// By id.
    rooms: Mutex<HashMap<u64, Arc<Room>>>,
    by_name: Mutex<HashMap<String, u64>>,
    last_id: AtomicU64,
}

/// A connection, once it is known whose it is.
struct Session {
    server: Arc<Server>,
    connection: Connection,
    control: UnboundedSender<Bytes>,
    user: User,
    /// By room: the task that writes its messages.
    seats: Mutex<HashMap<u64, AbortHandle>>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(options.threads))
        .enable_all()
        .build()?;
    runtime.block_on(serve(&options))
}

async fn serve(options: &Options) -> Result<()> {
    let endpoint = Endpoint::server(config()?, options.listen)?;
    let server = Arc::new(Server::default());
    while let Some(incoming) = endpoint.accept().await {
        let server = server.clone();
        // How a connection ends is its own affair.
        tokio::spawn(async move { converse(server, incoming).await.ok() });
    }
    Ok(())
}

/// A certificate of its own, and the usual transport settings.
fn config() -> Result<ServerConfig> {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])?
    .with_no_client_auth()
    .with_single_cert(vec![own.cert.der().clone()], key.into())?;
    tls.alpn_protocols = vec![b"garou/1".to_vec(), b"chat".to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(300).try_into()?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// One connection from its handshake to its end.
async fn converse(server: Arc<Server>, incoming: Incoming) -> Result<()> {
    let connection = incoming.await?;
    let (mut send, mut control) = connection.accept_bi().await?;
    let (tell, mut told) = mpsc::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        while let Some(bytes) = told.recv().await {
            if send.write_chunk(bytes).await.is_err() {
                return;
            }
        }
    });
    let mut session: Option<Arc<Session>> = None;
    while let Some(frame) = Frame::read(&mut control).await? {
        match frame.kind {
            frame::HELLO => tell.send(frame::frame(frame::HELLO_ACK, &hello_ack())?)?,
            frame::AUTH if session.is_none() => {
                let username = frame.parse::<Auth>()?.credentials;
                let user_id = server.next_id();
                let ok = json!({"user_id": user_id, "username": username, "rooms": []});
                tell.send(frame::frame(frame::AUTH_OK, &ok)?)?;
                let session = session.insert(Arc::new(Session {
                    server: server.clone(),
                    connection: connection.clone(),
                    control: tell.clone(),
                    user: User { user_id, username, door: "quic" },
                    seats: Mutex::default(),
                }));
                tokio::spawn(accept_streams(session.clone()));
            }
            frame::PING => {
                tell.send(frame::frame(frame::PONG, &frame.parse::<serde_json::Value>()?)?)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn hello_ack() -> serde_json::Value {
    json!({
        "version": 1, "session_id": "peer", "num_shards": 1, "encoding": "json", "server_time": now_ms(),
        "server_epoch": 1, "auth_methods": ["username"], "limits": {},
    })
}

/// Serves every command stream until the connection is over, and then takes the user out of all rooms.
async fn accept_streams(session: Arc<Session>) {
    while let Ok(stream) = session.connection.accept_uni().await {
        let session = session.clone();
        tokio::spawn(async move { session.obey(stream).await.ok() });
    }
    let seats: Vec<u64> = lock(&session.seats).keys().copied().collect();
    for room in seats {
        session.leave(room);
    }
}

impl Session {
    async fn obey(&self, mut stream: RecvStream) -> Result<()> {
        while let Some(frame) = Frame::read(&mut stream).await? {
            match frame.kind {
                frame::SEND_MESSAGE => self.say(&frame.parse()?)?,
                frame::JOIN_ROOM => self.join(frame.parse::<Join>()?.name).await?,
                frame::LEAVE_ROOM => self.leave(frame.parse::<Leave>()?.room_id),
                _ => {}
            }
        }
        Ok(())
    }

    /// Opens a stream for the room, says who is there, and writes its messages from then on.
    async fn join(&self, name: String) -> Result<()> {
        let (room_id, room) = self.server.room(name);
        let mut messages = room.messages.subscribe();
        let members: Vec<User> = {
            let mut members = lock(&room.members);
            members.insert(self.user.user_id, self.user.clone());
            members.values().cloned().collect()
        };
        let ok = json!({"command": frame::JOIN_ROOM, "room_id": room_id});
        self.control.send(frame::frame(frame::COMMAND_OK, &ok)?)?;
        let mut stream = self.connection.open_uni().await?;
        let open = json!({"kind": "shard", "shard_id": 0});
        stream.write_chunk(frame::frame(frame::STREAM_OPEN, &open)?).await?;
        let seq = room.seq.load(Ordering::Relaxed);
        let init = json!({
            "room_id": room_id, "name": room.name, "room_type": "channel", "members": members,
            "recent_messages": [], "seq": seq, "member_count": members.len(), "role": "member",
        });
        stream.write_chunk(frame::frame(frame::ROOM_INIT, &init)?).await?;
        let writer = tokio::spawn(async move {
            loop {
                let bytes = match messages.recv().await {
                    Ok(bytes) => bytes,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                if stream.write_chunk(bytes).await.is_err() {
                    return;
                }
            }
        });
        if let Some(old) = lock(&self.seats).insert(room_id, writer.abort_handle()) {
            old.abort();
        }
        Ok(())
    }

    fn leave(&self, room_id: u64) {
        if let Some(writer) = lock(&self.seats).remove(&room_id) {
            writer.abort();
        }
        if let Some(room) = lock(&self.server.rooms).get(&room_id) {
            lock(&room.members).remove(&self.user.user_id);
        }
    }

    fn say(&self, said: &Send) -> Result<()> {
        let room = lock(&self.server.rooms).get(&said.room_id).cloned().context("no such room")?;
        let message_id = self.server.next_id();
        let message = Message {
            message_id,
            room_id: said.room_id,
            sender: &self.user,
            content: &said.content,
            timestamp: now_ms(),
            attachments: [],
            nonce: &said.nonce,
            seq: room.seq.fetch_add(1, Ordering::Relaxed) + 1,
            kind: "text",
            deleted: false,
            reactions: [],
            attachment_info: [],
        };
        // Nobody listens when everybody has just left.
        room.messages.send(frame::frame(frame::ROOM_MESSAGE, &message)?).ok();
        let ack = json!({
            "nonce": said.nonce, "message_id": message_id, "timestamp": message.timestamp, "room_id": said.room_id,
        });
        Ok(self.control.send(frame::frame(frame::MESSAGE_ACK, &ack)?)?)
    }
}

impl Server {
    /// An id of a user or a message.
    fn next_id(&self) -> u64 {
        FIRST_ID + self.last_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The room of this name, which is there from now on if it was not.
    fn room(&self, name: String) -> (u64, Arc<Room>) {
        let mut by_name = lock(&self.by_name);
        let next = FIRST_ID + by_name.len() as u64;
        let id = *by_name.entry(name.clone()).or_insert(next);
        let mut rooms = lock(&self.rooms);
        let room = rooms.entry(id).or_insert_with(|| {
            let messages = broadcast::Sender::new(ROOM_CAPACITY);
            Arc::new(Room { name, messages, members: Mutex::default(), seq: AtomicU64::new(0) })
        });
        (id, room.clone())
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
