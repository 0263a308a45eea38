//! The server's side of one connection: its streams.

use super::{LANES, World, commands, files};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// What a connection is told.
pub(crate) enum Out {
    Control { kind: u8, payload: Value },
    Room { room_id: u64, kind: u8, payload: Value },
    Init { room_id: u64, payload: Value },
    Close { room_id: u64, payload: Value },
    Promote { room_id: u64, first_seq: u64 },
    Demote { room_id: u64, first_seq: u64 },
    Goodbye { code: u32, reason: &'static str, retry_after_ms: u32 },
    Raw(Vec<u8>),
}

pub(crate) fn frame(kind: u8, payload: &Value) -> Vec<u8> {
    let json = payload.to_string();
    let mut frame = vec![kind];
    frame.extend((json.len() as u32).to_be_bytes());
    frame.extend(json.as_bytes());
    frame
}

/// One frame of a stream: type and payload.
pub(crate) async fn next(stream: &mut RecvStream) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes(header[1..].try_into().unwrap()) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((header[0], payload))
}

pub(crate) fn json_of(payload: &[u8]) -> Value {
    if payload.is_empty() { json!({}) } else { serde_json::from_slice(payload).unwrap() }
}

/// Writes to one stream, later by `delay`; an empty piece ends it.
fn writer(mut stream: SendStream, delay: Duration) -> UnboundedSender<Vec<u8>> {
    let (tell, mut told) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(piece) = told.recv().await {
            tokio::time::sleep(delay).await;
            if piece.is_empty() {
                let _ = stream.finish();
                let _ = stream.stopped().await;
                return;
            }
            if stream.write_all(&piece).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    tell
}

pub(super) async fn serve(connecting: quinn::Connecting, world: Arc<Mutex<World>>) {
    let (connection, complete) =
        connecting.into_0rtt().unwrap_or_else(|_| unreachable!("a server may"));
    let is_complete = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = is_complete.clone();
    let waited = tokio::spawn(async move {
        complete.await;
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    let Ok((mut control, mut recv)) = connection.accept_bi().await else { return };
    let Some((0x00, hello)) = next(&mut recv).await else { return };
    let early = !is_complete.load(std::sync::atomic::Ordering::SeqCst);
    let hello = json_of(&hello);
    assert_eq!(hello["version"], 1);
    assert!(hello["encodings"].is_null() || hello["encodings"] == json!(["json"]));
    let ack = json!({"version": 1, "session_id": "00000000-0000-4000-8000-000000000000", "num_shards": LANES,
        "encoding": "json", "server_time": super::now_ms(), "server_epoch": 1, "auth_methods": ["username"],
        "limits": {"message_chars": 512, "upload_bytes": 1 << 20, "upload_chunk": 1 << 18, "rooms": 64,
            "ping_interval_ms": 25000, "idle_timeout_ms": 300_000, "messages_per_s": 5, "datagrams": true}});
    if control.write_all(&frame(0x01, &ack)).await.is_err() {
        return;
    }
    let Some((0x02, auth)) = next(&mut recv).await else { return };
    let auth = json_of(&auth);
    let name = auth["credentials"].as_str().unwrap().to_owned();
    let user_id = (1 << 52) + super::hash(&name) % (1 << 40);
    let taken = world.lock().unwrap().conns.values().any(|conn| conn.user_id == user_id);
    if auth["method"] != "username" || name == "nobody" || (taken && !name.starts_with("twin")) {
        let code = if taken { 1012 } else { 1003 };
        let failed = json!({"code": code, "message": format!("not {name}")});
        let _ = control.write_all(&frame(0x04, &failed)).await;
        connection.closed().await;
        return;
    }
    let ok = json!({"user_id": user_id, "username": name, "rooms": [1], "expires_at": null});
    let _ = control.write_all(&frame(0x03, &ok)).await;
    // Everything that others can see waits for the handshake.
    let _ = waited.await;
    let (delay, noise) = {
        let world = world.lock().unwrap();
        (world.manner.lane_delay, world.manner.noise.clone())
    };
    let (mut lanes, mut assigned) = (Vec::new(), Vec::new());
    for lane in 0..LANES {
        let Ok(mut stream) = connection.open_uni().await else { return };
        let open = json!({"kind": "shard", "shard_id": lane, "room_id": null, "first_seq": null});
        let _ = stream.write_all(&frame(0x53, &open)).await;
        assigned.push(json!({"shard_id": lane, "room_ids": [], "stream_id": u64::from(VarInt::from(stream.id()))}));
        lanes.push(writer(stream, delay));
    }
    let (tell, told) = mpsc::unbounded_channel();
    let control = writer(control, Duration::ZERO);
    let _ = control.send(frame(0x50, &json!({"shard_streams": assigned})));
    let conn = {
        let mut world = world.lock().unwrap();
        world.early_logins += usize::from(early);
        world.last_conn += 1;
        let conn = world.last_conn;
        world.names.insert(user_id, name);
        let state = super::Conn {
            user_id,
            out: tell.clone(),
            datagrams: connection.clone(),
            memberships: HashMap::new(),
        };
        world.conns.insert(conn, state);
        world.enter(conn, 1);
        conn
    };
    if !noise.is_empty() {
        let _ = tell.send(Out::Raw(noise));
    }
    let outgoing = tokio::spawn(write(connection.clone(), control, lanes, told));
    tokio::spawn(commands::control(recv, conn, world.clone()));
    tokio::spawn(accept(connection.clone(), conn, world.clone()));
    tokio::spawn(files::accept_downloads(connection.clone(), conn, world.clone()));
    tokio::spawn(commands::datagrams(connection.clone(), conn, world.clone()));
    connection.closed().await;
    outgoing.abort();
    world.lock().unwrap().gone(conn);
}

async fn accept(connection: Connection, conn: usize, world: Arc<Mutex<World>>) {
    while let Ok(mut stream) = connection.accept_uni().await {
        let world = world.clone();
        let connection = connection.clone();
        tokio::spawn(async move {
            let Some(first) = next(&mut stream).await else { return };
            match first.0 {
                0x10..=0x2F => commands::chat(stream, first, conn, connection, world).await,
                0x60..=0x6F => commands::receipts(stream, first, conn, world).await,
                0x70 => files::take(stream, first.1, conn, world).await,
                other => panic!("a stream begins with {other:#04x}"),
            }
        });
    }
}

/// Puts each room's frames on its lane or its hot stream.
async fn write(
    connection: Connection,
    control: UnboundedSender<Vec<u8>>,
    lanes: Vec<UnboundedSender<Vec<u8>>>,
    mut told: UnboundedReceiver<Out>,
) {
    let mut hot: HashMap<u64, (UnboundedSender<Vec<u8>>, u64)> = HashMap::new();
    while let Some(out) = told.recv().await {
        let lane = |room_id: u64| &lanes[(room_id % LANES) as usize];
        let _ = match out {
            Out::Control { kind, payload } => control.send(frame(kind, &payload)),
            Out::Raw(bytes) => control.send(bytes),
            Out::Room { room_id, kind, payload } => {
                let stream = hot.get(&room_id).map_or_else(|| lane(room_id), |(stream, _)| stream);
                stream.send(frame(kind, &payload))
            }
            Out::Init { room_id, payload } => lane(room_id).send(frame(0x37, &payload)),
            Out::Close { room_id, payload } => match hot.remove(&room_id) {
                Some((stream, _)) => {
                    let _ = stream.send(frame(0x38, &payload));
                    stream.send(Vec::new())
                }
                None => lane(room_id).send(frame(0x38, &payload)),
            },
            Out::Promote { room_id, first_seq } => {
                let Ok(mut stream) = connection.open_uni().await else { return };
                let open = json!({"kind": "hot", "shard_id": null, "room_id": room_id, "first_seq": first_seq});
                let _ = stream.write_all(&frame(0x53, &open)).await;
                let id = u64::from(VarInt::from(stream.id()));
                hot.insert(room_id, (writer(stream, Duration::ZERO), id));
                let promoted = json!({"room_id": room_id, "from_shard": room_id % LANES, "stream_id": id,
                    "first_seq": first_seq});
                control.send(frame(0x51, &promoted))
            }
            Out::Demote { room_id, first_seq } => {
                let Some((stream, id)) = hot.remove(&room_id) else { continue };
                let _ = stream.send(Vec::new());
                let demoted = json!({"room_id": room_id, "to_shard": room_id % LANES, "stream_id": id,
                    "first_seq": first_seq});
                control.send(frame(0x52, &demoted))
            }
            Out::Goodbye { code, reason, retry_after_ms } => {
                let goodbye =
                    json!({"reason": reason, "code": code, "retry_after_ms": retry_after_ms});
                let _ = control.send(frame(0x08, &goodbye));
                let connection = connection.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    connection.close(VarInt::from_u32(code), b"");
                });
                Ok(())
            }
        };
    }
}
