//! The sockets of a shard, and what is known of them besides what the core knows.

use super::poller::{Interest, Poller, Token};
use crate::{
    admission::Grant,
    doors::{
        Commands, Greeting, Session,
        mpp::{Link, Opening},
    },
    uploads::Request,
};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, Shutdown},
};
use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Arc,
};
use tutti_shards::{Attachment, Key, Places, Sent, Transport, UploadId};

/// One socket.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) socket: OwnedFd,
    pub(super) generation: u32,
    pub(super) interest: Interest,
    pub(super) phase: Phase,
    pub(super) grant: Grant,
}

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Before the core knows it.
    Greeting(Greeting),
    /// One of the core's.
    Live { key: Key, session: Session, held: Option<Box<Held>> },
    /// It is sent its last bytes, and then only waited for to hang up.
    Closing(Box<Closing>),
}

/// What was read from a paused connection and waits.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) commands: Commands,
    pub(super) unread: Vec<u8>,
}

/// The last bytes of a connection.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) bytes: Vec<u8>,
    pub(super) body: Option<Arc<[u8]>>,
    /// A file of which pieces follow, each in place of the last one's bytes.
    pub(super) file: Option<FileTail>,
    pub(super) sent: usize,
    /// Whether everything is sent and the peer was told that no more comes.
    pub(super) shut: bool,
    /// Whether the peer says nothing more: then there is nothing to wait for behind the last byte.
    pub(super) ended: bool,
    /// Bytes that came in meanwhile and were not looked at.
    pub(super) drained: usize,
}

/// What became of sending last bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sending {
    Done,
    Blocked,
    /// More of a file has to come first.
    Short,
    Broken,
}

/// What is still to be sent of a file.
#[derive(Debug)]
pub(super) struct FileTail {
    upload: UploadId,
    /// What was asked for, until it is known what the file is.
    link: Option<Box<Link>>,
    /// Bytes of the file that are still to come: `from <= to`.
    from: u64,
    to: u64,
    /// Whether something was asked for and is not here.
    waits: bool,
    /// Whether a piece was sent since somebody looked.
    moved: bool,
}

/// All sockets of a shard.
pub(super) struct Peers {
    pub(super) poller: Poller,
    slots: Places<Peer>,
    generation: u32,
    /// The peer that a slot of the core belongs to.
    by_slot: Vec<u32>,
}

impl Peers {
    pub(super) fn new(poller: Poller) -> Self {
        Peers { poller, slots: Places::default(), generation: 0, by_slot: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Takes a socket in and watches it.
    pub(super) fn insert(&mut self, mut peer: Peer) -> std::io::Result<u32> {
        self.generation = self.generation.wrapping_add(1).max(1);
        peer.generation = self.generation;
        let idx = self.slots.next_place();
        let token = Token::Peer { idx, generation: peer.generation };
        self.poller.add(peer.socket.as_fd(), token, peer.interest)?;
        if let Phase::Live { key, .. } = peer.phase {
            self.bind(key, idx);
        }
        self.slots.insert(peer);
        Ok(idx)
    }

    /// From now on the core's `key` means this peer.
    pub(super) fn bind(&mut self, key: Key, idx: u32) {
        if self.by_slot.len() <= key.slot() {
            self.by_slot.resize(key.slot() + 1, u32::MAX);
        }
        self.by_slot[key.slot()] = idx;
    }

    pub(super) fn find(&self, token: Token) -> Option<u32> {
        let Token::Peer { idx, generation } = token else { return None };
        let peer = self.slots.get(idx)?;
        (peer.generation == generation).then_some(idx)
    }

    pub(super) fn token(&self, idx: u32) -> Token {
        Token::Peer { idx, generation: self.slots[idx].generation }
    }

    pub(super) fn find_key(&self, key: Key) -> Option<u32> {
        let idx = *self.by_slot.get(key.slot())?;
        match self.slots.get(idx)?.phase {
            Phase::Live { key: live, .. } if live == key => Some(idx),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, idx: u32) -> Option<&mut Peer> {
        self.slots.get_mut(idx)
    }

    /// Gives a socket away, no longer watched. Dropping it closes it.
    pub(super) fn remove(&mut self, idx: u32) -> Peer {
        let peer = self.slots.remove(idx);
        // A descriptor that the set does not know is only possible for one that was never added.
        let _ = self.poller.remove(peer.socket.as_fd());
        peer
    }

    pub(super) fn set_interest(&mut self, idx: u32, interest: Interest) {
        let token = self.token(idx);
        let peer = &mut self.slots[idx];
        if peer.interest != interest {
            peer.interest = interest;
            if let Err(error) = self.poller.modify(peer.socket.as_fd(), token, interest) {
                tracing::error!(%error, "cannot watch a socket");
            }
        }
    }

    pub(super) fn indices(&self) -> Vec<u32> {
        self.slots.iter().map(|(idx, _)| idx).collect()
    }
}

impl Transport for Peers {
    fn prepare(&self, key: Key) {
        std::hint::black_box(self.find_key(key).map(|idx| self.slots[idx].socket.as_raw_fd()));
    }

    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        self.send_to(self.find_key(key), slices)
    }
}

impl Peers {
    /// Sends to a peer, if there is one.
    pub(super) fn send_to(&mut self, idx: Option<u32>, slices: &[IoSlice<'_>]) -> Sent {
        let Some(idx) = idx else { return Sent::Broken };
        let peer = &self.slots[idx];
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let sent = match send(&peer.socket, slices) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => 0,
            // The poller reports it as readable, and reading tells that it is gone.
            Err(_) => return Sent::Broken,
        };
        if sent < total {
            let interest = Interest { write: true, ..peer.interest };
            self.set_interest(idx, interest);
        }
        Sent::Bytes(sent)
    }
}

fn send(socket: &OwnedFd, slices: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match slices {
        [one] => rustix::net::send(socket, one, flags),
        many => rustix::net::sendmsg(socket, many, &mut SendAncillaryBuffer::default(), flags),
    }
}

impl Closing {
    pub(super) fn new(bytes: Vec<u8>, body: Option<Arc<[u8]>>) -> Self {
        Closing { bytes, body, file: None, sent: 0, shut: false, ended: false, drained: 0 }
    }

    /// Sends what the socket takes. After the last byte the peer is told that no more comes.
    pub(super) fn pump(&mut self, socket: &OwnedFd) -> Sending {
        while !self.shut {
            let body = self.body.as_deref().unwrap_or(&[]);
            let head = self.bytes.get(self.sent..).unwrap_or(&[]);
            let body = &body[self.sent.saturating_sub(self.bytes.len())..];
            if head.is_empty() && body.is_empty() {
                if self.file.as_ref().is_some_and(FileTail::is_unfinished) {
                    return Sending::Short;
                }
                self.shut = true;
                let _ = rustix::net::shutdown(socket, Shutdown::Write);
                break;
            }
            match send(socket, &[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(sent) => self.sent += sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Sending::Blocked,
                Err(_) => return Sending::Broken,
            }
        }
        Sending::Done
    }
}

impl FileTail {
    pub(super) fn new(link: Box<Link>) -> Self {
        let upload = link.upload;
        FileTail { upload, link: Some(link), from: 0, to: 0, waits: false, moved: false }
    }

    fn is_unfinished(&self) -> bool {
        self.link.is_some() || self.from < self.to
    }

    /// What is to be asked for next, unless the last is not answered.
    pub(super) fn next(&mut self) -> Option<Request> {
        if std::mem::replace(&mut self.waits, true) {
            return None;
        }
        let upload = self.upload;
        Some(match &self.link {
            Some(link) => Request::Open { upload, secret: link.secret },
            None => Request::Read { upload, offset: self.from },
        })
    }

    /// How the answer begins, now that it is known what the file is; `None` when nobody asked.
    pub(super) fn open(&mut self, file: Option<&Attachment>) -> Option<Opening> {
        let opening = self.link.take()?.open(file);
        (self.from, self.to, self.waits) = (opening.from, opening.to, false);
        Some(opening)
    }

    /// A piece is here: what of it is to be sent.
    pub(super) fn take(&mut self, mut piece: Vec<u8>) -> Vec<u8> {
        piece.truncate(usize::try_from(self.to - self.from).unwrap_or(usize::MAX));
        self.from += piece.len() as u64;
        (self.waits, self.moved) = (false, true);
        piece
    }

    /// Whether a piece was sent since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle connection costs is a budget; ARCHITECTURE.md has all of it.
    #[test]
    fn a_socket_costs_little_besides_itself() {
        assert!(size_of::<Peer>() <= 96);
    }
}
