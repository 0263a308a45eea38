//! Statements 142 to 155: the quick dialect and binary `custom`.

use crate::ROOMS;
use serde_json::{Value, json};
use tutti_tests::mpp::{Client, Item, now_ms};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    a_binary_hi_is_answered_in_text,
    a_binary_join_is_answered_in_text,
    notes_to_quick,
    notes_from_quick,
    time_in_binary,
    several_frames_in_one_message,
    broken_frames_are_ignored,
    leaving_is_told_in_text,
    a_text_frame_makes_it_text,
    profiles_from_quick,
    cursor_and_chat_in_binary,
    settings_from_quick,
    crown_and_bans_from_quick,
    custom_with_a_payload,
    a_text_client_never_sees_binary,
);

/// The time that the vectors of the protocol page use.
const T: f64 = 1_700_000_000_000.0;

#[track_caller]
fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex"))
        .collect()
}

/// A frame: opcode, 24 bit length, payload.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![opcode];
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(payload);
    out
}

fn string(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

fn number(value: f64) -> [u8; 8] {
    value.to_be_bytes()
}

/// Reads what the server writes, field by field; a test fails when a field is not there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[track_caller]
    fn new(frame: &'a [u8], opcode: u8) -> Self {
        let length = frame[1..4].iter().fold(0, |n, b| n << 8 | usize::from(*b));
        assert_eq!((frame[0], length), (opcode, frame.len() - 4), "{frame:02x?}");
        Self(&frame[4..])
    }

    #[track_caller]
    fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head
    }

    #[track_caller]
    fn number(&mut self) -> f64 {
        f64::from_be_bytes(self.bytes(8).try_into().expect("eight bytes"))
    }

    #[track_caller]
    fn count(&mut self) -> usize {
        usize::from(u16::from_be_bytes(self.bytes(2).try_into().expect("two bytes")))
    }

    #[track_caller]
    fn string(&mut self) -> String {
        let n = self.count();
        String::from_utf8(self.bytes(n).to_vec()).expect("UTF-8")
    }

    #[track_caller]
    fn end(self) {
        assert!(self.0.is_empty(), "bytes left over: {:02x?}", self.0);
    }
}

/// A client that has said `hi` and joined in binary.
#[track_caller]
fn quick(server: &Server, room: &str) -> Client {
    let mut client = server.open();
    client.speak_quick();
    client.send_binary(&hex("01000000"));
    let hi = client.expect("hi");
    client.send_binary(&frame(0x0c, &string(room)));
    let joined = client.joined();
    assert_eq!((joined.room(), &joined.ch["p"]), (room, &hi["u"]["_id"]));
    client.clear();
    client
}

fn id_in(client: &mut Client, room: &str) -> String {
    client.send_binary(&frame(0x0c, &string(room)));
    let joined = client.joined();
    assert_eq!(joined.room(), room);
    joined.ch["p"].as_str().expect("an id").to_owned()
}

/// Statement 142.
fn a_binary_hi_is_answered_in_text(plan: Plan) {
    let server = plan.start();
    for vector in ["01000000", "010000083ff0000000000000"] {
        let mut a = server.open();
        a.speak_quick();
        a.send_binary(&hex(vector));
        assert!(a.read().json("hi").is_some_and(|hi| hi["t"].is_number()));
        assert!(a.read().json("nq").is_some());
        a.nothing();
    }
}

/// Statement 143.
fn a_binary_join_is_answered_in_text(plan: Plan) {
    let server = plan.start();
    let mut a = server.open();
    a.speak_quick();
    a.send_binary(&hex("01000000"));
    a.expect("nq");
    a.clear();
    a.send_binary(&hex("0c00000700056c6f626279"));
    for kind in ["ch", "c", "nq"] {
        let item = a.read();
        assert!(item.json(kind).is_some(), "{item}");
    }
    a.nothing();
}

/// Statement 144.
fn notes_to_quick(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut text = server.join(room);
        let mut quick = quick(&server, room);
        text.clear();
        let t = now_ms().floor();
        text.play(t, json!([{"n": "a4", "v": 0.5}]));
        let bytes = quick.expect_binary(7);
        let mut r = Reader::new(&bytes, 7);
        assert_eq!((r.number(), r.count(), r.string()), (t, 1, "a4".to_owned()));
        assert_eq!((r.number(), r.number(), r.number()), (0.5, 0.0, 0.0), "v, d, s");
        assert_eq!(r.string(), text.id());
        r.end();
        text.play(t, json!([{"n": "a4"}, {"n": "a4", "d": 100, "s": 1}, {"n": "c7", "v": 1}]));
        let bytes = quick.expect_binary(7);
        let mut r = Reader::new(&bytes, 7);
        r.number();
        assert_eq!(r.count(), 3);
        let mut note = || (r.string(), r.number(), r.number(), r.number());
        assert_eq!(note(), ("a4".to_owned(), 0.5, 0.0, 0.0));
        assert_eq!(note(), ("a4".to_owned(), 0.0, 100.0, 1.0));
        assert_eq!(note(), ("c7".to_owned(), 1.0, 0.0, 0.0));
        quick.nothing();
        text.nothing();
    }
}

/// Statements 145, 146.
fn notes_from_quick(plan: Plan) {
    let server = plan.start();
    let start =
        "070000264278bcfe568000000001000261343fe000000000000000000000000000003ff0000000000000";
    let stop =
        "070000264278bcfe568000000001000261343ff000000000000000000000000000003ff0000000000000";
    for room in ROOMS {
        let mut text = server.join(room);
        let mut quick = quick(&server, room);
        text.clear();
        quick.send_binary(&hex(start));
        let n = text.expect("n");
        assert_eq!(n["n"][0]["n"], "a4");
        assert_eq!(n["n"][0]["v"].as_f64(), Some(0.5));
        assert!(n["n"][0].get("s").is_none(), "{n}");
        quick.send_binary(&hex(stop));
        let n = text.expect("n");
        assert_eq!(n["n"][0]["s"], 1, "{n}");
        // A flag of zero is a start whatever the velocity.
        let note = [&string("c4")[..], &number(1.0), &number(30.0), &number(0.0)].concat();
        let t = now_ms().floor();
        let payload = [&number(t)[..], &1u16.to_be_bytes(), &note].concat();
        quick.send_binary(&frame(7, &payload));
        let n = text.expect("n");
        assert!(n["n"][0].get("s").is_none(), "{n}");
        assert_eq!((n["n"][0]["v"].as_f64(), n["n"][0]["d"].as_f64()), (Some(1.0), Some(30.0)));
        assert_eq!(n["t"].as_f64(), Some(t));
        quick.nothing();
    }
}

/// Statement 147.
fn time_in_binary(plan: Plan) {
    let server = plan.start();
    let mut a = quick(&server, ROOMS[0]);
    a.send_binary(&hex("050000084278bcfe56800000"));
    let bytes = a.expect_binary(5);
    assert_eq!(bytes.len(), 20);
    let mut r = Reader::new(&bytes, 5);
    assert!((r.number() - now_ms()).abs() < 5000.0);
    assert_eq!(r.number(), T);
    r.end();
    // Without `e` the answer has none either.
    a.send_binary(&hex("05000000"));
    assert_eq!(a.expect_binary(5).len(), 12);
}

/// Statement 148.
fn several_frames_in_one_message(plan: Plan) {
    let server = plan.start();
    let mut a = server.open();
    a.speak_quick();
    a.send_binary(&hex("010000000f0000020000"));
    a.expect("hi");
    a.expect("nq");
    a.nothing();
    let join = frame(0x0c, &string(ROOMS[0]));
    let time = hex("050000084278bcfe56800000");
    a.send_binary(&[&join[..], &time, &time].concat());
    assert!(a.read().json("ch").is_some());
    a.expect_binary(5);
    a.expect_binary(5);
    // Bytes behind the fields of a payload are skipped.
    a.send_binary(&frame(5, &[&number(T)[..], b"more"].concat()));
    assert_eq!(a.expect_binary(5).len(), 20);
}

/// Statement 149.
fn broken_frames_are_ignored(plan: Plan) {
    let server = plan.start();
    let mut text = server.join(ROOMS[0]);
    let mut a = quick(&server, ROOMS[0]);
    text.clear();
    let good = hex("050000084278bcfe56800000");
    let bad_utf8 = frame(6, &[&2u16.to_be_bytes()[..], &[0xff, 0xfe]].concat());
    for bytes in [
        &b""[..],
        b"\xff",
        b"\xff\0\0\0",
        b"\x05",
        b"\x05\0\0",
        b"\x05\0\0\x08\x42",
        b"\x15\0\0\0",
        b"\x06\0\0\x05\0\xffabc",
        b"\x07\0\0\x0a\x42\x78\xbc\xfe\x56\x80\0\0\xff\xff",
        b"\x0c\0\0\0",
        b"\0",
        b"\0\0\0\x05{}",
        &bad_utf8,
        // All or nothing: a good frame before a broken one is not handled either.
        &[&good[..], b"\xff"].concat(),
        &[&good[..], b"\x05\0\0\x08"].concat(),
        &[&good[..], &bad_utf8].concat(),
    ] {
        a.send_binary(bytes);
    }
    a.nothing();
    text.nothing();
}

/// Statement 150.
fn leaving_is_told_in_text(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut stays = server.join(room);
        let goes = server.join(room);
        let mut quick_stays = quick(&server, room);
        let mut quick_goes = quick(&server, room);
        let quick_id = id_in(&mut quick_goes, room);
        stays.clear();
        quick_stays.clear();
        quick_goes.send_binary(&hex("02000000"));
        quick_goes.closed_with(1000);
        for client in [&mut stays, &mut quick_stays] {
            assert_eq!(client.expect("bye")["p"], quick_id.as_str());
        }
        let id = goes.id().to_owned();
        goes.hang_up();
        for client in [&mut stays, &mut quick_stays] {
            assert_eq!(client.expect("bye")["p"], id.as_str());
            client.nothing();
        }
    }
}

/// Statement 151.
fn a_text_frame_makes_it_text(plan: Plan) {
    let server = plan.start();
    let mut text = server.join(ROOMS[1]);
    let mut a = quick(&server, ROOMS[1]);
    text.clear();
    text.play(now_ms(), json!([{"n": "a4"}]));
    a.expect_binary(7);
    a.speak_text();
    a.barrier();
    text.play(now_ms(), json!([{"n": "a4"}]));
    text.send(json!({"m": "m", "x": 1, "y": 2}));
    text.say("in text");
    a.expect("n");
    a.expect("a");
    assert_eq!(a.expect("m")["x"], "1.00");
    // And back.
    a.speak_quick();
    a.barrier();
    text.play(now_ms(), json!([{"n": "a4"}]));
    a.expect_binary(7);
    // A frame that is not valid changes nothing.
    a.send_text("not json");
    a.send_text("{}");
    a.barrier();
    text.play(now_ms(), json!([{"n": "a4"}]));
    a.expect_binary(7);
    a.nothing();
}

/// Statement 152.
fn profiles_from_quick(plan: Plan) {
    let server = plan.start();
    let mut text = server.join(ROOMS[2]);
    let mut a = quick(&server, ROOMS[2]);
    let id = id_in(&mut a, ROOMS[2]);
    text.clear();
    a.send_binary(&hex("090000060002416c0000"));
    let p = text.expect("p");
    assert_eq!((&p["id"], &p["name"]), (&json!(id), &json!("Al")));
    assert_eq!(p["color"], format!("#{}", &id[..6]));
    let bytes = a.expect_binary(0x11);
    let mut r = Reader::new(&bytes, 0x11);
    assert_eq!((r.string(), r.string(), r.string()), (id.clone(), id, "Al".to_owned()));
    assert_eq!(p["color"], r.string());
    assert_eq!((r.number(), r.number()), (200.0, 100.0));
    r.end();
    a.send_binary(&frame(9, &[string(""), string("#012345")].concat()));
    let p = text.expect("p");
    assert_eq!((&p["name"], &p["color"]), (&json!("Al"), &json!("#012345")));
}

/// Statements 144 and 155, for moves and chat.
fn cursor_and_chat_in_binary(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut text = server.join(room);
        let mut a = quick(&server, room);
        text.clear();
        text.send(json!({"m": "m", "x": 12.5, "y": 50.25}));
        let bytes = a.expect_binary(8);
        let mut r = Reader::new(&bytes, 8);
        assert_eq!((r.string().as_str(), r.number(), r.number()), (text.id(), 12.5, 50.25));
        r.end();
        a.send_binary(&hex("0800001040290000000000004049266666666666"));
        let m = text.expect("m");
        assert_eq!((&m["x"], &m["y"]), (&json!("12.50"), &json!("50.30")));
        text.say("hi");
        let bytes = a.expect_binary(6);
        let mut r = Reader::new(&bytes, 6);
        assert_eq!((r.string().as_str(), r.string().as_str()), ("hi", text.id()));
        assert_eq!((r.string().as_str(), r.string().as_str()), (text.id(), "Anonymous"));
        assert_eq!(text.hello()["u"]["color"], r.string());
        // Positions come with `m`; here they are only places in the layout.
        assert!(r.number().is_finite() && r.number().is_finite());
        assert!((r.number() - now_ms()).abs() < 5000.0);
        r.end();
        text.clear();
        a.send_binary(&hex("06000005000368c3a9"));
        assert_eq!(text.expect("a")["a"], "h\u{e9}");
        a.expect_binary(6);
        text.nothing();
        a.nothing();
    }
}

/// Statement 153.
fn settings_from_quick(plan: Plan) {
    let server = plan.start();
    let mut a = server.open();
    a.speak_quick();
    a.send_binary(&hex("01000000"));
    a.expect("nq");
    a.send_binary(&hex("0c000009000178010001000000"));
    let joined = a.joined();
    assert_eq!(joined.room(), "x");
    assert_eq!(joined.settings()["color"], "#3b5054");
    assert_eq!(joined.settings()["color2"], "#001014");
    assert_eq!(joined.settings()["chat"], true);
    assert_eq!(joined.settings()["visible"], true);
    assert_ne!(joined.settings()["lobby"], true);
    assert_eq!(joined.crown()["participantId"], joined.ch["p"]);
    // chat off, crownsolo on, visible off, a colour.
    let set = [&[0, 1, 0][..], &string("#204060"), &[1]].concat();
    a.send_binary(&frame(0x0d, &set));
    let settings = a.expect("ch")["ch"]["settings"].take();
    assert_eq!((&settings["chat"], &settings["crownsolo"]), (&json!(false), &json!(true)));
    assert_eq!((&settings["visible"], &settings["color"]), (&json!(false), &json!("#204060")));
    let joined = {
        a.send_binary(&frame(0x0c, &[&string("y")[..], &set].concat()));
        a.joined()
    };
    assert_eq!(joined.settings()["color"], "#204060");
    assert_ne!(joined.settings()["lobby"], true);
}

/// Statements 143 and 148, for the rest of the requests.
fn crown_and_bans_from_quick(plan: Plan) {
    let server = plan.start();
    let room = ROOMS[0];
    let mut a = quick(&server, room);
    let a_id = id_in(&mut a, room);
    let mut b = server.join(room);
    a.send_binary(&frame(0x0e, &string(b.id())));
    assert_eq!(b.expect("ch")["ch"]["crown"]["participantId"], b.id());
    b.send(json!({"m": "chown", "id": a_id}));
    assert_eq!(b.expect("ch")["ch"]["crown"]["participantId"], a_id.as_str());
    a.send_binary(&hex("0e000000"));
    assert!(b.expect("ch")["ch"]["crown"]["participantId"].is_null());
    a.send_binary(&frame(0x0e, &string(&a_id)));
    b.expect("ch");
    b.clear();
    a.send_binary(&frame(0x0a, &[&string(b.id())[..], &number(60000.0)].concat()));
    b.expect("notification");
    assert_eq!(b.joined().room(), "test/awkward");
    // Told when it is on the disk, which may be after all of the above.
    a.expect("notification");
    a.clear();
    a.send_binary(&frame(0x0b, &string(b.id())));
    a.expect("notification");
    b.join(room);
    a.send_binary(&hex("03000000"));
    assert_eq!(a.expect("ls")["c"], true);
    a.send_binary(&hex("04000000"));
    a.clear();
    a.nothing();
}

/// One binary `custom`.
fn binary_custom(head: &Value, payload: &[u8]) -> Vec<u8> {
    let head = head.to_string();
    let mut out = (head.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(payload);
    out
}

/// Statement 154.
fn custom_with_a_payload(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        let mut b = server.join(room);
        let mut text = server.join(room);
        a.clear();
        for client in [&mut b, &mut text] {
            client.send(json!({"m": "+custom"}));
            client.clear();
        }
        // B shows that it knows binary frames by sending one, to nobody.
        b.send_binary(&binary_custom(
            &json!({"m": "custom", "target": {"mode": "ids", "ids": []}}),
            b"",
        ));
        b.nothing();
        let head = br#"{"m":"custom","target":{"mode":"subscribed"}}"#;
        let vector = [&0x2du32.to_be_bytes()[..], head, &[1, 2, 3]].concat();
        assert_eq!(vector.len(), 52);
        a.send_binary(&vector);
        let bytes = b.expect_binary(0);
        let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        let head: Value = serde_json::from_slice(&bytes[4..4 + length]).expect("JSON");
        assert_eq!((&head["m"], &head["p"]), (&json!("custom"), &json!(a.id())));
        assert_eq!(head.get("data"), Some(&Value::Null));
        assert_eq!(bytes[4 + length..], [1, 2, 3]);
        // Somebody who never sent one gets text, without the payload.
        let custom = text.expect("custom");
        assert_eq!((&custom["p"], custom.get("data")), (&json!(a.id()), Some(&Value::Null)));
        // It has not become a binary connection in other respects.
        a.say("text");
        assert!(b.read().json("a").is_some());
        b.nothing();
        text.expect("a");
        // The quota counts data and payload: 16384 bytes.
        let target = json!({"m": "custom", "target": {"mode": "subscribed"}});
        a.send_binary(&binary_custom(&target, &[7; 16_400]));
        // And a frame whose head is wrong is nothing at all.
        a.send_binary(&binary_custom(&json!([target]), b"x"));
        a.send_binary(&binary_custom(&json!({"m": "a", "message": "x"}), b"x"));
        a.send_binary(&[0, 0, 0, 99, b'{', b'}']);
        a.send_binary(&[&0x0000_ffffu32.to_be_bytes()[..], b"{}"].concat());
        a.clear();
        b.nothing();
        text.nothing();
    }
}

/// Statement 155.
fn a_text_client_never_sees_binary(plan: Plan) {
    let server = plan.start();
    let room = ROOMS[1];
    let mut text = server.join(room);
    let mut a = quick(&server, room);
    let mut b = quick(&server, room);
    a.send_binary(&hex("090000060002416c0000"));
    a.send_binary(&hex("06000005000368c3a9"));
    a.send_binary(&hex("0800001040290000000000004049266666666666"));
    b.send_binary(&frame(9, &[string("Bo"), string("#112233")].concat()));
    b.send_binary(&binary_custom(
        &json!({"m": "custom", "data": 1, "target": {"mode": "id", "id": text.id()}}),
        b"payload",
    ));
    a.send_binary(&hex("0e000000"));
    b.send_binary(&hex("02000000"));
    let mut kinds = Vec::new();
    while !kinds.contains(&"bye".to_owned()) || !kinds.contains(&"m".to_owned()) {
        match text.read() {
            Item::Json(value) => kinds.push(value["m"].as_str().unwrap_or_default().to_owned()),
            binary => panic!("{binary}"),
        }
    }
    for kind in ["p", "a", "custom"] {
        assert!(kinds.iter().any(|seen| seen == kind), "no `{kind}` in {kinds:?}");
    }
    text.barrier();
    let binary = text.drain().into_iter().find(|item| matches!(item, Item::Binary(_)));
    assert_eq!(binary, None);
}
