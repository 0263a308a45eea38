//! The control stream: handshake, login, pings, goodbye.

use super::{Account, Ask, Capabilities, Phase, Session};
use crate::{
    doors::quic::{
        CloseCode, ErrorCode,
        auth::Entry,
        client::{Control, Signal},
        frame::{Frame, Range, kind},
        wire::ErrorInfo,
    },
    quic::Link,
    uploads::PIECE_BYTES_MAX,
};
use serde_json::json;
use std::time::Duration;
use tutti_shards::{Departure, Now, Rate, RoomWish, SeatRequest, UserName};

/// Pings of a client.
const PINGS: Rate = Rate::new(5, 1_000);
/// So many logins may fail.
const AUTH_FAILURES_MAX: u8 = 3;
/// So many frames may mean nothing.
const UNKNOWN_FRAMES_MAX: u8 = 16;
/// How long a token is good after its end, seconds.
const LEEWAY_S: u64 = 60;
/// How long before its end its owner is asked for another, seconds.
const REAUTH_S: u64 = 60;

impl Session {
    pub(super) fn control_frame(&mut self, now: Now, frame: &Frame<'_>, link: &mut dyn Link) {
        match Range::of(frame.kind) {
            None => return self.unknown_frame(now, link, frame.kind),
            // Where the client takes no datagrams, or as it likes.
            Some(Range::Datagram) if self.is_live(link) => {
                if let Some(signal) = Signal::parse(frame.kind, &frame.payload) {
                    self.signal(now, signal);
                }
                return;
            }
            // In early data it is dropped, as datagrams are.
            Some(Range::Datagram) if self.early => return,
            Some(Range::Datagram) => {
                return self.error(now, link, ErrorCode::AuthRequired, "log in first");
            }
            Some(Range::Control) => {}
            Some(Range::Server) => {
                return self.error(now, link, ErrorCode::InvalidFrame, "only the server says so");
            }
            Some(_) => return self.error(now, link, ErrorCode::WrongStream, "not on control"),
        }
        let parsed = match Control::parse(frame.kind, &frame.payload) {
            Ok(parsed) => parsed,
            Err(refusal) => return self.refuse_frame(now, link, frame.kind, &refusal),
        };
        match parsed {
            Control::Ping { timestamp } => {
                if self.budgets.pings.take(PINGS, now.mono_us, 1) {
                    self.tell(now, kind::PONG, &json!({ "timestamp": timestamp }));
                } else {
                    let info = ErrorInfo {
                        code: ErrorCode::RateLimited,
                        message: "too many pings",
                        context: None,
                        command: Some(kind::PING),
                        nonce: None,
                        room_id: None,
                        retry_after_ms: Some(200),
                    };
                    self.refuse(now, link, &info);
                }
            }
            Control::Pong { .. } => {}
            Control::Goodbye if link.is_connected() => self.goodbye(now, link),
            // Others could see that, so it waits as all such things do.
            Control::Goodbye => self.early_goodbye = true,
            Control::Hello { version, capabilities, .. } => {
                self.hello(now, version, &capabilities, link);
            }
            Control::Auth { method, credentials } => self.auth(now, &method, &credentials, link),
        }
    }

    /// The client is done.
    pub(super) fn goodbye(&mut self, now: Now, link: &mut dyn Link) {
        self.farewell(now, link, CloseCode::Normal, "goodbye");
    }

    pub(super) fn unknown_frame(&mut self, now: Now, link: &mut dyn Link, kind: u8) {
        self.unknown_frames = self.unknown_frames.saturating_add(1);
        if self.unknown_frames > UNKNOWN_FRAMES_MAX {
            return self.farewell(now, link, CloseCode::Protocol, "too many unknown frames");
        }
        let context = format!("{kind:#04x}");
        let info = ErrorInfo {
            code: ErrorCode::InvalidFrame,
            message: "unknown type",
            context: Some(&context),
            command: None,
            nonce: None,
            room_id: None,
            retry_after_ms: None,
        };
        self.refuse(now, link, &info);
    }

    fn hello(&mut self, now: Now, version: u64, capabilities: &[String], link: &mut dyn Link) {
        if self.phase != Phase::New {
            return self.error(now, link, ErrorCode::InvalidFrame, "Hello was said before");
        }
        if version == 0 {
            self.error(now, link, ErrorCode::UnsupportedVersion, "version 1 is spoken here");
            return self.farewell(now, link, CloseCode::Protocol, "unsupported version");
        }
        let has = |word: &str| capabilities.iter().any(|capability| capability == word);
        self.capabilities = Capabilities {
            presence: has("presence"),
            typing: has("typing"),
            hot: has("hot"),
            receipts: has("receipts"),
        };
        self.phase = Phase::Greeted;
        let config = self.config.clone();
        let ms = |duration: Duration| duration.as_millis() as u64;
        let payload = json!({
            "version": 1,
            "session_id": super::uuid(self.id),
            "num_shards": config.lanes,
            "encoding": "json",
            "server_time": now.wall_ms,
            "server_epoch": config.server_epoch,
            "auth_methods": config.auth.methods(),
            "limits": {
                "message_chars": 512,
                "upload_bytes": config.uploads.bytes_max,
                "upload_chunk": if config.uploads.bytes_max > 0 { PIECE_BYTES_MAX } else { 0 },
                "rooms": config.rooms_max,
                "ping_interval_ms": ms(config.ping_every),
                "idle_timeout_ms": ms(config.idle_timeout),
                "messages_per_s": per_second(config.rates.messages),
                "datagrams": config.datagrams,
            },
        });
        self.tell(now, kind::HELLO_ACK, &payload);
    }

    fn auth(&mut self, now: Now, method: &str, credentials: &str, link: &mut dyn Link) {
        match self.phase {
            Phase::New => {
                return self.error(now, link, ErrorCode::InvalidFrame, "Hello comes first");
            }
            Phase::Entering if !self.early => {
                return self.error(now, link, ErrorCode::InvalidFrame, "a login is under way");
            }
            _ => {}
        }
        if !self.may_try(now, link) {
            let message = "too many logins from here have failed";
            return self.auth_failed(now, ErrorCode::RateLimited, message, link);
        }
        let entry = match self.config.auth.check(method, credentials, now.wall_ms / 1_000) {
            Ok(entry) => entry,
            Err(message) => {
                self.count_failure(now, link);
                return self.auth_failed(now, ErrorCode::AuthFailed, message, link);
            }
        };
        let Entry { number, user, guise, expires_s } = entry;
        if self.is_banned(Some(user), link) {
            let payload = json!({ "code": ErrorCode::Banned as u32, "message": "banned" });
            self.tell(now, kind::AUTH_FAILED, &payload);
            return self.farewell(now, link, CloseCode::Removed, "banned");
        }
        if let Some(account) = &mut self.account
            && matches!(self.phase, Phase::Live | Phase::Entering)
        {
            if account.user != user || account.expires_s.is_none() {
                let message = "the session belongs to somebody else";
                return self.auth_failed(now, ErrorCode::AuthFailed, message, link);
            }
            (account.expires_s, account.reauth_told) = (expires_s, false);
            let rooms: Vec<u64> = self.rooms.numbers().collect();
            return self.auth_ok(now, rooms);
        }
        let number = number.unwrap_or_else(|| self.config.number_key.stranger(user).0);
        let guise = Box::new(guise);
        self.account = Some(Account { number, user, guise, expires_s, reauth_told: false });
        self.phase = Phase::Entering;
        if link.is_connected() {
            self.login();
        } else {
            // Anybody may have recorded this: it is answered, and nothing else happens yet.
            self.early = true;
            self.auth_ok(now, vec![1]);
            self.open_lanes(now, &[1], link);
        }
    }

    /// Whether the client's address may try to log in: not while too many that came from there have failed.
    fn may_try(&self, now: Now, link: &dyn Link) -> bool {
        let time = Duration::from_micros(now.mono_us);
        let admission = self.config.admission.as_ref();
        admission.is_none_or(|admission| admission.may_guess(link.address().ip(), time))
    }

    /// Remembers that a login from the client's address has failed, once that is known to be its own.
    fn count_failure(&mut self, now: Now, link: &dyn Link) {
        if !link.is_connected() {
            self.early_failures = self.early_failures.saturating_add(1);
        } else if let Some(admission) = &self.config.admission {
            admission.wrong_guess(link.address().ip(), Duration::from_micros(now.mono_us));
        }
    }

    /// The client is who sent what was read so far.
    pub(super) fn connected(&mut self, now: Now, link: &mut dyn Link) {
        for _ in 0..std::mem::take(&mut self.early_failures) {
            self.count_failure(now, link);
        }
        if self.early_goodbye {
            return self.goodbye(now, link);
        }
        if self.early && self.phase == Phase::Entering {
            self.login();
        }
    }

    fn login(&mut self) {
        if let Some(Account { user, guise, .. }) = &self.account {
            self.asks.push_back(Ask::Login { user: *user, guise: guise.clone() });
        }
    }

    /// The core knows who this is: it takes a seat in the lobby, and with that it is in.
    pub(super) fn welcome(&mut self, now: Now, name: &[u8], _: &mut dyn Link) {
        if self.phase != Phase::Entering {
            return;
        }
        self.is_called(name);
        if self.early {
            self.phase = Phase::Live;
        }
        let name = tutti_shards::ChannelName::lobby();
        self.sit(now, SeatRequest::new(RoomWish::named(name), None, None));
    }

    /// The user's name is this: one that was chosen stays in place of the token's.
    fn is_called(&mut self, name: &[u8]) {
        let name = std::str::from_utf8(name).ok();
        let name = name.and_then(|name| UserName::parse(name, usize::from(u16::MAX)));
        if let (Some(account), Some(name)) = (&mut self.account, name) {
            account.guise.name = name;
        }
    }

    /// The first seat is there, or will not be: the client learns that it is in.
    pub(super) fn entered(&mut self, now: Now, lobby: Option<u64>, link: &mut dyn Link) {
        self.phase = Phase::Live;
        let rooms: Vec<u64> = lobby.into_iter().chain(self.rooms.due()).collect();
        self.auth_ok(now, rooms.clone());
        self.open_lanes(now, &rooms, link);
        let invitations = std::mem::take(&mut self.rooms.invitations);
        self.control.push(&self.common, &invitations, now.mono_us);
    }

    fn auth_ok(&mut self, now: Now, rooms: Vec<u64>) {
        let Some(account) = &self.account else { return };
        let payload = json!({
            "user_id": account.number,
            "username": account.guise.name.as_str(),
            "rooms": rooms,
            "expires_at": account.expires_s.map(|at| at * 1_000),
        });
        self.tell(now, kind::AUTH_OK, &payload);
    }

    pub(super) fn too_many(&mut self, now: Now, link: &mut dyn Link) {
        if self.phase != Phase::Entering {
            return;
        }
        let alone = self.account.as_ref().is_some_and(|account| account.guise.alone);
        // The core's session stays refused; another try gets another.
        self.asks.push_back(Ask::Logout(Departure::Disconnected));
        self.account = None;
        self.phase = Phase::Greeted;
        if self.early || !alone {
            self.auth_failed(now, ErrorCode::LimitReached, "too many connections", link);
            self.farewell(now, link, CloseCode::Limit, "too many connections");
        } else {
            self.auth_failed(now, ErrorCode::NameInUse, "the name is in use", link);
        }
    }

    fn auth_failed(&mut self, now: Now, code: ErrorCode, message: &str, link: &mut dyn Link) {
        self.tell(now, kind::AUTH_FAILED, &json!({ "code": code as u32, "message": message }));
        if self.phase != Phase::Greeted {
            // The session goes on, but tokens are not tried without end.
            return self.count_refusal(now, link);
        }
        self.auth_failures += 1;
        if self.auth_failures >= AUTH_FAILURES_MAX {
            self.farewell(now, link, CloseCode::AuthFailed, "authentication failed");
        }
    }

    /// Asks for another token before this one ends, and says goodbye when none came.
    pub(super) fn check_token(&mut self, now: Now, link: &mut dyn Link) {
        let Some(account) = &mut self.account else { return };
        let Some(expires_s) = account.expires_s else { return };
        let now_s = now.wall_ms / 1_000;
        if now_s >= expires_s + LEEWAY_S {
            return self.farewell(now, link, CloseCode::Expired, "the token has expired");
        }
        if now_s + REAUTH_S >= expires_s && !account.reauth_told && self.phase == Phase::Live {
            account.reauth_told = true;
            let params = json!({ "deadline": (expires_s + LEEWAY_S) * 1_000 });
            let payload = json!({ "command": "reauth", "params": params });
            self.tell(now, kind::SERVER_COMMAND, &payload);
        }
    }

    /// Whether it may do what others can see.
    pub(super) fn is_live(&self, link: &dyn Link) -> bool {
        self.phase == Phase::Live && link.is_connected()
    }
}

fn per_second(rate: Rate) -> u64 {
    let per_ms = (rate.per.as_millis() as u64).max(1);
    u64::from(rate.count) * 1_000 / per_ms
}
