//! Direct and group rooms over several shards: who is let in, who belongs where, and what is left of a room.

use super::*;
use crate::{
    Attachment, AttachmentNews, DoorKind, Guise, JoinTarget, LineCommand, LineEvent, Profile,
    RoomCommand, RoomEvent, RoomId, RoomRequest, RoomText, RoomWish, SeatRequest, UploadId,
    UserName, UserNumber, Whom, mesh::Mesh,
};
use std::num::NonZeroU64;

/// What sessions are told of rooms.
fn told(event: &Event<'_>) -> Option<String> {
    let event = match event {
        Event::Room(event) => event,
        Event::Direct { message, .. } => return Some(format!("letter {}", message.text.as_str())),
        Event::Line(LineEvent::Sent { text, .. }) => {
            return Some(format!("sent {}", text.as_str()));
        }
        Event::Line(LineEvent::Error(error)) => return Some(format!("error {error:?}")),
        _ => return None,
    };
    let line = match event {
        RoomEvent::Init { view, members, messages, .. } => {
            let people = members.iter().map(|who| {
                let there = if who.present { "" } else { "-" };
                format!("{}{there}", who.view.profile.display_name())
            });
            let people: Vec<String> = people.collect();
            format!("init {} {} {}", view.kind.word(), people.join(","), messages.len())
        }
        RoomEvent::Message { message, .. } => format!("says {}", message.text.as_str()),
        RoomEvent::Joined { who, .. } => format!("{} joined", name(who.view.profile)),
        RoomEvent::Left { how, .. } => format!("left {how:?}"),
        RoomEvent::UserUpdated { who, .. } => {
            format!("{} is {}", name(who.view.profile), who.role.word())
        }
        RoomEvent::Refused { fault, .. } => format!("refused {fault:?}"),
        RoomEvent::Closed { how, .. } => format!("closed {how:?}"),
        RoomEvent::Enters(_) => "enters".to_owned(),
        RoomEvent::Later(_) => "later".to_owned(),
        RoomEvent::Belongs(rooms) => format!("belongs {}", rooms.len()),
        RoomEvent::Invited(invitation) => format!("invited by {}", name(&invitation.by)),
        _ => return None,
    };
    Some(line)
}

fn name(profile: &Profile) -> &str {
    profile.display_name()
}

/// Who somebody is: capital letters have accounts.
fn whom(who: char) -> (UserId, Option<NonZeroU64>) {
    let account = who.is_uppercase().then(|| NonZeroU64::new(u64::from(who as u32)).unwrap());
    (UserId([who as u8; 12]), account)
}

/// Several shards whose messages arrive at once.
struct World {
    shards: Vec<Shard<Told>>,
    now: Now,
    sockets: Vec<Sockets>,
    /// What was said to seats that ended.
    ended: Vec<String>,
    /// What they asked while they ended, by its number.
    undone: Vec<String>,
    /// What became of files.
    files: Vec<AttachmentNews>,
}

impl World {
    fn new(shards: u16) -> Self {
        let placement = [1, 2, 3, 4];
        let shard = |id| {
            let seeds = Seeds { placement, local: u64::from(id) };
            Shard::new(ShardId(id), shards, Arc::new(Config::default()), seeds, Told(told))
        };
        World {
            shards: (0..shards).map(shard).collect(),
            now: Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 },
            sockets: (0..shards).map(|_| Sockets::default()).collect(),
            ended: Vec::new(),
            undone: Vec::new(),
            files: Vec::new(),
        }
    }

    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for at in 0..self.shards.len() {
                self.shards[at].flush(self.now, &mut self.sockets[at], false);
                while let Some(output) = self.shards[at].poll_output() {
                    idle = false;
                    match output {
                        Output::Mesh { to, message } => {
                            let from = ShardId(at as u16);
                            self.shards[to.index()].handle_mesh(self.now, from, message);
                        }
                        Output::SeatEnded { last, undone, .. } => {
                            self.ended.push(String::from_utf8(last).unwrap());
                            let nonces = undone.into_iter().map(|request| request.nonce.unwrap());
                            self.undone.extend(nonces.map(String::from));
                        }
                        Output::Attachments(news) => self.files.push(news),
                        _ => {}
                    }
                }
            }
            self.shards.iter().for_each(Shard::verify);
            if idle {
                return;
            }
        }
    }

    /// A session of somebody on a shard.
    fn enter(&mut self, who: char, at: usize) -> Key {
        let (user, account) = whom(who);
        let (key, _) = self.shards[at].open_session(self.now);
        let name = UserName::parse(&who.to_string(), 40).unwrap();
        let guise = Guise { door: DoorKind::Quic, account, name, tag: None, alone: false };
        let enter = Command::Enter { user, guise: Box::new(guise) };
        self.shards[at].handle_command(self.now, key, enter);
        self.settle();
        key
    }

    fn lose(&mut self, key: Key, at: usize) {
        self.shards[at].end_session(self.now, key, Departure::Disconnected);
        self.settle();
    }

    fn sit(&mut self, session: Key, at: usize, wish: RoomWish) -> Key {
        let request = SeatRequest::new(wish, None, Some(1));
        let seat = self.shards[at].sit(self.now, session, request).unwrap();
        self.settle();
        seat
    }

    /// A session sits down where it was told that its user belongs.
    fn come(&mut self, session: Key, at: usize, room: RoomId) -> Key {
        let request = SeatRequest::new(RoomWish::Numbered(room), None, None);
        let seat = self.shards[at].sit(self.now, session, request).unwrap();
        self.settle();
        seat
    }

    fn ask(&mut self, seat: Key, at: usize, command: RoomCommand) {
        let request = Box::new(RoomRequest { nonce: None, kind: 1, command });
        self.shards[at].handle_command(self.now, seat, Command::Room(request));
        self.settle();
    }

    /// Asks something, and lets it lie.
    fn ask_only(&mut self, seat: Key, at: usize, nonce: &str, command: RoomCommand) -> Flow {
        let request = Box::new(RoomRequest { nonce: Some(nonce.into()), kind: 1, command });
        self.shards[at].handle_command(self.now, seat, Command::Room(request))
    }

    fn whom(&self, who: char) -> Whom {
        match whom(who) {
            (user, Some(account)) => Whom { number: UserNumber(account.get()), user: Some(user) },
            (user, None) => Whom { number: crate::NumberKey::default().stranger(user), user: None },
        }
    }

    fn told(&mut self, key: Key, at: usize) -> Vec<String> {
        let bytes = self.sockets[at].0.remove(&key.to_u64()).unwrap_or_default();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    fn belongings(&self) -> Vec<(char, RoomId)> {
        let all = self.shards.iter().flat_map(Shard::belongings);
        let mut all: Vec<_> = all.map(|(user, room)| (char::from(user.0[0]), room)).collect();
        all.sort_unstable();
        all
    }

    fn rooms(&self) -> usize {
        let channels = self.shards.iter().flat_map(|shard| shard.channels.iter());
        channels.filter(|(_, channel)| channel.private.is_some()).count()
    }

    fn room(&self) -> RoomId {
        let mut channels = self.shards.iter().flat_map(|shard| shard.channels.iter());
        channels.find(|(_, channel)| channel.private.is_some()).unwrap().1.room.id
    }

    fn pass(&mut self, seconds: u64) {
        self.now.mono_us += seconds * 1_000_000;
        self.now.wall_ms += seconds * 1_000;
        for shard in &mut self.shards {
            shard.handle_timeout(self.now);
        }
        self.settle();
    }

    fn group(&mut self, by: Key, at: usize, invited: &str) -> Key {
        let invites = invited.chars().map(|who| self.whom(who)).collect();
        self.sit(by, at, RoomWish::Group { title: "g".into(), topic: None, invites })
    }
}

fn say(text: &str) -> RoomCommand {
    let text = RoomText::parse(text, 100).unwrap();
    RoomCommand::Say { text, reply_to: None, action: false, attachments: Vec::new() }
}

#[test]
fn whoever_keeps_files_learns_what_becomes_of_them() {
    let file = |id| Attachment {
        id: UploadId(id),
        name: "a".into(),
        mime: "text/plain".into(),
        size: 1,
        checksum: "0".repeat(64).into(),
        url: "x".into(),
    };
    let with = |files: &[u64]| RoomCommand::Say {
        text: RoomText::parse("see", 100).unwrap(),
        reply_to: None,
        action: false,
        attachments: files.iter().map(|&id| file(id)).collect(),
    };
    for shards in 1..4 {
        let mut world = World::new(shards);
        let (here, there) = (0, usize::from(shards) - 1);
        let (a, b) = (world.enter('A', here), world.enter('B', there));
        let seat = world.group(a, here, "B");
        let room = world.room();
        let theirs = world.come(b, there, room);
        // Said twice with one nonce, they are shown once.
        for _ in 0..2 {
            world.ask_only(seat, here, "n", with(&[7, 8]));
            world.settle();
        }
        let shown = std::mem::take(&mut world.files);
        let [AttachmentNews::Shown { message, uploads }] = &shown[..] else {
            panic!("{shown:?}");
        };
        assert_eq!(uploads[..], [UploadId(7), UploadId(8)]);
        // Who may not post shows nothing.
        let mute = RoomCommand::Mute { user: world.whom('B').number, ms: 5_000 };
        world.ask(seat, here, mute);
        world.ask(theirs, there, with(&[9]));
        assert_eq!(world.files, []);
        // They go with their message, once, and the rest with the room.
        world.ask(seat, here, with(&[10]));
        world.files.clear();
        for _ in 0..2 {
            world.ask(seat, here, RoomCommand::Delete { message: *message });
        }
        let (message, uploads) = (*message, uploads.clone());
        assert_eq!(std::mem::take(&mut world.files), [AttachmentNews::Gone { message, uploads }]);
        world.ask(seat, here, RoomCommand::Dissolve);
        assert_eq!(world.files, [AttachmentNews::RoomOver(room)]);
    }
}

#[test]
fn the_other_of_two_gets_the_room_with_the_first_message() {
    for shards in 1..4 {
        let mut world = World::new(shards);
        let (here, there) = (0, usize::from(shards) - 1);
        let (a, b) = (world.enter('A', here), world.enter('B', there));
        let other = world.whom('B');
        let seat = world.sit(a, here, RoomWish::Direct(other));
        assert_eq!(world.told(seat, here), ["init direct A,B- 0"]);
        assert_eq!(world.told(b, there), [""; 0]);
        world.ask(seat, here, say("psst"));
        assert_eq!(world.told(b, there), ["enters"]);
        let room = world.room();
        let seat = world.sit(b, there, RoomWish::Numbered(room));
        assert_eq!(world.told(seat, there), ["init direct A,B 1"]);
        assert_eq!(world.belongings(), [('A', room), ('B', room)]);
        // The same room from the other side, and not for a third.
        let other = world.whom('A');
        let again = world.sit(b, there, RoomWish::Direct(other));
        assert_eq!(world.told(again, there), ["init direct A,B 1"]);
        assert_eq!(world.rooms(), 1);
        let c = world.enter('C', here);
        world.sit(c, here, RoomWish::Numbered(room));
        assert_eq!(world.ended, ["refused NotFound\n"]);
    }
}

#[test]
fn one_without_an_account_gets_the_room_with_the_first_message() {
    for shards in 1..4 {
        let mut world = World::new(shards);
        let (here, there) = (0, usize::from(shards) - 1);
        let (a, b) = (world.enter('a', here), world.enter('b', there));
        let other = world.whom('b');
        let seat = world.sit(a, here, RoomWish::Direct(other));
        let room = world.room();
        // Before the first message nobody lets it in who does not ask.
        world.come(b, there, room);
        assert_eq!(std::mem::take(&mut world.ended), [""]);
        world.ask(seat, here, say("psst"));
        assert_eq!(world.told(b, there), ["enters"]);
        let theirs = world.come(b, there, room);
        assert_eq!(world.told(theirs, there), ["init direct a,b 1"]);
        assert_eq!(world.belongings(), [('a', room), ('b', room)]);
        // Two sessions are told of the next message. When the second comes, its user has closed the room again.
        world.ask(theirs, there, RoomCommand::Leave);
        world.ended.clear();
        let second = world.enter('b', here);
        world.ask(seat, here, say("still there?"));
        assert_eq!(world.told(b, there), ["enters"]);
        assert_eq!(world.told(second, here), ["enters"]);
        let theirs = world.come(b, there, room);
        world.ask(theirs, there, RoomCommand::Leave);
        world.ended.clear();
        world.come(second, here, room);
        assert_eq!(world.ended, [""], "nobody is let in who was not told of anything since");
        assert_eq!(world.belongings(), [('a', room)]);
        // One who is away when something is said finds it on the return.
        world.lose(b, there);
        world.lose(second, here);
        world.ask(seat, here, say("come back"));
        let b = world.enter('b', there);
        assert_eq!(world.told(b, there), ["belongs 1"]);
        let theirs = world.come(b, there, room);
        assert_eq!(world.told(theirs, there), ["init direct a,b 3"]);
    }
}

#[test]
fn membership_of_accounts_outlives_their_connections() {
    let mut world = World::new(3);
    let (a, b, c) = (world.enter('A', 0), world.enter('B', 1), world.enter('c', 2));
    let seat = world.group(a, 0, "Bcx");
    assert_eq!(world.told(b, 1), ["invited by A"]);
    let room = world.room();
    for (who, at) in [(b, 1), (c, 2)] {
        world.sit(who, at, RoomWish::Numbered(room));
    }
    world.told(seat, 0);
    world.lose(b, 1);
    assert_eq!(world.told(seat, 0), [""; 0], "B is a member who is not there");
    world.lose(c, 2);
    assert_eq!(world.told(seat, 0), ["left Disconnected"], "c has no account");
    let b = world.enter('B', 2);
    assert_eq!(world.told(b, 2), ["belongs 1"]);
    world.lose(a, 0);
    world.lose(b, 2);
    world.pass(3_600);
    assert_eq!(world.rooms(), 1, "it is there for those who belong to it");
    let b = world.enter('B', 0);
    let seat = world.sit(b, 0, RoomWish::Numbered(room));
    assert_eq!(world.told(seat, 0), ["init group A-,B 0"]);
    world.ask(seat, 0, RoomCommand::Leave);
    assert_eq!(world.ended.pop().unwrap(), "closed Left\n");
    assert_eq!(world.belongings(), [('A', room)]);
    let a = world.enter('A', 1);
    let seat = world.sit(a, 1, RoomWish::Numbered(room));
    world.ask(seat, 1, RoomCommand::Leave);
    assert_eq!((world.rooms(), world.belongings()), (0, vec![]), "nothing is left of it");
}

#[test]
fn a_group_without_accounts_ends_with_its_last_connection() {
    let mut world = World::new(2);
    let (a, b) = (world.enter('a', 0), world.enter('b', 1));
    world.group(a, 0, "bB");
    assert_eq!(world.told(b, 1), ["invited by a"]);
    world.lose(a, 0);
    world.pass(10);
    assert_eq!((world.rooms(), world.belongings()), (0, vec![]));
    // Of the invitation nothing is left either.
    world.lose(b, 1);
    let b = world.enter('b', 1);
    assert_eq!(world.told(b, 1), [""; 0]);
}

#[test]
fn a_dissolved_group_is_told_to_all_and_forgotten_by_all() {
    let mut world = World::new(3);
    let (a, b) = (world.enter('A', 0), world.enter('B', 1));
    let seat = world.group(a, 0, "BC");
    let room = world.room();
    let other = world.sit(b, 1, RoomWish::Numbered(room));
    world.ask(other, 1, RoomCommand::Dissolve);
    assert_eq!(world.told(other, 1), ["init group A,B 0", "refused Denied"]);
    world.ask(seat, 0, RoomCommand::Dissolve);
    assert_eq!(world.ended, ["closed Deleted\n", "closed Deleted\n"]);
    assert_eq!((world.rooms(), world.belongings()), (0, vec![]));
}

#[test]
fn one_who_is_banned_after_they_were_kicked_leaves_once() {
    let mut world = World::new(2);
    let (a, b) = (world.enter('A', 0), world.enter('B', 1));
    let seat = world.group(a, 0, "B");
    let room = world.room();
    let theirs = world.sit(b, 1, RoomWish::Numbered(room));
    world.ask(theirs, 1, say("spam"));
    world.told(seat, 0);
    let user = world.whom('B').number;
    world.ask(seat, 0, RoomCommand::Kick { user, reason: None });
    assert_eq!(world.told(seat, 0), ["left Kicked"]);
    // What they said is still to be seen, so they can be banned.
    world.ask(seat, 0, RoomCommand::Ban { user, ms: 1_000 });
    assert_eq!(world.told(seat, 0), [""; 0]);
    world.ended.clear();
    world.sit(b, 1, RoomWish::Numbered(room));
    assert_eq!(world.ended, ["refused Banned(1000)\n"]);
}

/// A group of A's, who is on shard 0, that is owned there.
fn owned_group(world: &mut World, a: Key, invited: &str) -> (Key, RoomId) {
    loop {
        let seat = world.group(a, 0, invited);
        let mut rooms = world.shards[0].channels.iter();
        if let Some((_, channel)) = rooms.find(|(_, channel)| channel.private.is_some()) {
            return (seat, channel.room.id);
        }
        world.ask(seat, 0, RoomCommand::Dissolve);
        world.ended.clear();
    }
}

#[test]
fn what_is_asked_while_a_seat_ends_comes_back() {
    let mut world = World::new(2);
    let (a, b) = (world.enter('A', 0), world.enter('B', 1));
    let (seat, room) = owned_group(&mut world, a, "B");
    let theirs = world.sit(b, 1, RoomWish::Numbered(room));
    world.ask(theirs, 1, say("heard"));
    world.told(theirs, 1);
    let user = world.whom('B').number;
    world.ask_only(seat, 0, "kick", RoomCommand::Kick { user, reason: None });
    assert_eq!(world.ask_only(theirs, 1, "1", say("late")), Flow::Continue);
    assert_eq!(world.ask_only(theirs, 1, "2", RoomCommand::Leave), Flow::Continue);
    world.settle();
    assert_eq!(
        (&world.ended[..], &world.undone[..]),
        (&["closed Kicked\n".into()][..], &["1".into(), "2".into()][..])
    );
    world.shards.iter().for_each(|shard| shard.verify_at_rest(world.now));
    // A session that ends meanwhile needs no answer.
    let theirs = world.sit(b, 1, RoomWish::Numbered(room));
    world.ask_only(seat, 0, "kick", RoomCommand::Kick { user, reason: None });
    world.ask_only(theirs, 1, "3", say("late"));
    world.shards[1].end_session(world.now, b, Departure::Left);
    world.settle();
    assert_eq!(world.undone.len(), 2);
    world.shards.iter().for_each(|shard| shard.verify_at_rest(world.now));
}

#[test]
fn one_who_is_kicked_while_they_invite_is_answered() {
    for at in 0..2 {
        let mut world = World::new(2);
        let (a, b) = (world.enter('A', 0), world.enter('B', at));
        let (seat, room) = owned_group(&mut world, a, "B");
        let theirs = world.sit(b, at, RoomWish::Numbered(room));
        let user = world.whom('B').number;
        world.ask(seat, 0, RoomCommand::SetRole { user, role: crate::Role::Moderator });
        // It is asked for elsewhere who that is.
        let strangers = ('C'..='Z').map(|who| world.whom(who));
        let owner = |whom: &Whom| world.shards[0].placement.of_whom(*whom);
        let stranger = strangers.into_iter().find(|whom| owner(whom) == ShardId(1)).unwrap();
        world.ask_only(theirs, at, "1", RoomCommand::Invite(stranger));
        if at == 1 {
            // Let it come to the owner, and no further.
            while let Some(output) = world.shards[1].poll_output() {
                let Output::Mesh { message, .. } = output else { continue };
                world.shards[0].handle_mesh(world.now, ShardId(1), message);
            }
        }
        world.ask_only(seat, 0, "kick", RoomCommand::Kick { user, reason: None });
        world.settle();
        assert_eq!(world.ended, ["refused NotFound\nclosed Kicked\n"]);
        assert_eq!(world.undone, [""; 0]);
        world.shards.iter().for_each(|shard| shard.verify_at_rest(world.now));
    }
}

#[test]
fn a_full_group_and_full_invitations() {
    let mut world = World::new(1);
    let a = world.enter('A', 0);
    let seat = world.group(a, 0, "");
    let (shard, room) = (&mut world.shards[0], RoomId(0));
    let idx = shard.channels.iter().find(|(_, c)| c.private.is_some()).unwrap().0;
    assert_ne!(shard.channels[idx].room.id, room);
    let private = shard.channels[idx].private.as_deref_mut().unwrap();
    let person = |n: usize| {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        Profile::new(UserId(id), 0)
    };
    for n in 1..crate::GROUP_MEMBERS_MAX {
        private.put(&person(n), crate::Role::Member, crate::Standing::In);
    }
    let by = Box::new(person(1));
    for n in 0..crate::INVITED_MAX - 1 {
        let standing = crate::Standing::Invited(by.clone());
        private.put(&person(10_000 + n), crate::Role::Member, standing);
    }
    let (b, _) = (world.enter('B', 0), world.enter('C', 0));
    world.told(seat, 0);
    let (first, second) = (world.whom('B'), world.whom('C'));
    world.ask(seat, 0, RoomCommand::Invite(first));
    world.ask(seat, 0, RoomCommand::Invite(second));
    assert_eq!(world.told(seat, 0), ["refused Limit"]);
    let room = world.room();
    world.sit(b, 0, RoomWish::Numbered(room));
    assert_eq!(world.ended, ["refused Full\n"]);
}

#[test]
fn what_arrives_for_those_who_are_gone_does_no_harm() {
    let mut world = World::new(2);
    let a = world.enter('A', 0);
    let seat = world.group(a, 0, "");
    let room = world.room();
    world.lose(a, 0);
    let (conn, request) =
        (ConnId::new(ShardId(0), 999), SeatRequest::new(RoomWish::Numbered(room), None, None));
    let direct = mesh_found(conn, crate::mesh::Seek::Direct(Box::new(request)));
    let seek = crate::mesh::Seek::Invite { room, nonce: None, kind: Some(1) };
    for (at, message) in
        [(0, direct), (1, mesh_found(conn, seek.clone())), (0, mesh_found(conn, seek))]
    {
        let from = ShardId(1 - at as u16);
        world.shards[at].handle_mesh(world.now, from, MeshMessage(message));
        world.settle();
    }
    assert!(world.ended.is_empty());
    assert_eq!(world.told(seat, 0), ["init group A 0"]);
}

fn mesh_found(conn: ConnId, seek: crate::mesh::Seek) -> Mesh {
    let finder = Box::new(crate::mesh::Finder { at: ShardId(0), conn, seek });
    Mesh::UserFound { finder, found: Some(Box::new(Profile::new(UserId([9; 12]), 0))) }
}

/// Somebody leaves the room of the two while a message of theirs is on its way to another door.
#[test]
fn what_arrives_at_another_door_behind_a_leave_is_not_sent_twice() {
    let mut refused = 0;
    for shards in 1..4 {
        let mut world = World::new(shards);
        let (here, there) = (0, usize::from(shards) - 1);
        let a = world.enter('a', here);
        for who in 'p'..='z' {
            let piano = world.shards[there].open(world.now, Format::MPP_TEXT, b"").0;
            let hello = Command::Hello { user: Some(whom(who).0), token: None };
            world.shards[there].handle_command(world.now, piano, hello);
            world.settle();
            let other = world.whom(who);
            let seat = world.sit(a, here, RoomWish::Direct(other));
            world.ask_only(seat, here, "n", say("psst"));
            world.ask_only(seat, here, "l", RoomCommand::Leave);
            world.settle();
            let ended = world.ended.pop().unwrap();
            refused += usize::from(ended.contains("refused NotFound"));
            // Whether it was refused or not: the same once more is the same.
            let seat = world.sit(a, here, RoomWish::Direct(other));
            world.ask_only(seat, here, "n", say("psst"));
            world.settle();
            let told = world.told(seat, here);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with("init direct") && told[0].ends_with(" 1"), "{told:?}");
            assert_eq!(world.told(piano, there), ["letter psst"]);
        }
        world.shards.iter().for_each(|shard| shard.verify_at_rest(world.now));
    }
    assert!(refused > 0, "some were on their way");
}

/// What is written to a session that takes no seat in the room of the two, as one that has no place for another, and to
/// one that does.
#[test]
fn whoever_writes_to_a_session_learns_whether_it_came() {
    for comes in [false, true] {
        let mut world = World::new(1);
        let lobby = ChannelName::lobby();
        let a = world.enter('a', 0);
        world.sit(a, 0, RoomWish::named(lobby.clone()));
        let shard = &mut world.shards[0];
        let terminal = log_in(shard, world.now, "tina");
        let piano = shard.open(world.now, Format::MPP_TEXT, b"").0;
        let hello = Command::Hello { user: Some(whom('p').0), token: None };
        shard.handle_command(world.now, piano, hello);
        shard.handle_command(
            world.now,
            piano,
            Command::Join { target: JoinTarget::Named(lobby), set: None },
        );
        world.settle();
        for key in [a, terminal, piano] {
            world.told(key, 0);
        }
        let text = |text| ChatText::parse(text, 100).unwrap();
        let write = LineCommand::Write { to: "a~6161".into(), text: text("psst") };
        let direct = Command::Direct { to: whom('a').0, text: text("hush"), reply_to: None };
        let shard = &mut world.shards[0];
        let flow = shard.handle_command(world.now, terminal, Command::Line(Box::new(write)));
        assert_eq!(flow, Flow::Pause, "it is not known yet");
        shard.handle_command(world.now, piano, direct);
        world.settle();
        assert_eq!(world.told(a, 0), ["enters", "enters"]);
        assert_eq!(world.told(terminal, 0), [""; 0]);
        assert_eq!(world.told(piano, 0), [""; 0]);
        if comes {
            let shard = &world.shards[0];
            let private = shard.channels.iter().filter(|(_, channel)| channel.private.is_some());
            let rooms: Vec<RoomId> = private.map(|(_, channel)| channel.room.id).collect();
            for room in rooms {
                let seat = world.come(a, 0, room);
                let told = world.told(seat, 0);
                assert!(told[0].starts_with("init direct") && told[0].ends_with(" 1"), "{told:?}");
            }
            assert_eq!(world.told(terminal, 0), ["sent psst"]);
            assert_eq!(world.told(piano, 0), ["letter hush"]);
        }
        world.pass(6);
        world.pass(30);
        let told = if comes { &[][..] } else { &["error NotFound"][..] };
        assert_eq!(world.told(terminal, 0), told, "comes: {comes}");
        assert_eq!(world.told(piano, 0), [""; 0]);
        assert_eq!(world.shards[0].flow(terminal), Flow::Continue);
        assert_eq!(world.rooms(), if comes { 2 } else { 0 });
        world.shards[0].verify_at_rest(world.now);
    }
}
