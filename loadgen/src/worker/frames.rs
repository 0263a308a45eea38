//! What a server sends over a WebSocket: the answer to the upgrade, then frames.

use super::Worker;
use super::peer::{Goal, State};
use crate::net::{target, ws};
use crate::scenario::Dialect;

/// Longest HTTP answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

impl Worker {
    /// Handles every whole frame and says how many bytes they were. The loop over a saturated peer's frames
    /// looks at two bytes of each and hands it on, so that a message costs nanoseconds.
    pub(super) fn frames(&mut self, idx: u32, filled: &[u8], at_us: u64) -> usize {
        let mut at = 0;
        let attempt = self.peers[idx as usize].attempt;
        if self.peers[idx as usize].goal == Goal::Connected {
            // Nobody asked for a WebSocket here: this is an HTTP error.
            let line = filled.split(|&byte| byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(&line[..line.len().min(100)]).into_owned();
            self.gone(idx, line.strip_prefix("HTTP/1.1 ").unwrap_or(&line));
            return filled.len();
        }
        if self.peers[idx as usize].state == State::Opening {
            let Some(end) = memchr::memmem::find(filled, b"\r\n\r\n") else {
                if filled.len() > HEAD_BYTES_MAX {
                    self.gone(idx, "an HTTP answer without an end");
                }
                return 0;
            };
            if let Err(reason) = target::judge_response(&filled[..end]) {
                self.gone(idx, &reason);
                return filled.len();
            }
            at = end + 4;
            self.upgraded(idx);
        }
        while let Some(head) = ws::header(&filled[at..]) {
            // What a message caused may have ended the connection.
            if self.peers[idx as usize].attempt != attempt {
                return filled.len();
            }
            if let Some(fault) = fault_of(head) {
                self.gone(idx, fault);
                return filled.len();
            }
            let start = at + head.head;
            let Some(payload) = filled.get(start..start + head.len) else { break };
            at = start + head.len;
            self.tallies.frames += 1;
            match head.opcode {
                ws::TEXT | ws::BINARY if head.fin => {
                    self.hear(idx, payload, dialect_of(head.opcode), at_us);
                }
                ws::PING => {
                    self.tallies.pings += 1;
                    let key = self.mask_key();
                    let peer = &mut self.peers[idx as usize];
                    if peer.fd.is_some() {
                        ws::put_masked(&mut peer.output, ws::PONG, payload, key);
                    }
                    self.send_output(idx);
                    self.watch_output(idx);
                }
                ws::CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    self.gone(idx, format!("{code} {reason}").trim_end());
                    return filled.len();
                }
                ws::PONG => {}
                ws::TEXT | ws::BINARY | ws::CONTINUATION => {
                    if let Err(fault) = self.put_part(idx, head, payload, at_us) {
                        self.gone(idx, fault);
                        return filled.len();
                    }
                }
                _ => {
                    self.gone(idx, "a frame of no known kind");
                    return filled.len();
                }
            }
        }
        at
    }

    /// Handles a frame that is not a whole message.
    #[cold]
    fn put_part(
        &mut self,
        idx: u32,
        head: ws::Header,
        payload: &[u8],
        at_us: u64,
    ) -> Result<(), &'static str> {
        let peer = &mut self.peers[idx as usize];
        let goes_on = head.opcode == ws::CONTINUATION;
        if goes_on == (peer.parts_opcode == ws::CONTINUATION) {
            return Err("frames of a message out of order");
        }
        if peer.parts.len() + payload.len() > ws::FRAME_BYTES_MAX {
            return Err("a message of more than 16 MiB");
        }
        if !goes_on {
            peer.parts_opcode = head.opcode;
        }
        peer.parts.extend_from_slice(payload);
        self.held += payload.len();
        if head.fin {
            let dialect = dialect_of(std::mem::take(&mut peer.parts_opcode));
            let whole = std::mem::take(&mut peer.parts);
            self.held -= whole.len();
            self.hear(idx, &whole, dialect, at_us);
        }
        Ok(())
    }
}

/// The dialect of a message, by the opcode of its first frame.
#[inline]
fn dialect_of(opcode: u8) -> Dialect {
    if opcode == ws::BINARY { Dialect::Quick } else { Dialect::Text }
}

/// What is wrong with a frame that a server sent, by its header.
#[inline]
fn fault_of(head: ws::Header) -> Option<&'static str> {
    if head.len > ws::FRAME_BYTES_MAX {
        Some("a frame of more than 16 MiB")
    } else if head.mask.is_some() {
        Some("a masked frame, which servers do not send")
    } else if head.reserved {
        Some("a frame of an extension that nobody asked for")
    } else {
        None
    }
}
