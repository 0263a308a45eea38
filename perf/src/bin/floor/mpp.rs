//! The floor of Multiplayer Piano: the upgrade, and messages by their first bytes.

use tungstenite::handshake::derive_accept_key;
use tutti_perf::poller::wall_ns;
use tutti_perf::ws;

use crate::{Floor, Phase};

/// The settings of a test lobby, as the real server words them.
const SETTINGS: &str = r##"{"lobby":true,"visible":true,"chat":true,"crownsolo":false,"color":"#73b3cc","color2":"#273546","noindex":false}"##;

impl Floor {
    /// Handles every whole frame and says how many bytes they were; `None` when the connection is over.
    pub(crate) fn frames(&mut self, fd: u32, filled: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        if self.phase(fd) == Some(Phase::Opening) {
            match ws::find(filled, b"\r\n\r\n") {
                Some(end) => {
                    let accept = accept_key(&filled[..end])?;
                    let conn = self.conns[fd as usize].as_mut()?;
                    conn.phase = Phase::Open;
                    at = end + 4;
                    self.reply(fd, |out, _| {
                        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ");
                        out.extend_from_slice(accept.as_bytes());
                        out.extend_from_slice(b"\r\n\r\n");
                        put_text(out, br#"[{"m":"b","code":""}]"#);
                    });
                }
                None if filled.len() > 16 << 10 => return None,
                None => {}
            }
        }
        while self.phase(fd) == Some(Phase::Open) {
            let Some(head) = ws::header(&filled[at..]) else { break };
            if head.len > ws::FRAME_BYTES_MAX {
                return None;
            }
            let Some(payload) = filled[at..].get_mut(head.head..head.head + head.len) else {
                break;
            };
            if let Some(mask) = head.mask {
                ws::apply_mask(payload, mask);
            }
            match head.opcode {
                ws::TEXT => self.message(fd, payload),
                ws::CLOSE => return None,
                ws::PING => self.reply(fd, |out, _| {
                    ws::put_header(out, ws::PONG, payload.len());
                    out.extend_from_slice(payload);
                }),
                _ => {}
            }
            at += head.head + head.len;
        }
        Some(at)
    }

    fn message(&mut self, fd: u32, payload: &[u8]) {
        match payload {
            [b'[', b'{', b'"', b'm', b'"', b':', b'"', kind, b'"', rest @ ..] => match (kind, rest)
            {
                (b'n', [b',', b'"', b't', b'"', b':', rest @ ..]) => {
                    // `T,"n":[...]}]`: the participant id goes behind the number.
                    let Some(comma) = rest.iter().position(|&b| b == b',') else { return };
                    let (time, notes) = rest.split_at(comma);
                    self.broadcast(fd, [br#"[{"m":"n","t":"#, time, br#","p":""#, b"\"", notes]);
                }
                (b'm', [b',', position @ ..]) => {
                    self.broadcast(fd, [br#"[{"m":"m"#, b"", br#"","id":""#, br#"","#, position]);
                }
                (b'a', rest) => {
                    self.broadcast(fd, [br#"[{"m":"a"#, b"", br#"","p":""#, b"\"", rest]);
                }
                (b't', rest) => self.reply(fd, |out, _| {
                    let mut text =
                        format!(r#"[{{"m":"t","t":{}"#, wall_ns() / 1_000_000).into_bytes();
                    text.extend_from_slice(rest);
                    put_text(out, &text);
                }),
                _ => {}
            },
            [b'[', b'{', b'"', b'm', b'"', b':', b'"', b'h', b'i', b'"', ..] => {
                self.reply(fd, |out, id| {
                    let id = std::str::from_utf8(id).unwrap_or_default();
                    let text = format!(
                        r##"[{{"m":"hi","t":{},"u":{{"_id":"{id}","id":"{id}","name":"Anonymous","color":"#{}"}},"permissions":{{}},"motd":"Welcome"}},{{"m":"nq","allowance":400,"max":1200,"maxHistLen":3}}]"##,
                        wall_ns() / 1_000_000,
                        &id[..6]
                    );
                    put_text(out, text.as_bytes());
                });
            }
            [b'[', b'{', b'"', b'm', b'"', b':', b'"', b'c', b'h', b'"', rest @ ..] => {
                self.join(fd, rest);
            }
            _ => {}
        }
    }

    /// Seats the socket, tells it who is there, and tells them about it, as a real join does.
    fn join(&mut self, fd: u32, rest: &[u8]) {
        let Some(start) = ws::find(rest, br#""_id":""#) else { return };
        let name = &rest[start + 7..];
        let Some(end) = name.iter().position(|&b| b == b'"') else { return };
        let name = &name[..end];
        let Some(room) = self.seat(fd, name) else { return };
        let Some(id) = self.conns[fd as usize].as_ref().map(|conn| conn.id) else { return };
        let seats = &self.rooms[room as usize];

        let mut text = br#"[{"m":"ch","p":""#.to_vec();
        text.extend_from_slice(&id);
        let name = &seats.name;
        let count = seats.members.len();
        text.extend_from_slice(
            format!(r#"","ch":{{"_id":"{name}","id":"{name}","count":{count},"settings":{SETTINGS}}},"ppl":["#)
                .as_bytes(),
        );
        for (i, &member) in seats.members.iter().enumerate() {
            let Some(member) = self.conns[member as usize].as_ref() else { continue };
            text.extend_from_slice(if i == 0 { b"{" } else { b",{" });
            put_participant(&mut text, &member.id);
        }
        text.extend_from_slice(
            br#"]},{"m":"c","c":[]},{"m":"nq","allowance":200,"max":600,"maxHistLen":3}]"#,
        );
        self.reply(fd, |out, _| put_text(out, &text));
        let mut person = Vec::with_capacity(128);
        put_participant(&mut person, &id);
        self.broadcast_frame(fd, false, |frame| {
            ws::put_header(frame, ws::TEXT, 10 + person.len() + 1);
            frame.extend_from_slice(br#"[{"m":"p","#);
            frame.extend_from_slice(&person);
            frame.extend_from_slice(b"]");
        });
    }

    /// Sends `parts` to the others of the room, with the sender's id between the third and fourth.
    fn broadcast(&mut self, from: u32, parts: [&[u8]; 5]) {
        let Some(conn) = self.conns[from as usize].as_ref() else { return };
        let id = conn.id;
        self.broadcast_frame(from, false, |frame| {
            let len = parts.iter().map(|part| part.len()).sum::<usize>() + id.len();
            ws::put_header(frame, ws::TEXT, len);
            for part in &parts[..3] {
                frame.extend_from_slice(part);
            }
            frame.extend_from_slice(&id);
            for part in &parts[3..] {
                frame.extend_from_slice(part);
            }
        });
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    ws::put_header(out, ws::TEXT, text.len());
    out.extend_from_slice(text);
}

/// A participant object without its opening brace.
fn put_participant(out: &mut Vec<u8>, id: &[u8; 24]) {
    out.extend_from_slice(br#""id":""#);
    out.extend_from_slice(id);
    out.extend_from_slice(br#"","_id":""#);
    out.extend_from_slice(id);
    out.extend_from_slice(br##"","name":"Anonymous","color":"#"##);
    out.extend_from_slice(&id[..6]);
    out.extend_from_slice(br#"","x":200,"y":100}"#);
}

fn accept_key(request: &[u8]) -> Option<String> {
    let name = b"sec-websocket-key:";
    let at = request.windows(name.len()).position(|part| part.eq_ignore_ascii_case(name))?;
    let value = &request[at + name.len()..];
    let end = value.iter().position(|&b| b == b'\r').unwrap_or(value.len());
    Some(derive_accept_key(value[..end].trim_ascii()))
}
