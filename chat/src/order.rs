//! Puts the events of each room in the order of their numbers, whatever stream they came on (section 12.3).
//!
//! A busy room moves to a stream of its own and back, and streams overtake each other. What comes early is held until
//! the gap before it closes, which it always does, because streams are reliable.

use crate::wire::Event;
use std::collections::{BTreeMap, HashMap};

/// Most bytes of events that are held for all rooms together; over it the session has to begin anew.
pub const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// More had to be held than [`HELD_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {HELD_BYTES_MAX} bytes wait for events that have not come")]
pub struct HeldTooMuch;

/// The order of all rooms of one session.
#[derive(Debug, Default)]
pub struct Order {
    rooms: HashMap<u64, Room>,
    held_bytes: usize,
}

#[derive(Debug, Default)]
struct Room {
    /// The number that is delivered next. It never goes back (R7).
    next: u64,
    /// The highest number of a membership that was seen, from 1 (R8).
    membership: u32,
    inside: bool,
    held: BTreeMap<u64, (Event, usize)>,
}

impl Order {
    /// Takes one room event of `bytes` on the wire, and appends to `out` what can be delivered now, in order.
    ///
    /// Events without a number that are not about being in the room pass through.
    ///
    /// # Errors
    /// [`HeldTooMuch`]; the session is of no use after that.
    pub fn take(
        &mut self,
        event: Event,
        bytes: usize,
        out: &mut Vec<Event>,
    ) -> Result<(), HeldTooMuch> {
        match &event {
            Event::RoomInit(init) => {
                let room = self.rooms.entry(init.room_id).or_default();
                let closed = init.membership == room.membership && !room.inside;
                if init.membership < room.membership || closed {
                    return Ok(());
                }
                room.membership = init.membership;
                room.inside = true;
                room.next = room.next.max(init.seq + 1);
                let late = room.held.range(..room.next).map(|(_, (_, bytes))| bytes).sum::<usize>();
                self.held_bytes -= late;
                room.held = room.held.split_off(&room.next);
                let room_id = init.room_id;
                out.push(event);
                self.release(room_id, out);
            }
            Event::RoomClose(close) => {
                let room = self.rooms.entry(close.room_id).or_default();
                if close.membership < room.membership {
                    return Ok(());
                }
                room.membership = close.membership;
                room.inside = false;
                out.push(event);
            }
            _ => {
                let Some((room_id, seq)) = event.sequence() else {
                    out.push(event);
                    return Ok(());
                };
                let room = self.rooms.entry(room_id).or_default();
                if seq < room.next {
                    return Ok(());
                }
                if room.held.insert(seq, (event, bytes)).is_none() {
                    self.held_bytes += bytes;
                }
                self.release(room_id, out);
                if self.held_bytes > HELD_BYTES_MAX {
                    return Err(HeldTooMuch);
                }
            }
        }
        Ok(())
    }

    /// Bytes of events that wait for a gap to close.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn release(&mut self, room_id: u64, out: &mut Vec<Event>) {
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        if !room.inside {
            return;
        }
        while let Some(first) = room.held.first_entry() {
            if *first.key() != room.next {
                break;
            }
            let (event, bytes) = first.remove();
            self.held_bytes -= bytes;
            room.next += 1;
            out.push(event);
        }
    }
}

#[cfg(test)]
mod tests;
