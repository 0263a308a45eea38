//! A model of the storage: it takes its time, confirms what is committed and nothing else, loses the rest when the
//! server crashes, and may not answer at all.

use crate::draw::Draw;
use std::collections::{BTreeMap, VecDeque};
use tutti_shards::{
    ChannelName, ChatMessage, Invitation, ModerationKind, Page, PageFrom, Profile, RoomId,
    RoomMember, Settings, Standing, StoreReply, StoreRequest, StoredBan, StoredChannel, StoredPage,
    StoredRoom, UserId,
};

/// How good the storage of a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing is kept.
    Off,
    /// It answers within the time, always.
    Good,
    /// It takes longer than anybody waits, now and then, and has no room for some of what is asked.
    Bad,
    /// It never answers.
    Gone,
}

/// A channel as it is kept.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Kept {
    /// Its settings.
    pub settings: Option<Settings>,
    crown: Option<UserId>,
    /// Bans that were not lifted, and when they end.
    pub bans: BTreeMap<UserId, u64>,
    /// The same for those whose words are refused.
    pub mutes: BTreeMap<UserId, u64>,
    /// Everything said, oldest first, each with its number.
    pub messages: Vec<(u64, ChatMessage)>,
    room: Option<StoredRoom>,
    number: Option<RoomId>,
    /// In the order in which they came to have to do with it.
    people: Vec<(UserId, RoomMember)>,
}

/// What is kept.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct State {
    /// Users who changed something.
    pub users: BTreeMap<UserId, Profile>,
    first_seen: BTreeMap<UserId, u64>,
    /// Channels.
    pub channels: BTreeMap<String, Kept>,
}

/// The storage of a run.
#[derive(Debug)]
pub struct Storage {
    kind: Kind,
    draw: Draw,
    /// What a question is answered from.
    pub state: State,
    /// What a crash leaves, at least.
    committed: State,
    since: Vec<StoreRequest>,
    /// Who waits for the next commit.
    waiting: Vec<(usize, u64)>,
    /// Answers on their way to each shard, with the time of their arrival.
    replies: Vec<VecDeque<(u64, StoreReply)>>,
    /// Acts that were confirmed.
    pub confirmed: u64,
}

impl Storage {
    /// An empty one.
    #[must_use]
    pub fn new(kind: Kind, shards: usize, draw: Draw) -> Self {
        Storage {
            kind,
            draw,
            state: State::default(),
            committed: State::default(),
            since: Vec::new(),
            waiting: Vec::new(),
            replies: vec![VecDeque::new(); shards],
            confirmed: 0,
        }
    }

    /// Whether everything that the core has asked to be kept is kept.
    #[must_use]
    pub fn is_faithful(&self) -> bool {
        self.kind == Kind::Good
    }

    /// A shard asks. What there is no room for is answered at once.
    pub fn take(
        &mut self,
        now_us: u64,
        wall_ms: u64,
        from: usize,
        request: StoreRequest,
        calm: bool,
    ) -> Option<StoreReply> {
        match self.kind {
            Kind::Off => panic!("nothing is kept, and yet: {request:?}"),
            Kind::Gone => return None,
            // Of messages none is lost, or those who read the history see another order than those who were there.
            Kind::Bad
                if !matches!(request, StoreRequest::SaveMessage { .. }) && self.draw.chance(10) =>
            {
                return request.unanswered();
            }
            Kind::Bad | Kind::Good => {}
        }
        let reply = match &request {
            StoreRequest::LoadUser { user } => {
                let known = self.state.users.get(user).cloned();
                let first = self.state.first_seen.get(user).copied();
                let found = known.or_else(|| first.map(|first| Profile::new(*user, first)));
                let rooms = self.state.belongings(*user);
                StoreReply::User { user: *user, found: found.map(Box::new), rooms }
            }
            StoreRequest::LoadRoom { room, history } => {
                let mut all = self.state.channels.iter();
                let found = all.find(|(_, kept)| kept.number == Some(*room));
                let found = found.map(|(name, kept)| {
                    let name = ChannelName::parse_kept(name).expect("names are kept as they are");
                    Box::new((name, kept.load(*history, wall_ms)))
                });
                StoreReply::Room { room: *room, found, looked: true }
            }
            StoreRequest::LoadChannel { channel, history } => {
                let kept = self.state.channels.get(channel.as_str());
                let found = kept.map(|kept| Box::new(kept.load(*history, wall_ms)));
                StoreReply::Channel { channel: channel.clone(), found }
            }
            StoreRequest::LoadMessages { ticket, channel, page } => {
                let kept = self.state.channels.get(channel.as_str());
                let found = kept.map(|kept| kept.page(page)).unwrap_or_default();
                StoreReply::Messages { ticket: *ticket, found: Some(Box::new(found)) }
            }
            StoreRequest::Moderate { ticket, .. } => {
                self.waiting.push((from, *ticket));
                self.state.apply(&request);
                self.since.push(request);
                return None;
            }
            _ => {
                self.state.apply(&request);
                self.since.push(request);
                return None;
            }
        };
        self.answer(now_us, from, reply, calm);
        None
    }

    fn answer(&mut self, now_us: u64, to: usize, reply: StoreReply, calm: bool) {
        let delay_us = match self.kind {
            _ if calm => 0,
            Kind::Bad if self.draw.chance(30) => self.draw.within(0, 2_000_000),
            _ => self.draw.within(0, 20_000),
        };
        self.replies[to].push_back((now_us + delay_us, reply));
    }

    /// Time passes: now and then there is a commit.
    pub fn step(&mut self, now_us: u64, calm: bool) {
        let due = !self.since.is_empty() && (calm || self.draw.chance(20));
        if !due {
            return;
        }
        self.committed = self.state.clone();
        self.since.clear();
        for (shard, ticket) in std::mem::take(&mut self.waiting) {
            self.confirmed += 1;
            self.answer(now_us, shard, StoreReply::Kept { ticket, lasts: true }, calm);
        }
    }

    /// The next answer for a shard, of those that are there in any order.
    pub fn next_for(&mut self, shard: usize, now_us: u64) -> Option<StoreReply> {
        let there = |(_, reply): &(usize, &(u64, StoreReply))| reply.0 <= now_us;
        let all = self.replies[shard].iter().enumerate();
        let ready: Vec<usize> = all.filter(there).map(|(idx, _)| idx).collect();
        if ready.is_empty() {
            return None;
        }
        let idx = *self.draw.pick(&ready);
        self.replies[shard].remove(idx).map(|(_, reply)| reply)
    }

    /// Whether nothing is on its way from here.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.since.is_empty() && self.replies.iter().all(VecDeque::is_empty)
    }

    /// The server crashes: of what was not committed yet, some of the first is left.
    pub fn crash(&mut self, shards: usize) {
        let left = self.draw.below(self.since.len() + 1);
        for request in self.since.drain(..).take(left) {
            self.committed.apply(&request);
        }
        self.committed.restarted();
        self.state = self.committed.clone();
        self.waiting.clear();
        self.replies = vec![VecDeque::new(); shards];
    }
}

impl Kept {
    fn load(&self, history: u32, wall_ms: u64) -> StoredChannel {
        let skipped = self.messages.len().saturating_sub(history as usize);
        let running = |all: &BTreeMap<UserId, u64>| {
            let all = all.clone().into_iter();
            all.filter(move |&(_, until)| until > wall_ms)
        };
        StoredChannel {
            settings: self.settings.clone(),
            crown: self.crown,
            bans: running(&self.bans)
                .map(|(user, until_ms)| StoredBan {
                    user,
                    until_ms,
                    origin: None,
                    in_lines: Box::default(),
                })
                .collect(),
            mutes: running(&self.mutes).collect(),
            history: self.messages[skipped..].iter().map(|(_, said)| said.clone()).collect(),
            room: self.room.clone(),
            people: self.people.iter().map(|(_, person)| person.clone()).collect(),
        }
    }
}

impl Kept {
    /// A part of what was said. Numbers are those that were kept: the runs ask for none by them.
    fn page(&self, page: &Page) -> StoredPage {
        let limit = page.limit as usize;
        let end = match page.from {
            PageFrom::End => self.messages.len(),
            PageFrom::Before(id) => {
                let found = self.messages.iter().position(|(_, said)| said.id == id);
                found.unwrap_or_else(|| {
                    self.messages.iter().filter(|(_, said)| said.id.count() < id.count()).count()
                })
            }
            PageFrom::After(seq) => {
                let all: Vec<_> = self.messages.iter().filter(|(_, m)| m.seq > seq).collect();
                let messages = all.iter().take(limit).map(|(_, said)| said.clone()).collect();
                return StoredPage { messages, more: all.len() > limit };
            }
        };
        let from = end.saturating_sub(limit);
        let messages = self.messages[from..end].iter().map(|(_, said)| said.clone()).collect();
        StoredPage { messages, more: from > 0 }
    }
}

impl State {
    fn channel(&mut self, name: &ChannelName) -> &mut Kept {
        self.channels.entry(name.as_str().to_owned()).or_default()
    }

    /// The direct and group rooms of a user, and the invitations.
    fn belongings(&self, user: UserId) -> Vec<(RoomId, Option<Invitation>)> {
        let mut found = Vec::new();
        for (name, kept) in &self.channels {
            let Some(room) = kept.number else { continue };
            let Some((_, person)) = kept.people.iter().find(|(other, _)| *other == user) else {
                continue;
            };
            match &person.standing {
                Standing::In => found.push((room, None)),
                Standing::Invited(by) => {
                    let kind = ChannelName::parse_kept(name).expect("as it was kept").room_kind();
                    let Some(kept) = &kept.room else { continue };
                    let (title, by) = (kept.title.clone(), Profile::clone(by));
                    found.push((room, Some(Invitation { room, kind, title, by })));
                }
                Standing::Closed | Standing::Former => {}
            }
        }
        found
    }

    /// Who cannot come back belongs to no group any more, and rooms of which nobody is left are gone.
    fn restarted(&mut self) {
        let lasts = |person: &RoomMember| person.profile.account.is_some();
        for (name, kept) in &mut self.channels {
            if kept.number.is_some() && name.starts_with("\ngroup ") {
                kept.people.retain(|(_, person)| lasts(person));
            }
        }
        self.channels.retain(|_, kept| {
            let listed =
                |person: &RoomMember| matches!(person.standing, Standing::In | Standing::Closed);
            kept.number.is_none() || kept.people.iter().any(|(_, p)| lasts(p) && listed(p))
        });
    }

    fn apply(&mut self, request: &StoreRequest) {
        match request {
            StoreRequest::LoadUser { .. }
            | StoreRequest::LoadChannel { .. }
            | StoreRequest::LoadRoom { .. }
            | StoreRequest::LoadMessages { .. } => {}
            StoreRequest::SaveRoom { channel, number, room } => {
                let kept = self.channel(channel);
                (kept.number, kept.room) = (*number, Some((**room).clone()));
            }
            StoreRequest::SavePerson { channel, user, person } => {
                let people = &mut self.channel(channel).people;
                let at = people.iter().position(|(other, _)| other == user);
                match (at, person.as_deref()) {
                    (Some(at), Some(person)) => people[at].1 = person.clone(),
                    (None, Some(person)) => people.push((*user, person.clone())),
                    (Some(at), None) => drop(people.remove(at)),
                    (None, None) => {}
                }
            }
            StoreRequest::SaveUser { profile, .. } => {
                let first = self.first_seen.entry(profile.user).or_insert(profile.first_seen_ms);
                *first = (*first).min(profile.first_seen_ms);
                let profile = Profile { first_seen_ms: *first, ..(**profile).clone() };
                self.users.insert(profile.user, profile);
            }
            StoreRequest::SeeUser { user, first_ms, last_ms } => {
                assert!(first_ms <= last_ms, "nobody goes before they come");
                let first = self.first_seen.entry(*user).or_insert(*first_ms);
                *first = (*first).min(*first_ms);
            }
            StoreRequest::SaveChannel { channel, settings, crown } => {
                let kept = self.channel(channel);
                (kept.settings, kept.crown) = (Some((**settings).clone()), *crown);
            }
            StoreRequest::EndChannel { channel, .. } => {
                self.channels.remove(channel.as_str());
            }
            StoreRequest::SaveMessage { channel, number, message, again } => {
                let kept = self.channel(channel);
                let known = kept.messages.iter_mut().find(|(other, _)| other == number);
                match known {
                    // It was edited, deleted, or reacted to.
                    Some((_, known)) => {
                        assert_eq!(known.sent_ms, message.sent_ms, "{number} is one message");
                        *known = (**message).clone();
                    }
                    None if *again => {}
                    None => kept.messages.push((*number, (**message).clone())),
                }
            }
            StoreRequest::ClearMessages { channel } => self.channel(channel).messages.clear(),
            StoreRequest::Moderate { act, .. } => {
                let kept = self.channel(&act.channel);
                match act.kind {
                    ModerationKind::Kick => {}
                    ModerationKind::Ban { until_ms } => {
                        kept.bans.insert(act.user, until_ms);
                    }
                    ModerationKind::Unban => {
                        kept.bans.remove(&act.user);
                    }
                    ModerationKind::Mute { until_ms } => {
                        kept.mutes.insert(act.user, until_ms);
                    }
                    ModerationKind::Unmute => {
                        kept.mutes.remove(&act.user);
                    }
                }
            }
        }
    }
}
