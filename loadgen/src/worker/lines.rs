//! What a server sends to a terminal: lines, and a prompt that has no end.

use super::Worker;
use super::peer::{Goal, State};
use crate::scenario::Dialect;
use crate::wire::line::PROMPT;

/// Longest line that is taken, in bytes. One of 512 characters with its time and name has less than 2 KiB.
const LINE_BYTES_MAX: usize = 64 << 10;

impl Worker {
    /// Handles every whole line and says how many bytes they were.
    pub(super) fn lines(&mut self, idx: u32, filled: &[u8], at_us: u64) -> usize {
        let attempt = self.peers[idx as usize].attempt;
        // Who only connects hears nothing.
        if self.peers[idx as usize].goal == Goal::Connected {
            return filled.len();
        }
        let mut at = 0;
        let ends = memchr::memchr_iter(b'\n', filled).chain(std::iter::once(filled.len()));
        for end in ends {
            let line = &filled[at..end];
            if line.len() > LINE_BYTES_MAX {
                self.gone(idx, "a line of more than 64 KiB");
                return filled.len();
            }
            if end == filled.len() {
                break;
            }
            self.tallies.frames += 1;
            self.hear(idx, line, Dialect::Line, at_us);
            at = end + 1;
            // What a line caused may have ended the connection.
            if self.peers[idx as usize].attempt != attempt {
                return filled.len();
            }
        }
        if self.peers[idx as usize].state == State::Opening && &filled[at..] == PROMPT {
            self.upgraded(idx);
            return filled.len();
        }
        at
    }
}
