//! What seats wait for: histories that go back beyond the ring, and acts of moderators that are to last. The storage
//! answers when the test says so.

use super::*;
use crate::{
    AdminCommand, Answer, AttachmentNews, ChatMessage, DoorKind, Guise, JoinTarget, LineCommand,
    LineEvent, MessageId, ModerationKind, Notice, Page, PageFrom, RoomCommand, RoomEvent,
    RoomRequest, RoomText, RoomWish, SeatRequest, StoreReply, StoreRequest, StoredBan,
    StoredChannel, StoredPage, UserName, UserNumber,
};

/// What a seat is told of histories and acts.
fn told(event: &Event<'_>) -> Option<String> {
    let line = match event {
        Event::Room(RoomEvent::History { messages, more, nonce, .. }) => {
            let texts = messages.iter().map(|m| format!("{}#{}", m.text.as_str(), m.seq));
            let texts: Vec<String> = texts.collect();
            let more = if *more { " and more" } else { "" };
            format!("{}: {}{more}", nonce.unwrap_or_default(), texts.join(" "))
        }
        Event::Room(RoomEvent::Refused { answer, fault }) => {
            format!("{}: {fault:?}", answer.nonce.unwrap_or_default())
        }
        Event::Room(RoomEvent::Done { answer: Answer { nonce: Some(nonce), .. }, .. }) => {
            format!("{nonce}: done")
        }
        Event::Line(LineEvent::Kicked(_)) => "kicked".to_owned(),
        Event::Line(LineEvent::Banned { minutes, .. }) => format!("banned for {minutes}"),
        Event::Line(LineEvent::Unbanned(who)) => format!("unbanned {who}"),
        Event::Notice(Notice::RemovedFromHere { minutes, .. }) => format!("removed for {minutes}"),
        Event::Notice(Notice::NotKept) => "not kept".to_owned(),
        _ => return None,
    };
    Some(line)
}

/// A shard, one seat in a room of it, and what the storage knows.
struct World {
    shard: Shard<Told>,
    now: Now,
    sockets: Sockets,
    session: Key,
    seat: Key,
    /// What the storage was told was said.
    kept: Vec<ChatMessage>,
    /// What it was asked for and has not answered.
    asked: Vec<(u64, Page)>,
    /// Acts that it was to keep and has not confirmed.
    acts: Vec<(u64, ModerationKind)>,
    /// What seats that ended were told last.
    ended: String,
    /// What was told to whoever keeps files.
    files: Vec<AttachmentNews>,
}

fn config(storage: bool) -> Config {
    let storage = storage.then_some(Duration::from_millis(100));
    // The least ring there is: fifty messages.
    Config { storage, ring_messages: 0, chat_history: 1, ..Config::default() }
}

impl World {
    /// One who sits in a room of which the storage knows `before`.
    fn new(config: Config, before: &[ChatMessage]) -> Self {
        let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
        let mut shard = Shard::new(ShardId(0), 1, Arc::new(config), seeds, Told(told));
        let now = Now { mono_us: 1_000_000_000, wall_ms: 1_700_000_000_000 };
        let (session, _) = shard.open_session(now);
        let mut world = World {
            shard,
            now,
            sockets: Sockets::default(),
            session,
            seat: session,
            kept: before.to_vec(),
            asked: Vec::new(),
            acts: Vec::new(),
            ended: String::new(),
            files: Vec::new(),
        };
        world.seat = world.enter(session, "a");
        world.told();
        world
    }

    fn enter(&mut self, session: Key, who: &str) -> Key {
        let name = UserName::parse(who, 40).unwrap();
        let guise = Guise { door: DoorKind::Quic, account: None, name, tag: None, alone: false };
        let enter = Command::Enter { user: user(who), guise: Box::new(guise) };
        self.shard.handle_command(self.now, session, enter);
        self.settle();
        let name = ChannelName::parse("r").unwrap();
        let request = SeatRequest::new(RoomWish::named(name), None, Some(1));
        let seat = self.shard.sit(self.now, session, request).unwrap();
        self.settle();
        seat
    }

    /// One more person in the room, by number.
    fn other(&mut self, who: &str) -> UserNumber {
        let (session, _) = self.shard.open_session(self.now);
        self.enter(session, who);
        self.told();
        crate::NumberKey::default().stranger(user(who))
    }

    fn confirm(&mut self, lasts: bool) -> ModerationKind {
        let (ticket, kind) = self.acts.remove(0);
        self.shard.stored(self.now, StoreReply::Kept { ticket, lasts });
        self.settle();
        kind
    }

    fn settle(&mut self) {
        self.shard.flush(self.now, &mut self.sockets, false);
        while let Some(output) = self.shard.poll_output() {
            let request = match output {
                Output::Store(request) => request,
                Output::SeatEnded { last, .. } => {
                    self.ended.push_str(std::str::from_utf8(&last).unwrap());
                    continue;
                }
                Output::Attachments(news) => {
                    self.files.push(news);
                    continue;
                }
                _ => continue,
            };
            let reply = match request {
                StoreRequest::LoadUser { user } => {
                    StoreReply::User { user, found: None, rooms: Vec::new() }
                }
                StoreRequest::LoadChannel { channel, history } => {
                    let from = self.kept.len().saturating_sub(history as usize);
                    let history = self.kept[from..].to_vec();
                    let found = StoredChannel { history, ..StoredChannel::default() };
                    let found = (!self.kept.is_empty()).then(|| Box::new(found));
                    StoreReply::Channel { channel, found }
                }
                StoreRequest::LoadMessages { ticket, page, .. } => {
                    self.asked.push((ticket, page));
                    continue;
                }
                StoreRequest::SaveMessage { message, again, .. } => {
                    let known = self.kept.iter_mut().find(|said| said.id == message.id);
                    match known {
                        Some(known) => *known = *message,
                        None if again => {}
                        None => self.kept.push(*message),
                    }
                    continue;
                }
                StoreRequest::ClearMessages { .. } => {
                    self.kept.clear();
                    continue;
                }
                StoreRequest::Moderate { ticket, act } => {
                    self.acts.push((ticket, act.kind));
                    continue;
                }
                _ => continue,
            };
            self.shard.stored(self.now, reply);
        }
        self.shard.flush(self.now, &mut self.sockets, false);
        self.shard.verify();
    }

    fn room(&mut self, nonce: &str, command: RoomCommand) {
        let request = Box::new(RoomRequest { nonce: Some(nonce.into()), kind: 1, command });
        self.shard.handle_command(self.now, self.seat, Command::Room(request));
        self.settle();
    }

    /// Says numbers as words; the number of the message of each.
    fn say(&mut self, numbers: std::ops::Range<u32>) -> Vec<MessageId> {
        for n in numbers.clone() {
            let text = RoomText::parse(&n.to_string(), 100).unwrap();
            let attachments = Vec::new();
            let command = RoomCommand::Say { text, reply_to: None, action: false, attachments };
            self.room(&n.to_string(), command);
        }
        self.told();
        let idx = self.shard.by_name[&ChannelName::parse("r").unwrap()];
        let said = self.shard.channels[idx as usize].history.iter();
        let ids: Vec<MessageId> = said.map(|said| said.id).collect();
        ids[ids.len().saturating_sub(numbers.len())..].to_vec()
    }

    fn fetch(&mut self, nonce: &str, before: Option<MessageId>, after: Option<u64>, limit: u32) {
        self.room(nonce, RoomCommand::History { before, after, limit });
    }

    /// The storage answers the oldest question from all that it knows.
    fn answer(&mut self) {
        let (ticket, page) = self.asked.remove(0);
        let (limit, kept) = (page.limit as usize, &self.kept);
        let end = match page.from {
            PageFrom::End => kept.len(),
            PageFrom::Before(id) => kept.iter().position(|said| said.id == id).unwrap(),
            PageFrom::After(seq) => {
                let all: Vec<_> = kept.iter().filter(|said| said.seq > seq).cloned().collect();
                let more = all.len() > limit;
                let messages = all.into_iter().take(limit).collect();
                return self.find(ticket, Some(StoredPage { messages, more }));
            }
        };
        let from = end.saturating_sub(limit);
        let messages = kept[from..end].to_vec();
        self.find(ticket, Some(StoredPage { messages, more: from > 0 }));
    }

    fn find(&mut self, ticket: u64, found: Option<StoredPage>) {
        let found = found.map(Box::new);
        self.shard.stored(self.now, StoreReply::Messages { ticket, found });
        self.settle();
    }

    fn told(&mut self) -> Vec<String> {
        let bytes = self.sockets.0.remove(&self.seat.to_u64()).unwrap_or_default();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Numbers as they are told, the event of each being one later than it.
fn numbers(range: std::ops::Range<u32>, off: u64) -> String {
    let all: Vec<String> = range.map(|n| format!("{n}#{}", u64::from(n) + off)).collect();
    all.join(" ")
}

#[test]
fn it_goes_back_beyond_the_ring() {
    let mut world = World::new(config(true), &[]);
    world.say(0..30);
    let ids = world.say(30..80);
    // The first event was the coming of the one who speaks.
    let off = 2;
    world.fetch("ring", Some(ids[40]), None, 39);
    assert_eq!(world.told(), [format!("ring: {} and more", numbers(31..70, off))]);
    assert_eq!(world.asked, [], "the ring has enough, and one more");
    world.fetch("both", Some(ids[10]), None, 30);
    assert_eq!(world.told(), [""; 0]);
    world.answer();
    assert_eq!(world.told(), [format!("both: {} and more", numbers(10..40, off))]);
    world.fetch("all", Some(ids[10]), None, 40);
    world.answer();
    assert_eq!(world.told(), [format!("all: {}", numbers(0..40, off))], "and no more");
    let first = world.kept[5].id;
    world.fetch("old", Some(first), None, 10);
    world.answer();
    assert_eq!(world.told(), [format!("old: {}", numbers(0..5, off))]);
    world.fetch("after", None, Some(21), 10);
    world.answer();
    assert_eq!(world.told(), [format!("after: {} and more", numbers(20..30, off))]);
    world.fetch("last", None, Some(71), 40);
    assert_eq!(world.told(), [format!("last: {}", numbers(70..80, off))]);
}

#[test]
fn what_happens_meanwhile_is_neither_lost_nor_doubled() {
    let mut world = World::new(config(true), &[]);
    let ids = world.say(0..50);
    world.fetch("whole", None, None, 60);
    let page = StoredPage { messages: world.kept.clone(), more: false };
    // Ten leave the ring, and one that is in it is another before the storage answers.
    world.say(50..60);
    let text = RoomText::parse("edited", 100).unwrap();
    world.room("edit", RoomCommand::Edit { message: ids[20], text });
    world.told();
    let (ticket, _) = world.asked.remove(0);
    world.find(ticket, Some(page));
    let expected = format!("whole: {}", numbers(0..60, 2)).replace("20#22", "edited#22");
    assert_eq!(world.told(), [expected]);
    // What never got to the disk is in the ring.
    world.fetch("lost", None, None, 50);
    world.fetch("lost", None, None, 51);
    let (ticket, _) = world.asked.remove(0);
    world.find(ticket, Some(StoredPage { messages: world.kept[..30].to_vec(), more: false }));
    let (ticket, _) = world.asked.pop().expect("both go back to the end of the ring");
    world.find(ticket, Some(StoredPage { messages: world.kept[..5].to_vec(), more: false }));
    let told: Vec<String> = world.told().iter().map(|line| line.replace("edited", "20")).collect();
    let more = format!("lost: {} and more", numbers(10..60, 2));
    let mut rest = numbers(10..60, 2);
    rest.insert_str(0, "4#6 ");
    assert_eq!(told, [more, format!("lost: {rest} and more")]);
}

/// Staff clear the chat while the storage looks for what was said.
#[test]
fn what_was_cleared_meanwhile_is_not_shown() {
    let mut world = World::new(config(true), &[]);
    world.say(0..60);
    world.fetch("whole", None, None, 60);
    let found = StoredPage { messages: world.kept.clone(), more: false };
    let staff = world.shard.open(world.now, Format::MPP_TEXT, b"").0;
    let hello = Command::Hello { user: Some(user("s")), token: None };
    world.shard.handle_command(world.now, staff, hello);
    world.settle();
    let name = ChannelName::parse("r").unwrap();
    let target = JoinTarget::Named(name.clone());
    world.shard.handle_command(world.now, staff, Command::Join { target, set: None });
    world.settle();
    let clear = Command::Admin(Box::new(AdminCommand::ClearChat));
    world.shard.handle_command(world.now, staff, clear);
    world.settle();
    // What only the storage had may have had files, too.
    let room = world.shard.channels[world.shard.by_name[&name] as usize].room.id;
    assert_eq!(world.files, [AttachmentNews::Cleared(room)]);
    world.say(60..61);
    let (ticket, _) = world.asked.remove(0);
    world.find(ticket, Some(found));
    assert_eq!(world.told(), [""; 0], "it is looked up anew");
    assert_eq!(world.kept.len(), 1, "behind the clearing");
    world.answer();
    let told = world.told();
    assert!(told.len() == 1 && told[0].starts_with("whole: 60#"), "{told:?}");
    assert_eq!(world.asked, []);
}

#[test]
fn a_room_that_was_kept_numbers_what_it_found() {
    let mut world = World::new(config(true), &[]);
    world.say(0..70);
    let kept = std::mem::take(&mut world.kept);
    let mut world = World::new(config(true), &kept);
    world.fetch("ring", None, None, 49);
    // The fifty that it found have the first of its numbers.
    let found: Vec<String> = (21..70).map(|n| format!("{n}#{}", n - 19)).collect();
    assert_eq!(world.told(), [format!("ring: {} and more", found.join(" "))]);
    world.fetch("more", None, None, 60);
    let (_, page) = world.asked[0];
    let loaded = page.loaded.expect("it was kept");
    assert_eq!((loaded.last, loaded.seq, loaded.count), (kept[69].id, 50, 50));
    world.answer();
    assert_eq!(world.told().len(), 1);
}

/// The lobby is there from the start, and gets what was said in it before.
#[test]
fn a_lobby_numbers_what_it_found_anew() {
    let mut world = World::new(config(true), &[]);
    world.say(0..3);
    let kept = std::mem::take(&mut world.kept);
    let before = |world: &World| {
        let lobby = world.shard.by_name[&ChannelName::lobby()];
        let lobby = &world.shard.channels[lobby as usize];
        let numbers: Vec<u64> = lobby.history.iter().map(|said| said.seq).collect();
        (
            numbers,
            lobby.room.seq,
            lobby.loaded.map(|loaded| (loaded.last, loaded.seq, loaded.count)),
        )
    };
    let found = |world: &mut World| {
        let found = StoredChannel {
            settings: None,
            crown: None,
            bans: Vec::new(),
            mutes: Vec::new(),
            history: kept.clone(),
            room: None,
            people: Vec::new(),
        };
        let channel = ChannelName::lobby();
        let reply = StoreReply::Channel { channel, found: Some(Box::new(found)) };
        world.shard.stored(world.now, reply);
    };
    let last = kept[2].id;
    assert_ne!(kept[0].seq, 1, "their old numbers are others");
    let mut world = World::new(config(true), &[]);
    world.shard.begin(world.now);
    found(&mut world);
    assert_eq!(before(&world), (vec![1, 2, 3], 3, Some((last, 3, 3))));
    // One that counts already has no numbers for them, so that nobody gets them as news.
    let mut world = World::new(config(true), &[]);
    world.shard.begin(world.now);
    let lobby = world.shard.by_name[&ChannelName::lobby()];
    world.shard.channels[lobby as usize].room.next_seq();
    found(&mut world);
    assert_eq!(before(&world), (vec![0, 0, 0], 1, Some((last, 0, 0))));
}

#[test]
fn a_storage_that_does_not_answer_is_told_of() {
    let mut world = World::new(config(true), &[]);
    world.say(0..10);
    world.fetch("late", None, None, 10);
    let (ticket, _) = world.asked[0];
    world.now.mono_us += 100_000;
    world.shard.handle_timeout(world.now);
    world.settle();
    assert_eq!(world.told(), ["late: Unavailable"]);
    // Now nobody waits for it; what the ring has is told all the same.
    world.fetch("silent", None, None, 10);
    world.fetch("ring", None, None, 9);
    assert_eq!(
        world.told(),
        ["silent: Unavailable".into(), format!("ring: {} and more", numbers(1..10, 2))]
    );
    // What comes too late is for nobody, but shows that it is there.
    world.find(ticket, Some(StoredPage::default()));
    assert_eq!(world.told(), [""; 0]);
    world.fetch("again", None, None, 10);
    world.asked.remove(0);
    world.answer();
    assert_eq!(world.told(), [format!("again: {}", numbers(0..10, 2))]);
    world.fetch("full", None, None, 10);
    let (ticket, _) = world.asked.remove(0);
    world.find(ticket, None);
    assert_eq!(world.told(), ["full: Unavailable"]);
}

#[test]
fn whoever_leaves_does_not_wait_for_it() {
    let mut world = World::new(config(true), &[]);
    world.say(0..10);
    for nonce in ["first", "second"] {
        world.fetch(nonce, None, None, 10);
    }
    let tickets: Vec<u64> = world.asked.iter().map(|(ticket, _)| *ticket).collect();
    world.room("leave", RoomCommand::Leave);
    assert_eq!(world.ended, "first: NotFound\nsecond: NotFound\nleave: done\n");
    for ticket in tickets {
        world.find(ticket, Some(StoredPage::default()));
    }
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn not_too_many_are_looked_up_at_a_time() {
    let mut world = World::new(config(true), &[]);
    world.say(0..3);
    let most = 64;
    for n in 0..=most {
        world.fetch(&n.to_string(), None, None, 5);
    }
    assert_eq!((world.asked.len(), world.told()), (most, vec![format!("{most}: Unavailable")]));
    while !world.asked.is_empty() {
        world.answer();
    }
    assert_eq!(world.told().len(), most);
    world.fetch("again", None, None, 5);
    assert_eq!(world.asked.len(), 1);
    // Whoever has left is told nothing.
    world.shard.end_session(world.now, world.session, Departure::Left);
    world.answer();
}

#[test]
fn without_a_storage_the_ring_is_all_there_is() {
    let mut world = World::new(config(false), &[]);
    let ids = world.say(0..60);
    world.fetch("all", None, None, 100);
    world.fetch("none", Some(MessageId(ids[0].0 - 1)), None, 100);
    world.fetch("gap", None, Some(1), 10);
    let told = [
        format!("all: {}", numbers(10..60, 2)),
        "none: ".to_owned(),
        format!("gap: {} and more", numbers(10..20, 2)),
    ];
    assert_eq!(world.told(), told);
}

#[test]
fn moderators_are_answered_when_what_they_did_lasts() {
    let mut world = World::new(config(true), &[]);
    let (b, c) = (world.other("b"), world.other("c"));
    let until_ms = world.now.wall_ms + 60_000;
    world.room("mute", RoomCommand::Mute { user: b, ms: 60_000 });
    world.room("ban", RoomCommand::Ban { user: c, ms: 60_000 });
    world.room("unmute", RoomCommand::Mute { user: b, ms: 0 });
    let stranger = crate::Whom { number: c, user: Some(user("c")) };
    world.room("unban", RoomCommand::Unban(stranger));
    assert_eq!((world.told(), world.acts.len()), (vec![], 4));
    assert_eq!(world.confirm(true), ModerationKind::Mute { until_ms });
    assert_eq!(world.told(), ["mute: done"]);
    assert_eq!(world.confirm(true), ModerationKind::Ban { until_ms });
    assert_eq!(world.confirm(true), ModerationKind::Unmute);
    assert_eq!(world.confirm(false), ModerationKind::Unban);
    assert_eq!(world.told(), ["removed for 1", "ban: done", "unmute: done", "unban: NotKept"]);
    // What there was none of is lifted at once.
    world.room("unmute", RoomCommand::Mute { user: b, ms: 0 });
    world.room("unban", RoomCommand::Unban(stranger));
    assert_eq!(
        (world.told(), world.acts.len()),
        (vec!["unmute: done".into(), "unban: done".into()], 0)
    );
    // It holds though the storage does not answer in time.
    world.room("kick", RoomCommand::Kick { user: b, reason: None });
    world.now.mono_us += 100_000;
    world.shard.handle_timeout(world.now);
    world.settle();
    assert_eq!(world.told(), ["removed for 0", "kick: NotKept"]);
    world.confirm(true);
    assert_eq!(world.told(), [""; 0], "once");
}

/// Somebody at a terminal who has the crown kicks, bans and lets in again.
#[test]
fn terminals_are_answered_when_what_they_did_lasts() {
    let mut world = World::new(config(true), &[]);
    let mut terminals = ["anna", "bert"].map(|nick| {
        let key = log_in(&mut world.shard, world.now, nick);
        world.settle();
        key
    });
    let lines = |world: &mut World, key: Key| {
        world.seat = key;
        world.told()
    };
    let asks = |world: &mut World, key: Key, command: LineCommand| {
        let flow = world.shard.handle_command(world.now, key, Command::Line(Box::new(command)));
        world.settle();
        flow
    };
    let room = ChannelName::parse("room").unwrap();
    let who: Box<str> = "bert".into();
    for (lasts, command, answer, told) in [
        (true, LineCommand::Kick { who: who.clone(), reason: None }, "kicked", "removed for 0"),
        (true, LineCommand::Ban { who: who.clone(), minutes: 5 }, "banned for 5", "removed for 5"),
        (true, LineCommand::Unban("bert".into()), "unbanned bert", ""),
        (false, LineCommand::Ban { who, minutes: 6 }, "banned for 6", "removed for 6"),
    ] {
        if !matches!(command, LineCommand::Unban(_)) {
            for key in terminals {
                asks(&mut world, key, LineCommand::Go(room.clone()));
            }
        }
        assert_eq!(asks(&mut world, terminals[0], command), Flow::Pause, "{answer}");
        assert_eq!(lines(&mut world, terminals[0]), [""; 0], "{answer}: not yet");
        world.confirm(lasts);
        let mut expected = vec![told, answer];
        expected.retain(|line| !line.is_empty());
        expected.extend((!lasts).then_some("not kept"));
        assert_eq!(lines(&mut world, terminals[0]), expected);
        assert_eq!(world.shard.flow(terminals[0]), Flow::Continue);
        lines(&mut world, terminals[1]);
    }
    // Whoever asks is sent away before it is known: that is told all the same.
    terminals.swap(0, 1);
    let unban = LineCommand::Unban("bert".into());
    assert_eq!(asks(&mut world, terminals[1], unban), Flow::Pause);
    world.shard.operate(world.now, Order::Close { channel: room, reason: None });
    world.settle();
    world.confirm(true);
    assert_eq!(lines(&mut world, terminals[1]), ["unbanned bert"]);
    assert_eq!(world.shard.flow(terminals[1]), Flow::Continue);
}

#[test]
fn one_who_leaves_meanwhile_is_answered_all_the_same() {
    let mut world = World::new(config(true), &[]);
    let b = world.other("b");
    world.room("mute", RoomCommand::Mute { user: b, ms: 60_000 });
    world.fetch("history", None, None, 10);
    world.room("kick", RoomCommand::Kick { user: b, reason: None });
    world.room("leave", RoomCommand::Leave);
    let expected = "history: NotFound\nmute: NotKept\nkick: NotKept\nleave: done\n";
    assert!(world.ended.ends_with(expected), "{}", world.ended);
    world.confirm(true);
    world.confirm(true);
    world.answer();
    assert_eq!(world.told(), [""; 0], "once");
}

#[test]
fn without_a_storage_moderators_are_answered_at_once() {
    let mut world = World::new(config(false), &[]);
    let b = world.other("b");
    world.room("mute", RoomCommand::Mute { user: b, ms: 60_000 });
    world.room("ban", RoomCommand::Ban { user: b, ms: 60_000 });
    assert_eq!(world.told(), ["mute: done", "removed for 1", "ban: done"]);
}

#[test]
fn mutes_and_bans_that_were_kept_hold() {
    let mut world = World::new(config(true), &[]);
    let name = ChannelName::parse("kept").unwrap();
    let now = world.now;
    let found = StoredChannel {
        bans: vec![StoredBan {
            user: user("b"),
            until_ms: now.wall_ms + 5_000,
            origin: Some(7),
            in_lines: "Bee~1".into(),
        }],
        mutes: vec![(user("c"), now.wall_ms + 9_000), (user("d"), now.wall_ms)],
        ..StoredChannel::default()
    };
    let request = SeatRequest::new(RoomWish::named(name.clone()), None, Some(1));
    world.shard.sit(now, world.session, request).unwrap();
    while let Some(output) = world.shard.poll_output() {
        if let Output::Store(StoreRequest::LoadChannel { channel, .. }) = output {
            let found = Some(Box::new(found.clone()));
            world.shard.stored(now, StoreReply::Channel { channel, found });
        }
    }
    let channel = &world.shard.channels[world.shard.by_name[&name] as usize];
    let until = |ms: u64| Some(now.mono_us + ms * 1_000);
    assert_eq!(channel.bans.until(user("x"), Some(7), now.mono_us), until(5_000), "the address");
    assert_eq!(channel.bans.find("bee~1", now.mono_us), Some(user("b")));
    assert_eq!(channel.mutes.until(user("c"), None, now.mono_us), until(9_000));
    assert_eq!(channel.mutes.until(user("d"), None, now.mono_us), None, "it is over");
}

/// A group of people with accounts in which nobody is connected is not in memory for ever, and comes back as it was.
#[test]
fn a_room_in_which_nobody_is_is_put_away_and_loaded_again() {
    let account = |n: u8| std::num::NonZeroU64::new(n.into());
    let mut world = World::new(config(true), &[]);
    let login = |world: &mut World| {
        let (session, _) = world.shard.open_session(world.now);
        let name = UserName::parse("A", 40).unwrap();
        let door = DoorKind::Quic;
        let guise = Guise { door, account: account(9), name, tag: None, alone: false };
        let enter = Command::Enter { user: user("A"), guise: Box::new(guise) };
        world.shard.handle_command(world.now, session, enter);
        world.settle();
        session
    };
    let drain = |world: &mut World| {
        let mut stored = Vec::new();
        while let Some(output) = world.shard.poll_output() {
            if let Output::Store(request) = output {
                stored.push(request);
            }
        }
        world.shard.verify();
        stored
    };
    let wait = |world: &mut World| {
        world.now.mono_us += 600_000_000;
        world.now.wall_ms += 600_000;
        world.shard.handle_timeout(world.now);
        drain(world)
    };
    let private = |world: &World| {
        let found = world.shard.channels.iter().find(|(_, channel)| channel.private.is_some());
        found.map(|(_, channel)| (channel.room.id, channel.name.clone()))
    };
    let session = login(&mut world);
    let wish = RoomWish::Group { title: "g".into(), topic: None, invites: Box::default() };
    let seat = world.shard.sit(world.now, session, SeatRequest::new(wish, None, Some(1))).unwrap();
    world.seat = seat;
    let mut stored = drain(&mut world);
    let text = RoomText::parse("kept", 100).unwrap();
    let (reply_to, action, attachments) = (None, false, Vec::new());
    let command = RoomCommand::Say { text, reply_to, action, attachments };
    let request = Box::new(RoomRequest { nonce: None, kind: 1, command });
    world.shard.handle_command(world.now, seat, Command::Room(request));
    stored.extend(drain(&mut world));
    let (room, name) = private(&world).unwrap();
    world.shard.end_session(world.now, session, Departure::Disconnected);
    stored.extend(drain(&mut world));
    let seen = stored.len();
    stored.extend(wait(&mut world));
    assert_eq!(private(&world), None, "it rests in the storage alone");
    assert!(!stored[seen..].iter().any(|one| matches!(one, StoreRequest::EndChannel { .. })));
    // Everything that comes back is what was stored.
    let mut found = StoredChannel::default();
    for request in stored {
        match request {
            StoreRequest::SaveRoom { room, .. } => found.room = Some(*room),
            StoreRequest::SavePerson { person, .. } => {
                found.people = person.into_iter().map(|person| *person).collect();
            }
            StoreRequest::SaveMessage { message, .. } => found.history.push(*message),
            _ => {}
        }
    }
    let session = login(&mut world);
    let request = SeatRequest::new(RoomWish::Numbered(room), None, Some(1));
    world.shard.sit(world.now, session, request).unwrap();
    let asked = drain(&mut world);
    assert!(matches!(asked[..], [StoreRequest::LoadRoom { room: asked, .. }] if asked == room));
    let found = Some(Box::new((name.clone(), found)));
    world.shard.stored(world.now, StoreReply::Room { room, found, looked: true });
    drain(&mut world);
    assert_eq!(private(&world), Some((room, name)));
    let idx = world.shard.by_number[&room];
    let channel = &world.shard.channels[idx as usize];
    assert_eq!((channel.history.len(), channel.roster.len()), (1, 1));
    assert_eq!(channel.role(user("A")), crate::Role::Owner);
}

/// A room of two in which nothing was said goes with the one who opened it.
#[test]
fn a_room_of_two_in_which_nothing_was_said_leaves_nothing() {
    for storage in [false, true] {
        let mut world = World::new(config(storage), &[]);
        world.other("b");
        let number = crate::NumberKey::default().stranger(user("b"));
        let wish = RoomWish::Direct(crate::Whom { number, user: None });
        let request = SeatRequest::new(wish, None, Some(1));
        world.shard.sit(world.now, world.session, request).unwrap();
        world.settle();
        let private = |world: &World| {
            world.shard.channels.iter().filter(|(_, channel)| channel.private.is_some()).count()
        };
        assert_eq!(private(&world), 1);
        world.shard.end_session(world.now, world.session, Departure::Left);
        world.settle();
        world.now.mono_us += 600_000_000;
        world.shard.handle_timeout(world.now);
        world.settle();
        assert_eq!(private(&world), 0);
    }
}
