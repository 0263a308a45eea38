//! Uploads and downloads, in memory.

use super::World;
use super::streams::{Out, frame, json_of, next};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};

pub(crate) struct Upload {
    room_id: u64,
    start: Value,
    pub(crate) bytes: Vec<u8>,
}

impl Upload {
    pub(super) fn info(&self, id: u64) -> Value {
        json!({"upload_id": id, "filename": self.start["filename"], "mime_type": self.start["mime_type"],
            "size": self.bytes.len(), "checksum": self.start["checksum"], "url": format!("garou:u/{id}")})
    }
}

pub(super) async fn take(
    mut stream: RecvStream,
    start: Vec<u8>,
    conn: usize,
    world: Arc<Mutex<World>>,
) {
    let start = json_of(&start);
    let tell =
        |kind: u8, payload: Value| world.lock().unwrap().send(conn, Out::Control { kind, payload });
    let fault = |message: &str| {
        tell(
            0xFF,
            json!({"code": 1009, "message": message, "command": 0x70, "nonce": start["nonce"]}),
        );
    };
    if start["filename"] == "refused.txt" {
        fault("not that file");
        let _ = stream.stop(VarInt::from_u32(0x12));
        return;
    }
    let id = world.lock().unwrap().id();
    let ack = |received: usize, url: Value| {
        tell(
            0x74,
            json!({"upload_id": id, "bytes_received": received, "url": url, "nonce": start["nonce"]}),
        );
    };
    let checksum = start["checksum"].as_str().unwrap().to_owned();
    let part = world.lock().unwrap().parts.remove(&checksum);
    let is_cut = start["filename"] == "cut.bin" && part.is_none();
    let mut bytes = part.unwrap_or_default();
    ack(bytes.len(), Value::Null);
    while let Some((kind, payload)) = next(&mut stream).await {
        match kind {
            0x71 => {
                let meta = usize::from(u16::from_be_bytes([payload[0], payload[1]]));
                let (meta, data) = payload[2..].split_at(meta);
                let meta = json_of(meta);
                assert_eq!(meta["offset"], bytes.len());
                assert_eq!(meta["size"], data.len());
                bytes.extend(data);
                if start["filename"] == "stopped.bin" && bytes.len() >= 128 * 1024 {
                    tell(0x73, json!({"upload_id": id, "reason": "the disk is full"}));
                    let _ = stream.stop(VarInt::from_u32(0x10));
                    return;
                }
                if is_cut && bytes.len() >= 128 * 1024 {
                    let mut world = world.lock().unwrap();
                    world.parts.insert(checksum, bytes);
                    world.conns[&conn].datagrams.close(VarInt::from_u32(0x0D), b"");
                    return;
                }
                ack(bytes.len(), Value::Null);
            }
            0x72 => {
                let checksum: String =
                    Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
                if start["size"] != bytes.len() || start["checksum"] != checksum {
                    return fault("size or checksum");
                }
                let (received, room_id) = (bytes.len(), start["room_id"].as_u64().unwrap());
                let upload = Upload { room_id, start: start.clone(), bytes };
                world.lock().unwrap().uploads.insert(id, upload);
                return ack(received, format!("garou:u/{id}").into());
            }
            other => panic!("{other:#04x} on an upload"),
        }
    }
}

pub(super) async fn accept_downloads(
    connection: Connection,
    conn: usize,
    world: Arc<Mutex<World>>,
) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        tokio::spawn(give(send, recv, conn, world.clone()));
    }
}

async fn give(mut send: SendStream, mut recv: RecvStream, conn: usize, world: Arc<Mutex<World>>) {
    let Some((0x75, asked)) = next(&mut recv).await else { return };
    let id = json_of(&asked)["upload_id"].as_u64().unwrap();
    let found = {
        let world = world.lock().unwrap();
        let user_id = world.conns[&conn].user_id;
        let upload = world.uploads.get(&id);
        let inside = |upload: &&Upload| world.rooms[&upload.room_id].members.contains_key(&user_id);
        upload.filter(inside).map(|upload| (upload.info(id), upload.bytes.clone()))
    };
    let Some((info, bytes)) = found else {
        let _ = send.reset(VarInt::from_u32(0x12));
        return;
    };
    let _ = send.write_all(&frame(0x76, &info)).await;
    for (n, piece) in bytes.chunks(100_000).enumerate() {
        let meta = json!({"upload_id": id, "offset": n * 100_000, "size": piece.len()}).to_string();
        let mut chunk = vec![0x71];
        chunk.extend(((2 + meta.len() + piece.len()) as u32).to_be_bytes());
        chunk.extend((meta.len() as u16).to_be_bytes());
        chunk.extend(meta.as_bytes());
        chunk.extend(piece);
        let _ = send.write_all(&chunk).await;
    }
    let _ = send.finish();
    let _ = send.stopped().await;
}
