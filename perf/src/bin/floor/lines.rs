//! The floor of the line chat: prompt, nick, `/join`, and lines that are said.

use tutti_perf::poller::wall_ns;

use crate::{Conn, Floor, Phase};

impl Floor {
    /// Says what a terminal sees first.
    pub(crate) fn greet(&mut self, fd: u32) {
        self.reply(fd, |out, _| {
            out.extend_from_slice(b"Welcome to the chat server!\nEnter your nickname: ");
        });
    }

    /// Handles every whole line and says how many bytes they were.
    pub(crate) fn take_lines(&mut self, fd: u32, filled: &[u8]) -> usize {
        let mut at = 0;
        while let Some(len) = filled[at..].iter().position(|&byte| byte == b'\n') {
            self.line(fd, &filled[at..at + len]);
            at += len + 1;
        }
        at
    }

    fn line(&mut self, fd: u32, line: &[u8]) {
        match (self.phase(fd), line.strip_prefix(b"/join ")) {
            (Some(Phase::Opening), _) => self.welcome(fd, line),
            (Some(Phase::Open), Some(room)) => self.go(fd, room),
            (Some(Phase::Open), None) => self.say(fd, line),
            (None, _) => {}
        }
    }

    fn welcome(&mut self, fd: u32, nick: &[u8]) {
        let Some(conn) = self.conns[fd as usize].as_mut() else { return };
        conn.phase = Phase::Open;
        conn.id = [0; 24];
        let len = nick.len().min(conn.id.len());
        conn.id[..len].copy_from_slice(&nick[..len]);
        self.seat(fd, b"lobby");
        self.reply(fd, |out, _| {
            out.extend_from_slice(b"Welcome ");
            out.extend_from_slice(nick);
            out.extend_from_slice(b"! You are in #lobby\nType /help for available commands\n");
        });
        self.tell_others(fd, b" joined the room\n");
    }

    fn go(&mut self, fd: u32, room: &[u8]) {
        self.tell_others(fd, b" left the room\n");
        self.seat(fd, room);
        self.reply(fd, |out, _| {
            out.extend_from_slice(b"You joined #");
            out.extend_from_slice(room);
            out.push(b'\n');
        });
        self.tell_others(fd, b" joined the room\n");
    }

    fn say(&mut self, fd: u32, line: &[u8]) {
        let Some(nick) = self.nick(fd) else { return };
        let of_day_s = wall_ns() / 1_000_000_000 % 86_400;
        let (h, m, s) = (of_day_s / 3600, of_day_s / 60 % 60, of_day_s % 60);
        self.broadcast_frame(fd, true, |out| {
            out.extend_from_slice(format!("[{h:02}:{m:02}:{s:02}] ").as_bytes());
            out.extend_from_slice(&nick);
            out.extend_from_slice(b": ");
            out.extend_from_slice(line);
            out.push(b'\n');
        });
    }

    pub(crate) fn tell_others(&mut self, fd: u32, what: &[u8]) {
        let Some(nick) = self.nick(fd) else { return };
        self.broadcast_frame(fd, false, |out| {
            out.extend_from_slice(b"*** ");
            out.extend_from_slice(&nick);
            out.extend_from_slice(what);
        });
    }

    fn nick(&self, fd: u32) -> Option<Vec<u8>> {
        let Conn { id, .. } = &**self.conns.get(fd as usize)?.as_ref()?;
        Some(id.split(|&byte| byte == 0).next()?.to_vec())
    }
}
