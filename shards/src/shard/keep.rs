//! What outlives the process: questions to the storage, and what is kept of users and channels.
//!
//! A user's record is asked for once by the shard that owns it, a channel once by its owner, before anybody enters.
//! Those who depend on the answer are paused meanwhile, for as long as [`crate::Config::storage`] allows: then life
//! goes on as if nothing had been kept. An answer that comes later still adds what can be added.
//!
//! A channel is kept from the first moment in which there is something to keep: its settings were changed by a person,
//! something was said, somebody was banned. It is forgotten when it ends because nobody is there.

use super::{Output, Shard, acts::Unconfirmed, history::Fetch};
use crate::{
    ChannelName, ChatMessage, ConnId, Crown, DoorKind, Guise, Invitation, Loaded, Nick, Now,
    Position, Profile, RoomId, RoomKind, SeatRequest, Settings, ShardId, StoreReply, StoreRequest,
    StoredBan, StoredChannel, UserId, Whom, Wire,
    channel::{Ban, dropped_at},
    conn::{Awaits, JoinRequest},
    mesh::{Belonging, Finder, Seeker},
    private::Private,
    timers::Timer,
    users::Presence,
};
use ahash::RandomState;
use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

/// A connection that waits for its user's record, and how its user looks.
type UserWish = (Presence, Option<Nick>, Option<Box<Guise>>);

/// What the storage was asked and has not answered.
#[derive(Debug)]
pub(super) struct Asked {
    users: HashMap<UserId, LoadingUser, RandomState>,
    channels: HashMap<ChannelName, Loading, RandomState>,
    /// Direct and group rooms that are known by their numbers alone.
    rooms: HashMap<RoomId, LoadingRoom, RandomState>,
    pub(super) acts: HashMap<u64, Unconfirmed, RandomState>,
    pub(super) histories: HashMap<u64, Fetch, RandomState>,
    /// Until when each is waited for, soonest first. Those that were answered are still in here.
    until: VecDeque<(u64, Question)>,
    /// Whether the last that was waited for did not come: then nobody waits before something is answered again, or
    /// going through ten full lobbies would take ten times as long as anybody has patience.
    silent: bool,
    tickets: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Question {
    User(UserId),
    Channel(ChannelName),
    Room(RoomId),
    Act(u64),
    History(u64),
}

#[derive(Debug, Default)]
struct LoadingUser {
    /// Connections that want to be welcomed, in order.
    waiters: Vec<UserWish>,
    /// Those who look for the user.
    finders: Vec<(Whom, Box<Finder>)>,
    /// What has changed meanwhile about the rooms of the user, in order.
    news: Vec<(RoomId, Belonging)>,
}

#[derive(Debug, Default)]
struct LoadingRoom {
    seats: Vec<SeatWish>,
    /// Whether the answer is here, and they sit down now.
    answered: bool,
    /// Whether the answer is that there is no such room.
    is_none: bool,
}

#[derive(Debug, Default)]
struct Loading {
    /// Connections that want to enter, in order.
    waiters: Vec<ConnId>,
    /// Seats that want to be there, in order.
    seats: Vec<SeatWish>,
    /// Connections at terminals of any shard that want a seat before they come.
    seekers: Vec<Seeker>,
    /// Whether the answer is here, and they enter now.
    answered: bool,
}

/// A seat that waits for its room.
#[derive(Debug)]
pub(super) struct SeatWish {
    /// The shard of its session; `None` for this one.
    pub(super) from: Option<ShardId>,
    pub(super) conn: ConnId,
    pub(super) profile: Rc<Profile>,
    pub(super) request: SeatRequest,
}

impl Asked {
    pub(super) fn new(mut hasher: impl FnMut() -> RandomState) -> Self {
        Asked {
            users: HashMap::with_hasher(hasher()),
            channels: HashMap::with_hasher(hasher()),
            rooms: HashMap::with_hasher(hasher()),
            acts: HashMap::with_hasher(hasher()),
            histories: HashMap::with_hasher(hasher()),
            until: VecDeque::new(),
            silent: false,
            tickets: 0,
        }
    }

    /// How many answers are waited for.
    pub(super) fn len(&self) -> usize {
        let loading = self.users.len() + self.channels.len() + self.rooms.len();
        loading + self.acts.len() + self.histories.len()
    }

    /// Whether nobody waits for the storage at the moment, because it does not answer.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Names a question.
    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}

impl<W: Wire> Shard<W> {
    /// Asks for the channels that are always there. To be called once, ahead of everything else.
    pub fn begin(&mut self, now: Now) {
        for name in [ChannelName::lobby(), ChannelName::awkward()] {
            if self.owner(&name) == self.id {
                self.ask_for_channel(now.mono_us, &name);
            }
        }
    }

    /// The storage answers.
    pub fn stored(&mut self, now: Now, reply: StoreReply) {
        self.asked.silent = false;
        match reply {
            StoreReply::User { user, found, rooms } => self.user_loaded(now, user, found, rooms),
            StoreReply::Room { room, found, looked } => self.room_loaded(now, room, found, looked),
            StoreReply::Channel { channel, found } => self.channel_loaded(now, &channel, found),
            StoreReply::Messages { ticket, found } => self.history_loaded(ticket, found),
            StoreReply::Kept { ticket, lasts } => self.act_kept(ticket, lasts),
        }
    }

    pub(super) fn store(&mut self, request: StoreRequest) {
        if self.config.storage.is_some() {
            self.outputs.push_back(Output::Store(request));
        }
    }

    pub(super) fn ask(&mut self, now_us: u64, question: Question, request: StoreRequest) {
        let Some(patience) = self.config.storage else { return };
        let until = now_us + patience.as_micros() as u64;
        if self.asked.until.is_empty() {
            self.arm(until, Timer::Unanswered);
        }
        self.asked.until.push_back((until, question));
        self.outputs.push_back(Output::Store(request));
    }

    /// Goes on without the answers that have taken too long.
    pub(super) fn give_up_on_storage(&mut self, now: Now) {
        while let Some((_, question)) =
            self.asked.until.pop_front_if(|(until, _)| *until <= now.mono_us)
        {
            let late = match &question {
                Question::User(user) => self.asked.users.contains_key(user),
                Question::Channel(channel) => self.asked.channels.contains_key(channel),
                Question::Room(room) => self.asked.rooms.contains_key(room),
                Question::Act(ticket) => self.asked.acts.contains_key(ticket),
                Question::History(ticket) => self.asked.histories.contains_key(ticket),
            };
            if !late {
                continue;
            }
            self.stats.storage_late += 1;
            self.asked.silent = true;
            match question {
                Question::User(user) => self.user_loaded(now, user, None, Vec::new()),
                Question::Room(room) => self.room_loaded(now, room, None, false),
                Question::Channel(channel) => self.channel_loaded(now, &channel, None),
                Question::Act(ticket) => self.act_kept(ticket, false),
                Question::History(ticket) => self.history_loaded(ticket, None),
            }
        }
        if let Some(&(until, _)) = self.asked.until.front() {
            self.arm(until, Timer::Unanswered);
        }
    }

    // Users.

    /// Whether a connection has to wait until it is known who its user was; then it is welcomed later.
    pub(super) fn waits_for_user(
        &mut self,
        now: Now,
        user: UserId,
        presence: Presence,
        nick: Option<&Nick>,
        guise: Option<&Guise>,
    ) -> bool {
        if self.config.storage.is_none() {
            return false;
        }
        let silent = self.asked.silent;
        let waiter = (!silent).then(|| (presence, nick.cloned(), guise.cloned().map(Box::new)));
        if let Some(loading) = self.asked.users.get_mut(&user) {
            loading.waiters.extend(waiter);
            return !silent;
        }
        if self.users.get(user).is_some() {
            return false;
        }
        let waiters = waiter.into_iter().collect();
        self.asked.users.insert(user, LoadingUser { waiters, ..LoadingUser::default() });
        self.ask(now.mono_us, Question::User(user), StoreRequest::LoadUser { user });
        !silent
    }

    /// Looks up who an account is whose record is not here; gives `finder` back when nobody can know.
    pub(super) fn finds_in_storage(
        &mut self,
        now: Now,
        whom: Whom,
        finder: Box<Finder>,
    ) -> Result<(), Box<Finder>> {
        let Some(user) = whom.user.filter(|_| self.config.storage.is_some()) else {
            return Err(finder);
        };
        if let Some(loading) = self.asked.users.get_mut(&user) {
            loading.finders.push((whom, finder));
            return Ok(());
        }
        let finders = vec![(whom, finder)];
        self.asked.users.insert(user, LoadingUser { finders, ..LoadingUser::default() });
        self.ask(now.mono_us, Question::User(user), StoreRequest::LoadUser { user });
        Ok(())
    }

    /// Something has changed about the rooms of a user of whom the storage was asked.
    pub(super) fn note_belonging(&mut self, user: UserId, room: RoomId, how: &Belonging) {
        if let Some(loading) = self.asked.users.get_mut(&user) {
            loading.news.push((room, how.clone()));
        }
    }

    /// A connection that may be waiting for its user's record is gone.
    pub(super) fn forget_waiting(&mut self, user: UserId, conn: ConnId) {
        if let Some(loading) = self.asked.users.get_mut(&user) {
            loading.waiters.retain(|(presence, ..)| presence.conn != conn);
        }
    }

    fn user_loaded(
        &mut self,
        now: Now,
        user: UserId,
        found: Option<Box<Profile>>,
        rooms: Vec<(RoomId, Option<Invitation>)>,
    ) {
        let loading = self.asked.users.remove(&user).unwrap_or_default();
        let LoadingUser { waiters, finders, news } = loading;
        let late = self.users.get(user).is_some();
        if let Some(found) = &found
            && late
        {
            self.user_known_late(now, user, found);
        }
        if late || !waiters.is_empty() {
            self.belongings_loaded(now, user, late, rooms, &news);
        }
        for (whom, finder) in finders {
            let here = self.users.get(user).map(|record| Box::new((*record.profile).clone()));
            self.say_found(now, whom, finder, here.or_else(|| found.clone()));
        }
        if waiters.is_empty() || self.stopping {
            return;
        }
        let first_ms = now.wall_ms;
        let profile = match found {
            // Nobody is away who has just come.
            Some(found) => Profile { version: 0, away: false, ..*found },
            None => {
                self.store(StoreRequest::SeeUser { user, first_ms, last_ms: first_ms });
                Profile::new(user, first_ms)
            }
        };
        for (presence, nick, guise) in waiters {
            let looks = (nick.as_ref(), guise);
            let welcome = self.arrive(user, true, presence, looks, || profile.clone());
            self.welcome_at(now, presence.shard, presence.conn, welcome);
        }
        // So that an account can be found by its number when it is not connected.
        let account = self.users.get(user).and_then(|record| record.profile.account);
        if account.is_some() && account != profile.account {
            self.keep_user(now, user);
        }
    }

    /// Life went on without the record. It is as it was unless the user has changed it since; what others decided about
    /// them holds in any case.
    fn user_known_late(&mut self, now: Now, user: UserId, found: &Profile) {
        let Some(record) = self.users.get_mut(user) else { return };
        let profile = Rc::make_mut(&mut record.profile);
        profile.first_seen_ms = profile.first_seen_ms.min(found.first_seen_ms);
        if profile.version == 0 {
            let (away, presence_seq) = (profile.away, profile.presence_seq);
            let before = profile.clone();
            *profile = Profile { version: 1, away, presence_seq, ..found.clone() };
            if before.door != DoorKind::Piano {
                profile.keep_guise(before);
            }
        } else {
            // Or a muted user had to change no more than a name, in a moment in which the disk is slow, to be heard.
            profile.version += 1;
            profile.muted_until_ms = profile.muted_until_ms.max(found.muted_until_ms);
            profile.tag = profile.tag.take().or_else(|| found.tag.clone());
        }
        self.spread_profile(user);
        self.keep_user(now, user);
    }

    /// A user's record has changed.
    pub(super) fn keep_user(&mut self, now: Now, user: UserId) {
        if let Some(record) = self.users.get(user).filter(|record| record.durable) {
            let profile = Box::new((*record.profile).clone());
            self.store(StoreRequest::SaveUser { profile, seen_ms: now.wall_ms });
        }
    }

    // Channels.

    /// Whether a connection has to wait until it is known what the channel was; then it joins later.
    pub(super) fn waits_for_channel(&mut self, now: Now, slot: u32, request: &JoinRequest) -> bool {
        if self.config.storage.is_none() {
            return false;
        }
        let name = request.name();
        match self.asked.channels.get(&name) {
            Some(loading) if loading.answered => return false,
            Some(_) => {}
            None if self.by_name.contains_key(&name) => return false,
            None => {
                // One for which there is no room is not asked for: it is refused.
                if self.channels.len() >= self.config.channels_max as usize {
                    return false;
                }
                self.ask_for_channel(now.mono_us, &name);
            }
        }
        if self.asked.silent {
            return false;
        }
        let (id, conn) = (self.conns[slot].id, self.conns[slot].extra());
        if conn.awaits.is_some() {
            // It waits for something else as well, and goes on to this after that.
            conn.deferred = Some(request.clone());
            self.arm_deferred(now.mono_us + 10_000, slot);
            return true;
        }
        conn.awaits = Some(Awaits::Channel(request.clone()));
        if let Some(loading) = self.asked.channels.get_mut(&name) {
            loading.waiters.push(id);
        }
        true
    }

    /// Whether one who seeks a seat has to wait until it is known what the channel was.
    pub(super) fn keeps_seeker(&mut self, now: Now, seeker: &Seeker) -> bool {
        let name = seeker.request.name();
        if self.config.storage.is_none() || self.by_name.contains_key(&name) {
            return false;
        }
        if !self.asked.channels.contains_key(&name) {
            if self.channels.len() >= self.config.channels_max as usize {
                return false;
            }
            self.ask_for_channel(now.mono_us, &name);
        }
        let silent = self.asked.silent;
        match self.asked.channels.get_mut(&name) {
            Some(loading) if !loading.answered && !silent => {
                loading.seekers.push(seeker.clone());
                true
            }
            _ => false,
        }
    }

    fn ask_for_channel(&mut self, now_us: u64, name: &ChannelName) {
        if self.config.storage.is_none() {
            return;
        }
        self.asked.channels.insert(name.clone(), Loading::default());
        let (channel, history) = (name.clone(), self.config.history_kept());
        let request = StoreRequest::LoadChannel { channel, history };
        self.ask(now_us, Question::Channel(name.clone()), request);
    }

    fn channel_loaded(&mut self, now: Now, name: &ChannelName, found: Option<Box<StoredChannel>>) {
        let (waiters, seekers) = match self.asked.channels.get_mut(name) {
            Some(loading) => {
                loading.answered = true;
                (std::mem::take(&mut loading.waiters), std::mem::take(&mut loading.seekers))
            }
            None => (Vec::new(), Vec::new()),
        };
        let waits = |conn: &ConnId| {
            self.conns.find(*conn).filter(|&slot| {
                matches!(self.conns[slot].awaits(), Some(Awaits::Channel(to)) if to.name() == *name)
            })
        };
        let first = waiters.iter().find_map(waits);
        if let Some(found) = found
            && !self.stopping
        {
            let first = first.and_then(|slot| self.conns[slot].profile.as_ref());
            let seats = self.asked.channels.get(name).and_then(|loading| loading.seats.first());
            let first = first.map(|profile| profile.user);
            let first = first.or(seats.map(|wish| wish.profile.user));
            let first = first.or(seekers.first().map(|seeker| seeker.profile.user));
            self.restore(now, name, *found, first);
        }
        for conn in waiters {
            // It may have gone elsewhere, or wait for another channel by now.
            let Some(slot) = self.conns.find(conn) else { continue };
            let extra = self.conns[slot].extra();
            let request = match extra.awaits.take() {
                Some(Awaits::Channel(request)) if request.name() == *name => request,
                other => {
                    extra.awaits = other;
                    continue;
                }
            };
            let key = self.conns.key(slot);
            self.join(now, slot, request);
            if let Some(slot) = self.conns.slot(key) {
                self.resume(slot);
            }
        }
        self.seats_go_on(now, name);
        for seeker in seekers {
            self.on_seek_seat(now, seeker);
        }
        self.asked.channels.remove(name);
        if let Some(&idx) = self.by_name.get(name)
            && self.channels[idx as usize].roster.is_empty()
        {
            self.arm_empty(now, idx);
        }
    }

    /// Makes a channel what it was, for the first who enters. One that exists already gets what can be added.
    fn restore(
        &mut self,
        now: Now,
        name: &ChannelName,
        found: StoredChannel,
        first: Option<UserId>,
    ) {
        let StoredChannel { settings, crown, bans, mutes, history, room, people } = found;
        history.iter().for_each(|message| self.pass_over_number(now, message.id));
        let (idx, new) = match (self.by_name.get(name), first) {
            (Some(&idx), _) => (idx, false),
            (None, _) if name.is_private() => match self.restore_private(name, &room, people) {
                Some(idx) => (idx, true),
                None => return,
            },
            (None, Some(_)) if self.channels.len() < self.config.channels_max as usize => {
                (self.create_channel(name.clone(), None), true)
            }
            _ => return,
        };
        let (history_max, bans_max) = (self.config.history_kept() as usize, self.config.bans_max);
        let channel = &mut self.channels[idx as usize];
        channel.kept = true;
        if new && let Some(room) = room {
            channel.room.restore(&room);
        }
        if new && !channel.kind.is_lobby() && channel.private.is_none() {
            channel.settings = settings.unwrap_or_else(|| Settings::new(channel.kind));
            // It lies for its last holder; others may take it after the usual while.
            let (start, end) = dropped_at(Position::OFF_SCREEN);
            let user = crown.or(first).expect("a channel is made anew for somebody");
            channel.crown = Some(Crown { user, held: false, since_ms: now.wall_ms, start, end });
        }
        let known: Vec<crate::MessageId> =
            channel.history.iter().map(|message| message.id).collect();
        let mut all: VecDeque<ChatMessage> =
            history.into_iter().filter(|message| !known.contains(&message.id)).collect();
        if channel.cleared {
            all.clear();
        }
        // Their numbers are of the room's last life; they have none in this one, unless it has not begun to count.
        all.iter_mut().for_each(|message| message.seq = 0);
        let counts_from_here =
            new || channel.room.seq == 0 && channel.history.is_empty() && channel.roster.is_empty();
        if let Some(last) = all.back().filter(|_| channel.loaded.is_none()) {
            channel.loaded = Some(Loaded { last: last.id, seq: 0, count: 0 });
        }
        all.extend(std::mem::take(&mut channel.history));
        all.drain(..all.len().saturating_sub(history_max));
        channel.history = all;
        if counts_from_here {
            for n in 0..channel.history.len() {
                channel.history[n].seq = channel.room.next_seq();
            }
            let count = channel.history.len() as u64;
            let last = channel.history.back();
            channel.loaded = last.map(|last| Loaded { last: last.id, seq: last.seq, count });
        }
        let serial = channel.serial;
        let until_us = |until_ms: u64| {
            let left_ms = until_ms.saturating_sub(now.wall_ms).min(u64::MAX / 2_000);
            (left_ms > 0).then(|| now.mono_us.saturating_add(left_ms * 1_000))
        };
        for StoredBan { user, until_ms, origin, in_lines } in bans {
            let channel = &mut self.channels[idx as usize];
            let Some(until_us) = until_us(until_ms) else { continue };
            if channel.bans.until(user, None, now.mono_us).is_some() {
                continue;
            }
            let name = if in_lines.is_empty() { user.to_string().into() } else { in_lines };
            channel.bans.insert(user, Ban { until_us, origin, name }, now.mono_us, bans_max);
            self.arm(until_us, Timer::BanEnds { channel: idx, serial });
        }
        let channel = &mut self.channels[idx as usize];
        for (user, until_ms) in mutes {
            let Some(until_us) = until_us(until_ms) else { continue };
            if channel.mutes.until(user, None, now.mono_us).is_none() {
                let mute = Ban { until_us, origin: None, name: Box::default() };
                channel.mutes.insert(user, mute, now.mono_us, bans_max);
            }
        }
    }

    /// There is something about a channel to keep from now on.
    pub(super) fn keep_channel(&mut self, idx: u32) {
        if self.config.storage.is_some() {
            self.channels[idx as usize].kept = true;
            self.save_channel(idx);
            let channel = &self.channels[idx as usize];
            if channel.private.is_some() || channel.room.is_special() {
                self.save_room(idx);
            }
            let people = self.channels[idx as usize].private.iter().flat_map(|p| p.people());
            for user in people.map(|person| person.profile.user).collect::<Vec<_>>() {
                self.save_person(idx, user);
            }
        }
    }

    /// What a channel is as a room has changed, or its settings by somebody in the room.
    pub(super) fn keep_room(&mut self, idx: u32) {
        if self.channels[idx as usize].kept {
            self.save_channel(idx);
            self.save_room(idx);
        } else if self.channels[idx as usize].kind_of_room() != RoomKind::Direct {
            self.keep_channel(idx);
        }
    }

    fn save_room(&mut self, idx: u32) {
        let channel = &self.channels[idx as usize];
        let private = channel.private.as_deref();
        let title = private.map(|private| private.title.clone()).unwrap_or_default();
        let room = Box::new(channel.room.to_store(title));
        let (channel, number) = (channel.name.clone(), private.map(|_| channel.room.id));
        self.store(StoreRequest::SaveRoom { channel, number, room });
    }

    /// How somebody stands to a direct or group room has changed. One of two people is kept from the first word on.
    pub(super) fn keep_person(&mut self, idx: u32, user: UserId) {
        let channel = &self.channels[idx as usize];
        if channel.kept {
            self.save_person(idx, user);
        } else if channel.kind_of_room() == RoomKind::Group {
            self.keep_channel(idx);
        }
    }

    fn save_person(&mut self, idx: u32, user: UserId) {
        let channel = &self.channels[idx as usize];
        let Some(private) = channel.private.as_deref() else { return };
        let person = private.get(user).cloned().map(Box::new);
        self.store(StoreRequest::SavePerson { channel: channel.name.clone(), user, person });
    }

    /// A channel's settings or crown have changed.
    pub(super) fn save_channel(&mut self, idx: u32) {
        let channel = &self.channels[idx as usize];
        if channel.kept {
            let (name, settings) = (channel.name.clone(), Box::new(channel.settings.clone()));
            let crown = channel.crown.map(|crown| crown.user);
            self.store(StoreRequest::SaveChannel { channel: name, settings, crown });
        }
    }

    /// Keeps what was said, or what became of it when it was said `again`: edited, deleted or reacted to.
    pub(super) fn keep_message(&mut self, idx: u32, message: &ChatMessage, again: bool) {
        let private = self.channels[idx as usize].private.as_deref();
        let is_between = private.and_then(Private::at_another_door).is_some();
        // What goes to another door is kept nowhere, as between people there.
        if self.config.storage.is_none() || is_between {
            return;
        }
        if !self.channels[idx as usize].kept {
            self.keep_channel(idx);
        }
        let channel = self.channels[idx as usize].name.clone();
        let number = message.id.0;
        let message = Box::new(message.clone());
        self.store(StoreRequest::SaveMessage { channel, number, message, again });
    }

    /// Whether a seat has to wait until it is known what its room was.
    pub(super) fn seat_waits(&mut self, now: Now, name: &ChannelName, wish: SeatWish) -> bool {
        if self.config.storage.is_none() {
            return false;
        }
        match self.asked.channels.get(name) {
            Some(loading) if loading.answered => return false,
            Some(_) => {}
            None if self.by_name.contains_key(name) => return false,
            None if self.channels.len() >= self.config.channels_max as usize => return false,
            None => self.ask_for_channel(now.mono_us, name),
        }
        if self.asked.silent {
            return false;
        }
        if let Some(loading) = self.asked.channels.get_mut(name) {
            loading.seats.push(wish);
        }
        true
    }

    /// Whether a seat has to wait until it is known what the room of this number was.
    pub(super) fn seat_waits_for_number(&mut self, now: Now, room: RoomId, wish: SeatWish) -> bool {
        if self.config.storage.is_none()
            || self.by_number.contains_key(&room)
            || self.channels.len() >= self.config.channels_max as usize
        {
            return false;
        }
        match self.asked.rooms.get_mut(&room) {
            Some(loading) if loading.answered => return false,
            Some(loading) => loading.seats.push(wish),
            None => {
                let loading = LoadingRoom { seats: vec![wish], ..LoadingRoom::default() };
                self.asked.rooms.insert(room, loading);
                let history = self.config.history_kept();
                let request = StoreRequest::LoadRoom { room, history };
                self.ask(now.mono_us, Question::Room(room), request);
            }
        }
        true
    }

    fn room_loaded(
        &mut self,
        now: Now,
        room: RoomId,
        found: Option<Box<(ChannelName, StoredChannel)>>,
        looked: bool,
    ) {
        let Some(loading) = self.asked.rooms.get_mut(&room) else { return };
        (loading.answered, loading.is_none) = (true, looked && found.is_none());
        let wishes = std::mem::take(&mut loading.seats);
        if let Some((name, found)) = found.map(|found| *found)
            && !self.stopping
            && !self.by_number.contains_key(&room)
            && self.config.number_key.room(&name) == room
        {
            self.restore(now, &name, found, None);
        }
        self.wishes_go_on(now, wishes);
        self.asked.rooms.remove(&room);
        if let Some(&idx) = self.by_number.get(&room)
            && self.channels[idx as usize].roster.is_empty()
        {
            self.arm_empty(now, idx);
        }
    }

    /// Whether it is certain what a room of this number is, or that there is none: not so while the storage is silent,
    /// and where there is no place for one more.
    pub(super) fn is_sure_of_room(&self, room: RoomId) -> bool {
        self.config.storage.is_none()
            || self.by_number.contains_key(&room)
            || self.asked.rooms.get(&room).is_some_and(|loading| loading.is_none)
    }

    /// What seats had to wait for is known.
    fn seats_go_on(&mut self, now: Now, name: &ChannelName) {
        let loading = self.asked.channels.get_mut(name);
        let wishes = loading.map(|loading| std::mem::take(&mut loading.seats)).unwrap_or_default();
        self.wishes_go_on(now, wishes);
    }

    fn wishes_go_on(&mut self, now: Now, wishes: Vec<SeatWish>) {
        for SeatWish { from, conn, profile, request } in wishes {
            match from {
                Some(from) => self.on_sit(now, from, conn, Profile::clone(&profile), request),
                None => self.on_sit_elsewhere(now, conn, request),
            }
        }
    }

    /// A seat that may be waiting for its room is gone.
    pub(super) fn forget_waiting_seat(&mut self, conn: ConnId) {
        for loading in self.asked.channels.values_mut() {
            loading.seats.retain(|wish| wish.conn != conn);
        }
        for loading in self.asked.rooms.values_mut() {
            loading.seats.retain(|wish| wish.conn != conn);
        }
    }

    /// A seat that may be waiting for its room belongs to somebody who is called otherwise now.
    pub(super) fn rename_waiting_seat(&mut self, conn: ConnId, profile: &Rc<Profile>) {
        let by_name = self.asked.channels.values_mut().flat_map(|loading| &mut loading.seats);
        let by_number = self.asked.rooms.values_mut().flat_map(|loading| &mut loading.seats);
        let wishes = by_name.chain(by_number);
        for wish in wishes.filter(|wish| wish.conn == conn) {
            wish.profile = profile.clone();
        }
    }

    /// Welcomes a connection of a user whose record is here, wherever the connection is.
    fn welcome_at(
        &mut self,
        now: Now,
        shard: ShardId,
        conn: ConnId,
        welcome: Option<(Rc<Profile>, crate::NoteQuota)>,
    ) {
        if shard == self.id {
            return self.welcomed(now, conn, welcome);
        }
        let welcome = welcome.map(|(profile, quota)| Box::new(((*profile).clone(), quota)));
        self.mesh(shard, crate::mesh::Mesh::Welcome { conn, welcome });
    }
}
