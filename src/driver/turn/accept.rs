//! Taking in who connects, and resting when there are no descriptors for them.

use super::Driver;
use crate::{
    admission::Refused,
    doors::{Doors, Greeted},
    driver::{
        clock,
        listen::{self, Accepted, Listener},
        peers::{Closing, Peer, Phase},
        poller::{Interest, Token},
    },
};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use tutti_shards::Now;

/// Connections accepted from one listener in one turn.
const ACCEPTS: usize = 64;
/// How long a listener rests when there are no descriptors left, microseconds.
const EXHAUSTED_US: u64 = 100_000;

impl Driver {
    pub(super) fn accept(&mut self, now: Now, listener: usize) {
        // It stops in this very turn. Who waits is let in by the next server, if the socket is the service manager's.
        if self.mesh.is_told_to_stop() {
            return;
        }
        for _ in 0..ACCEPTS {
            let Some(Listener { socket, protocol }) = self.listeners.get(listener) else { return };
            let protocol = *protocol;
            let (socket, peer) = match listen::accept(socket) {
                Accepted::Peer(socket, peer) => (socket, peer),
                Accepted::Nobody => return,
                Accepted::Lost => continue,
                Accepted::Exhausted(error) => {
                    self.stats.accept_failures += 1;
                    return self.rest(now, error);
                }
            };
            self.stats.accepted += 1;
            // What waits for other shards is never dropped, so the last resort is to let nobody in who would add to it.
            let admitted = if self.mesh.backlog_len() > self.config.mesh_backlog {
                Err("mesh_backlog")
            } else {
                self.doors.admission(protocol).admit().map_err(Refused::label)
            };
            let mut grant = match admitted {
                Ok(grant) => grant,
                Err(why) => {
                    *self.stats.refused.entry(why).or_default() += 1;
                    // No grant, so nothing is kept for it: it is told with what its socket takes at once.
                    let flags = rustix::net::SendFlags::NOSIGNAL;
                    let _ = rustix::net::send(&socket, Doors::full(protocol), flags);
                    continue;
                }
            };
            let greeting = self.doors.greet(protocol, peer, &mut grant, clock::since_zero(now));
            let (phase, answer) = match greeting {
                Ok((greeting, first)) => {
                    // A socket that was just accepted takes it, or it is broken.
                    if !first.is_empty() && !send_at_once(&socket, &first) {
                        continue;
                    }
                    (Phase::Greeting(greeting), None)
                }
                Err(answer) => {
                    (Phase::Closing(Box::new(Closing::new(Vec::new(), None))), Some(answer))
                }
            };
            let peer = Peer { socket, generation: 0, interest: Interest::READ, phase, grant };
            match self.peers.insert(peer) {
                Ok(idx) => {
                    if let Some(Greeted::Answer { bytes, body, refused }) = answer {
                        self.answer(now, idx, bytes, body, refused);
                    } else {
                        let deadline =
                            now.mono_us + self.doors.patience(protocol).as_micros() as u64;
                        let token = self.peers.token(idx);
                        self.greeting[protocol as usize].push_back((deadline, token));
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot watch a new connection"),
            }
        }
    }

    /// No descriptors or memory: the listeners rest a while, or they would spin.
    fn rest(&mut self, now: Now, error: Errno) {
        if self.accept_again_us.is_none() {
            tracing::warn!(
                %error,
                "cannot accept connections; raise the limit of open files (LimitNOFILE=, ulimit -n) or lower limits.connections"
            );
            for listener in &self.listeners {
                let _ = self.peers.poller.remove(listener.socket.as_fd());
            }
        }
        self.accept_again_us = Some(now.mono_us + EXHAUSTED_US);
    }

    pub(in crate::driver) fn accept_again(&mut self) {
        self.accept_again_us = None;
        for (n, listener) in self.listeners.iter().enumerate() {
            let added =
                self.peers.poller.add_listener(listener.socket.as_fd(), Token::Listener(n as u32));
            if let Err(error) = added {
                tracing::error!(%error, "cannot watch a listener");
            }
        }
    }
}

/// Sends bytes before the core knows the connection; whether its socket took them all.
pub(super) fn send_at_once(socket: &OwnedFd, bytes: &[u8]) -> bool {
    let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
    rustix::net::send(socket, bytes, flags) == Ok(bytes.len())
}
