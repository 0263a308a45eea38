//! What peers say. Texts and marks are numbered, so that every message is told apart from every other.

use crate::{
    draw::Draw,
    setup::{Op, Setup},
    view::View,
    wire::channel_name,
};
use smallvec::smallvec;
use tutti_shards::{
    AdminCommand, Audience, ChatText, Color, Command, Custom, CustomBody, CustomTarget, Format,
    JoinTarget, Note, NoteBatch, OperatorNotice, Position, ProfileChange, SettingsPatch, UserId,
};

/// What a peer has said so far.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field counts or keeps what its name says")]
pub struct Script {
    pub peer: usize,
    /// The user that it shares with others, or `None` for one of its own.
    pub user: Option<UserId>,
    pub format: Format,
    pub said_hello: bool,
    pub joined: bool,
    pub chats: u32,
    pub marks: u32,
    pub moves: u32,
    pub customs: u32,
    pub times: u64,
    pub follows_list: bool,
    /// Chat that the room has to send back.
    pub expected_echoes: Vec<u32>,
    pub expected_times: Vec<u64>,
}

/// A name that all peers of a run can refer to.
#[must_use]
pub(crate) fn shared_user(n: u64) -> UserId {
    let mut id = [0xab; 12];
    id[4..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    UserId(id)
}

fn text(text: String) -> ChatText {
    ChatText::parse(&text, 512).expect("the simulator's texts are good")
}

impl Script {
    /// The script of a new peer.
    #[must_use]
    pub fn new(peer: usize, user: Option<UserId>, format: Format) -> Self {
        Script {
            peer,
            user,
            format,
            said_hello: false,
            joined: false,
            chats: 0,
            marks: 0,
            moves: 0,
            customs: 0,
            times: 0,
            follows_list: false,
            expected_echoes: Vec::new(),
            expected_times: Vec::new(),
        }
    }

    /// Says hello and nothing else.
    pub fn hello(&mut self) -> Command {
        self.said_hello = true;
        Command::Hello { user: self.user, token: None }
    }

    /// Says something numbered to the room.
    pub fn chat(&mut self) -> Command {
        self.chats += 1;
        if self.joined {
            self.expected_echoes.push(self.chats);
        }
        Command::Chat { text: text(format!("c{}.{}", self.peer, self.chats)), reply_to: None }
    }

    /// Plays something with a new mark.
    pub fn notes(&mut self, n: u32) -> Command {
        self.marks += 1;
        let note = Note {
            key: 3,
            stop: false,
            velocity: Some(self.marks as f32),
            delay_ms: Some(self.peer as f32),
        };
        Command::Play(NoteBatch {
            at_ms: 0.0,
            sent: n,
            notes: smallvec::SmallVec::from_elem(note, n as usize),
        })
    }

    /// Moves to a place where nobody else ever was.
    pub fn cursor(&mut self) -> Command {
        self.moves += 1;
        Command::Move(self.position())
    }

    /// Where it moved last.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { x: (self.peer % 1_000_000) as i32, y: (self.moves % 1_000_000) as i32 }
    }

    /// Goes to one of the rooms.
    pub fn join(&mut self, draw: &mut Draw, setup: &Setup) -> Command {
        self.joined = true;
        let name = *draw.pick(&setup.rooms);
        let target = if name == "lobby" && draw.chance(20) {
            JoinTarget::LobbyBackdoor
        } else {
            JoinTarget::Named(channel_name(name))
        };
        let set = draw.chance(30).then(|| {
            Box::new(SettingsPatch {
                visible: Some(!setup.does(Op::Settings) || draw.chance(70)),
                ..SettingsPatch::default()
            })
        });
        Command::Join { target, set }
    }

    fn somebody(&self, draw: &mut Draw, view: &View) -> UserId {
        let people: Vec<UserId> =
            view.room.iter().flat_map(|room| room.people.keys().copied()).collect();
        if people.is_empty() || draw.chance(5) {
            shared_user(draw.below(8) as u64)
        } else {
            *draw.pick(&people)
        }
    }

    /// The next things that the peer says, in one go.
    pub fn next(&mut self, draw: &mut Draw, setup: &Setup, view: &View) -> Vec<Command> {
        if !self.said_hello {
            // Some pipeline everything at once, some talk before they are known.
            let mut commands = Vec::new();
            if draw.chance(5) {
                commands.push(self.cursor());
            }
            commands.push(self.hello());
            if draw.chance(70) {
                commands.push(self.join(draw, setup));
            }
            return commands;
        }
        if !self.joined {
            return vec![self.join(draw, setup)];
        }
        let total: u32 = setup.ops.iter().map(|&(_, weight)| weight).sum();
        let mut place = draw.below(total as usize) as u32;
        let op = setup.ops.iter().find(|&&(_, weight)| {
            let here = place < weight;
            place = place.wrapping_sub(if here { 0 } else { weight });
            here
        });
        let (op, _) = *op.expect("a place below the total is in one of them");
        self.act(op, draw, setup, view)
    }

    fn act(&mut self, op: Op, draw: &mut Draw, setup: &Setup, view: &View) -> Vec<Command> {
        let command = match op {
            Op::Join => self.join(draw, setup),
            Op::Pipeline => {
                let count = draw.within(2, 8);
                let mut commands = Vec::new();
                for _ in 0..count {
                    let op = *draw.pick(&[Op::Join, Op::Chat, Op::Notes, Op::Cursor, Op::Profile]);
                    if setup.does(op) {
                        commands.extend(self.act(op, draw, setup, view));
                    }
                }
                return commands;
            }
            Op::Chat => self.chat(),
            Op::Notes => {
                let n = draw.within(1, 4) as u32;
                self.notes(n)
            }
            Op::Cursor => self.cursor(),
            Op::Profile => Command::SetProfile {
                name: None,
                color: Some(Color([draw.bits() as u8, draw.bits() as u8, draw.bits() as u8])),
            },
            Op::Settings => Command::ChangeSettings(Box::new(SettingsPatch {
                visible: Some(draw.chance(70)),
                chat: Some(draw.chance(80)),
                crown_solo: Some(draw.chance(20)),
                limit: draw.chance(20).then(|| draw.within(1, 9) as u8),
                min_online_ms: draw.chance(10).then(|| draw.within(0, 300) as u32),
                ..SettingsPatch::default()
            })),
            Op::Crown => {
                let to = draw.chance(70).then(|| self.somebody(draw, view));
                let to = if draw.chance(40) { view.user } else { to };
                Command::GiveCrown(to)
            }
            Op::Direct => {
                self.customs += 1;
                Command::Direct {
                    to: self.somebody(draw, view),
                    text: text(format!("d{}.{}", self.peer, self.customs)),
                    reply_to: None,
                }
            }
            Op::Custom => match draw.below(6) {
                0 => Command::FollowCustom(false),
                1 => Command::FollowCustom(true),
                2 => Command::SpeakBinaryCustom,
                _ => {
                    self.customs += 1;
                    let global = draw.chance(40);
                    let kind = if global { 'g' } else { 'r' };
                    let target = if draw.chance(50) {
                        CustomTarget::Subscribed
                    } else {
                        CustomTarget::Users(smallvec![self.somebody(draw, view)])
                    };
                    let json = format!("{kind}{}.{}", self.peer, self.customs).into();
                    let blob = draw.chance(30).then(|| Box::from([1, 2, 3]));
                    Command::Custom(Box::new(Custom {
                        target,
                        global,
                        body: CustomBody { json, blob },
                    }))
                }
            },
            Op::List => {
                self.follows_list = draw.chance(75);
                Command::FollowList(self.follows_list)
            }
            Op::Time => {
                self.times += 1;
                self.expected_times.push(self.times);
                Command::Time { echo: Some(self.times as f64) }
            }
            Op::Speak => {
                self.format = *draw.pick(&[Format::MPP_TEXT, Format::MPP_QUICK]);
                self.cursor()
            }
            Op::Ban => {
                let user = self.somebody(draw, view);
                if draw.chance(25) {
                    Command::Unban(user)
                } else {
                    Command::Ban { user, ms: *draw.pick(&[0, 1, 100, 5_000]) }
                }
            }
            // Leaving is done to the socket, not said, and operators are no peers.
            Op::Vanish | Op::Operate => return Vec::new(),
            Op::Bye => Command::Bye,
            Op::Admin => Command::Admin(Box::new(self.staff(draw, setup, view))),
            Op::Hello => self.hello(),
        };
        vec![command]
    }

    fn staff(&mut self, draw: &mut Draw, setup: &Setup, view: &View) -> AdminCommand {
        self.customs += 1;
        let number = format!("s{}.{}", self.peer, self.customs);
        match draw.below(6) {
            0 => AdminCommand::Notify {
                audience: match draw.below(4) {
                    0 => Audience::Here,
                    1 => Audience::Everyone,
                    2 => Audience::Channel(channel_name(draw.pick::<&str>(&setup.rooms))),
                    _ => Audience::User(self.somebody(draw, view)),
                },
                notice: Box::new(OperatorNotice {
                    text: Some(number.into()),
                    ..OperatorNotice::default()
                }),
            },
            1 => AdminCommand::ClearChat,
            2 => AdminCommand::Profile {
                user: self.somebody(draw, view),
                change: ProfileChange {
                    color: Some(Color([draw.bits() as u8, 0, 0])),
                    ..ProfileChange::default()
                },
            },
            3 => AdminCommand::Chat {
                channel: draw.chance(50).then(|| channel_name(draw.pick::<&str>(&setup.rooms))),
                text: text(number),
            },
            _ => AdminCommand::Move {
                user: draw.chance(70).then(|| self.somebody(draw, view)),
                channel: channel_name(draw.pick::<&str>(&setup.rooms)),
                set: None,
            },
        }
    }
}
