//! The life of a connection: connect, upgrade, `hi`, `ch`, frames, and the end.

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::orders::Event;
use super::peer::{Goal, State};
use super::{READ_BYTES, Worker};
use crate::net::{socket, target, ws};
use crate::scenario::{Dialect, Reads};
use crate::wire::{self, What, text};

/// Reads in a row from one socket before the others have their turn.
const READS_IN_A_ROW: usize = 8;
/// A read of less than this brings single messages, each with an acknowledgement to save.
const SMALL: usize = 1024;
/// A server that leaves so much unread does not read at all.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

impl Worker {
    /// Begins a connection for a person without one.
    pub(super) fn connect(&mut self, idx: u32, since_us: u64) -> Result<()> {
        let peer = &mut self.peers[idx as usize];
        let everybody = self.offsets[usize::from(peer.person.group)] + peer.person.index as usize;
        let address = self.endpoint.address;
        let from = self.endpoint.sources.of(everybody, address);
        peer.since_us = since_us;
        let fd = match socket::connect(address, from) {
            Ok(fd) => fd,
            Err(error) => {
                let text = match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE) => {
                        bail!("out of file descriptors; raise the limit: ulimit -n")
                    }
                    Some(libc::EADDRNOTAVAIL) => {
                        "no local port or address is free (--sources)".to_owned()
                    }
                    _ => error.to_string(),
                };
                self.gone(idx, &text);
                return Ok(());
            }
        };
        let group = &self.scenario.groups[usize::from(peer.person.group)];
        if group.reads != Reads::Always {
            socket::keep_little(&fd).context("a small receive buffer")?;
        }
        socket::ask_for_times(&fd);
        peer.attempt += 1;
        let token = u64::from(peer.attempt) << 32 | u64::from(idx);
        self.poller.add(&fd, token, true).context("epoll")?;
        peer.fd = Some(fd);
        self.set_state(idx, State::Connecting);
        Ok(())
    }

    /// A socket takes bytes (again), or its connect has ended.
    pub(super) fn writable(&mut self, idx: u32) -> Result<()> {
        let peer = &mut self.peers[idx as usize];
        let Some(fd) = &peer.fd else { return Ok(()) };
        if peer.state == State::Connecting {
            match rustix::net::sockopt::socket_error(fd) {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => {
                    self.gone(idx, &format!("connect: {error}"));
                    return Ok(());
                }
            }
            peer.writable = true;
            if peer.goal == Goal::Connected {
                self.set_state(idx, State::Ready);
                return Ok(());
            }
            let everybody =
                self.offsets[usize::from(peer.person.group)] + peer.person.index as usize;
            let request = self.endpoint.request(everybody);
            peer.output.extend_from_slice(request.as_bytes());
            self.set_state(idx, State::Upgrading);
            self.send_output(idx);
            return Ok(());
        }
        peer.writable = true;
        self.send_output(idx);
        Ok(())
    }

    /// Sends one message at once.
    pub(super) fn send(&mut self, idx: u32, payload: &[u8], binary: bool) {
        let key = self.mask_key();
        let opcode = if binary { ws::BINARY } else { ws::TEXT };
        let peer = &mut self.peers[idx as usize];
        if !peer.output.is_empty() {
            peer.put_frame(opcode, payload, key);
            return self.watch_output(idx);
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        ws::put_masked(&mut frame, opcode, payload, key);
        self.send_raw(idx, &frame);
        self.frame = frame;
    }

    /// Keeps one message for the end of this turn.
    pub(super) fn queue(&mut self, idx: u32, payload: &[u8], binary: bool) {
        let key = self.mask_key();
        let opcode = if binary { ws::BINARY } else { ws::TEXT };
        let peer = &mut self.peers[idx as usize];
        if peer.output.is_empty() {
            self.queued.push(idx);
        }
        peer.put_frame(opcode, payload, key);
        self.watch_output(idx);
    }

    /// Sends what was queued.
    pub(super) fn flush(&mut self) {
        let mut queued = std::mem::take(&mut self.queued);
        for idx in queued.drain(..) {
            self.send_output(idx);
        }
        self.queued = queued;
    }

    /// Sends bytes as they are; what the socket does not take waits.
    pub(super) fn send_raw(&mut self, idx: u32, bytes: &[u8]) {
        let peer = &mut self.peers[idx as usize];
        let Some(fd) = &peer.fd else { return };
        let mut sent = 0;
        if peer.output.is_empty() && peer.writable {
            match rustix::net::send(fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(taken) => sent = taken,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return self.gone(idx, &error.to_string()),
            }
            self.tallies.bytes_sent += sent as u64;
        }
        if sent < bytes.len() {
            peer.writable = false;
            peer.output.extend_from_slice(&bytes[sent..]);
            self.watch_output(idx);
        }
    }

    fn send_output(&mut self, idx: u32) {
        let peer = &mut self.peers[idx as usize];
        if peer.output.is_empty() || !peer.writable {
            return;
        }
        let output = std::mem::take(&mut peer.output);
        self.send_raw(idx, &output);
        let peer = &mut self.peers[idx as usize];
        if peer.output.is_empty() {
            peer.output = output;
            peer.output.clear();
        }
    }

    fn watch_output(&mut self, idx: u32) {
        if self.peers[idx as usize].output.len() > OUTPUT_BYTES_MAX {
            self.gone(idx, "the server stopped reading");
        }
    }

    /// Mask keys only have to differ, so that nobody can skip the unmasking.
    fn mask_key(&mut self) -> [u8; 4] {
        (self.random() as u32).to_ne_bytes()
    }

    /// Reads a socket until it has nothing more, or the others have to have their turn.
    pub(super) fn read(&mut self, idx: u32) -> Result<()> {
        let peer = &self.peers[idx as usize];
        let reads = self.scenario.groups[usize::from(peer.person.group)].reads;
        if reads != Reads::Always && peer.state.is_ready() {
            return self.is_it_over(idx);
        }
        for _ in 0..READS_IN_A_ROW {
            if self.read_once(idx, READ_BYTES)? < READ_BYTES {
                return Ok(());
            }
        }
        self.unread.push(idx);
        Ok(())
    }

    /// Reads at most `most` bytes once and handles the frames; how many there were.
    pub(super) fn read_once(&mut self, idx: u32, most: usize) -> Result<usize> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_into(idx, &mut buffer, most);
        self.buffer = buffer;
        result
    }

    fn read_into(&mut self, idx: u32, buffer: &mut Vec<u8>, most: usize) -> Result<usize> {
        let peer = &mut self.peers[idx as usize];
        let Some(fd) = &peer.fd else { return Ok(0) };
        let kept = peer.rest.len();
        if buffer.len() < kept + most {
            buffer.resize(kept + most, 0);
        }
        let received = match socket::receive(fd, &mut buffer[kept..kept + most]) {
            Ok(received) => received,
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted => return Ok(0),
                _ => {
                    self.gone(idx, &error.to_string());
                    return Ok(0);
                }
            },
        };
        if received.bytes == 0 {
            self.gone(idx, "closed without a reason");
            return Ok(0);
        }
        if received.bytes < SMALL {
            socket::acknowledge_late(fd);
        }
        buffer[..kept].copy_from_slice(&peer.rest);
        peer.rest.clear();
        self.tallies.reads += 1;
        self.tallies.bytes_received += received.bytes as u64;
        let now_us = self.clock.now_us();
        let at_us = received
            .at_us
            .map_or(now_us, |at_us| at_us.saturating_add_signed(self.behind_wall_us).min(now_us));
        let attempt = peer.attempt;
        let filled = &buffer[..kept + received.bytes];
        let at = self.frames(idx, filled, at_us)?;
        let peer = &mut self.peers[idx as usize];
        // Unless that connection has ended meanwhile.
        if peer.attempt == attempt {
            peer.rest.extend_from_slice(&filled[at..]);
        }
        Ok(received.bytes)
    }

    /// Handles every whole frame and says how many bytes they were. The loop over a saturated peer's frames
    /// looks at two bytes of each and hands it on, so that a message costs nanoseconds.
    fn frames(&mut self, idx: u32, filled: &[u8], at_us: u64) -> Result<usize> {
        let mut at = 0;
        if self.peers[idx as usize].state == State::Upgrading {
            let Some(end) = memchr::memmem::find(filled, b"\r\n\r\n") else { return Ok(0) };
            if let Err(reason) = target::judge_response(&filled[..end]) {
                self.gone(idx, &reason);
                return Ok(filled.len());
            }
            at = end + 4;
            self.upgraded(idx);
        }
        while let Some(head) = ws::header(&filled[at..]) {
            if head.len > ws::FRAME_BYTES_MAX {
                self.gone(idx, "a frame of more than 16 MiB");
                return Ok(filled.len());
            }
            let start = at + head.head;
            let Some(payload) = filled.get(start..start + head.len) else { break };
            at = start + head.len;
            self.tallies.frames += 1;
            match head.opcode {
                ws::TEXT | ws::BINARY if head.fin => {
                    self.hear(idx, payload, head.opcode == ws::BINARY, at_us);
                }
                ws::PING => {
                    self.tallies.pings += 1;
                    let key = self.mask_key();
                    let peer = &mut self.peers[idx as usize];
                    peer.put_frame(ws::PONG, payload, key);
                    self.send_output(idx);
                }
                ws::CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    self.gone(idx, format!("{code} {reason}").trim_end());
                    return Ok(filled.len());
                }
                ws::PONG => {}
                _ => *self.tallies.errors.entry("a fragmented frame".to_owned()).or_default() += 1,
            }
        }
        Ok(at)
    }

    #[inline]
    fn hear(&mut self, idx: u32, payload: &[u8], binary: bool, at_us: u64) {
        // What nuisances hear of each other concerns nobody.
        let mut books = self.books.as_mut().filter(|_| !self.peers[idx as usize].nuisance);
        // What changes the connection itself is seldom, and is looked at afterwards.
        let mut seldom = Vec::new();
        wire::each_message(payload, binary, |what, message| match what {
            What::Note | What::Chat | What::Cursor | What::Time => {
                if let Some(books) = &mut books {
                    books.deliver(idx, what, message, at_us);
                }
            }
            What::Hi | What::Channel | What::List | What::Notification => {
                if let wire::Message::Text(text) = message {
                    seldom.push((what, text));
                }
            }
            What::History | What::Other => {}
        });
        for (what, text) in seldom {
            match what {
                What::Hi => self.greeted(idx),
                What::Channel => self.seated(idx, text, at_us),
                What::List => self.listed(text, at_us),
                _ => {
                    self.tallies.notifications += 1;
                    let first = &mut self.tallies.first_notification;
                    first.get_or_insert_with(|| text::notification_text(text));
                }
            }
        }
    }

    fn upgraded(&mut self, idx: u32) {
        if self.peers[idx as usize].goal == Goal::Upgraded {
            return self.set_state(idx, State::Ready);
        }
        self.set_state(idx, State::Greeting);
        let mut message = std::mem::take(&mut self.message);
        let dialect = self.scenario.dialect;
        wire::put_hi(&mut message, dialect);
        self.send(idx, &message, dialect == Dialect::Quick);
        self.message = message;
    }

    fn greeted(&mut self, idx: u32) {
        if self.peers[idx as usize].state == State::Greeting {
            let channel = self.channel_name(idx);
            self.set_state(idx, State::Joining);
            self.join(idx, &channel);
        }
    }

    /// Asks for a seat in a channel.
    pub(super) fn join(&mut self, idx: u32, channel: &str) {
        let mut message = std::mem::take(&mut self.message);
        let dialect = self.scenario.dialect;
        wire::put_join(&mut message, dialect, channel);
        self.send(idx, &message, dialect == Dialect::Quick);
        self.message = message;
    }

    /// The name of the channel that a person is to sit in.
    pub(super) fn channel_name(&self, idx: u32) -> String {
        let peer = &self.peers[idx as usize];
        format!("{}-{}-{}-{}", self.prefix, self.generation, peer.room, peer.channel)
    }

    fn seated(&mut self, idx: u32, channel: &[u8], at_us: u64) {
        let peer = &mut self.peers[idx as usize];
        let state = peer.state;
        // Settings and crowns are told by `ch` as well.
        if !matches!(state, State::Joining | State::Moving) {
            return;
        }
        let Some(id) = text::own_id(channel) else {
            let text = "a `ch` without the receiver's own id".to_owned();
            *self.tallies.errors.entry(text).or_default() += 1;
            return;
        };
        if *peer.id != *id {
            peer.id = id.into();
        }
        let since_us = peer.since_us;
        let (place, person, peer_is_nuisance) = (peer.channel, peer.person, peer.nuisance);
        let group = usize::from(person.group);
        self.set_state(idx, State::Ready);
        let event = match (state, self.books.is_some()) {
            (State::Moving, _) => Event::Join,
            (_, false) => Event::Arrival,
            (_, true) => Event::Back,
        };
        if peer_is_nuisance {
            return;
        }
        let (from_us, to_us) = self.window_us;
        if event == Event::Arrival || (from_us..to_us).contains(&since_us) {
            self.timed.record(event, at_us.saturating_sub(since_us));
        }
        match event {
            Event::Join => self.tallies.joins += 1,
            Event::Back => self.tallies.returns += 1,
            _ => {}
        }
        if let Some(books) = &mut self.books {
            books.moved(idx, place);
        }
        if self.scenario.groups[group].list && state == State::Joining {
            let mut message = std::mem::take(&mut self.message);
            let dialect = self.scenario.dialect;
            wire::put_follow_list(&mut message, dialect);
            self.send(idx, &message, dialect == Dialect::Quick);
            self.message = message;
        }
        self.after_seat(idx);
    }

    /// A connection that is not read from may have ended all the same.
    fn is_it_over(&mut self, idx: u32) -> Result<()> {
        let peer = &self.peers[idx as usize];
        let Some(fd) = &peer.fd else { return Ok(()) };
        let mut poll = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::RDHUP)];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut poll, Some(&none)).context("poll")?;
        let over = rustix::event::PollFlags::RDHUP
            | rustix::event::PollFlags::HUP
            | rustix::event::PollFlags::ERR;
        if poll[0].revents().intersects(over) {
            self.gone(idx, "closed");
        }
        Ok(())
    }

    /// A connection has ended, or never came to be.
    pub(super) fn gone(&mut self, idx: u32, reason: &str) {
        let peer = &mut self.peers[idx as usize];
        let was_ready = peer.state.is_ready();
        peer.drop_connection();
        let person = peer.person;
        self.set_state(idx, State::Absent);
        let group = &self.scenario.groups[usize::from(person.group)];
        if group.abuse.is_some() {
            let key = format!("{}: {reason}", group.name);
            *self.tallies.abuse.entry(key).or_default() += 1;
            return;
        }
        let counts = if was_ready && group.may_be_turned_out() {
            &mut self.tallies.turned_out
        } else if was_ready {
            &mut self.tallies.closed
        } else {
            &mut self.tallies.refused
        };
        *counts.entry(reason.to_owned()).or_default() += 1;
        self.after_loss(idx);
    }
}
