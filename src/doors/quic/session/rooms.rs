//! The rooms of a session: its seats, and the streams on which their frames go.
//!
//! A room's frames go on its lane. While it is busy, and the client can take it, they go on a stream of its own; it
//! moves between two frames, and the client learns from which number on. Whether a room is busy its owner says, by a
//! mark among the frames.

use super::{Ask, Common, Hot, Outlet, Phase, Session, few::Few};
use crate::{
    doors::quic::{
        CloseCode, ErrorCode,
        frame::{self, kind},
        wire::{self, mark},
    },
    quic::Link,
};
use bytes::Bytes;
use serde_json::json;
use smallvec::{SmallVec, smallvec};
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};
use tutti_shards::{Now, RoomCommand, RoomId, RoomRequest, RoomWish, SeatRequest};

/// Most different rooms whose joins are counted for one connection.
const COUNTED_MAX: usize = 10_000;
/// Most rooms that are asked for again: as many as a session is told of.
const LATER_MAX: usize = 256;
/// Longest datagram that the server sends.
const DATAGRAM_BYTES_MAX: usize = 1_150;
/// Bytes of rooms in one `RoomList`, so that the frame keeps to 64 KiB with all that stands around them. At least one
/// room is in it.
pub(super) const LIST_BYTES_MAX: usize = 60 << 10;
/// How streams are ranked.
const PRIORITY_CONTROL: u8 = 255;
const PRIORITY_ROOMS: u8 = 200;

/// A question for the list of rooms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomListing {
    /// A part of their names.
    pub filter: Option<String>,
    /// Where the last answer ended, as `next` said.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Sent back.
    pub nonce: Option<String>,
}

impl RoomListing {
    /// The count and name at which the last answer ended.
    #[must_use]
    pub fn after(&self) -> Option<(u32, &str)> {
        let (count, name) = self.after.as_deref()?.split_once(' ')?;
        Some((count.parse().ok()?, name))
    }
}

/// All rooms of a session.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    seats: Few<u32, Seat>,
    last_seat: u32,
    /// Rooms in which the client has sat down.
    known: HashMap<RoomId, Known>,
    /// Counts rooms as they become busy.
    busy_count: u64,
    /// Rooms that its user belongs to, in which it will sit.
    due: VecDeque<RoomId>,
    /// Those of them that could not be had, or for which there was no place: it asks for them with its next ping.
    later: Vec<RoomId>,
    /// Invitations that came before it was in.
    pub(super) invitations: Vec<u8>,
    /// A `RoomInit` or `RoomHistory` that its stream has not taken yet: nothing of that size follows before.
    heavy: Option<(crate::quic::StreamId, u64)>,
}

#[derive(Debug, Default)]
struct Known {
    /// The seat there now.
    seat: Option<u32>,
    /// How often it has sat down.
    memberships: u32,
}

#[derive(Debug, Default)]
struct Seat {
    /// `None` until the core has seated it.
    room: Option<RoomId>,
    /// The number of the next event.
    next_seq: u64,
    /// Whether it is on its way out.
    leaving: bool,
    /// Whether history was asked for and has not come.
    fetching: bool,
    /// The stream of its own, while it has one.
    hot: Option<crate::quic::StreamId>,
    /// Since when its room is busy, as a place in the order.
    busy: Option<u64>,
    /// It turned out to be where the session sits already, and is on its way out: answers that still pass.
    ghost: Option<u8>,
    /// Its user was said to belong there since: whether that came before the seat's end or undoes it, the owner of the
    /// room will say.
    again: bool,
    typed_at_us: Option<u64>,
}

impl Rooms {
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.seats.values().filter_map(|seat| seat.room.map(|room| room.0))
    }

    /// The seat in a room.
    pub(super) fn seat(&self, room: RoomId) -> Option<u32> {
        self.known.get(&room)?.seat
    }

    /// A new seat, which is not anywhere yet.
    pub(super) fn add(&mut self) -> u32 {
        self.last_seat += 1;
        self.seats.get_or_default(self.last_seat);
        self.last_seat
    }

    /// Whether a join of this room can be counted.
    pub(super) fn can_count(&self, room: Option<RoomId>) -> bool {
        self.known.len() < COUNTED_MAX || room.is_some_and(|room| self.known.contains_key(&room))
    }

    /// The rooms in which it will sit.
    pub(super) fn due(&self) -> impl Iterator<Item = u64> {
        self.due.iter().map(|room| room.0)
    }

    /// A room that its user belongs to is not to be had now.
    fn asks_again(&mut self, room: RoomId) {
        if self.later.len() < LATER_MAX && !self.later.contains(&room) {
            self.later.push(room);
        }
    }

    /// Whether a join or leave is under way, or something large is.
    pub(super) fn is_moving(&self) -> bool {
        !self.due.is_empty() || self.is_seating()
    }

    fn is_seating(&self) -> bool {
        let is_busy = |seat: &Seat| seat.room.is_none() || seat.leaving || seat.fetching;
        self.heavy.is_some() || self.seats.values().any(is_busy)
    }

    /// Something was asked with a seat.
    pub(super) fn asked(&mut self, seat: u32, command: &RoomCommand) {
        let Some(seat) = self.seats.get_mut(seat) else { return };
        match command {
            RoomCommand::Leave => seat.leaving = true,
            RoomCommand::History { .. } => seat.fetching = true,
            _ => {}
        }
    }

    /// The history that was asked for is there, or will not come.
    fn fetched(&mut self, seat: u32) {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.fetching = false;
        }
    }

    /// Somebody is writing in a room, or not any more; more often than `every_us` nobody is told.
    pub(super) fn types(&mut self, room: RoomId, now_us: u64, every_us: u64) -> Option<u32> {
        let number = self.seat(room)?;
        let seat = self.seats.get_mut(number)?;
        if seat.typed_at_us.is_some_and(|at| now_us < at + every_us) {
            return None;
        }
        seat.typed_at_us = Some(now_us);
        Some(number)
    }
}

impl Session {
    /// The user belongs to a room.
    pub(super) fn belongs(&mut self, room: RoomId) {
        if let Some(number) = self.rooms.seat(room)
            && let Some(seat) = self.rooms.seats.get_mut(number)
        {
            seat.again = true;
        } else if !self.rooms.due.contains(&room) {
            self.rooms.due.push_back(room);
        }
    }

    /// Takes a seat in the next room that the user belongs to, when the one before is there.
    pub(super) fn sit_where_due(&mut self, now: Now) {
        while self.phase == Phase::Live && !self.rooms.is_seating() {
            let Some(room) = self.rooms.due.pop_front() else { return };
            let has_place = self.rooms.len() < self.config.rooms_max;
            if self.rooms.seat(room).is_some() {
                continue;
            }
            if has_place && self.rooms.can_count(Some(room)) {
                self.sit(now, SeatRequest::new(RoomWish::Numbered(room), None, None));
            } else {
                self.rooms.asks_again(room);
            }
        }
    }

    /// Asks again for the rooms that could not be had before.
    pub(super) fn ask_again(&mut self) {
        for room in std::mem::take(&mut self.rooms.later) {
            self.belongs(room);
        }
    }

    /// Opens the lanes and says which they are.
    pub(super) fn open_lanes(&mut self, now: Now, rooms: &[u64], link: &mut dyn Link) {
        link.set_priority(super::CONTROL, PRIORITY_CONTROL);
        let mut opened = Vec::with_capacity(self.config.lanes.into());
        for lane in 0..self.config.lanes {
            let Some(stream) = link.open_one_way() else {
                self.error(now, link, ErrorCode::LimitReached, "too few streams are allowed");
                return self.farewell(now, link, CloseCode::Limit, "too few streams are allowed");
            };
            link.set_priority(stream, PRIORITY_ROOMS);
            let mut bytes = Vec::new();
            wire::json(
                kind::STREAM_OPEN,
                &json!({ "kind": "shard", "shard_id": lane }),
                &mut bytes,
            );
            let mut outlet = Outlet::new(stream);
            outlet.push(&self.common, &bytes, now.mono_us);
            // At once, so that what rooms say does not have to wait behind it, for which it would be copied.
            let _ = outlet.flush(link);
            opened.push(outlet);
        }
        self.lanes = opened.into();
        let lanes = u64::from(self.config.lanes);
        let streams: Vec<_> = (0..lanes)
            .zip(&self.lanes)
            .map(|(lane, outlet)| {
                let on_it = rooms.iter().filter(|&&room| room % lanes == lane);
                json!({
                    "shard_id": lane,
                    "room_ids": on_it.collect::<Vec<_>>(),
                    "stream_id": outlet.stream.0,
                })
            })
            .collect();
        self.tell(now, kind::SHARD_ASSIGNMENT, &json!({ "shard_streams": streams }));
    }

    /// Sorts what a seat was sent onto streams.
    pub(super) fn route(&mut self, now: Now, number: u32, bytes: &Bytes, link: &mut dyn Link) {
        // Numbered frames side by side, which go out in one piece.
        let mut run = Run::default();
        let mut at = 0;
        for (kind, frame) in frame::split(bytes) {
            let start = at;
            at += frame.len();
            if is_numbered(kind) {
                run.add(start..at);
                continue;
            }
            self.put_run(now, number, bytes, &mut run, link);
            let payload = frame.get(frame::HEADER_BYTES..).unwrap_or_default();
            let ghost = self.rooms.seats.get_mut(number).and_then(|seat| seat.ghost.as_mut());
            if let Some(answers) = ghost
                && (kind != kind::COMMAND_OK || std::mem::take(answers) == 0)
            {
                continue;
            }
            if kind == kind::ROOM_HISTORY || is_refusal_of(kind::FETCH_HISTORY, kind, payload) {
                self.rooms.fetched(number);
            }
            match kind {
                mark::SEATED => self.seated(now, number, payload, link),
                mark::CLOSED => self.closed(now, number, payload),
                mark::LATER => {
                    if let Some(room) = payload.first_chunk() {
                        self.rooms.asks_again(RoomId(u64::from_be_bytes(*room)));
                    }
                }
                mark::BUSY => self.busy(now, number, payload),
                mark::MAY_POST => self.may_upload(now, payload, link),
                kind::COMMAND_OK
                | kind::MESSAGE_ACK
                | kind::ERROR
                | kind::SERVER_COMMAND
                | kind::THROTTLE => self.control.push(&self.common, frame, now.mono_us),
                kind::MESSAGE_DELIVERED | kind::MESSAGE_READ => {
                    if self.capabilities.receipts {
                        self.control.push(&self.common, frame, now.mono_us);
                    }
                }
                kind::TYPING | kind::STOP_TYPING => {
                    if self.capabilities.typing {
                        self.datagram(frame);
                    }
                }
                mark::PRESENCE => self.told_presence(now, payload),
                kind::ROOM_INIT => {
                    let pieces = self.counted(number, &bytes.slice(start..at));
                    self.put_heavy(now, number, kind, &pieces, link);
                }
                kind::ROOM_HISTORY => {
                    self.put_heavy(now, number, kind, &[bytes.slice(start..at)], link);
                }
                _ => debug_assert!(false, "no frame of a seat: {kind:#x}"),
            }
        }
        self.put_run(now, number, bytes, &mut run, link);
    }

    /// Gives the stream of a seat's room numbered frames, of which it is the only one that gets them.
    fn put_run(
        &mut self,
        now: Now,
        number: u32,
        bytes: &Bytes,
        run: &mut Run,
        link: &mut dyn Link,
    ) {
        let Run { range, frames } = std::mem::take(run);
        if frames == 0 {
            return;
        }
        if let Some((outlet, common)) = self.outlet_of(number) {
            outlet.send(common, &bytes.slice(range), now.mono_us, link);
        }
        if let Some(seat) = self.rooms.seats.get_mut(number) {
            seat.next_seq += frames;
        }
    }

    pub(super) fn datagram(&mut self, frame: &[u8]) {
        if frame.len() <= DATAGRAM_BYTES_MAX {
            self.datagrams.push(frame.to_vec());
        }
    }

    /// The stream of a seat's room, and what its frames are counted in.
    fn outlet_of(&mut self, number: u32) -> Option<(&mut Outlet, &Common)> {
        let seat = self.rooms.seats.get(number)?;
        let room = seat.room?;
        let lane = (room.0 % u64::from(self.config.lanes)) as usize;
        let outlet = match seat.hot {
            Some(stream) => hot_outlet(&mut self.hot, stream)?,
            None => self.lanes.get_mut(lane)?,
        };
        Some((outlet, &self.common))
    }

    /// Puts a frame on the stream of a seat's room.
    fn put(&mut self, now: Now, number: u32, frame: &[u8]) {
        if let Some((outlet, common)) = self.outlet_of(number) {
            outlet.push(common, frame, now.mono_us);
        }
    }

    /// The same for a frame so large that no other such follows before its stream has taken it.
    fn put_heavy(
        &mut self,
        now: Now,
        number: u32,
        kind: u8,
        pieces: &[Bytes],
        link: &mut dyn Link,
    ) {
        if let Some((outlet, common)) = self.outlet_of(number) {
            common.frames.one_went(kind);
            pieces.iter().for_each(|piece| outlet.give(piece, now.mono_us, link));
            self.rooms.heavy = Some((outlet.stream, outlet.total()));
        }
    }

    /// Looks whether the last large frame was taken by its stream.
    pub(super) fn settle_heavy(&mut self) {
        let Some((stream, end)) = self.rooms.heavy else { return };
        let taken = self.outlets().find(|outlet| outlet.stream == stream);
        if taken.is_none_or(|outlet| outlet.taken() >= end) {
            self.rooms.heavy = None;
        }
    }

    /// The core has seated a seat.
    fn seated(&mut self, now: Now, number: u32, payload: &[u8], link: &mut dyn Link) {
        let Some((room, seq)) = two_numbers(payload) else { return };
        let room = RoomId(room);
        let twice = self.rooms.seat(room).is_some();
        let Some(seat) = self.rooms.seats.get_mut(number) else { return };
        (seat.room, seat.next_seq) = (Some(room), seq + 1);
        if twice {
            // A full lobby led to where it is already; one seat is enough.
            (seat.room, seat.ghost) = (None, Some(1));
            let command = RoomCommand::Unseat;
            let request = RoomRequest { nonce: None, kind: kind::JOIN_ROOM, command };
            return self.asks.push_back(Ask::Room(number, request));
        }
        let known = self.rooms.known.entry(room).or_default();
        known.seat = Some(number);
        known.memberships += 1;
        if self.phase == Phase::Entering {
            self.entered(now, Some(room.0), link);
        }
    }

    /// A `RoomInit` with the number of the membership, which is its last field, in pieces: it is tens of kilobytes in
    /// a large room, and seldom has to be made longer.
    fn counted(&self, number: u32, frame: &Bytes) -> SmallVec<[Bytes; 2]> {
        const NONE: &[u8] = b"0}";
        let Some(rest) = frame.strip_suffix(NONE) else { return smallvec![frame.clone()] };
        let end = format!("{}}}", self.membership(number)).into_bytes();
        if end.len() == NONE.len() {
            return smallvec![frame.slice(..rest.len()), end.into()];
        }
        let mut bytes = Vec::with_capacity(rest.len() + end.len());
        let payload = rest.get(frame::HEADER_BYTES..).unwrap_or_default();
        frame::append(kind::ROOM_INIT, &mut bytes, |out| {
            out.extend_from_slice(payload);
            out.extend_from_slice(&end);
        });
        smallvec![bytes.into()]
    }

    fn membership(&self, number: u32) -> u32 {
        let room = self.rooms.seats.get(number).and_then(|seat| seat.room);
        room.and_then(|room| self.rooms.known.get(&room)).map_or(1, |known| known.memberships)
    }

    /// A seat's room is closed for this session.
    fn closed(&mut self, now: Now, number: u32, payload: &[u8]) {
        let Some((&how, numbers)) = payload.split_first() else { return };
        let Some((by, until)) = two_numbers(numbers) else { return };
        let Some(room) = self.rooms.seats.get(number).and_then(|seat| seat.room) else { return };
        let reason = match how {
            2 => "kicked",
            3 => "banned",
            4 => "deleted",
            _ => "left",
        };
        let payload = json!({
            "room_id": room,
            "reason": reason,
            "by": (by > 0).then_some(by),
            "until": (until > 0).then_some(until),
            "membership": self.membership(number),
        });
        let mut bytes = Vec::new();
        wire::json(kind::ROOM_CLOSE, &payload, &mut bytes);
        self.put(now, number, &bytes);
    }

    /// A seat is gone, with the last that it was sent; `undone` is what it asked and nobody answers.
    pub fn seat_ended(
        &mut self,
        now: Now,
        number: u32,
        last: &Bytes,
        undone: &[RoomRequest],
        link: &mut dyn Link,
    ) {
        self.seat_bytes(now, number, last, link);
        undone.iter().for_each(|request| self.undone(now, number, request, link));
        // What was asked a moment ago has nowhere to go, either.
        let asks = std::mem::take(&mut self.asks).into_iter();
        let (lost, rest): (VecDeque<Ask>, VecDeque<Ask>) =
            asks.partition(|ask| matches!(ask, Ask::Room(other, _) if *other == number));
        self.asks = rest;
        for ask in lost {
            if let Ask::Room(_, request) = ask {
                self.undone(now, number, &request, link);
            }
        }
        self.forget_seat(now, number, link);
    }

    /// Nobody answers what a seat asked, because it was gone by then.
    pub fn undone(&mut self, now: Now, number: u32, request: &RoomRequest, link: &mut dyn Link) {
        // An upload that waits for its seat is refused when the seat is forgotten, and its stream stopped.
        let is_silent = matches!(
            request.command,
            RoomCommand::Typing(_)
                | RoomCommand::Receipt { .. }
                | RoomCommand::Unseat
                | RoomCommand::MayPost { .. }
        );
        let room = self.rooms.seats.get(number).and_then(|seat| seat.room);
        if let Some(room) = room.filter(|_| !is_silent)
            && !matches!(self.phase, Phase::Closing | Phase::Gone)
        {
            self.refuse_request(now, room, request, super::commands::NOT_IN, link);
        }
    }

    fn forget_seat(&mut self, now: Now, number: u32, link: &mut dyn Link) {
        let Some(seat) = self.rooms.seats.remove(number) else { return };
        self.forget_asked(now, number, link);
        if let Some(room) = seat.room
            && let Some(known) = self.rooms.known.get_mut(&room)
            && known.seat == Some(number)
        {
            known.seat = None;
            if seat.again {
                self.rooms.due.push_back(room);
            }
        }
        if let Some(stream) = seat.hot
            && let Some(outlet) = hot_outlet(&mut self.hot, stream)
        {
            outlet.end();
        }
        if seat.room.is_none() && self.phase == Phase::Entering {
            // Not even the lobby takes it in; it may find another room.
            self.entered(now, None, link);
        }
    }

    /// A room became busy, or is quiet again.
    fn busy(&mut self, now: Now, number: u32, payload: &[u8]) {
        let on = payload.first() == Some(&1);
        let lanes = u64::from(self.config.lanes);
        let Some(seat) = self.rooms.seats.get_mut(number) else { return };
        if on {
            self.rooms.busy_count += 1;
            seat.busy = Some(self.rooms.busy_count);
            return;
        }
        seat.busy = None;
        let (Some(stream), Some(room)) = (seat.hot.take(), seat.room) else { return };
        let payload = json!({
            "room_id": room,
            "to_shard": room.0 % lanes,
            "stream_id": stream.0,
            "first_seq": seat.next_seq,
        });
        if let Some(outlet) = hot_outlet(&mut self.hot, stream) {
            outlet.end();
        }
        self.tell(now, kind::ROOM_DEMOTED, &payload);
    }

    /// Gives busy rooms streams of their own, those that have waited longest first.
    pub(super) fn promote_waiting(&mut self, now: Now, link: &mut dyn Link) {
        if !self.capabilities.hot || self.phase != Phase::Live {
            return;
        }
        loop {
            // A stream that is finished counts until all of it has arrived, so that no room is on two of its own.
            if self.hot.len() >= self.config.hot_rooms_max {
                return;
            }
            let waiting = self.rooms.seats.iter().filter(|(_, seat)| {
                seat.busy.is_some()
                    && seat.hot.is_none()
                    && seat.room.is_some()
                    && !seat.leaving
                    && !self.hot.iter().any(|hot| Some(hot.room) == seat.room)
            });
            let Some((number, _)) = waiting.min_by_key(|(_, seat)| seat.busy) else { return };
            let Some(stream) = link.open_one_way() else { return };
            link.set_priority(stream, PRIORITY_ROOMS);
            let lanes = u64::from(self.config.lanes);
            let Some(seat) = self.rooms.seats.get_mut(number) else { return };
            let Some(room) = seat.room else { return };
            seat.hot = Some(stream);
            let first_seq = seat.next_seq;
            let opens = json!({ "kind": "hot", "room_id": room, "first_seq": first_seq });
            let mut bytes = Vec::new();
            wire::json(kind::STREAM_OPEN, &opens, &mut bytes);
            let mut outlet = Outlet::new(stream);
            outlet.push(&self.common, &bytes, now.mono_us);
            self.hot.push(Hot { room, outlet });
            let payload = json!({
                "room_id": room,
                "from_shard": room.0 % lanes,
                "stream_id": stream.0,
                "first_seq": first_seq,
            });
            self.tell(now, kind::ROOM_PROMOTED, &payload);
        }
    }
}

/// The stream of a busy room.
fn hot_outlet(hot: &mut [Hot], stream: crate::quic::StreamId) -> Option<&mut Outlet> {
    hot.iter_mut().map(|hot| &mut hot.outlet).find(|outlet| outlet.stream == stream)
}

/// Whether frames of this kind are counted by `seq` (protocol page, section 12).
fn is_numbered(kind: u8) -> bool {
    matches!(
        kind,
        kind::ROOM_MESSAGE..=kind::ROOM_USER_LEFT | kind::ROOM_USER_UPDATED | kind::ROOM_UPDATED
    )
}

/// Whether a frame says that this command was refused.
fn is_refusal_of(command: u8, kind: u8, payload: &[u8]) -> bool {
    let payload = (kind == kind::ERROR).then(|| serde_json::from_slice(payload).ok()).flatten();
    payload.is_some_and(|payload: serde_json::Value| payload["command"] == command)
}

/// Frames side by side.
#[derive(Default)]
struct Run {
    range: Range<usize>,
    frames: u64,
}

impl Run {
    /// Adds a frame, which begins where the last one ended.
    fn add(&mut self, range: Range<usize>) {
        if self.frames == 0 {
            self.range.start = range.start;
        }
        self.range.end = range.end;
        self.frames += 1;
    }
}

fn two_numbers(payload: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = payload.split_first_chunk()?;
    let (second, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(*second)))
}
