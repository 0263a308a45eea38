//! The life of a connection: connect, send, read, and the end. What is read is taken apart by `frames` or `lines`.

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::orders::Tallies;
use super::peer::{Goal, State};
use super::{READ_BYTES, Worker};
use crate::net::socket;
use crate::scenario::{Dialect, Reads};
use crate::wire;

/// Reads in a row from one socket before the others have their turn.
const READS_IN_A_ROW: usize = 8;
/// A read of less than this brings single messages, each with an acknowledgement to save.
const SMALL: usize = 1024;
/// Bytes of unfinished frames that one thread keeps in all.
const HELD_BYTES_MAX: usize = 1 << 30;
/// A server that leaves so much unread does not read at all.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

impl Worker {
    /// Whether terminals are played here, and no WebSockets.
    pub(super) fn speaks_lines(&self) -> bool {
        self.scenario.dialect == Dialect::Line
    }

    /// Begins a connection for a person without one.
    pub(super) fn connect(&mut self, idx: u32, since_us: u64) -> Result<()> {
        let peer = &mut self.peers[idx as usize];
        let everybody = self.offsets[usize::from(peer.person.group)] + peer.person.index as usize;
        let address = self.endpoint.address;
        let from = self.endpoint.sources.of(everybody, address);
        peer.since_us = since_us;
        if self.quic.is_some() {
            return self.connect_quic(idx, from);
        }
        let fd = match socket::connect(address, from) {
            Ok(fd) => fd,
            Err(error) => return self.unconnected(idx, &error),
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

    /// A connection could not even begin.
    pub(super) fn unconnected(&mut self, idx: u32, error: &std::io::Error) -> Result<()> {
        let text = match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => {
                bail!("out of file descriptors; raise the limit: ulimit -n")
            }
            Some(libc::EADDRNOTAVAIL) => "no local port or address is free (--sources)".to_owned(),
            _ => error.to_string(),
        };
        self.gone(idx, &text);
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
            let everybody =
                self.offsets[usize::from(peer.person.group)] + peer.person.index as usize;
            let only_connects = peer.goal == Goal::Connected;
            self.set_state(idx, if only_connects { State::Ready } else { State::Opening });
            // Who only connects requests nothing, but says where it comes from.
            if !only_connects || self.speaks_lines() {
                let opening = self.endpoint.opening(everybody);
                self.peers[idx as usize].output.extend_from_slice(&opening);
                self.send_output(idx);
            }
            return Ok(());
        }
        peer.writable = true;
        self.send_output(idx);
        Ok(())
    }

    /// Sends one message at once.
    pub(super) fn send(&mut self, idx: u32, message: &[u8], dialect: Dialect) {
        if dialect == Dialect::Quic {
            return self.send_frames(idx, message, true);
        }
        let mask = self.mask_key();
        let peer = &mut self.peers[idx as usize];
        if !peer.output.is_empty() {
            peer.put(message, dialect, mask);
            return self.watch_output(idx);
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        wire::wrap(&mut frame, dialect, message, mask);
        self.send_raw(idx, &frame);
        self.frame = frame;
    }

    /// Keeps one message for the end of this turn.
    pub(super) fn queue(&mut self, idx: u32, message: &[u8], dialect: Dialect) {
        if dialect == Dialect::Quic {
            return self.send_frames(idx, message, false);
        }
        let mask = self.mask_key();
        let peer = &mut self.peers[idx as usize];
        if peer.output.is_empty() {
            self.queued.push(idx);
        }
        peer.put(message, dialect, mask);
        self.watch_output(idx);
    }

    /// Sends what was queued.
    pub(super) fn flush(&mut self) {
        let mut queued = std::mem::take(&mut self.queued);
        for idx in queued.drain(..) {
            self.send_output(idx);
        }
        self.queued = queued;
        if let Some(quic) = &mut self.quic {
            quic.flush();
        }
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

    pub(super) fn send_output(&mut self, idx: u32) {
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

    pub(super) fn watch_output(&mut self, idx: u32) {
        if self.peers[idx as usize].output.len() > OUTPUT_BYTES_MAX {
            self.gone(idx, "the server stopped reading");
        }
    }

    /// Mask keys only have to differ, so that nobody can skip the unmasking.
    pub(super) fn mask_key(&mut self) -> [u8; 4] {
        (self.random() as u32).to_ne_bytes()
    }

    /// Reads a socket until it has nothing more, or the others have to have their turn.
    pub(super) fn read(&mut self, idx: u32) -> Result<()> {
        let peer = &self.peers[idx as usize];
        let reads = self.scenario.groups[usize::from(peer.person.group)].reads;
        let reads_not = reads != Reads::Always && peer.state.is_ready() && !self.hurry;
        // Why it is over stands behind what was not read.
        if reads_not && !self.is_over(idx)? {
            return Ok(());
        }
        for _ in 0..READS_IN_A_ROW {
            let read = self.read_once(idx, READ_BYTES)?;
            // No edge will tell of the end of the stream behind the last bytes.
            if read == 0 || read < READ_BYTES && !self.peers[idx as usize].ended {
                return Ok(());
            }
        }
        self.unread.push(idx);
        Ok(())
    }

    /// Reads at most `most` bytes once and handles what they hold; how many there were.
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
            let said = std::mem::take(&mut peer.farewell);
            self.gone(idx, if said.is_empty() { "closed without a reason" } else { &said });
            return Ok(0);
        }
        if received.bytes < SMALL {
            socket::acknowledge_late(fd);
        }
        buffer[..kept].copy_from_slice(&peer.rest);
        peer.rest.clear();
        self.held -= kept;
        self.tallies.reads += 1;
        self.tallies.bytes_received += received.bytes as u64;
        let now_us = self.clock.now_us();
        // The kernel tells the time of the last packet that was read to its end. With a full buffer there may be
        // more of a later one, of which it tells nothing.
        let told = received.at_us.filter(|_| received.bytes < most);
        let at_us = told
            .map_or(now_us, |at_us| at_us.saturating_add_signed(self.behind_wall_us).min(now_us));
        let attempt = peer.attempt;
        let filled = &buffer[..kept + received.bytes];
        let at = match self.scenario.dialect {
            Dialect::Line => self.lines(idx, filled, at_us),
            Dialect::Text | Dialect::Quick => self.frames(idx, filled, at_us),
            // Has no descriptor that is read here.
            Dialect::Quic => filled.len(),
        };
        let peer = &mut self.peers[idx as usize];
        // Unless that connection has ended meanwhile.
        if peer.attempt == attempt {
            peer.rest.extend_from_slice(&filled[at..]);
            self.held += filled.len() - at;
            if self.held > HELD_BYTES_MAX {
                self.gone(idx, "unfinished messages of the server fill the memory");
            }
        }
        Ok(received.bytes)
    }

    /// A connection that is not read from may have ended all the same.
    fn is_over(&self, idx: u32) -> Result<bool> {
        let Some(fd) = &self.peers[idx as usize].fd else { return Ok(false) };
        let mut poll = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::RDHUP)];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut poll, Some(&none)).context("poll")?;
        let over = rustix::event::PollFlags::RDHUP
            | rustix::event::PollFlags::HUP
            | rustix::event::PollFlags::ERR;
        Ok(poll[0].revents().intersects(over))
    }

    /// A connection has ended, or never came to be.
    pub(super) fn gone(&mut self, idx: u32, reason: &str) {
        let peer = &self.peers[idx as usize];
        let (was_ready, person) = (peer.state.is_ready(), peer.person);
        self.drop_connection(idx);
        let group = &self.scenario.groups[usize::from(person.group)];
        if group.abuse.is_some() {
            // Why the server closes is its own affair; that it does, and by which code, is of interest.
            let code = reason.split_once(' ').filter(|(code, _)| code.parse::<u16>().is_ok());
            let key = format!("{}: {}", group.name, code.map_or(reason, |(code, _)| code));
            Tallies::count(&mut self.tallies.abuse, &key);
            return;
        }
        let counts = if was_ready && group.may_be_turned_out() {
            &mut self.tallies.turned_out
        } else if was_ready {
            &mut self.tallies.closed
        } else {
            &mut self.tallies.refused
        };
        Tallies::count(counts, reason);
        self.after_loss(idx);
    }
}
