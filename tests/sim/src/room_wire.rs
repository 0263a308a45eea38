//! What seats and sessions are told, as records of the simulator's own: a length in front, then JSON.

use serde::{Deserialize, Serialize};
use tutti_shards::{Answer, ChatMessage, Departure, Event, Notice, NumberKey, Occupant, RoomEvent};

/// Somebody in a room, as far as everybody in it has to agree: role, color, name.
pub(crate) type Face = (String, [u8; 3], String);

/// A message as it is now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is that of the message")]
pub(crate) struct Said {
    pub id: u64,
    pub seq: u64,
    pub by: u64,
    pub text: String,
    pub deleted: bool,
    pub reactions: Vec<(String, Vec<u64>)>,
}

/// How a room is set up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is that of the view")]
pub(crate) struct Sign {
    pub name: String,
    pub topic: Option<String>,
    pub post_role: String,
    pub chat: bool,
}

/// An event with a number, without it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is the room event of the same name")]
pub(crate) enum Change {
    Message(Said),
    Edited { id: u64, text: String },
    Deleted { id: u64 },
    Reaction { id: u64, user: u64, emoji: String, added: bool },
    Joined { user: u64, face: Face },
    Left { user: u64, how: Departure },
    UserUpdated { user: u64, face: Face },
    Updated(Sign),
}

/// One thing that a seat or a session is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is the room event of the same name")]
pub(crate) enum RoomTold {
    Seated {
        room: u64,
        seq: u64,
    },
    Init {
        room: u64,
        seq: u64,
        sign: Sign,
        members: Vec<(u64, Face)>,
        count: u32,
        messages: Vec<Said>,
    },
    Numbered {
        room: u64,
        seq: u64,
        change: Change,
    },
    History {
        nonce: Option<String>,
        ids: Vec<u64>,
    },
    Done {
        nonce: Option<String>,
    },
    Accepted {
        nonce: Option<String>,
        id: u64,
    },
    Refused {
        nonce: Option<String>,
        fault: String,
    },
    Closed {
        how: Departure,
    },
    Busy {
        on: bool,
        first_seq: u64,
    },
    Presence {
        user: u64,
        number: u32,
    },
    Aside,
    Invited(u64),
    Belongs(Vec<u64>),
    Later(u64),
    Welcome,
    Refusal,
}

fn face(who: &Occupant<'_>) -> Face {
    let profile = who.view.profile;
    (who.role.word().to_owned(), profile.color.0, profile.display_name().to_owned())
}

fn said(key: NumberKey, message: &ChatMessage) -> Said {
    let reactions = message.reactions.iter().map(|reaction| {
        let users = reaction.users.iter().map(|user| user.0).collect();
        (reaction.emoji.as_str().to_owned(), users)
    });
    Said {
        id: message.id.0,
        seq: message.seq,
        by: key.user(&message.by).0,
        text: message.text.as_str().to_owned(),
        deleted: message.deleted,
        reactions: reactions.collect(),
    }
}

fn sign(view: &tutti_shards::RoomView<'_>) -> Sign {
    Sign {
        name: view.name.to_owned(),
        topic: view.topic.map(Into::into),
        post_role: view.post_role.word().to_owned(),
        chat: view.chat,
    }
}

fn nonce(answer: &Answer<'_>) -> Option<String> {
    answer.nonce.map(Into::into)
}

fn told(key: NumberKey, event: &RoomEvent<'_>) -> RoomTold {
    let user_of = |who: &Occupant<'_>| key.user(who.view.profile).0;
    let numbered = |room: tutti_shards::RoomId, seq: u64, change: Change| RoomTold::Numbered {
        room: room.0,
        seq,
        change,
    };
    match event {
        RoomEvent::Init { view, seq, members, member_count, messages, .. } => RoomTold::Init {
            room: view.room.0,
            seq: *seq,
            sign: sign(view),
            members: members.iter().map(|who| (user_of(who), face(who))).collect(),
            count: *member_count,
            messages: messages.iter().map(|message| said(key, message)).collect(),
        },
        RoomEvent::Message { room, message } => {
            numbered(*room, message.seq, Change::Message(said(key, message)))
        }
        RoomEvent::Edited { room, message, text, seq, .. } => {
            numbered(*room, *seq, Change::Edited { id: message.0, text: (*text).to_owned() })
        }
        RoomEvent::Deleted { room, message, seq, .. } => {
            numbered(*room, *seq, Change::Deleted { id: message.0 })
        }
        RoomEvent::Reaction { room, message, user, emoji, added, seq } => {
            let emoji = (*emoji).to_owned();
            let (id, user, added) = (message.0, user.0, *added);
            numbered(*room, *seq, Change::Reaction { id, user, emoji, added })
        }
        RoomEvent::Joined { room, who, seq, .. } => {
            numbered(*room, *seq, Change::Joined { user: user_of(who), face: face(who) })
        }
        RoomEvent::Left { room, user, how, seq, .. } => {
            numbered(*room, *seq, Change::Left { user: user.0, how: *how })
        }
        RoomEvent::UserUpdated { room, who, seq, .. } => {
            numbered(*room, *seq, Change::UserUpdated { user: user_of(who), face: face(who) })
        }
        RoomEvent::Updated { view, seq, .. } => {
            numbered(view.room, *seq, Change::Updated(sign(view)))
        }
        RoomEvent::History { messages, nonce, .. } => RoomTold::History {
            nonce: nonce.map(Into::into),
            ids: messages.iter().map(|message| message.id.0).collect(),
        },
        RoomEvent::Done { answer, .. } => RoomTold::Done { nonce: nonce(answer) },
        RoomEvent::Accepted { answer, message, .. } => {
            RoomTold::Accepted { nonce: nonce(answer), id: message.0 }
        }
        RoomEvent::Refused { answer, fault } => {
            RoomTold::Refused { nonce: nonce(answer), fault: format!("{fault:?}") }
        }
        RoomEvent::MayPost { answer, fault: Some(fault), .. } => {
            RoomTold::Refused { nonce: nonce(answer), fault: format!("{fault:?}") }
        }
        RoomEvent::MayPost { answer, .. } => RoomTold::Done { nonce: nonce(answer) },
        RoomEvent::Closed { how, .. } => RoomTold::Closed { how: *how },
        RoomEvent::Busy { on, first_seq } => RoomTold::Busy { on: *on, first_seq: *first_seq },
        RoomEvent::Presence { user, number, .. } => {
            RoomTold::Presence { user: user.0, number: *number }
        }
        RoomEvent::Typing { .. } | RoomEvent::Receipt { .. } => RoomTold::Aside,
        RoomEvent::Invited(invitation) => RoomTold::Invited(invitation.room.0),
        RoomEvent::Enters(room) => RoomTold::Belongs(vec![room.0]),
        RoomEvent::Later(room) => RoomTold::Later(room.0),
        RoomEvent::Belongs(rooms) => RoomTold::Belongs(rooms.iter().map(|room| room.0).collect()),
        RoomEvent::Seated { room, seq } => RoomTold::Seated { room: room.0, seq: *seq },
    }
}

/// Appends what an event is to a seat or a session, if it is anything.
pub(crate) fn encode(key: NumberKey, event: &Event<'_>, out: &mut Vec<u8>) {
    let told = match event {
        Event::Room(event) => told(key, event),
        Event::Hello { .. } => RoomTold::Welcome,
        Event::Notice(Notice::TooManyConnections) => RoomTold::Refusal,
        _ => return,
    };
    let json = serde_json::to_vec(&told).expect("records are JSON");
    out.extend((json.len() as u32).to_le_bytes());
    out.extend(json);
}

/// The records of these bytes, which are whole.
///
/// # Panics
/// When they are not.
#[must_use]
pub(crate) fn decode(mut bytes: &[u8]) -> Vec<RoomTold> {
    let mut told = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>().expect("seats are sent whole records");
        let (record, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        told.push(serde_json::from_slice(record).expect("a record is one"));
        bytes = rest;
    }
    told
}
