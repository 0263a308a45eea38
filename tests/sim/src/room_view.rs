//! What a seat can know of its room from what it was told, and what all seats have to agree on.
//!
//! Written from the statements of the protocol about numbered events, one seat at a time; it shares no code with the
//! server.

use crate::room_wire::{Change, Face, RoomTold, Said, Sign};
use std::collections::{BTreeMap, BTreeSet};
use tutti_shards::Departure;

/// A room as it is behind an event.
#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    sign: Sign,
    members: BTreeMap<u64, Face>,
    messages: Vec<Said>,
}

/// What all seats saw, as far as it must agree.
#[derive(Debug, Default)]
pub(crate) struct RoomLedger {
    /// What each number of each room stood for, and who said so first.
    events: BTreeMap<(u64, u64), (Change, String)>,
    /// What each room was behind each number, by the first to get there.
    states: BTreeMap<(u64, u64), (State, String)>,
    /// Which event brought each message. Kept over restarts.
    messages: BTreeMap<u64, (u64, u64)>,
    /// How many events were compared with what another seat saw.
    pub compared: u64,
    /// How many rooms' states were.
    pub states_compared: u64,
    /// Whether messages vanish in ways that people in rooms are not told of: staff cleared a chat.
    pub cleared: bool,
}

impl RoomLedger {
    /// The server begins anew, and numbers with it; those of messages are never used again.
    pub(crate) fn crash(&mut self) {
        self.events.clear();
        self.states.clear();
        for place in self.messages.values_mut() {
            *place = (0, 0);
        }
    }

    fn event(&mut self, who: &str, room: u64, seq: u64, change: &Change) {
        let known = self.events.get(&(room, seq));
        if let Some((known, by)) = known {
            assert!(known == change, "{who} saw {change:?} as {seq} of {room:#x}, {by} {known:?}");
            self.compared += 1;
            return;
        }
        self.events.insert((room, seq), (change.clone(), who.to_owned()));
        let Change::Message(said) = change else { return };
        assert_eq!(said.seq, seq, "{who}: a message has the number of its event");
        let before = self.messages.insert(said.id, (room, seq));
        assert!(before.is_none(), "{who}: message {} of {room:#x} was {before:?}", said.id);
        let is_message =
            |(_, (change, _)): &(_, &(Change, _))| matches!(change, Change::Message(_));
        let id = |(_, (change, _)): (_, &(Change, _))| match change {
            Change::Message(said) => said.id,
            _ => unreachable!("only messages were looked for"),
        };
        let last = self.events.range((room, 0)..(room, seq)).rev().find(is_message).map(id);
        let next = self.events.range((room, seq + 1)..(room, u64::MAX)).find(is_message).map(id);
        assert!(last.is_none_or(|last| last < said.id), "{who}: ids of {room:#x} rise");
        assert!(next.is_none_or(|next| said.id < next), "{who}: ids of {room:#x} rise");
    }

    fn state(&mut self, who: &str, room: u64, seq: u64, state: &State) {
        let Some((known, by)) = self.states.get(&(room, seq)) else {
            self.states.insert((room, seq), (state.clone(), who.to_owned()));
            return;
        };
        self.states_compared += 1;
        let place = format!("{room:#x} behind {seq}, as {who} and {by} know it");
        assert_eq!(state.members, known.members, "who is in {place}");
        assert_eq!(state.sign, known.sign, "what is written at {place}");
        if !self.cleared {
            let common = state.messages.len().min(known.messages.len());
            let last = |state: &State| state.messages[state.messages.len() - common..].to_vec();
            assert_eq!(last(state), last(known), "what was said in {place}");
        }
    }
}

/// Where a seat is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Waiting,
    Seated,
    Inside,
    Closed,
}

/// What one seat knows.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field says what it is")]
pub(crate) struct SeatView {
    pub who: String,
    phase: Phase,
    pub room: Option<u64>,
    pub seq: u64,
    pub busy: bool,
    state: Option<State>,
    presence: BTreeMap<u64, u32>,
    /// Questions that were not answered yet.
    pub pending: BTreeMap<String, u32>,
    pub refused: Option<String>,
    pub closed: Option<Departure>,
}

impl SeatView {
    /// The view of a seat that nothing is known of.
    pub(crate) fn new(who: String) -> Self {
        SeatView {
            who,
            phase: Phase::Waiting,
            room: None,
            seq: 0,
            busy: false,
            state: None,
            presence: BTreeMap::new(),
            pending: BTreeMap::new(),
            refused: None,
            closed: None,
        }
    }

    /// Whether the room was shown and not closed.
    pub(crate) fn is_inside(&self) -> bool {
        self.phase == Phase::Inside
    }

    /// Who is in the room, with their roles.
    pub(crate) fn members(&self) -> BTreeMap<u64, String> {
        let members = self.state.iter().flat_map(|state| &state.members);
        members.map(|(&user, (role, ..))| (user, role.clone())).collect()
    }

    /// The messages that it knows, oldest first.
    pub(crate) fn messages(&self) -> Vec<u64> {
        self.state.iter().flat_map(|state| &state.messages).map(|said| said.id).collect()
    }

    /// Asks something that has to be answered.
    pub(crate) fn ask(&mut self, nonce: &str) {
        *self.pending.entry(nonce.to_owned()).or_default() += 1;
    }

    /// Nobody has answered something that it asked: it does not sit there any more.
    pub(crate) fn undone(&mut self, nonce: Option<&str>) {
        if let Some(nonce) = nonce {
            self.answered(Some(&nonce.to_owned()));
        }
    }

    fn answered(&mut self, nonce: Option<&String>) {
        let who = &self.who;
        let nonce = nonce.unwrap_or_else(|| panic!("{who}: an answer to nothing"));
        let Some(open) = self.pending.get_mut(nonce) else {
            panic!("{who}: {nonce} was answered before, or never asked");
        };
        *open -= 1;
        if *open == 0 {
            self.pending.remove(nonce);
        }
    }

    /// Takes something in.
    ///
    /// # Panics
    /// When this seat should not have been told it now.
    pub(crate) fn take(&mut self, told: &RoomTold, ledger: &mut RoomLedger) {
        let who = self.who.clone();
        assert_ne!(self.phase, Phase::Closed, "{who}: nothing follows the close, but {told:?}");
        let is_init = matches!(told, RoomTold::Init { .. });
        assert_eq!(
            self.phase == Phase::Seated,
            is_init,
            "{who}: the room follows its seat: {told:?}"
        );
        match told {
            RoomTold::Seated { room, seq } => {
                assert_eq!(self.phase, Phase::Waiting, "{who} is seated once");
                (self.phase, self.room, self.seq) = (Phase::Seated, Some(*room), *seq);
            }
            RoomTold::Init { room, seq, sign, members, count, messages } => {
                assert_eq!(
                    (self.room, self.seq),
                    (Some(*room), *seq),
                    "{who}: seat and room agree"
                );
                assert_eq!(members.len(), *count as usize, "{who}: everyone is shown");
                let ids: Vec<u64> = messages.iter().map(|said| said.id).collect();
                let distinct: BTreeSet<u64> = ids.iter().copied().collect();
                assert_eq!(distinct.len(), ids.len(), "{who}: no message is shown twice");
                let faces: BTreeMap<u64, Face> = members.iter().cloned().collect();
                assert_eq!(faces.len(), members.len(), "{who}: nobody is shown twice");
                let state =
                    State { sign: sign.clone(), members: faces, messages: messages.clone() };
                ledger.state(&who, *room, *seq, &state);
                self.state = Some(state);
                self.phase = Phase::Inside;
            }
            RoomTold::Numbered { room, seq, change } => {
                assert_eq!(self.phase, Phase::Inside, "{who}: {change:?} outside");
                assert_eq!(self.room, Some(*room), "{who}: an event of its room");
                assert_eq!(*seq, self.seq + 1, "{who}: no gap and nothing twice, at {change:?}");
                self.seq = *seq;
                ledger.event(&who, *room, *seq, change);
                self.change(change);
                ledger.state(&who, *room, *seq, self.state.as_ref().expect("it is inside"));
            }
            RoomTold::History { nonce, ids } => {
                self.answered(nonce.as_ref());
                let distinct: BTreeSet<u64> = ids.iter().copied().collect();
                assert_eq!(distinct.len(), ids.len(), "{who}: no message is shown twice");
            }
            RoomTold::Done { nonce } => self.answered(nonce.as_ref()),
            RoomTold::Accepted { nonce, id } => {
                self.answered(nonce.as_ref());
                if self.phase == Phase::Inside {
                    let shown = ledger.messages.get(id);
                    assert_eq!(shown.map(|shown| shown.0), self.room, "{who}: {id} was said here");
                }
            }
            RoomTold::Refused { nonce, fault } => {
                self.answered(nonce.as_ref());
                if self.phase == Phase::Waiting {
                    self.refused = Some(fault.clone());
                }
            }
            RoomTold::Closed { how } => {
                assert_eq!(self.phase, Phase::Inside, "{who}: only what was open closes");
                (self.phase, self.closed) = (Phase::Closed, Some(*how));
            }
            RoomTold::Busy { on, first_seq } => {
                assert_eq!(*first_seq, self.seq + 1, "{who}: a mark stands where it says");
                assert_ne!(self.busy, *on, "{who}: a mark changes something");
                self.busy = *on;
            }
            RoomTold::Presence { user, number } => {
                let last = self.presence.insert(*user, *number);
                assert!(last.is_none_or(|last| last <= *number), "{who}: presence of {user}");
            }
            // It ends, and its session asks again.
            RoomTold::Later(_) => assert!(self.room.is_none(), "{who}: a room later"),
            RoomTold::Aside => assert_eq!(self.phase, Phase::Inside, "{who}: an aside outside"),
            RoomTold::Invited(_) | RoomTold::Belongs(_) | RoomTold::Welcome | RoomTold::Refusal => {
                panic!("{who} is a seat, and was told {told:?}")
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let who = &self.who;
        let State { sign, members, messages } = self.state.as_mut().expect("it is inside");
        let find = |messages: &mut Vec<Said>, id: u64| messages.iter().position(|one| one.id == id);
        match change {
            Change::Message(said) => messages.push(said.clone()),
            Change::Edited { id, text } => {
                if let Some(at) = find(messages, *id) {
                    assert!(!messages[at].deleted, "{who}: what was deleted is not edited");
                    messages[at].text.clone_from(text);
                }
            }
            Change::Deleted { id } => {
                if let Some(at) = find(messages, *id) {
                    let said = &mut messages[at];
                    assert!(!said.deleted, "{who}: {id} is deleted once");
                    (said.deleted, said.text) = (true, String::new());
                    said.reactions.clear();
                }
            }
            Change::Reaction { id, user, emoji, added } => {
                let Some(at) = find(messages, *id) else { return };
                let reactions = &mut messages[at].reactions;
                let place = reactions.iter().position(|(other, _)| other == emoji);
                if *added {
                    let place = place.unwrap_or_else(|| {
                        reactions.push((emoji.clone(), Vec::new()));
                        reactions.len() - 1
                    });
                    assert!(!reactions[place].1.contains(user), "{who}: {user} reacts once");
                    reactions[place].1.push(*user);
                } else {
                    let place = place.unwrap_or_else(|| panic!("{who}: {emoji} is not at {id}"));
                    let users = &mut reactions[place].1;
                    let held = users.iter().position(|other| other == user);
                    users.remove(held.unwrap_or_else(|| panic!("{who}: {user} did not react")));
                    if users.is_empty() {
                        reactions.remove(place);
                    }
                }
            }
            Change::Joined { user, face } => {
                let before = members.insert(*user, face.clone());
                assert!(before.is_none(), "{who}: {user} was there already");
            }
            Change::Left { user, .. } => {
                assert!(members.remove(user).is_some(), "{who}: {user} left without being there");
            }
            Change::UserUpdated { user, face } => {
                let before = members.insert(*user, face.clone());
                assert!(before.is_some(), "{who}: {user} changed without being there");
            }
            Change::Updated(now) => *sign = now.clone(),
        }
    }
}
