//! What a peer can know from what it received, and what it may therefore receive next.
//!
//! This is the model against which the server is checked: it is written from the protocol's statements, one peer's
//! point of view at a time, and shares no code with the server.

use crate::wire::{Person, Said, Seen, Told, notice};
use std::collections::{BTreeMap, BTreeSet};
use tutti_shards::{Position, UserId};

/// As whom the server itself speaks.
const SERVER: UserId = UserId([0; 12]);

/// A stream whose messages everyone sees in the same order: a room's chat, or one peer's notes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stream {
    /// What is said in the room of this name.
    Chat(String),
    /// What the peer of this number plays.
    Notes(usize),
}

/// What all peers saw, as far as it must agree: which message follows which.
///
/// Whoever sits in a room from one message to another must have received all between. So in all the streams of all
/// members each message has one successor and one predecessor, or somebody missed one or saw another order.
#[derive(Debug, Default)]
pub struct Ledger {
    next: BTreeMap<(Stream, String), (String, usize)>,
    before: BTreeMap<(Stream, String), (String, usize)>,
}

impl Ledger {
    /// `peer` saw `second` right after `first`.
    pub(crate) fn follows(&mut self, peer: usize, stream: &Stream, first: &str, second: &str) {
        let next = self.next.entry((stream.clone(), first.to_owned()));
        let (known, by) = next.or_insert_with(|| (second.to_owned(), peer));
        assert!(
            known == second,
            "peer {peer} saw {second} after {first}, but peer {by} saw {known} ({stream:?})"
        );
        let before = self.before.entry((stream.clone(), second.to_owned()));
        let (known, by) = before.or_insert_with(|| (first.to_owned(), peer));
        assert!(
            known == first,
            "peer {peer} saw {first} before {second}, but peer {by} saw {known} ({stream:?})"
        );
    }

    /// Messages of which a successor is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.next.len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}

/// The room that a peer is in, as the peer knows it.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each field is what the peer was told of it")]
pub struct Room {
    pub name: String,
    pub crown: Option<(UserId, bool)>,
    pub visible: bool,
    pub chat: bool,
    pub solo: bool,
    pub people: BTreeMap<UserId, Person>,
    /// The last chat message, and the last of each peer.
    pub last_chat: Option<String>,
    pub chat_of: BTreeMap<usize, u32>,
    /// The last notes of each peer.
    pub notes_of: BTreeMap<usize, u32>,
}

/// A peer's knowledge.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "each field is what the peer was told last")]
pub struct View {
    pub peer: usize,
    pub challenged: bool,
    pub user: Option<UserId>,
    pub refused: bool,
    pub room: Option<Room>,
    pub quota: Option<(u32, u32)>,
    pub list: Option<BTreeMap<String, (u32, bool)>>,
    pub customs: BTreeSet<String>,
    pub directs: BTreeSet<String>,
    /// What was said by this very peer and came back.
    pub echoes: Vec<u32>,
    pub times: Vec<u64>,
    pub removals: u32,
    pub received: u64,
    /// A channel message that is right only if it is the first of a new seat.
    suspect: Option<String>,
    expects_history: bool,
    /// The room was told again: its history follows if the peer joined anew, and does not if something changed.
    may_be_new: bool,
    expects_quota: bool,
}

/// The peer and number in a text like `c12.3`.
fn numbered(text: &str) -> Option<(usize, u32)> {
    let (peer, number) = text.strip_prefix('c')?.split_once('.')?;
    Some((peer.parse().ok()?, number.parse().ok()?))
}

impl View {
    /// The view of a peer that has just connected.
    #[must_use]
    pub fn new(peer: usize) -> Self {
        View { peer, ..View::default() }
    }

    fn room(&mut self, what: &str) -> &mut Room {
        let peer = self.peer;
        self.room.as_mut().unwrap_or_else(|| panic!("peer {peer} was sent {what} outside a room"))
    }

    /// Takes a message in.
    ///
    /// # Panics
    /// When this peer should not have received it now.
    pub fn take(&mut self, told: &Told, ledger: &mut Ledger) {
        self.received += 1;
        let peer = self.peer;
        assert_eq!(
            self.challenged,
            *told != Told::Challenge,
            "peer {peer}: the challenge comes first and once, not {told:?}"
        );
        if let Some(wrong) = self.suspect.take()
            && !matches!(told, Told::History(_))
        {
            panic!("peer {peer}: {wrong}");
        }
        if self.expects_history && !matches!(told, Told::History(_)) {
            panic!("peer {peer}: the history follows the channel that was joined, not {told:?}");
        }
        if self.expects_quota && !matches!(told, Told::Quota { .. }) {
            panic!("peer {peer}: the quota follows the history of a join, not {told:?}");
        }
        self.expects_quota = false;
        let may_be_new = std::mem::take(&mut self.may_be_new);
        match told {
            Told::Challenge => self.challenged = true,
            Told::Hello { user, .. } => {
                assert!(
                    self.user.is_none_or(|known| known == *user),
                    "peer {peer} was called somebody else"
                );
                self.user = Some(*user);
            }
            Told::Quota { allowance, max } => self.quota = Some((*allowance, *max)),
            Told::Channel(seen) => self.channel(seen),
            Told::Participant(person) => self.participant(person),
            Told::Left(user) => {
                let me = self.user;
                let room = self.room("a leave");
                assert!(Some(*user) != me, "peer {peer} was told that it left itself");
                assert!(
                    room.people.remove(user).is_some(),
                    "peer {peer}: {user} left {} without having been there",
                    room.name
                );
            }
            Told::Cursor { user, position } => {
                let room = self.room("a cursor");
                let Some(person) = room.people.get_mut(user) else {
                    panic!("peer {peer}: the cursor of {user}, who is not in {}", room.name);
                };
                person.position = *position;
            }
            Told::Notes { user, peer: from, mark, .. } => {
                let room = self.room("notes");
                assert!(
                    room.people.contains_key(user),
                    "peer {peer}: notes {from}.{mark} by {user}, who is not in {}",
                    room.name
                );
                assert_ne!(*from, peer, "peer {peer} heard its own notes");
                if let Some(&last) = room.notes_of.get(from) {
                    assert!(last < *mark, "peer {peer}: notes {from}.{mark} after {last}");
                    let (last, mark) = (last.to_string(), mark.to_string());
                    ledger.follows(peer, &Stream::Notes(*from), &last, &mark);
                }
                room.notes_of.insert(*from, *mark);
            }
            Told::Chat(said) => self.chat(said, ledger),
            Told::History(history) => {
                // An empty one may also be a cleared chat.
                let join = std::mem::take(&mut self.expects_history)
                    || (may_be_new && !history.is_empty());
                self.expects_quota = join;
                let room = self.room("a history");
                let stream = Stream::Chat(room.name.clone());
                for pair in history.windows(2) {
                    ledger.follows(peer, &stream, &pair[0].id.to_string(), &pair[1].id.to_string());
                }
                assert!(
                    join || history.is_empty(),
                    "peer {peer}: a history without a join is empty"
                );
                if join || may_be_new {
                    room.last_chat = history.last().map(|said| said.id.to_string());
                    room.chat_of.clear();
                    room.notes_of.clear();
                }
            }
            Told::Direct { said, to } => {
                let me = self.user;
                // What a session says in a direct room finds the other wherever they are.
                if !said.text.starts_with('q') {
                    self.room("a direct message");
                }
                assert!(
                    Some(said.by) == me || Some(*to) == me,
                    "peer {peer} was sent somebody else's {}",
                    said.text
                );
                assert!(self.directs.insert(said.text.clone()), "peer {peer}: {} twice", said.text);
            }
            Told::List { complete, entries } => {
                let list = match complete {
                    true => self.list.insert(BTreeMap::new()),
                    false => self.list.get_or_insert_default(),
                };
                for entry in entries {
                    list.insert(entry.name.clone(), (entry.count, entry.visible));
                }
            }
            Told::Notice { kind, .. } => match *kind {
                notice::REMOVED => self.removals += 1,
                notice::TOO_MANY_CONNECTIONS => self.refused = true,
                notice::TOO_FAST => {
                    self.room("a refusal of notes");
                }
                _ => {}
            },
            Told::Time { echo } => {
                let echo = echo.expect("each request of the simulator has a number") as u64;
                assert!(
                    self.times.last().is_none_or(|&last| last < echo),
                    "peer {peer}: clock answers are in order"
                );
                self.times.push(echo);
            }
            Told::Custom { from, text, .. } => {
                assert!(self.user != Some(*from), "peer {peer} was sent its own {text}");
                if !text.starts_with('g') {
                    self.room("a custom message of a room");
                }
                assert!(self.customs.insert(text.clone()), "peer {peer}: {text} twice");
            }
            Told::Ping => {}
            Told::Entered { .. } | Told::NickTaken => panic!("peer {peer} is no terminal"),
        }
    }

    fn channel(&mut self, seen: &Seen) {
        let peer = self.peer;
        let me = self.user.expect("only those who said hello sit in a channel");
        assert_eq!(seen.me, me, "peer {peer}: the channel is addressed to its receiver");
        assert_eq!(seen.count as usize, seen.people.len(), "peer {peer}: the count is exact");
        let people: BTreeMap<UserId, Person> = seen.people.iter().map(|p| (p.user, *p)).collect();
        assert_eq!(people.len(), seen.people.len(), "peer {peer}: nobody is listed twice");
        assert!(people.contains_key(&me), "peer {peer} is in its channel");
        if let Some((holder, true)) = seen.crown {
            assert!(people.contains_key(&holder), "peer {peer}: the holder is present");
        }
        let mut next = Room {
            name: seen.name.clone(),
            crown: seen.crown,
            visible: seen.visible,
            chat: seen.chat,
            solo: seen.solo,
            people,
            last_chat: None,
            chat_of: BTreeMap::new(),
            notes_of: BTreeMap::new(),
        };
        match &mut self.room {
            Some(room) if room.name == seen.name => {
                // Either the same seat, then everybody in it is known already; or a new one, then history follows.
                let same = room.people.len() == next.people.len()
                    && room.people.iter().all(|(user, known)| {
                        next.people.get(user).is_some_and(|now| now.look == known.look)
                    });
                self.may_be_new = same;
                if same {
                    next.last_chat = room.last_chat.take();
                    next.chat_of = std::mem::take(&mut room.chat_of);
                    next.notes_of = std::mem::take(&mut room.notes_of);
                } else {
                    self.suspect = Some(format!(
                        "{} has {:?}, but {:?} were known to be there",
                        seen.name,
                        next.people
                            .values()
                            .map(|p| (p.user, p.version, p.look))
                            .collect::<Vec<_>>(),
                        room.people
                            .values()
                            .map(|p| (p.user, p.version, p.look))
                            .collect::<Vec<_>>(),
                    ));
                }
            }
            _ => self.expects_history = true,
        }
        self.room = Some(next);
        if self.suspect.is_some() {
            // A history that follows shows that it is a new seat.
            self.expects_history = true;
        }
    }

    fn participant(&mut self, person: &Person) {
        let peer = self.peer;
        let room = self.room("a participant");
        if let Some(known) = room.people.insert(person.user, *person) {
            assert!(
                known.version < person.version,
                "peer {peer}: {} of version {} was shown again",
                person.user,
                person.version
            );
        }
    }

    fn chat(&mut self, said: &Said, ledger: &mut Ledger) {
        let peer = self.peer;
        let room = self.room("chat");
        if said.by != SERVER {
            let by = room.people.get(&said.by);
            assert_eq!(
                by.map(|by| by.look),
                Some(said.look),
                "peer {peer}: {} by {}, who is known otherwise in {}",
                said.text,
                said.by,
                room.name
            );
        }
        let id = said.id.to_string();
        if let Some(last) = room.last_chat.replace(id.clone()) {
            ledger.follows(peer, &Stream::Chat(room.name.clone()), &last, &id);
        }
        let Some((from, number)) = numbered(&said.text) else { return };
        if let Some(last) = room.chat_of.insert(from, number) {
            assert!(last < number, "peer {peer}: chat {from}.{number} after {last}");
        }
        if from == peer {
            assert!(self.echoes.last().is_none_or(|&last| last < number));
            self.echoes.push(number);
        }
    }

    /// Checks what must not be left open when nothing is on its way any more.
    ///
    /// # Panics
    /// When something is.
    pub fn settle(&self) {
        assert!(self.suspect.is_none(), "peer {}: {:?}", self.peer, self.suspect);
        assert!(!self.expects_history && !self.expects_quota, "a join is told in one piece");
    }

    /// Where a user's cursor is, as far as this peer knows.
    #[must_use]
    pub fn cursor(&self, user: UserId) -> Option<Position> {
        Some(self.room.as_ref()?.people.get(&user)?.position)
    }
}
