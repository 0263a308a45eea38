//! Chat commands: budgets, and what each asks of the core.

use super::{Ask, Session, rooms::LIST_BYTES_MAX};
use crate::{
    doors::quic::{
        ErrorCode,
        client::{Chat, Signal},
        frame::{Frame, kind},
        wire::{self, ErrorInfo},
    },
    quic::Link,
};
use serde_json::json;
use tutti_shards::{
    Bucket, Now, Rate, RoomCommand, RoomId, RoomPage, RoomRequest, RoomWish, SeatRequest, Whom,
};

/// What is said to one who asks something of a room without a seat there.
pub(super) const NOT_IN: &str = "no such room, or not in it";
/// How often a client is asked to slow down, microseconds.
const THROTTLE_EVERY_US: u64 = 1_000_000;
/// How often somebody is shown to be writing, microseconds.
const TYPING_EVERY_US: u64 = 1_000_000;

/// A budget that has run out: when it has room again, milliseconds.
fn over(bucket: &Bucket, rate: Rate, now: Now) -> u64 {
    bucket.ready_at_us(rate).saturating_sub(now.mono_us).div_ceil(1_000)
}

impl Session {
    pub(super) fn command(&mut self, now: Now, frame: &Frame<'_>, link: &mut dyn Link) {
        let parsed = Chat::parse(frame.kind, &frame.payload);
        let (nonce, room) = match &parsed {
            Ok(Chat::Room(room, request) | Chat::Show(room, request, _)) => {
                (request.nonce.as_deref(), Some(room.0))
            }
            Ok(Chat::Join(request)) => (request.nonce.as_deref(), None),
            Ok(Chat::List(listing)) => (listing.nonce.as_deref(), None),
            Ok(Chat::Look(request)) => (request.nonce.as_deref(), None),
            Err(refusal) => (refusal.nonce.as_deref(), refusal.room),
        };
        if let Some(wait_ms) = self.over_budget(now, frame.kind) {
            self.throttled += 1;
            let info = ErrorInfo {
                code: ErrorCode::RateLimited,
                message: "too fast",
                context: None,
                command: Some(frame.kind),
                nonce,
                room_id: room,
                retry_after_ms: Some(wait_ms),
            };
            self.refuse(now, link, &info);
            if now.mono_us >= self.budgets.throttle_told_us + THROTTLE_EVERY_US {
                self.budgets.throttle_told_us = now.mono_us;
                let payload = json!({ "room_id": null, "delay_ms": wait_ms, "reason": "too fast" });
                self.tell(now, kind::THROTTLE, &payload);
            }
            return;
        }
        match parsed {
            Err(refusal) => self.refuse_frame(now, link, frame.kind, &refusal),
            Ok(Chat::Join(mut request)) => {
                self.name_users(&mut request.room);
                self.join(now, request, link);
            }
            Ok(Chat::Room(room, mut request)) => match self.rooms.seat(room) {
                Some(seat) => {
                    if let RoomCommand::Invite(whom) | RoomCommand::Unban(whom) =
                        &mut request.command
                    {
                        self.name_user(whom);
                    }
                    self.rooms.asked(seat, &request.command);
                    self.asks.push_back(Ask::Room(seat, request));
                }
                None => self.refuse_request(now, room, &request, NOT_IN, link),
            },
            Ok(Chat::Show(room, request, uploads)) => match self.rooms.seat(room) {
                Some(seat) => self.show(now, seat, (room, request), uploads, link),
                None => self.refuse_request(now, room, &request, NOT_IN, link),
            },
            Ok(Chat::List(listing)) => self.asks.push_back(Ask::List(listing)),
            Ok(Chat::Look(request)) => {
                // What is said behind it is said under the new name.
                self.look_asked = Some(request.name.clone());
                self.asks.push_back(Ask::Look(request));
            }
        }
    }

    /// Something that is asked of a room, or shown in it, is not there.
    pub(super) fn refuse_request(
        &mut self,
        now: Now,
        room: RoomId,
        request: &RoomRequest,
        message: &str,
        link: &mut dyn Link,
    ) {
        let info = ErrorInfo {
            code: ErrorCode::NotFound,
            message,
            context: None,
            command: Some(request.kind),
            nonce: request.nonce.as_deref(),
            room_id: Some(room.0),
            retry_after_ms: None,
        };
        self.refuse(now, link, &info);
    }

    /// Takes a command from its budgets; over one of them, when to come again.
    fn over_budget(&mut self, now: Now, command: u8) -> Option<u64> {
        let (config, budgets) = (&self.config, &mut self.budgets);
        let own = match command {
            kind::SEND_MESSAGE => Some((&mut budgets.messages, config.rates.messages)),
            kind::JOIN_ROOM | kind::CREATE_ROOM | kind::OPEN_DIRECT => {
                Some((&mut budgets.joins, config.rates.joins))
            }
            _ => None,
        };
        if let Some((bucket, rate)) = own
            && !bucket.take(rate, now.mono_us, 1)
        {
            return Some(over(bucket, rate, now));
        }
        if !budgets.commands.take(config.rates.commands, now.mono_us, 1) {
            return Some(over(&budgets.commands, config.rates.commands, now));
        }
        None
    }

    fn done(&mut self, now: Now, command: u8, nonce: Option<&str>, room: Option<u64>) {
        let payload = json!({
            "nonce": nonce, "command": command, "room_id": room, "message_id": null,
        });
        self.tell(now, kind::COMMAND_OK, &payload);
    }

    fn join(&mut self, now: Now, request: SeatRequest, link: &mut dyn Link) {
        let room = match &request.room {
            RoomWish::Numbered(room) => Some(*room),
            RoomWish::Named { name, .. } => Some(self.config.number_key.room(name)),
            // The core finds it; one in which there is a seat already needs no second.
            RoomWish::Direct(_) | RoomWish::With(_) | RoomWish::Group { .. } => None,
        };
        let new = matches!(request.room, RoomWish::Named { new: true, .. });
        if let Some(room) = room.filter(|room| self.rooms.seat(*room).is_some() && !new) {
            let command = request.kind.unwrap_or(kind::JOIN_ROOM);
            return self.done(now, command, request.nonce.as_deref(), Some(room.0));
        }
        if self.rooms.len() >= self.config.rooms_max || !self.rooms.can_count(room) {
            let info = ErrorInfo {
                code: ErrorCode::LimitReached,
                message: "too many rooms",
                context: None,
                command: request.kind,
                nonce: request.nonce.as_deref(),
                room_id: room.map(|room| room.0),
                retry_after_ms: None,
            };
            return self.refuse(now, link, &info);
        }
        self.sit(now, request);
    }

    /// Whose the numbers of accounts are.
    fn name_user(&self, whom: &mut Whom) {
        whom.user = self.config.auth.user_of_account(whom.number.0);
    }

    fn name_users(&self, wish: &mut RoomWish) {
        match wish {
            RoomWish::Direct(whom) => self.name_user(whom),
            RoomWish::Named { invites, .. } | RoomWish::Group { invites, .. } => {
                invites.iter_mut().for_each(|whom| self.name_user(whom));
            }
            RoomWish::Numbered(_) | RoomWish::With(_) => {}
        }
    }

    pub(super) fn sit(&mut self, _: Now, request: SeatRequest) {
        let seat = self.rooms.add();
        self.asks.push_back(Ask::Sit(seat, request));
    }

    /// What a client says in passing.
    pub(super) fn signal(&mut self, now: Now, signal: Signal) {
        match signal {
            Signal::Typing(room, on) => {
                let Some(seat) = self.rooms.types(room, now.mono_us, TYPING_EVERY_US) else {
                    return;
                };
                let command = RoomCommand::Typing(on);
                let request = RoomRequest { nonce: None, kind: kind::TYPING, command };
                self.asks.push_back(Ask::Room(seat, request));
            }
            Signal::Presence { away, status } => self.presence.says(now, away, status),
        }
    }

    /// The rooms that were asked for, and where the next page begins.
    pub fn listed(&mut self, now: Now, listing: &super::RoomListing, page: &RoomPage<'_>) {
        let (mut summaries, mut room_bytes, mut next) = (Vec::new(), 0, page.next);
        for (n, info) in page.rooms.iter().enumerate() {
            let summary = json!({
                "room_id": self.config.number_key.room(&info.name),
                "name": info.name.as_str(),
                "room_type": "channel",
                "member_count": info.count,
                "topic": info.topic,
            });
            room_bytes += summary.to_string().len() + 1;
            if room_bytes > LIST_BYTES_MAX {
                let last = n.checked_sub(1).and_then(|last| page.rooms.get(last));
                next = last.map(|info| (info.count, info.name.as_str()));
                break;
            }
            summaries.push(summary);
        }
        let next = next.map(|(count, name)| format!("{count} {name}"));
        let payload = json!({ "rooms": summaries, "next": next, "nonce": listing.nonce });
        let mut bytes = Vec::new();
        wire::json(kind::ROOM_LIST, &payload, &mut bytes);
        self.control.push(&self.common, &bytes, now.mono_us);
    }
}
