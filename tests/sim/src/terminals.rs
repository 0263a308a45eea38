//! People at terminals, among the peers and sessions of a run: what they say, and what they may be told.
//!
//! Of the rules of the line protocol this knows only what makes a room one for all doors: who is in it, and in which
//! order things are said. What is its own, such as nicks and private messages, is simulated in `tests/terminals.rs`.

use crate::{
    draw::Draw,
    setup::Setup,
    view::{Ledger, Stream},
    wire::{Told, channel_name},
};
use std::collections::BTreeSet;
use tutti_shards::{ChatText, Command, LineCommand, Login, Nick, UserId};

/// Few, so that some are taken.
const NICKS: [&str; 12] =
    ["anna", "bert", "carl", "dora", "emil", "fritz", "gert", "hans", "ida", "jan", "karl", "lena"];

/// One terminal: its script and its view.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field says what it is")]
pub struct Terminal {
    peer: usize,
    said: u32,
    asked: bool,
    pub user: Option<UserId>,
    pub room: Option<String>,
    /// Who is in its room, as it was told.
    pub people: BTreeSet<UserId>,
    last_chat: Option<String>,
    /// The last of its own words that came back.
    pub echo: Option<u32>,
    pub received: u64,
}

impl Terminal {
    pub(crate) fn new(peer: usize) -> Self {
        Terminal {
            peer,
            said: 0,
            asked: false,
            user: None,
            room: None,
            people: BTreeSet::new(),
            last_chat: None,
            echo: None,
            received: 0,
        }
    }

    /// What it says next.
    pub(crate) fn next(&mut self, draw: &mut Draw, setup: &Setup) -> Vec<Command> {
        if self.user.is_none() {
            if std::mem::replace(&mut self.asked, true) {
                return Vec::new();
            }
            let nick = Nick::parse(draw.pick::<&str>(&NICKS)).expect("a good nick");
            let login = Login { nick, user: None, origin: 1, last: false };
            return vec![Command::Login(Box::new(login))];
        }
        let command = match draw.below(100) {
            0..55 => return vec![self.say()],
            55..75 => LineCommand::Go(channel_name(draw.pick::<&str>(&setup.rooms))),
            75..80 => LineCommand::Leave,
            80..86 => LineCommand::Act(self.text()),
            86..91 => LineCommand::Rename(Nick::parse(draw.pick::<&str>(&NICKS)).expect("a nick")),
            91..93 => LineCommand::Users,
            93..95 => LineCommand::Kick { who: (*draw.pick::<&str>(&NICKS)).into(), reason: None },
            95..97 => LineCommand::Ban { who: (*draw.pick::<&str>(&NICKS)).into(), minutes: 1 },
            97..98 => LineCommand::Unban((*draw.pick::<&str>(&NICKS)).into()),
            _ => LineCommand::Away(draw.chance(50)),
        };
        vec![Command::Line(Box::new(command))]
    }

    /// Something numbered.
    pub(crate) fn say(&mut self) -> Command {
        let text = self.text();
        Command::Line(Box::new(LineCommand::Say(text)))
    }

    fn text(&mut self) -> ChatText {
        self.said += 1;
        let text = format!("t{}.{}", self.peer, self.said);
        ChatText::parse(&text, 512).expect("the simulator's texts are good")
    }

    /// The number of its last words.
    pub(crate) fn last_said(&self) -> u32 {
        self.said
    }

    /// Takes a message in.
    ///
    /// # Panics
    /// When this terminal should not have been told it now.
    pub(crate) fn take(&mut self, told: &Told, ledger: &mut Ledger) {
        self.received += 1;
        let peer = self.peer;
        match told {
            Told::Entered { name, me, people } => {
                assert!(self.user.is_none_or(|user| user == *me), "terminal {peer} is one user");
                self.user = Some(*me);
                self.room = Some(name.clone());
                self.people = people.iter().copied().collect();
                assert_eq!(
                    self.people.len(),
                    people.len(),
                    "terminal {peer}: nobody is there twice"
                );
                assert!(self.people.contains(me), "terminal {peer} is in its room");
                self.last_chat = None;
            }
            Told::NickTaken => {
                assert!(self.user.is_none(), "terminal {peer} has a nick");
                self.asked = false;
            }
            Told::Participant(person) => {
                assert!(self.room.is_some(), "terminal {peer} is in no room");
                self.people.insert(person.user);
            }
            Told::Left(user) => {
                assert!(Some(*user) != self.user, "terminal {peer} was told that it left itself");
                assert!(self.people.remove(user), "terminal {peer}: {user} was not there");
            }
            Told::Chat(said) => {
                let room = self.room.clone();
                let room = room.unwrap_or_else(|| panic!("terminal {peer}: chat outside a room"));
                let server = said.by == UserId([0; 12]);
                assert!(server || self.people.contains(&said.by), "terminal {peer}: {said:?}");
                let id = said.id.to_string();
                if let Some(last) = self.last_chat.replace(id.clone()) {
                    ledger.follows(peer, &Stream::Chat(room), &last, &id);
                }
                let own = said.text.strip_prefix(&format!("t{peer}."));
                if let Some(number) = own.and_then(|number| number.parse().ok()) {
                    assert!(
                        self.echo.is_none_or(|echo| echo < number),
                        "terminal {peer}: {said:?}"
                    );
                    self.echo = Some(number);
                }
            }
            _ => {}
        }
    }
}
