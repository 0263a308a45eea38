//! People at terminals on several shards: nicks that are claimed, changed and given back, private messages, joins and
//! kicks, with a storage that answers when it likes, messages between shards in any order that the queues allow, and
//! connections that end at any moment.
//!
//! What must hold: a nick is held by exactly one connection, and by the one that is called so; a private message
//! arrives exactly once, or whoever wrote it is told that nobody is there; nobody waits for ever.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::IoSlice,
    sync::Arc,
    time::Duration,
};
use tutti_shards::{
    Bundle, ChannelName, ChannelView, ChatText, Command, Config, ConnId, Event, Flow, Format, Key,
    LineCommand, LineEvent, Login, MeshMessage, Nick, Now, Output, ParticipantView, Rng, Seeds,
    Sent, Shard, ShardId, StoreReply, Transport, UserId, Wire,
};
use tutti_sim::Draw;

/// Each event that matters here as a line.
#[derive(Debug)]
struct Lines;

impl Wire for Lines {
    fn encode(&self, _: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            let line = match event {
                Event::Direct { message, .. } => format!("got {}", message.text.as_str()),
                Event::Chat(message) => format!("heard {}", message.text.as_str()),
                Event::Line(LineEvent::Sent { text, .. }) => format!("sent {}", text.as_str()),
                Event::Line(LineEvent::Error(error)) => format!("error {error:?}"),
                Event::Line(
                    LineEvent::Kicked(_) | LineEvent::Banned { .. } | LineEvent::Unbanned(_),
                ) => "kicked".to_owned(),
                Event::Line(LineEvent::NickTaken { .. }) => "taken".to_owned(),
                Event::Line(LineEvent::Renamed(nick)) => format!("named {nick}"),
                Event::Line(LineEvent::Entered { view, me, .. }) => {
                    let mut nick = String::new();
                    view.participants.visit(&mut |who: ParticipantView<'_>| {
                        if who.profile.user == *me {
                            nick = who.profile.display_name().to_owned();
                        }
                    });
                    format!("entered {nick}")
                }
                _ => continue,
            };
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }

    fn encode_unaddressed(&self, _: Format, _: ChannelView<'_>, _: &mut Vec<u8>) -> usize {
        0
    }

    fn address(&self, _: Format, _: &mut [u8], _: usize, _: UserId) {}

    fn ping(&self, _: Format, _: &mut Vec<u8>) {}
}

#[derive(Default)]
struct Sockets(BTreeMap<(usize, u64), Vec<u8>>, usize);

impl Transport for Sockets {
    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        let out = self.0.entry((self.1, key.to_u64())).or_default();
        slices.iter().for_each(|slice| out.extend_from_slice(slice));
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }
}

#[derive(Debug)]
enum Parcel {
    Message(MeshMessage),
    Handover(usize, Box<Bundle>),
    Stored(StoreReply),
}

#[derive(Debug)]
struct Person {
    conn: ConnId,
    /// Where it is, unless it is between two shards.
    at: Option<(usize, Key)>,
    waiting: VecDeque<Command>,
    gone: bool,
    nick: Option<String>,
    /// What it wrote and was not answered yet, in order; `None` for one that it wanted to kick or ban, or
    /// to let in again.
    wrote: VecDeque<Option<String>>,
}

struct World {
    shards: Vec<Shard<Lines>>,
    queues: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    sockets: Sockets,
    people: Vec<Person>,
    now: Now,
    draw: Draw,
    letters: usize,
    /// How often each letter arrived, and what its writer was told.
    arrived: BTreeMap<String, usize>,
    told: BTreeMap<String, bool>,
}

const NICKS: [&str; 6] = ["anna", "ANNA", "bert", "carl", "dora", "Dora"];
const ROOMS: [&str; 4] = ["lobby", "alpha", "beta", "gamma"];

impl World {
    fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed, 1);
        let n = draw.within(1, 4) as u16;
        let mut config = Config { lobby_capacity: Some(4), ..Config::default().without_limits() };
        config.lobby_capacity = draw.chance(50).then_some(3);
        config.storage = draw.chance(50).then_some(Duration::from_secs(5));
        config.hot.promote_members = 2;
        config.hot.promote_rate = 2;
        config.hot.demote_after = Duration::ZERO;
        let config = Arc::new(config);
        let mut rng = Rng::new(seed);
        let placement = [rng.next_u64(), rng.next_u64(), rng.next_u64(), rng.next_u64()];
        let shard = |id: u16| {
            let seeds = Seeds { placement, local: seed ^ u64::from(id) };
            Shard::new(ShardId(id), n, config.clone(), seeds, Lines)
        };
        World {
            shards: (0..n).map(shard).collect(),
            queues: BTreeMap::new(),
            sockets: Sockets::default(),
            people: Vec::new(),
            now: Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 },
            draw,
            letters: 0,
            arrived: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    fn nick(&mut self) -> Nick {
        Nick::parse(self.draw.pick::<&str>(&NICKS)).expect("a good nick")
    }

    fn login(&mut self) -> Command {
        let nick = self.nick();
        let mut user = [7; 12];
        user[..4].copy_from_slice(&nick.key().as_bytes()[..4]);
        let user = self.draw.chance(70).then_some(UserId(user));
        Command::Login(Box::new(Login { nick, user, origin: 1, last: false }))
    }

    fn connect(&mut self) {
        let s = self.draw.below(self.shards.len());
        let (key, conn) = self.shards[s].open(self.now, Format::LINE, b"");
        let waiting = VecDeque::from([self.login()]);
        let at = Some((s, key));
        let wrote = VecDeque::new();
        self.people.push(Person { conn, at, waiting, gone: false, nick: None, wrote });
    }

    fn asks(&mut self, idx: usize) {
        let known = self.people[idx].at.is_some_and(|(s, key)| self.shards[s].is_known(key));
        if !known && self.people[idx].at.is_some() {
            if self.people[idx].waiting.is_empty() {
                let login = self.login();
                self.people[idx].waiting.push_back(login);
            }
            return;
        }
        let command = match self.draw.below(10) {
            0..3 => {
                let name = ChannelName::parse(self.draw.pick::<&str>(&ROOMS)).expect("a good name");
                LineCommand::Go(name)
            }
            3 => LineCommand::Leave,
            4 => LineCommand::Rename(self.nick()),
            5 => {
                let who = self.nick();
                self.people[idx].wrote.push_back(None);
                let who = who.as_str().into();
                match self.draw.below(4) {
                    0 => LineCommand::Ban { who, minutes: 1 },
                    1 => LineCommand::Unban(who),
                    _ => LineCommand::Kick { who, reason: None },
                }
            }
            6 => LineCommand::Say(self.text()),
            7 if !self.people[idx].wrote.is_empty() => LineCommand::Users,
            7 => LineCommand::Away(self.draw.chance(50)),
            _ => {
                let text = self.text();
                self.people[idx].wrote.push_back(Some(text.as_str().to_owned()));
                LineCommand::Write { to: self.nick().as_str().into(), text }
            }
        };
        self.people[idx].waiting.push_back(Command::Line(Box::new(command)));
    }

    fn text(&mut self) -> ChatText {
        self.letters += 1;
        ChatText::parse(&format!("l{}", self.letters), 512).expect("a good text")
    }

    /// Gives a connection's shard what it has to say, as far as it goes on.
    fn serve(&mut self, idx: usize) {
        while let Some((s, key)) = self.people[idx].at
            && self.shards[s].flow(key) == Flow::Continue
            && let Some(command) = self.people[idx].waiting.pop_front()
        {
            self.shards[s].handle_command(self.now, key, command);
            self.outputs(s);
        }
    }

    fn find(&self, s: usize, key: Key) -> usize {
        let here = |person: &Person| person.at == Some((s, key));
        self.people.iter().position(here).expect("an output is for one who is here")
    }

    fn outputs(&mut self, s: usize) {
        while let Some(output) = self.shards[s].poll_output() {
            match output {
                Output::Mesh { to, message } => {
                    let queue = self.queues.entry((s, to.index())).or_default();
                    queue.push_back(Parcel::Message(message));
                }
                Output::Handover { key, to, bundle } => {
                    self.hear(s);
                    let idx = self.find(s, key);
                    self.people[idx].at = None;
                    let queue = self.queues.entry((s, to.index())).or_default();
                    queue.push_back(Parcel::Handover(idx, bundle));
                }
                Output::Close { key, .. } => {
                    let idx = self.find(s, key);
                    (self.people[idx].at, self.people[idx].gone) = (None, true);
                }
                Output::Store(request) => {
                    if let Some(reply) = request.unanswered() {
                        let queue = self.queues.entry((s, s)).or_default();
                        queue.push_back(Parcel::Stored(reply));
                    }
                }
                Output::Resume { .. } | Output::Attachments(_) | Output::SeatEnded { .. } => {}
            }
        }
        self.shards[s].verify();
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let Some(parcel) = self.queues.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
            return;
        };
        let sender = ShardId(from as u16);
        match parcel {
            Parcel::Stored(reply) => self.shards[to].stored(self.now, reply),
            Parcel::Message(message) => self.shards[to].handle_mesh(self.now, sender, message),
            Parcel::Handover(idx, bundle) => {
                let key = self.shards[to].adopt(self.now, sender, *bundle);
                self.people[idx].at = Some((to, key));
                self.outputs(to);
                if self.people[idx].gone {
                    self.end(idx);
                }
            }
        }
        self.outputs(to);
    }

    fn end(&mut self, idx: usize) {
        self.people[idx].gone = true;
        if let Some((s, key)) = self.people[idx].at.take() {
            self.hear(s);
            self.shards[s].peer_gone(self.now, key);
            self.outputs(s);
        }
    }

    /// Sends what a shard has for its connections, and reads it.
    fn hear(&mut self, s: usize) {
        self.sockets.1 = s;
        self.shards[s].flush(self.now, &mut self.sockets, false);
        for ((at, key), bytes) in std::mem::take(&mut self.sockets.0) {
            assert_eq!(at, s);
            let here = |person: &Person| person.at == Some((s, Key::from_u64(key)));
            let Some(idx) = self.people.iter().position(here) else { continue };
            let text = String::from_utf8(bytes).expect("lines are text");
            for line in text.lines() {
                self.reads(idx, line);
            }
        }
    }

    fn reads(&mut self, idx: usize, line: &str) {
        let person = &mut self.people[idx];
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "got" => *self.arrived.entry(rest.to_owned()).or_default() += 1,
            "sent" => {
                let wrote = person.wrote.pop_front().flatten();
                assert_eq!(wrote.as_deref(), Some(rest), "answers come in order");
                self.told.insert(rest.to_owned(), true);
            }
            "error" if rest == "NotFound" => {
                if let Some(wrote) = person.wrote.pop_front().expect("it looked for somebody") {
                    self.told.insert(wrote, false);
                }
            }
            "error" | "kicked" if ["", "NotAllowed", "Server"].contains(&rest) => {
                person.wrote.pop_front_if(|wrote| wrote.is_none());
            }
            "named" | "entered" => person.nick = Some(rest.to_owned()),
            _ => {}
        }
    }

    fn step(&mut self) {
        self.now.mono_us += self.draw.within(1, 30_000);
        self.now.wall_ms = 1_700_000_000_000 + self.now.mono_us / 1_000;
        match self.draw.below(100) {
            0..10 if self.people.iter().filter(|p| !p.gone).count() < 9 => self.connect(),
            0..50 => {
                let from = self.draw.below(self.shards.len());
                let to = self.draw.below(self.shards.len());
                self.deliver(from, to);
            }
            50..54 if !self.people.is_empty() => {
                let idx = self.draw.below(self.people.len());
                self.end(idx);
            }
            54..60 => {
                let s = self.draw.below(self.shards.len());
                self.shards[s].handle_timeout(self.now);
                self.outputs(s);
                self.hear(s);
                self.outputs(s);
            }
            _ if !self.people.is_empty() => {
                let idx = self.draw.below(self.people.len());
                if !self.people[idx].gone {
                    self.asks(idx);
                    self.serve(idx);
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 2_000, "the world comes to rest");
            for s in 0..self.shards.len() {
                self.shards[s].handle_timeout(self.now);
                self.outputs(s);
            }
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    while self.queues.get(&(from, to)).is_some_and(|queue| !queue.is_empty()) {
                        self.deliver(from, to);
                    }
                }
            }
            for idx in 0..self.people.len() {
                self.serve(idx);
            }
            for s in 0..self.shards.len() {
                self.hear(s);
                self.outputs(s);
            }
            self.now.mono_us += 100_000;
            let said = self.people.iter().all(|p| p.gone || p.waiting.is_empty());
            if round > 100 && said && self.queues.values().all(VecDeque::is_empty) {
                return;
            }
        }
    }

    fn check(&self) {
        let mut held: BTreeMap<String, ConnId> = BTreeMap::new();
        for shard in &self.shards {
            for (key, conn) in shard.nicks() {
                let before = held.insert(key.to_owned(), conn);
                assert!(before.is_none(), "{key} is kept in one place");
            }
        }
        let holders: BTreeSet<ConnId> = held.values().copied().collect();
        assert_eq!(holders.len(), held.len(), "nobody holds two nicks: {held:?}");
        let mut named = 0;
        for person in self.people.iter().filter(|person| !person.gone) {
            let (s, key) = person.at.expect("nobody is on the way");
            assert_eq!(self.shards[s].flow(key), Flow::Continue, "nobody waits: {person:?}");
            assert!(person.wrote.is_empty(), "every letter is answered: {person:?}");
            if self.shards[s].is_known(key) {
                named += 1;
                let nick = person.nick.as_deref().expect("who is known was told so");
                let holder = held.get(&nick.to_ascii_lowercase());
                assert_eq!(holder, Some(&person.conn), "{nick} is held by who is called so");
            }
        }
        assert_eq!(named, held.len(), "no nick is left behind: {held:?}");
        for (letter, &times) in &self.arrived {
            assert_eq!(times, 1, "{letter} arrived once");
            assert_ne!(
                self.told.get(letter),
                Some(&false),
                "{letter} arrived, so nobody says it did not"
            );
        }
        for (letter, _) in self.told.iter().filter(|&(_, &sent)| sent) {
            // Its receiver may have gone before it read it.
            assert!(
                self.arrived.contains_key(letter) || self.people.iter().any(|p| p.gone),
                "{letter}"
            );
        }
    }
}

#[test]
fn nicks_have_one_holder_and_letters_arrive_once() {
    for seed in 0..400 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..3 {
                for _ in 0..400 {
                    world.step();
                }
                world.settle();
                world.check();
            }
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
