use super::*;
use crate::{
    DoorKind, Guise, Profile, RoomEvent, RoomId, RoomWish, SeatRequest, StoreReply, StoreRequest,
    UserName,
};

fn outputs(shard: &mut Shard<Lines>) -> Vec<StoreRequest> {
    let mut asked = Vec::new();
    while let Some(output) = shard.poll_output() {
        if let Output::Store(request) = output {
            asked.push(request);
        }
    }
    asked
}

/// A muted user comes while the disk is slow, and changes something before it answers.
#[test]
fn a_mute_holds_though_the_record_came_late() {
    let config = Config { storage: Some(Duration::from_millis(100)), ..dropping() };
    let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
    let mut shard = Shard::new(ShardId(0), 1, Arc::new(config), seeds, Lines);
    let mut now = Now { mono_us: 1_000_000_000, wall_ms: 1_700_000_000_000 };
    let muted = user("m");
    let (key, _) = shard.open(now, Format::MPP_TEXT, b"");
    let hello = Command::Hello { user: Some(muted), token: None };
    assert_eq!(shard.handle_command(now, key, hello), Flow::Pause);
    assert_eq!(outputs(&mut shard), [StoreRequest::LoadUser { user: muted }]);
    now.mono_us += 100_000;
    now.wall_ms += 100;
    shard.handle_timeout(now);
    let name = UserName::parse("New", 40);
    shard.handle_command(now, key, Command::SetProfile { name: name.clone(), color: None });
    outputs(&mut shard);
    let until_ms = now.wall_ms + 60_000;
    let found = Profile {
        name: UserName::parse("Old", 40),
        muted_until_ms: until_ms,
        ..Profile::new(muted, 1_600_000_000_000)
    };
    shard.stored(
        now,
        StoreReply::User { user: muted, found: Some(Box::new(found)), rooms: Vec::new() },
    );
    let seen = shard.user_seen(muted).expect("the user is here").profile;
    assert_eq!((seen.name, seen.muted_until_ms), (name.clone(), until_ms));
    assert_eq!(seen.first_seen_ms, 1_600_000_000_000);
    let kept = outputs(&mut shard).into_iter().find_map(|request| match request {
        StoreRequest::SaveUser { profile, .. } => Some(*profile),
        _ => None,
    });
    let kept = kept.expect("what is kept is no less");
    assert_eq!((kept.name, kept.muted_until_ms), (name, until_ms));
}

/// What seats are told of a room that is not to be had.
fn told(event: &Event<'_>) -> Option<String> {
    matches!(event, Event::Room(RoomEvent::Later(_))).then(|| "later".to_owned())
}

/// A member of a group comes while the disk is slow: what is not known of the group takes nobody out of it.
#[test]
fn a_slow_disk_takes_nobody_out_of_a_room() {
    let config = Config { storage: Some(Duration::from_millis(100)), ..dropping() };
    let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
    let mut shard = Shard::new(ShardId(0), 1, Arc::new(config), seeds, Told(told));
    let mut now = Now { mono_us: 1_000_000_000, wall_ms: 1_700_000_000_000 };
    let (user, room) = (user("m"), RoomId(77_777));
    let guise = Guise {
        door: DoorKind::Quic,
        account: std::num::NonZeroU64::new(7),
        name: UserName::parse("m", 40).unwrap(),
        tag: None,
        alone: false,
    };
    let (session, _) = shard.open_session(now);
    shard.handle_command(now, session, Command::Enter { user, guise: Box::new(guise) });
    shard.stored(now, StoreReply::User { user, found: None, rooms: vec![(room, None)] });
    let mut come = |answer: fn(RoomId) -> Option<StoreReply>| {
        let request = SeatRequest::new(RoomWish::Numbered(room), None, None);
        shard.sit(now, session, request).unwrap();
        now.mono_us += 100_000;
        match answer(room) {
            Some(reply) => shard.stored(now, reply),
            None => shard.handle_timeout(now),
        }
        let outputs = std::iter::from_fn(|| shard.poll_output());
        let ended = outputs.filter_map(|output| match output {
            Output::SeatEnded { last, .. } => Some(String::from_utf8(last).unwrap()),
            _ => None,
        });
        (ended.collect::<String>(), shard.belongings().count())
    };
    // The session asks again.
    let later = || ("later\n".to_owned(), 1);
    assert_eq!(come(|_| None), later(), "it was not answered");
    let unasked = |room| StoreRequest::LoadRoom { room, history: 0 }.unanswered();
    assert_eq!(come(unasked), later(), "it could not be asked");
    let none = |room| Some(StoreReply::Room { room, found: None, looked: true });
    assert_eq!(come(none), (String::new(), 0), "there is none");
}
