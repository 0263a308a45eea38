//! The floor: the least that a Multiplayer Piano server, or with `--lines` one of the line chat, can do.
//!
//! One thread, one epoll loop. It knows messages by their first bytes (`mpp`, `lines`), checks nothing,
//! keeps no state but who sits where, and sends the bytes that the real server would send to as many
//! sockets. What it costs is what the kernel costs, so a ratio to it says what a server adds.
//!
//! It is *not* a server to learn from: peers can crash their own room, and nothing is limited.
//!
//! Two ways of sending:
//! - `send`: one `send` a message and receiver, at once. The cost of a message when nothing batches.
//! - `batch`: messages gather in a buffer per socket, which is sent once a turn of the loop.

mod lines;
mod mpp;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use socket2::{Domain, Socket, Type};
use tutti_perf::poller::Poller;

/// The token of the listener; connections use their descriptor's number.
const LISTENER: u64 = u64::MAX;
/// Bytes read from one socket at once.
const READ_BYTES: usize = 64 << 10;
/// Buffers kept for the next turn; more are given back to the allocator.
const POOL_MAX: usize = 4096;
/// A kept buffer is not larger than this.
const POOLED_BYTES_MAX: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Send,
    Batch,
}

/// The floor that Tutti's figures are held against.
#[derive(Debug, Parser)]
struct Options {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:9800")]
    listen: SocketAddr,
    /// When messages are sent: each at once, or one send a socket and turn.
    #[arg(long, value_enum, default_value = "batch")]
    mode: Mode,
    /// Speak the line chat and not Multiplayer Piano.
    #[arg(long)]
    lines: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    Floor::new(&options)?.run()
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Phase {
    /// The request, or the nick, is waited for.
    Opening,
    Open,
}

struct Conn {
    fd: OwnedFd,
    phase: Phase,
    wants_write: bool,
    /// Is on the list of sockets to send to at the end of this turn.
    dirty: bool,
    room: Option<u32>,
    /// The participant id; of a terminal the nick, with zeros behind it.
    id: [u8; 24],
    /// The start of an unfinished frame, line or request.
    input: Vec<u8>,
    /// `0 <= sent <= output.len()`; empty, and without memory, when nothing waits.
    output: Vec<u8>,
    sent: usize,
}

struct Room {
    name: String,
    /// The descriptors of the members.
    members: Vec<u32>,
}

struct Floor {
    mode: Mode,
    lines: bool,
    listener: Socket,
    poller: Poller,
    /// By descriptor.
    conns: Vec<Option<Box<Conn>>>,
    rooms: Vec<Room>,
    room_by_name: HashMap<Vec<u8>, u32>,
    dirty: Vec<u32>,
    pool: Vec<Vec<u8>>,
    frame: Vec<u8>,
    accepted: u64,
}

impl Floor {
    fn new(options: &Options) -> Result<Self> {
        let listener = Socket::new(Domain::for_address(options.listen), Type::STREAM, None)?;
        listener.set_reuse_address(true)?;
        listener.set_nonblocking(true)?;
        listener.bind(&options.listen.into()).with_context(|| format!("{}", options.listen))?;
        listener.listen(4096)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, false)?;
        Ok(Self {
            mode: options.mode,
            lines: options.lines,
            listener,
            poller,
            conns: Vec::new(),
            rooms: Vec::new(),
            room_by_name: HashMap::new(),
            dirty: Vec::new(),
            pool: Vec::new(),
            frame: Vec::new(),
            accepted: 0,
        })
    }

    fn run(mut self) -> Result<()> {
        let mut scratch = vec![0; READ_BYTES];
        loop {
            let found = self.poller.wait(None)?;
            for i in 0..found {
                let ready = self.poller.ready(i);
                if ready.token == LISTENER {
                    self.accept()?;
                    continue;
                }
                let fd = ready.token as u32;
                if ready.writable {
                    self.flush(fd);
                }
                if ready.readable && !self.read(fd, &mut scratch) {
                    self.close(fd);
                }
            }
            let mut dirty = std::mem::take(&mut self.dirty);
            for fd in dirty.drain(..) {
                if let Some(conn) = self.conns.get_mut(fd as usize).and_then(Option::as_mut) {
                    conn.dirty = false;
                    self.flush(fd);
                }
            }
            self.dirty = dirty;
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let fd = match rustix::net::accept_with(&self.listener, flags) {
                Ok(fd) => fd,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error).context("accept"),
            };
            rustix::net::sockopt::set_tcp_nodelay(&fd, true)?;
            let number = fd.as_raw_fd() as usize;
            self.poller.add(&fd, number as u64, false)?;
            self.accepted += 1;
            let mut id = [0; 24];
            // Spread the counter over the digits, so that ids differ in their colour part too.
            let mixed = self.accepted.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            id.copy_from_slice(format!("{mixed:016x}{:08x}", self.accepted as u32).as_bytes());
            if self.conns.len() <= number {
                self.conns.resize_with(number + 1, || None);
            }
            self.conns[number] = Some(Box::new(Conn {
                fd,
                phase: Phase::Opening,
                wants_write: false,
                dirty: false,
                room: None,
                id,
                input: Vec::new(),
                output: Vec::new(),
                sent: 0,
            }));
            if self.lines {
                self.greet(number as u32);
            }
        }
    }

    /// Reads once and handles every whole message; `false` when the connection is over.
    fn read(&mut self, fd: u32, scratch: &mut [u8]) -> bool {
        let Some(conn) = self.conns.get_mut(fd as usize).and_then(Option::as_mut) else {
            return true;
        };
        let kept = conn.input.len();
        let mut large;
        // What is left of the last read goes in front; only a huge frame needs a buffer of its own.
        let buffer = if kept + 4096 <= scratch.len() {
            scratch[..kept].copy_from_slice(&conn.input);
            scratch
        } else {
            large = conn.input.clone();
            large.resize(kept + READ_BYTES, 0);
            &mut large[..]
        };
        let read = match rustix::net::recv(&conn.fd, &mut buffer[kept..], RecvFlags::empty()) {
            Ok((0, _)) => return false,
            Ok((read, _)) => read,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        };
        conn.input = Vec::new();
        let filled = &mut buffer[..kept + read];
        let handled =
            if self.lines { Some(self.take_lines(fd, filled)) } else { self.frames(fd, filled) };
        let Some(at) = handled else { return false };
        if at < filled.len()
            && let Some(conn) = self.conns[fd as usize].as_mut()
        {
            conn.input = filled[at..].to_vec();
        }
        true
    }

    fn phase(&self, fd: u32) -> Option<Phase> {
        Some(self.conns.get(fd as usize)?.as_ref()?.phase)
    }

    /// Moves the socket into a room, and says which; nobody is told yet.
    fn seat(&mut self, fd: u32, name: &[u8]) -> Option<u32> {
        self.leave(fd);
        let next = self.rooms.len() as u32;
        let room = *self.room_by_name.entry(name.to_vec()).or_insert(next);
        if room == next {
            let name = String::from_utf8_lossy(name).into_owned();
            self.rooms.push(Room { name, members: Vec::new() });
        }
        self.conns[fd as usize].as_mut()?.room = Some(room);
        self.rooms[room as usize].members.push(fd);
        Some(room)
    }

    /// Sends one message to everybody in the sender's room, to the sender itself with `echo`.
    fn broadcast_frame(&mut self, from: u32, echo: bool, encode: impl FnOnce(&mut Vec<u8>)) {
        let Self { conns, rooms, frame, dirty, pool, poller, .. } = self;
        let Some(room) = conns[from as usize].as_ref().and_then(|conn| conn.room) else { return };
        frame.clear();
        encode(frame);
        for &member in &rooms[room as usize].members {
            if member == from && !echo {
                continue;
            }
            let Some(conn) = conns[member as usize].as_mut() else { continue };
            if self.mode == Mode::Send && conn.output.is_empty() {
                let sent = send(conn, frame);
                if sent < frame.len() {
                    conn.output.extend_from_slice(&frame[sent..]);
                    watch_writes(poller, member, conn, true);
                }
            } else {
                put_output(pool, dirty, member, conn, |out| out.extend_from_slice(frame));
            }
        }
    }

    /// Sends something to one socket only.
    fn reply(&mut self, fd: u32, encode: impl FnOnce(&mut Vec<u8>, &[u8; 24])) {
        let Some(conn) = self.conns[fd as usize].as_mut() else { return };
        let id = conn.id;
        put_output(&mut self.pool, &mut self.dirty, fd, conn, |out| encode(out, &id));
        if self.mode == Mode::Send {
            self.flush(fd);
        }
    }

    /// Sends what waits for `fd`; what the socket does not take waits for `EPOLLOUT`.
    fn flush(&mut self, fd: u32) {
        let Some(conn) = self.conns.get_mut(fd as usize).and_then(Option::as_mut) else { return };
        if conn.output.is_empty() {
            return;
        }
        let output = std::mem::take(&mut conn.output);
        conn.sent += send(conn, &output[conn.sent..]);
        if conn.sent < output.len() {
            conn.output = output;
            watch_writes(&self.poller, fd, conn, true);
            return;
        }
        conn.sent = 0;
        watch_writes(&self.poller, fd, conn, false);
        if self.pool.len() < POOL_MAX && output.capacity() <= POOLED_BYTES_MAX {
            let mut output = output;
            output.clear();
            self.pool.push(output);
        }
    }

    fn close(&mut self, fd: u32) {
        if self.lines {
            self.tell_others(fd, b" left the room\n");
        }
        self.leave(fd);
        if let Some(conn) = self.conns.get_mut(fd as usize) {
            *conn = None;
        }
    }

    fn leave(&mut self, fd: u32) {
        let Some(conn) = self.conns.get_mut(fd as usize).and_then(Option::as_mut) else { return };
        if let Some(room) = conn.room.take() {
            self.rooms[room as usize].members.retain(|&member| member != fd);
        }
    }
}

/// One `send`; how many bytes the socket took. Errors count as none: the read side learns of them.
fn send(conn: &Conn, bytes: &[u8]) -> usize {
    rustix::net::send(&conn.fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).unwrap_or(0)
}

fn watch_writes(poller: &Poller, fd: u32, conn: &mut Conn, on: bool) {
    if conn.wants_write != on {
        conn.wants_write = on;
        // A socket that epoll refuses is one that is going away; its read says so.
        let _ = poller.modify(&conn.fd, u64::from(fd), on);
    }
}

/// Appends to a socket's output. Idle sockets own no buffer; a busy one borrows from the pool.
fn put_output(
    pool: &mut Vec<Vec<u8>>,
    dirty: &mut Vec<u32>,
    fd: u32,
    conn: &mut Conn,
    encode: impl FnOnce(&mut Vec<u8>),
) {
    if conn.output.is_empty() && conn.output.capacity() == 0 {
        conn.output = pool.pop().unwrap_or_default();
    }
    encode(&mut conn.output);
    // A socket that waits for room is sent to when it has some, not at the end of the turn.
    if !conn.dirty && !conn.wants_write {
        conn.dirty = true;
        dirty.push(fd);
    }
}
