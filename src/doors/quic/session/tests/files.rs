//! Uploads and downloads, whose answers these tests give.

use super::world::*;
use crate::{
    doors::quic::{frame::kind, session::FileLimits, stream_code},
    quic::{Event, Lost, StreamId},
    uploads::{Answer, Fault, Request},
};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_shards::{Attachment, RoomId, UploadId};

const UP: u64 = 10;
const DOWN: u64 = 4;
const ID: UploadId = UploadId(77);

fn world() -> World {
    World::with(1, |_| {}, |session| session.uploads.bytes_max = 1 << 20)
}

fn start(room: u64, size: u64, nonce: &str) -> Value {
    json!({
        "room_id": room, "filename": "a.txt", "mime_type": "text/plain", "size": size,
        "checksum": "0".repeat(64), "nonce": nonce,
    })
}

fn chunk(offset: u64, data: &[u8]) -> Vec<u8> {
    let about = json!({ "upload_id": 0, "offset": offset, "size": data.len() }).to_string();
    let mut bytes = vec![kind::UPLOAD_CHUNK];
    bytes.extend_from_slice(&((2 + about.len() + data.len()) as u32).to_be_bytes());
    bytes.extend_from_slice(&(about.len() as u16).to_be_bytes());
    bytes.extend_from_slice(about.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn attachment() -> Attachment {
    Attachment {
        id: ID,
        name: "a.txt".into(),
        mime: "text/plain".into(),
        size: 6,
        checksum: "0".repeat(64).into(),
        url: "garou:u/77".into(),
    }
}

/// One who has begun an upload.
fn begun(world: &mut World, size: u64) -> Client {
    let ann = world.enter(0, "Ann");
    world.send(ann, UP, kind::UPLOAD_START, start(1, size, "u"));
    let asked = world.asked(ann);
    assert!(matches!(&asked[..], [(UP, Request::Start(about))] if about.size == size), "{asked:?}");
    world.answer(ann, UP, Answer::Started(Ok((ID, 0))));
    world.control(ann);
    ann
}

#[test]
fn a_stream_is_not_read_before_the_last_piece_was_taken() {
    let mut world = world();
    let ann = begun(&mut world, 6);
    let mut bytes = chunk(0, b"abc");
    bytes.extend(chunk(3, b"def"));
    world.write(ann, UP, &bytes);
    let piece = |offset, data: &[u8]| Request::Chunk { upload: ID, offset, data: data.to_vec() };
    assert_eq!(world.asked(ann), [(UP, piece(0, b"abc"))]);
    world.say(ann, 1, "meanwhile", "m");
    assert_eq!(world.control(ann)[0].0, kind::MESSAGE_ACK, "others do not wait");
    assert!(world.asked(ann).is_empty());
    world.answer(ann, UP, Answer::Taken(Ok(3)));
    assert_eq!(world.asked(ann), [(UP, piece(3, b"def"))]);
    world.send(ann, UP, kind::UPLOAD_COMPLETE, json!({ "upload_id": ID }));
    world.end(ann, UP);
    assert!(world.asked(ann).is_empty());
    world.answer(ann, UP, Answer::Taken(Ok(6)));
    assert_eq!(world.asked(ann), [(UP, Request::Complete(ID))]);
    world.answer(ann, UP, Answer::Kept(Ok(Box::new(attachment()))));
    let told = world.control(ann);
    assert_eq!(told[0].0, kind::UPLOAD_ACK);
    assert_eq!((&told[0].1["url"], &told[0].1["nonce"]), (&json!("garou:u/77"), &json!("u")));
    assert!(world.asked(ann).is_empty(), "the end of the stream gives nothing up");
}

#[test]
fn progress_is_told_at_least_every_256_kib() {
    let mut world = world();
    let ann = begun(&mut world, 1 << 20);
    let (mut at, mut told) = (0, 0);
    for length in [60_000, 200_000, 262_144, 100, 65_536, 262_144] {
        world.write(ann, UP, &chunk(at, &vec![0; length]));
        at += length as u64;
        world.answer(ann, UP, Answer::Taken(Ok(at)));
        for (kind, payload) in world.control(ann) {
            assert_eq!(kind, kind::UPLOAD_ACK);
            let received = payload["bytes_received"].as_u64().unwrap();
            assert!(received - told <= 256 << 10, "{told} to {received}");
            told = received;
        }
        assert!(at - told <= 256 << 10);
    }
}

#[test]
fn what_is_refused_names_its_nonce_and_stops_its_stream() {
    let mut world = world();
    let ann = world.enter(0, "Ann");
    for (n, change, code) in [
        (0, ("filename", json!("../x")), 1007),
        (1, ("filename", json!("a\u{202e}cod.exe")), 1007),
        (2, ("mime_type", json!("text")), 1007),
        (3, ("checksum", json!("F".repeat(64))), 1007),
        (4, ("room_id", json!(12345)), 1005),
        (5, ("size", json!((1 << 20) + 1)), 1016),
    ] {
        let mut payload = start(1, 6, "u");
        payload[change.0] = change.1;
        world.control(ann);
        let stream = UP + 4 * n;
        world.send(ann, stream, kind::UPLOAD_START, payload);
        let told = world.control(ann);
        assert_eq!((&told[0].1["code"], &told[0].1["nonce"]), (&json!(code), &json!("u")));
        assert!(world.link(ann).stopped.contains(&(stream, stream_code::REFUSED)));
        assert!(world.asked(ann).is_empty());
    }
    for n in 10..13 {
        world.send(ann, UP + 4 * n, kind::UPLOAD_START, start(1, 6, "many"));
    }
    assert_eq!(world.asked(ann).len(), 2, "two at once");
    world.control(ann);
    let faulty = UP + 40;
    world.answer(ann, faulty, Answer::Started(Err(Fault::TotalQuota)));
    assert_eq!(world.control(ann)[0].1["code"], 1009);
    assert!(world.link(ann).stopped.contains(&(faulty, stream_code::REFUSED)));
    world.send(ann, UP + 60, kind::UPLOAD_START, start(1, 6, "free"));
    assert_eq!(world.asked(ann).len(), 1, "a place was free");
}

#[test]
fn broken_pieces_end_the_upload() {
    let long = vec![0; (256 << 10) + 1];
    for bytes in [chunk(0, b""), chunk(0, &long), vec![kind::UPLOAD_CHUNK, 0, 0, 0, 1, 0]] {
        let mut world = world();
        let ann = begun(&mut world, 1 << 20);
        world.write(ann, UP, &bytes);
        assert_eq!(world.asked(ann), [(UP, Request::Cancel(ID))]);
        assert_eq!(world.control(ann)[0].1["code"], 1009);
        assert_eq!(world.link(ann).stopped, [(UP, stream_code::REFUSED)]);
    }
}

#[test]
fn an_upload_that_is_given_up_is_cancelled() {
    let mut world = world();
    let ann = begun(&mut world, 6);
    world.reset(ann, UP);
    assert_eq!(world.asked(ann), [(UP, Request::Cancel(ID))]);
    // One that was not begun yet is cancelled when it is.
    world.send(ann, UP + 4, kind::UPLOAD_START, start(1, 6, "v"));
    world.asked(ann);
    world.answer(ann, UP + 4, Answer::Started(Ok((ID, 0))));
    world.end(ann, UP + 4);
    assert_eq!(world.asked(ann), [(UP + 4, Request::Cancel(ID))]);
    let told = world.control(ann);
    assert_eq!(told.last().map(|told| told.0), Some(kind::UPLOAD_CANCEL));
    world.send(ann, UP + 8, kind::UPLOAD_START, start(1, 6, "w"));
    world.answer(ann, UP + 8, Answer::Started(Ok((ID, 0))));
    world.asked(ann);
    world.send(ann, UP + 8, kind::UPLOAD_CANCEL, json!({ "upload_id": 0, "reason": "no" }));
    assert_eq!(world.asked(ann), [(UP + 8, Request::Cancel(ID))]);
}

#[test]
fn a_lost_connection_only_interrupts() {
    let mut world = world();
    let ann = begun(&mut world, 6);
    world.event(ann, Event::Lost(Lost::Silence));
    assert_eq!(world.asked(ann), [(UP, Request::Interrupt(ID))]);
    let ben = world.enter(0, "Ben");
    world.send(ben, UP, kind::UPLOAD_START, start(1, 6, "u"));
    world.asked(ben);
    world.event(ben, Event::Lost(Lost::Silence));
    world.answer(ben, UP, Answer::Started(Ok((ID, 0))));
    assert_eq!(world.asked(ben), [(UP, Request::Interrupt(ID))], "nobody is there any more");
}

#[test]
fn who_could_go_on_may_begin_anew() {
    let mut world = world();
    let ann = world.enter(0, "Ann");
    world.send(ann, UP, kind::UPLOAD_START, start(1, 1 << 20, "u"));
    world.answer(ann, UP, Answer::Started(Ok((ID, 500_000))));
    assert_eq!(world.control(ann).last().unwrap().1["bytes_received"], 500_000);
    world.asked(ann);
    let mut at = 0;
    for length in [100_000_u64, 200_000, 200_000] {
        world.write(ann, UP, &chunk(at, &vec![0; length as usize]));
        at += length;
        assert_eq!(world.asked(ann).len(), 1);
        world.answer(ann, UP, Answer::Taken(Ok(at)));
    }
    let told: Vec<_> = world.control(ann).into_iter().map(|told| told.1).collect();
    assert_eq!(told.last().unwrap()["bytes_received"], 500_000, "{told:?}");
    assert!(told.len() >= 2, "progress is told from the beginning");
}

#[test]
fn a_file_is_taken_from_those_who_may_post() {
    let mut world = world();
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(0, "Ben"));
    world.chat(ann, kind::JOIN_ROOM, json!({ "name": "ours", "nonce": "j" }));
    let room = world.control(ann).last().unwrap().1["room_id"].as_u64().unwrap();
    world.chat(ben, kind::JOIN_ROOM, json!({ "name": "ours" }));
    world.chat(ann, kind::UPDATE_ROOM, json!({ "room_id": room, "post_role": "moderator" }));
    world.control(ben);
    world.send(ben, UP, kind::UPLOAD_START, start(room, 6, "u"));
    assert!(world.asked(ben).is_empty());
    let told = world.control(ben).remove(0).1;
    assert_eq!((&told["code"], &told["nonce"]), (&json!(1004), &json!("u")));
    assert_eq!((&told["command"], &told["room_id"]), (&json!(0x70), &json!(room)));
    assert_eq!(world.link(ben).stopped, [(UP, stream_code::REFUSED)]);
    world.send(ann, UP, kind::UPLOAD_START, start(room, 6, "u"));
    assert_eq!(world.asked(ann).len(), 1, "its owner may");
}

/// Wherever the question is when its seat ends: the upload is refused once, and its stream stopped.
#[test]
fn an_upload_around_a_kick_is_refused_once() {
    for (shards, home, sent) in [(1, 0, false), (2, 1, false), (2, 1, true)] {
        let mut world = World::with(shards, |_| {}, |session| session.uploads.bytes_max = 1 << 20);
        let (ann, ben) = (world.enter(0, "Ann"), world.enter(home, "Ben"));
        let name = world.room_on(0);
        world.join(ann, &name);
        let room = world.join(ben, &name);
        let user = world.said(ben, room, "first")["sender"]["user_id"].clone();
        world.control(ben);
        let kick = json!({ "room_id": room, "user_id": user, "nonce": "kick" });
        if sent {
            world.send_only(ben, UP, kind::UPLOAD_START, &start(room, 6, "u"));
            world.settle(home);
        }
        world.chat_only(ann, kind::KICK_USER, &kick);
        world.settle(0);
        world.outputs(0);
        if !sent {
            world.send_only(ben, UP, kind::UPLOAD_START, &start(room, 6, "u"));
        }
        world.run();
        let told = world.control(ben);
        let codes: Vec<_> = told.iter().filter(|told| told.1["nonce"] == "u").collect();
        assert_eq!(codes.len(), 1, "{shards} {sent}: {told:?}");
        assert_eq!(codes[0].1["code"], 1005);
        assert_eq!(world.link(ben).stopped, [(UP, stream_code::REFUSED)]);
        assert!(world.asked(ben).is_empty());
    }
}

#[test]
fn a_stall_cancels_but_not_while_the_disk_is_waited_for() {
    let mut world = world();
    let ann = begun(&mut world, 6);
    world.write(ann, UP, &chunk(0, b"abc"));
    world.asked(ann);
    world.pass(40_000);
    assert!(world.asked(ann).is_empty());
    world.answer(ann, UP, Answer::Taken(Ok(3)));
    world.pass(29_000);
    assert!(world.asked(ann).is_empty());
    world.control(ann);
    world.pass(2_000);
    assert_eq!(world.asked(ann), [(UP, Request::Interrupt(ID))], "another connection may go on");
    let told = world.control(ann);
    let told = told.iter().find(|told| told.0 == kind::UPLOAD_CANCEL).expect("it is told");
    assert_eq!(told.1["upload_id"], 77);
    assert_eq!(world.link(ann).stopped, [(UP, stream_code::CANCELLED)]);
}

#[test]
fn a_message_waits_until_its_files_may_be_shown() {
    let mut world = world();
    let ann = world.enter(0, "Ann");
    world.lane(ann, 1);
    let payload = json!({ "room_id": 1, "content": "look", "nonce": "n", "attachments": [77] });
    world.chat(ann, kind::SEND_MESSAGE, payload.clone());
    world.say(ann, 1, "after", "m");
    let claims = world.asked(ann);
    assert!(matches!(&claims[..], [(0, Request::Claim { uploads, .. })] if uploads == &[ID]));
    assert!(world.lane(ann, 1).is_empty(), "what is said behind it waits, too");
    world.answer(ann, 0, Answer::Claimed(Some(vec![attachment()])));
    let said = world.lane(ann, 1);
    assert_eq!((said.len(), &said[1].1["content"]), (2, &json!("after")));
    assert_eq!(said[0].1["attachments"], json!(["garou:u/77"]));
    assert_eq!(said[0].1["attachment_info"][0]["filename"], "a.txt");
    world.control(ann);
    world.chat(ann, kind::SEND_MESSAGE, payload);
    world.answer(ann, 0, Answer::Claimed(None));
    assert_eq!(world.control(ann)[0].1["code"], 1005);
    let id = said[0].1["message_id"].clone();
    world.chat(ann, kind::DELETE_MESSAGE, json!({ "room_id": 1, "message_id": id }));
    world.chat(ann, kind::FETCH_HISTORY, json!({ "room_id": 1 }));
    let history = world.lane(ann, 1);
    assert_eq!(history.last().unwrap().1["messages"][0]["attachments"], json!([]));
}

#[test]
fn what_holds_for_files_is_as_it_is_set() {
    let limits = FileLimits { bytes_max: 100, at_once_max: 3, stall: Duration::from_secs(5) };
    let mut world = World::with(1, |_| {}, |session| session.uploads = limits);
    let ann = world.enter(0, "Ann");
    for n in 0..4 {
        world.send(ann, UP + 4 * n, kind::UPLOAD_START, start(1, 100, &format!("u{n}")));
    }
    assert_eq!(world.asked(ann).len(), 3);
    let told = world.control(ann);
    let errors: Vec<_> = told.iter().filter(|(kind, _)| *kind == kind::ERROR).collect();
    assert_eq!((errors.len(), &errors[0].1["nonce"]), (1, &json!("u3")));
    assert_eq!(errors[0].1["code"], 1009);
    for n in 0..3 {
        world.answer(ann, UP + 4 * n, Answer::Started(Ok((UploadId(77 + n), 0))));
    }
    world.control(ann);
    world.pass(4_900);
    assert!(world.asked(ann).is_empty());
    world.pass(200);
    let asked = world.asked(ann);
    assert!(matches!(&asked[..], [(_, Request::Interrupt(_)), ..]) && asked.len() == 3);
}

#[test]
fn an_upload_that_another_connection_took_over_is_over_here() {
    let mut world = world();
    let ann = begun(&mut world, 6);
    world.write(ann, UP, &chunk(0, b"abc"));
    world.asked(ann);
    world.answer(ann, UP, Answer::TakenOver(UploadId(78)));
    assert!(world.control(ann).is_empty(), "another's");
    world.answer(ann, UP, Answer::TakenOver(ID));
    let told = world.control(ann);
    assert_eq!((told.len(), told[0].0), (1, kind::UPLOAD_CANCEL));
    assert_eq!(told[0].1["upload_id"], 77);
    assert!(world.link(ann).stopped.contains(&(UP, stream_code::CANCELLED)));
    assert!(world.asked(ann).is_empty(), "it is not given up for the other connection");
    // The answer to what was on its way.
    world.answer(ann, UP, Answer::Taken(Err(Fault::Gone)));
    assert!(world.control(ann).is_empty());
    world.say(ann, 1, "still here", "m");
    assert_eq!(world.control(ann)[0].0, kind::MESSAGE_ACK);
}

#[test]
fn the_next_piece_is_read_when_the_last_was_taken() {
    let mut world = world();
    let ann = world.enter(0, "Ann");
    world.send(ann, DOWN, kind::FETCH_UPLOAD, json!({ "upload_id": 77 }));
    assert_eq!(world.asked(ann), [(DOWN, Request::Find(ID))]);
    world.answer(ann, DOWN, Answer::Found(Some(Box::new((RoomId(1), attachment())))));
    let read = |offset| (DOWN, Request::Read { upload: ID, offset });
    assert_eq!(world.asked(ann), [read(0)]);
    world.link(ann).narrow = Some((DOWN, 10));
    world.answer(ann, DOWN, Answer::Piece(Some(b"abc".to_vec())));
    assert!(world.asked(ann).is_empty());
    world.link(ann).narrow = None;
    world.event(ann, Event::Writable(StreamId(DOWN)));
    assert_eq!(world.asked(ann), [read(3)]);
    world.answer(ann, DOWN, Answer::Piece(Some(b"def".to_vec())));
    assert!(world.link(ann).finished.contains(&DOWN));
    let got = world.link(ann).received[&DOWN].clone();
    let ends = |part: &[u8]| got.windows(part.len()).filter(|at| *at == part).count();
    assert_eq!((got[0], ends(b"}abc"), ends(b"}def")), (kind::UPLOAD_INFO, 1, 1));
}

#[test]
fn only_who_is_in_the_room_gets_a_file() {
    let mut world = world();
    let ann = world.enter(0, "Ann");
    for (n, found) in [None, Some(Box::new((RoomId(99), attachment())))].into_iter().enumerate() {
        let stream = DOWN + 4 * n as u64;
        world.send(ann, stream, kind::FETCH_UPLOAD, json!({ "upload_id": 77 }));
        world.answer(ann, stream, Answer::Found(found));
        assert!(world.link(ann).reset.contains(&(stream, stream_code::REFUSED)));
    }
    world.asked(ann);
    let far = json!({ "upload_id": 77, "offset": 7 });
    world.send(ann, DOWN + 8, kind::FETCH_UPLOAD, far);
    world.answer(ann, DOWN + 8, Answer::Found(Some(Box::new((RoomId(1), attachment())))));
    assert!(world.link(ann).reset.contains(&(DOWN + 8, stream_code::REFUSED)), "beyond its end");
    for n in 3..6 {
        world.send(ann, DOWN + 4 * n, kind::FETCH_UPLOAD, json!({ "upload_id": 77 }));
    }
    assert!(world.link(ann).reset.contains(&(DOWN + 20, stream_code::REFUSED)), "two at once");
    assert!(!world.link(ann).reset.contains(&(DOWN + 16, stream_code::REFUSED)));
}

#[test]
fn a_download_that_is_not_read_or_not_wanted_ends() {
    let mut world = world();
    let ann = world.enter(0, "Ann");
    let fetch = |world: &mut World, stream| {
        world.send(ann, stream, kind::FETCH_UPLOAD, json!({ "upload_id": 77 }));
        world.answer(ann, stream, Answer::Found(Some(Box::new((RoomId(1), attachment())))));
    };
    world.link(ann).stuck.push(DOWN);
    fetch(&mut world, DOWN);
    world.pass(31_000);
    assert!(world.link(ann).reset.contains(&(DOWN, stream_code::STALLED)));
    fetch(&mut world, DOWN + 4);
    world.event(ann, Event::Stopped { stream: StreamId(DOWN + 4), code: 0 });
    assert_eq!(world.link(ann).closed, None, "the session goes on");
    fetch(&mut world, DOWN + 8);
    world.asked(ann);
    world.answer(ann, DOWN + 8, Answer::Piece(None));
    assert!(world.link(ann).reset.contains(&(DOWN + 8, stream_code::CANCELLED)), "it was deleted");
}
