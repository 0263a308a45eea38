//! One session: a connection from its first frame to its goodbye.
//!
//! ```text
//!   link events ──▶ ┌─────────┐ ──▶ asks       (who it is, where it sits, what it wants there)
//!   seats' bytes ─▶ │ session │ ──▶ link       (streams, datagrams, the end)
//!   time ─────────▶ └─────────┘
//! ```
//! It is sans-IO like everything that it stands on: it is told what happened, acts on its connection through a
//! [`Link`], and leaves what the core should do in a queue of [`Ask`]s. What the core answers comes back as bytes of
//! the session's seats ([`Session::seat_bytes`]) and goes out with the next [`Session::flush`].
//!
//! **Invariants worth naming.**
//! - Before the handshake is complete nothing is done that anybody else could see (0-RTT).
//! - The chat stream is not read while a join or leave is under way, so commands of one stream take effect in order.
//! - What waits for a connection is bounded; over the limit it ends, and never has a silent gap.
//! - Each numbered frame of a room is written once, to one stream; a move between streams happens between two frames.
//!
//! Reading order: this file, `control` (handshake), `inlet` (streams of the client), `commands`, `rooms` (seats and
//! where their frames go), `outlet`.

mod commands;
mod control;
mod few;
mod files;
mod inlet;
mod outlet;
mod presence;
mod rooms;
#[cfg(test)]
mod tests;

pub use files::FileLimits;
pub(super) use files::left_over;
pub use rooms::RoomListing;

use super::{
    CloseCode, ErrorCode,
    auth::Auth,
    client::Refusal,
    frame::{FrameCounts, kind},
    stream_code,
    wire::{self, ErrorInfo},
};
use crate::{
    admission::Admission,
    identity::hex,
    quic::{Event, Link, Lost, StreamId},
    uploads::Request,
};
use bytes::Bytes;
use few::Few;
use inlet::Inlet;
use outlet::{Hot, Outlet};
use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};
use tutti_shards::{
    Bucket, Departure, Guise, LookRequest, NumberKey, Rate, RoomId, RoomRequest, SeatRequest,
    UserId, UserName,
};

/// The client's first bidirectional stream.
const CONTROL: StreamId = StreamId(0);

/// Everything that sessions can be told.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Lanes of each connection, 1 to 64.
    pub lanes: u8,
    /// Most rooms of a connection.
    pub rooms_max: usize,
    /// Most busy rooms of a connection that have a stream of their own.
    pub hot_rooms_max: usize,
    /// How long a client may take to log in.
    pub auth_deadline: Duration,
    /// How often a client is pinged, and after what silence it is given up.
    pub ping_every: Duration,
    /// After what silence it is given up.
    pub dead_after: Duration,
    /// After what silence the transport gives up, as clients are told.
    pub idle_timeout: Duration,
    /// What may wait for one connection.
    pub outbox: OutboxLimits,
    /// What a connection may do how often.
    pub rates: SessionRates,
    /// Makes the numbers of rooms and users.
    pub number_key: NumberKey,
    /// Names this run of the server: numbers of events are only valid within one.
    pub server_epoch: u64,
    /// What holds for files.
    pub uploads: FileLimits,
    /// Whether datagrams are sent and taken.
    pub datagrams: bool,
    /// Who may come in.
    pub auth: Auth,
    /// Whom operators keep out, and whose logins failed too often; `None` for nobody.
    pub admission: Option<Arc<Admission>>,
}

/// What a connection may do how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionRates {
    /// Messages.
    pub messages: Rate,
    /// Chat commands, messages and joins among them.
    pub commands: Rate,
    /// Rooms entered or made.
    pub joins: Rate,
    /// Bytes of the chat stream, which is read more slowly over it; at least 16 KiB at once.
    pub bytes: Rate,
    /// Commands refused before the connection is closed.
    pub refusals: Rate,
}

impl SessionRates {
    /// Nothing is limited.
    pub const UNLIMITED: SessionRates = SessionRates {
        messages: Rate::UNLIMITED,
        commands: Rate::UNLIMITED,
        joins: Rate::UNLIMITED,
        bytes: Rate::UNLIMITED,
        refusals: Rate::UNLIMITED,
    };
}

/// What may wait for one connection; `bytes_mark <= bytes_max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutboxLimits {
    /// Bytes over which presence is left out.
    pub bytes_mark: usize,
    /// The same for one of its streams.
    pub stream_bytes_mark: usize,
    /// Bytes over which the connection is closed.
    pub bytes_max: usize,
    /// How long the oldest of them may wait before it is closed.
    pub stalled_max: Duration,
}

/// The time, as the driver read it.
pub use tutti_shards::Now;

/// What the core should do for a session, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// Open a session of the core for this user. The answer comes as bytes of the session.
    Login {
        /// Who.
        user: UserId,
        /// How it looks.
        guise: Box<Guise>,
    },
    /// End the session of the core, which was refused or is over.
    Logout(Departure),
    /// Sit in a room with this seat.
    Sit(u32, SeatRequest),
    /// Ask for something with a seat.
    Room(u32, RoomRequest),
    /// Change how the user looks. The answer comes as bytes of the session.
    Look(Box<LookRequest>),
    /// Say whether somebody is there, and what they are about.
    Presence(bool, Option<Box<str>>),
    /// List rooms.
    List(RoomListing),
    /// Ask something about a file, for a stream. The answer comes to [`Session::uploaded`].
    Upload(StreamId, Request),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Before Hello.
    New,
    /// Before AuthOk.
    Greeted,
    /// The core was asked who it is, or its lobby is on the way.
    Entering,
    /// It is in.
    Live,
    /// It was told goodbye.
    Closing,
    /// Its connection is gone.
    Gone,
}

/// Who a session is.
#[derive(Clone, Debug)]
struct Account {
    number: u64,
    user: UserId,
    guise: Box<Guise>,
    /// When its token ends, seconds since 1970; `None` for a user without one.
    expires_s: Option<u64>,
    reauth_told: bool,
}

#[derive(Clone, Copy, Default, Debug)]
struct Capabilities {
    presence: bool,
    typing: bool,
    hot: bool,
    receipts: bool,
}

/// Rates of what a client does.
#[derive(Debug, Default)]
struct Budgets {
    messages: Bucket,
    commands: Bucket,
    joins: Bucket,
    bytes: Bucket,
    pings: Bucket,
    receipts: Bucket,
    refusals: Bucket,
    throttle_told_us: u64,
}

/// What the sessions of a shard share.
#[derive(Debug, Default)]
pub struct Common {
    /// What came and went.
    pub frames: FrameCounts,
    /// Memory to read into.
    scratch: RefCell<Vec<u8>>,
}

/// One session: 640 bytes, which is a size of the allocator; the next is 768.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    /// Names the session to its client, as a UUID.
    id: [u8; 16],
    phase: Phase,
    arrived_us: u64,
    pinged_us: u64,
    capabilities: Capabilities,
    auth_failures: u8,
    /// Failures in early data, which do not count before the client is who sent it.
    early_failures: u8,
    /// Whether the client has opened control, so that something can be said there.
    has_control: bool,
    /// Why it was closed from here.
    closed_with: Option<CloseCode>,
    /// Commands refused for a rate.
    throttled: u64,
    unknown_frames: u8,
    account: Option<Account>,
    /// What was answered to early data and is still to be done.
    early: bool,
    /// Whether the client has said goodbye in early data.
    early_goodbye: bool,
    control: Outlet,
    common: Rc<Common>,
    inlets: Few<StreamId, Inlet>,
    lanes: Box<[Outlet]>,
    /// Streams of busy rooms.
    hot: Vec<Hot>,
    rooms: rooms::Rooms,
    files: files::Files,
    budgets: Budgets,
    asks: VecDeque<Ask>,
    /// A change of how the user looks that is under way, and the name that it wants.
    look_asked: Option<Option<UserName>>,
    presence: presence::Presence,
    /// Datagrams that go out with the next flush.
    datagrams: Vec<Vec<u8>>,
    /// Chat is not read before this moment.
    chat_rests_until_us: u64,
    /// Whether a turn's share was read, and more may be there.
    has_unread: bool,
}

impl Session {
    /// A session that has just arrived. `seed` makes its name, and is drawn at random.
    #[must_use]
    pub fn new(config: Arc<SessionConfig>, common: Rc<Common>, now: Now, seed: [u8; 16]) -> Self {
        Session {
            id: seed,
            phase: Phase::New,
            arrived_us: now.mono_us,
            pinged_us: now.mono_us,
            capabilities: Capabilities::default(),
            auth_failures: 0,
            early_failures: 0,
            has_control: false,
            closed_with: None,
            throttled: 0,
            unknown_frames: 0,
            account: None,
            early: false,
            early_goodbye: false,
            control: Outlet::new(CONTROL),
            common,
            inlets: Few::default(),
            lanes: Box::default(),
            hot: Vec::new(),
            rooms: rooms::Rooms::default(),
            files: files::Files::default(),
            budgets: Budgets::default(),
            asks: VecDeque::new(),
            look_asked: None,
            presence: presence::Presence::default(),
            datagrams: Vec::new(),
            chat_rests_until_us: 0,
            has_unread: false,
            config,
        }
    }

    /// Takes the next thing that the core should do.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        let ask = self.asks.pop_front();
        if self.asks.is_empty() {
            // Most sessions ask for nothing most of the time, and there are many.
            self.asks = VecDeque::new();
        }
        ask
    }

    /// Whether nothing more comes of it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// Why it was closed from here; `None` while it was not.
    #[must_use]
    pub fn closed_with(&self) -> Option<CloseCode> {
        self.closed_with
    }

    /// Rooms that have a stream of their own.
    #[must_use]
    pub fn hot_streams(&self) -> usize {
        self.hot.len()
    }

    /// Commands that were refused for a rate.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.throttled
    }

    /// The connection is gone.
    pub fn lost(&mut self, lost: Lost) {
        let how = match lost {
            Lost::ByPeer(0) => Departure::Left,
            _ => Departure::Disconnected,
        };
        self.leave(how);
        self.phase = Phase::Gone;
    }

    /// Something happened to the connection, which is still there.
    pub fn handle(&mut self, now: Now, event: Event, link: &mut dyn Link) {
        if self.phase == Phase::Gone {
            return;
        }
        if self.phase == Phase::Closing {
            return;
        }
        match event {
            Event::Lost(lost) => self.lost(lost),
            Event::Moved { .. } => {
                self.expel(now, link);
            }
            Event::Arrived { .. } | Event::Credit => {}
            Event::Connected => self.connected(now, link),
            Event::Opened(stream) => self.opened(stream, link),
            Event::Readable(stream) => self.inlets.get_or_default(stream).readable = true,
            Event::Writable(stream) => {
                let outlet = self.outlets_mut().find(|outlet| outlet.stream == stream);
                if let Some(outlet) = outlet {
                    outlet.unblock();
                } else if let Some(outlet) = self.files.outlet_mut(stream) {
                    outlet.unblock();
                }
            }
            Event::Delivered(stream) => {
                self.hot.retain(|hot| hot.outlet.stream != stream);
                self.files.download_is_over(stream);
            }
            Event::Stopped { stream, .. } => {
                if stream == CONTROL {
                    self.close_at_once(link, CloseCode::ControlGone, "control was stopped");
                } else if self.files.download_is_over(stream) {
                    link.reset(stream, stream_code::CANCELLED);
                } else if self.outlets().any(|outlet| outlet.stream == stream) {
                    self.farewell(now, link, CloseCode::Protocol, "a stream of rooms was stopped");
                }
            }
            Event::Datagrams => self.take_datagrams(now, link),
        }
        self.pump(now, link);
    }

    /// What a seat was sent by the core, whole frames. Events of rooms are given to their streams at once, without a
    /// copy where nothing waits; everything else goes out with the next flush.
    pub fn seat_bytes(&mut self, now: Now, seat: u32, bytes: &Bytes, link: &mut dyn Link) {
        if !matches!(self.phase, Phase::Closing | Phase::Gone) {
            self.route(now, seat, bytes, link);
        }
    }

    /// What the session itself was sent by the core.
    pub fn own_bytes(&mut self, now: Now, bytes: &[u8], link: &mut dyn Link) {
        for (kind, frame) in super::frame::split(bytes) {
            match kind {
                wire::mark::WELCOME => {
                    let name = frame.get(super::frame::HEADER_BYTES..).unwrap_or_default();
                    self.welcome(now, name, link);
                }
                wire::mark::TOO_MANY => self.too_many(now, link),
                wire::mark::BELONGS => {
                    let rooms = frame.get(super::frame::HEADER_BYTES..).unwrap_or_default();
                    let (rooms, _) = rooms.as_chunks();
                    rooms.iter().for_each(|room| self.belongs(RoomId(u64::from_be_bytes(*room))));
                }
                kind::ROOM_INVITE if self.phase == Phase::Entering => {
                    self.rooms.invitations.extend_from_slice(frame);
                }
                kind::COMMAND_OK | kind::ERROR if self.phase == Phase::Live => {
                    self.answered(kind, frame);
                    self.control.push(&self.common, frame, now.mono_us);
                }
                kind::ROOM_LIST..kind::STREAM_OPEN | kind::SERVER_COMMAND
                    if self.phase == Phase::Live =>
                {
                    self.control.push(&self.common, frame, now.mono_us);
                }
                _ => {}
            }
        }
    }

    /// The core has answered what the session asked for itself.
    fn answered(&mut self, kind: u8, frame: &[u8]) {
        let payload = frame.get(super::frame::HEADER_BYTES..).unwrap_or_default();
        let command = serde_json::from_slice::<serde_json::Value>(payload).ok();
        let command = command.and_then(|payload| payload.get("command")?.as_u64());
        if command != Some(kind::SET_PROFILE.into()) {
            return;
        }
        if let Some(Some(name)) = self.look_asked.take()
            && kind == kind::COMMAND_OK
            && let Some(account) = &mut self.account
        {
            account.guise.name = name;
        }
    }

    /// Writes what waits, opens streams for rooms that became busy, and reads on where that was held up.
    pub fn flush(&mut self, now: Now, link: &mut dyn Link) {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            return;
        }
        self.write(now, link);
        self.settle_heavy();
        self.sit_where_due(now);
        self.pump(now, link);
        self.pass_presence_on(now);
        self.write(now, link);
    }

    fn write(&mut self, now: Now, link: &mut dyn Link) {
        self.promote_waiting(now, link);
        // One that is stopped is told about as an event.
        for outlet in self.outlets_mut() {
            let _ = outlet.flush(link);
        }
        self.write_files(link);
        for datagram in std::mem::take(&mut self.datagrams) {
            if link.datagram_bytes_max().is_some_and(|max| datagram.len() <= max) {
                self.common.frames.went(&datagram);
                link.send_datagram(&datagram);
            } else {
                self.control.push(&self.common, &datagram, now.mono_us);
                let _ = self.control.flush(link);
            }
        }
        if self.waiting() > self.config.outbox.bytes_max {
            self.farewell(now, link, CloseCode::TooSlow, "too slow");
        }
    }

    /// Bytes that wait for the client.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outlets().map(Outlet::waiting).sum()
    }

    /// Control, lanes and streams of busy rooms.
    fn outlets(&self) -> impl Iterator<Item = &Outlet> {
        let hot = self.hot.iter().map(|hot| &hot.outlet);
        [&self.control].into_iter().chain(&self.lanes).chain(hot)
    }

    fn outlets_mut(&mut self) -> impl Iterator<Item = &mut Outlet> {
        let hot = self.hot.iter_mut().map(|hot| &mut hot.outlet);
        [&mut self.control].into_iter().chain(&mut self.lanes).chain(hot)
    }

    /// When [`Session::handle_timeout`] has something to do, microseconds on the monotonic clock.
    #[must_use]
    pub fn next_deadline_us(&self, now: Now) -> Option<u64> {
        let us = |duration: Duration| duration.as_micros() as u64;
        let at = match self.phase {
            Phase::Closing | Phase::Gone => return None,
            Phase::New | Phase::Greeted => self.arrived_us + us(self.config.auth_deadline),
            Phase::Entering | Phase::Live => self.pinged_us + us(self.config.ping_every),
        };
        let stalled = self
            .outlets()
            .filter_map(Outlet::waits_since_us)
            .min()
            .map(|at| at + us(self.config.outbox.stalled_max));
        let rest = (self.chat_rests_until_us > now.mono_us).then_some(self.chat_rests_until_us);
        let account = self.account.as_ref().and_then(|account| {
            let wall_s = account.expires_s?;
            // Another one is only asked for once the session is in: until then only the end counts.
            let asks = self.phase == Phase::Live && !account.reauth_told;
            let wall_s = if asks { wall_s.saturating_sub(60) } else { wall_s + 60 };
            let in_ms = (wall_s * 1_000).saturating_sub(now.wall_ms);
            Some(now.mono_us + in_ms * 1_000)
        });
        let presence = self.presence.next_deadline_us();
        let files = self.files.next_deadline_us(&self.config.uploads);
        let unread = self.has_unread.then_some(now.mono_us);
        [Some(at), stalled, rest, account, presence, files, unread].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now, link: &mut dyn Link) {
        let us = |duration: Duration| duration.as_micros() as u64;
        match self.phase {
            Phase::Closing | Phase::Gone => return,
            Phase::New | Phase::Greeted
                if now.mono_us >= self.arrived_us + us(self.config.auth_deadline) =>
            {
                return self.farewell(now, link, CloseCode::AuthTimeout, "no login in time");
            }
            _ => {}
        }
        let oldest = self.outlets().filter_map(Outlet::waits_since_us).min();
        if oldest.is_some_and(|at| now.mono_us >= at + us(self.config.outbox.stalled_max)) {
            return self.farewell(now, link, CloseCode::TooSlow, "too slow");
        }
        if now.mono_us >= self.pinged_us + us(self.config.ping_every) {
            self.pinged_us = now.mono_us;
            if now.mono_us >= link.heard_us() + us(self.config.dead_after) {
                return self.farewell(now, link, CloseCode::Dead, "nothing was heard");
            }
            if self.phase == Phase::Live {
                self.ask_again();
                let payload = serde_json::json!({ "timestamp": now.wall_ms });
                self.tell(now, kind::PING, &payload);
            }
        }
        self.check_token(now, link);
        self.check_files(now, link);
        self.repeat_presence(now);
        self.flush(now, link);
    }

    /// The server stops; the client may come again after a while.
    pub fn stop(&mut self, now: Now, after_ms: u32, link: &mut dyn Link) {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            return;
        }
        let payload =
            serde_json::json!({ "command": "shutdown", "params": { "after_ms": after_ms } });
        self.tell(now, kind::SERVER_COMMAND, &payload);
        self.say_goodbye(now, link, CloseCode::Stopping, "server is shutting down", Some(1_000));
    }

    /// Ends it because of something of ours, or an operator's order.
    pub fn end(&mut self, now: Now, code: CloseCode, reason: &str, link: &mut dyn Link) {
        if !matches!(self.phase, Phase::Closing | Phase::Gone) {
            self.farewell(now, link, code, reason);
        }
    }

    /// Ends it if its address or its user is banned by now; whether it was.
    pub fn expel(&mut self, now: Now, link: &mut dyn Link) -> bool {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            return false;
        }
        let user = self.account.as_ref().map(|account| account.user);
        let banned = self.is_banned(user, link);
        if banned {
            self.farewell(now, link, CloseCode::Removed, "banned");
        }
        banned
    }

    /// Whether operators keep out this user, or whoever comes from the client's address; counted if so.
    fn is_banned(&self, user: Option<UserId>, link: &dyn Link) -> bool {
        let Some(admission) = &self.config.admission else { return false };
        let gate = admission.gate();
        let banned = gate.ban_of_address(link.address().ip()).is_some()
            || user.is_some_and(|user| gate.ban_of_user(user).is_some());
        if banned {
            gate.count_banned();
        }
        banned
    }

    /// Puts a frame on control.
    fn tell(&mut self, now: Now, kind: u8, payload: &impl serde::Serialize) {
        let mut bytes = Vec::new();
        wire::json(kind, payload, &mut bytes);
        self.control.push(&self.common, &bytes, now.mono_us);
    }

    /// Puts an error on control, and counts it: who is refused too often is flooding.
    fn refuse(&mut self, now: Now, link: &mut dyn Link, info: &ErrorInfo<'_>) {
        let mut bytes = Vec::new();
        wire::error(info, &mut bytes);
        self.control.push(&self.common, &bytes, now.mono_us);
        self.count_refusal(now, link);
    }

    fn count_refusal(&mut self, now: Now, link: &mut dyn Link) {
        if !self.budgets.refusals.take(self.config.rates.refusals, now.mono_us, 1) {
            self.farewell(now, link, CloseCode::Flood, "flood");
        }
    }

    fn refuse_frame(&mut self, now: Now, link: &mut dyn Link, command: u8, refusal: &Refusal) {
        let info = ErrorInfo {
            code: refusal.code,
            message: &refusal.message,
            context: None,
            command: Some(command),
            nonce: refusal.nonce.as_deref(),
            room_id: refusal.room,
            retry_after_ms: None,
        };
        self.refuse(now, link, &info);
    }

    fn error(&mut self, now: Now, link: &mut dyn Link, code: ErrorCode, message: &str) {
        let info = ErrorInfo {
            code,
            message,
            context: None,
            command: None,
            nonce: None,
            room_id: None,
            retry_after_ms: None,
        };
        self.refuse(now, link, &info);
    }

    /// Says goodbye and why, and closes when that has arrived.
    fn farewell(&mut self, now: Now, link: &mut dyn Link, code: CloseCode, reason: &str) {
        self.say_goodbye(now, link, code, reason, None);
    }

    fn say_goodbye(
        &mut self,
        now: Now,
        link: &mut dyn Link,
        code: CloseCode,
        reason: &str,
        retry_after_ms: Option<u32>,
    ) {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            return;
        }
        if !self.has_control {
            // A stream that is the client's to open is nothing to write on.
            return self.close_at_once(link, code, reason);
        }
        self.closed_with = Some(code);
        let payload = serde_json::json!({
            "reason": reason, "code": code as u32, "retry_after_ms": retry_after_ms,
        });
        self.tell(now, kind::GOODBYE, &payload);
        for outlet in self.outlets_mut() {
            let _ = outlet.flush(link);
        }
        let how = match code {
            CloseCode::Normal => Departure::Left,
            _ => Departure::Disconnected,
        };
        if self.control.waiting() > 0 {
            // What control does not take now it may never take.
            link.close(code as u32, reason);
        } else {
            link.close_after(CONTROL, code as u32);
        }
        self.leave(how);
        self.phase = Phase::Closing;
    }

    /// Closes without a word that could not be heard anyway.
    fn close_at_once(&mut self, link: &mut dyn Link, code: CloseCode, reason: &str) {
        self.closed_with = Some(code);
        link.close(code as u32, reason);
        self.leave(Departure::Disconnected);
        self.phase = Phase::Closing;
    }

    /// Leaves the core, if it was there.
    fn leave(&mut self, how: Departure) {
        if matches!(self.phase, Phase::Entering | Phase::Live) {
            self.asks.push_back(Ask::Logout(how));
        }
        let interrupted = self.files.interrupt();
        self.asks.extend(interrupted);
        self.rooms = rooms::Rooms::default();
        self.presence = presence::Presence::default();
        self.inlets.clear();
    }
}

/// A random UUID (version 4) of 16 random bytes.
fn uuid(mut seed: [u8; 16]) -> String {
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut seed;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = hex(&seed);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|part| hex.get(part).unwrap_or_default().to_owned()).join("-")
}
