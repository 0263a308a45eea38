//! What clients ask for.

use super::streams::{Out, frame, json_of, next};
use super::{World, now_ms};
use quinn::{Connection, RecvStream, VarInt};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

pub(super) async fn control(mut stream: RecvStream, conn: usize, world: Arc<Mutex<World>>) {
    let connection = world.lock().unwrap().conns[&conn].datagrams.clone();
    while let Some((kind, payload)) = next(&mut stream).await {
        let payload = json_of(&payload);
        let mut world = world.lock().unwrap();
        world.seen.push(kind);
        match kind {
            0x05 => world.send(conn, Out::Control { kind: 0x06, payload }),
            0x06 => {}
            0x08 => {
                drop(world);
                connection.close(VarInt::from_u32(0), b"");
                return;
            }
            other => panic!("{other:#04x} on control"),
        }
    }
    connection.close(VarInt::from_u32(0), b"");
}

pub(super) async fn datagrams(connection: Connection, conn: usize, world: Arc<Mutex<World>>) {
    while let Ok(datagram) = connection.read_datagram().await {
        let kind = datagram[0];
        let mut payload = json_of(&datagram[5..]);
        let mut world = world.lock().unwrap();
        world.seen.push(kind);
        let user_id = world.conns[&conn].user_id;
        payload["user_id"] = user_id.into();
        if let 0x80 | 0x81 = kind {
            let room = &world.rooms[&payload["room_id"].as_u64().unwrap()];
            for other in room.members.values().flatten().filter(|other| **other != conn) {
                let _ = world.conns[other].datagrams.send_datagram(frame(kind, &payload).into());
            }
        }
    }
}

pub(super) async fn receipts(
    mut stream: RecvStream,
    first: (u8, Vec<u8>),
    conn: usize,
    world: Arc<Mutex<World>>,
) {
    let mut frame = Some(first);
    while let Some((kind, payload)) = frame {
        let mut payload = json_of(&payload);
        {
            let mut world = world.lock().unwrap();
            world.seen.push(kind);
            payload["user_id"] = world.conns[&conn].user_id.into();
            let room = &world.rooms[&payload["room_id"].as_u64().unwrap()];
            for other in room.members.values().flatten().filter(|other| **other != conn) {
                world.send(*other, Out::Control { kind, payload: payload.clone() });
            }
        }
        frame = next(&mut stream).await;
    }
}

pub(super) async fn chat(
    mut stream: RecvStream,
    first: (u8, Vec<u8>),
    conn: usize,
    connection: Connection,
    world: Arc<Mutex<World>>,
) {
    let mut frame = Some(first);
    while let Some((kind, payload)) = frame {
        let cut = {
            let mut world = world.lock().unwrap();
            world.seen.push(kind);
            let answer = command(&mut world, conn, kind, &json_of(&payload));
            let lost = kind == 0x10 && answer.is_ok() && world.manner.lose_acks > 0;
            if lost {
                world.manner.lose_acks -= 1;
            } else if let Some((kind, payload)) = answer.unwrap_or_else(Some) {
                world.send(conn, Out::Control { kind, payload });
            }
            lost
        };
        if cut {
            connection.close(VarInt::from_u32(0x0D), b"");
            return;
        }
        frame = next(&mut stream).await;
    }
}

/// Says something in a room: the message as it is published.
pub(super) fn say(
    world: &mut World,
    room_id: u64,
    sender: Value,
    content: &str,
    asked: &Value,
) -> Value {
    let message_id = world.id();
    let mut files = Vec::new();
    for id in asked["attachments"].as_array().into_iter().flatten() {
        files.push(world.uploads[&id.as_u64().unwrap()].info(id.as_u64().unwrap()));
    }
    let urls: Vec<Value> = files.iter().map(|file| file["url"].clone()).collect();
    let kind = asked["kind"].as_str().unwrap_or("text");
    let message = json!({"message_id": message_id, "sender": sender, "content": content, "timestamp": now_ms(),
        "reply_to": asked["reply_to"], "attachments": urls, "nonce": asked["nonce"], "kind": kind,
        "edited_at": null, "deleted": false, "reactions": [], "attachment_info": files});
    let message = world.publish(room_id, 0x30, message);
    world.rooms.get_mut(&room_id).unwrap().messages.push(message.clone());
    message
}

type Answer = Option<(u8, Value)>;

/// Does one command. `Ok` and `Err` are what is answered.
fn command(world: &mut World, conn: usize, kind: u8, asked: &Value) -> Result<Answer, (u8, Value)> {
    let user_id = world.conns[&conn].user_id;
    let nonce = asked["nonce"].as_str().expect("this client puts a nonce on everything");
    let ok = |room_id: Value, message_id: Value| {
        let ok =
            json!({"nonce": nonce, "command": kind, "room_id": room_id, "message_id": message_id});
        Ok(Some((0x0A, ok)))
    };
    let refuse = |code: u32, message: &str| {
        let fault = json!({"code": code, "message": message, "context": null, "command": kind, "nonce": nonce,
            "room_id": asked["room_id"], "retry_after_ms": 50});
        Err((0xFF, fault))
    };
    // What is done in a room is done by its members.
    if let Some(room_id) = asked["room_id"].as_u64()
        && kind != 0x15
        && !world.rooms.get(&room_id).is_some_and(|room| room.members.contains_key(&user_id))
    {
        return refuse(1005, "you are in no such room");
    }
    let room_id = asked["room_id"].as_u64().unwrap_or(0);
    let own = |world: &World| {
        let room = &world.rooms[&room_id];
        let at = room.messages.iter().position(|m| m["message_id"] == asked["message_id"]);
        at.map(|at| (at, room.messages[at]["sender"]["user_id"] == user_id))
    };
    match kind {
        0x10 => {
            if let Some(ack) = world.acks.get(&(user_id, nonce.into())) {
                return Ok(Some((0x62, ack.clone())));
            }
            if world.manner.refuse_haste > 0 {
                world.manner.refuse_haste -= 1;
                return refuse(1006, "too fast");
            }
            let content = asked["content"].as_str().unwrap();
            if content == "forbidden" {
                return refuse(1004, "not that");
            }
            let sender = world.user(user_id);
            let message = say(world, room_id, sender, content, asked);
            let ack = json!({"nonce": nonce, "message_id": message["message_id"],
                "timestamp": message["timestamp"], "room_id": room_id});
            world.acks.insert((user_id, nonce.into()), ack.clone());
            Ok(Some((0x62, ack)))
        }
        0x11 | 0x12 => match own(world) {
            None => refuse(1005, "no such message"),
            Some((_, false)) => refuse(1004, "not yours"),
            Some((at, true)) => {
                let (message, at) = (asked["message_id"].clone(), at);
                let stored = &mut world.rooms.get_mut(&room_id).unwrap().messages[at];
                if kind == 0x11 {
                    stored["content"] = asked["content"].clone();
                    stored["edited_at"] = now_ms().into();
                    let edit = json!({"message_id": message, "editor_id": user_id,
                        "content": asked["content"], "edited_at": now_ms()});
                    world.publish(room_id, 0x31, edit);
                } else {
                    stored["content"] = "".into();
                    stored["deleted"] = true.into();
                    let deletion = json!({"message_id": message, "deleted_by": user_id, "deleted_at": now_ms()});
                    world.publish(room_id, 0x32, deletion);
                }
                ok(room_id.into(), message)
            }
        },
        0x13 | 0x14 => {
            let change = json!({"message_id": asked["message_id"], "user_id": user_id, "emoji": asked["emoji"]});
            world.publish(room_id, kind + 0x20, change);
            ok(room_id.into(), asked["message_id"].clone())
        }
        0x15 => {
            let room_id = match (asked["room_id"].as_u64(), asked["name"].as_str()) {
                (Some(id), None) => id,
                (None, Some(name)) => world.channel(name),
                other => panic!("JoinRoom names {other:?}"),
            };
            let open = |world: &World| {
                let room = world.rooms.get(&room_id)?;
                (room.room_type == "channel" || room.allowed.contains(&user_id)).then_some(())
            };
            if open(world).is_none() {
                return refuse(1005, "no such room");
            }
            world.enter(conn, room_id);
            ok(room_id.into(), Value::Null)
        }
        0x16 => {
            world.leave(conn, room_id, "left");
            ok(room_id.into(), Value::Null)
        }
        0x20 => {
            let other = asked["user_id"].as_u64().unwrap();
            if !world.names.contains_key(&other) {
                return refuse(1005, "no such person");
            }
            let pair = (user_id.min(other), user_id.max(other));
            let room_id = super::hash(&format!("{pair:?}"));
            let room = world.rooms.entry(room_id).or_default();
            room.room_type = "direct".into();
            room.allowed = [user_id, other].into();
            world.enter(conn, room_id);
            let others: Vec<usize> =
                world.conns.iter().filter(|(_, c)| c.user_id == other).map(|(id, _)| *id).collect();
            for other in others {
                world.enter(other, room_id);
            }
            ok(room_id.into(), Value::Null)
        }
        0x21 => {
            let filter = asked["filter"].as_str().unwrap_or("");
            let visible = world.rooms.iter().filter(|(_, room)| room.room_type == "channel");
            let rooms: Vec<Value> = visible
                .filter(|(_, room)| room.name.contains(filter))
                .map(|(id, room)| {
                    json!({"room_id": id, "name": room.name, "room_type": "channel",
                        "member_count": room.members.len(), "topic": room.topic})
                })
                .collect();
            // Two a page, so that pages are asked for.
            let from = asked["after"].as_str().map_or(0, |after| after.parse::<usize>().unwrap());
            let page: Vec<Value> = rooms.iter().skip(from).take(2).cloned().collect();
            let next = (from + 2 < rooms.len()).then(|| (from + 2).to_string());
            Ok(Some((0x3C, json!({"rooms": page, "next": next, "nonce": nonce}))))
        }
        0x22 => {
            let before = asked["before_id"].as_u64().unwrap_or(u64::MAX);
            let limit = asked["limit"].as_u64().unwrap_or(50) as usize;
            let room = &world.rooms[&room_id];
            let older: Vec<&Value> = room
                .messages
                .iter()
                .filter(|m| m["message_id"].as_u64().unwrap() < before)
                .collect();
            let from = older.len().saturating_sub(limit);
            let history = json!({"room_id": room_id, "messages": older[from..], "more": from > 0, "nonce": nonce});
            world.send(conn, Out::Room { room_id, kind: 0x3B, payload: history });
            Ok(None)
        }
        0x23 => {
            if let Some(name) = asked["username"].as_str() {
                world.names.insert(user_id, name.into());
            }
            let user = world.user(user_id);
            let rooms: Vec<u64> = world.rooms.keys().copied().collect();
            for room_id in rooms {
                if world.rooms[&room_id].members.contains_key(&user_id) {
                    let update =
                        json!({"user": user, "by": null, "at": now_ms(), "muted_until": null});
                    world.publish(room_id, 0x39, update);
                }
            }
            ok(Value::Null, Value::Null)
        }
        _ => refuse(1004, "this server does not do that"),
    }
}
