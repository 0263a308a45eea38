//! Bans and mutes of channels and groups, from the order to the export.

use super::*;
use crate::storage::tool;
use tutti_shards::{
    ChannelName, Invitation, ModerationAct, ModerationKind, Profile, Role, RoomId, RoomMember,
    Standing, StoredBan, StoredRoom,
};

const NUMBER: RoomId = RoomId(5_000);

fn user(n: u8) -> UserId {
    UserId([n; 12])
}

fn group() -> ChannelName {
    ChannelName::group([7; 12])
}

/// Somebody did something to user 2.
fn act(channel: &ChannelName, kind: ModerationKind) -> ModerationAct {
    ModerationAct {
        channel: channel.clone(),
        kind,
        user: user(2),
        name: "Guest".into(),
        in_lines: "Guest~0202".into(),
        origin: Some(u64::MAX - 5),
        by: Some(user(1)),
        at_ms: 1_000,
    }
}

/// A group of two with accounts.
fn make_group(db: &Connection) {
    let room =
        StoredRoom { title: "us".into(), topic: None, post_role: Role::Member, roles: Vec::new() };
    rooms::save(db, &group(), Some(NUMBER), &room).unwrap();
    for n in [1, 2] {
        let account = std::num::NonZeroU64::new(u64::from(n));
        let profile = Profile { account, ..Profile::new(user(n), 0) };
        let (role, standing) = match n {
            1 => (Role::Owner, Standing::In),
            _ => (Role::Member, Standing::Invited(Box::new(Profile::new(user(1), 0)))),
        };
        let marks = tutti_shards::Marks::default();
        let person = RoomMember { profile, role, order: n.into(), standing, marks };
        rooms::save_person(db, &group(), user(n), Some(&person)).unwrap();
    }
}

fn loaded(
    db: &Connection,
    channel: &ChannelName,
    now_ms: u64,
) -> (Vec<StoredBan>, Vec<(UserId, u64)>) {
    let found = channels::load(db, channel, 10, now_ms).unwrap().unwrap();
    (found.bans, found.mutes)
}

#[test]
fn bans_and_mutes_hold_until_they_end_or_are_lifted() {
    let dir = Dir::new();
    let channel = ChannelName::parse("room").unwrap();
    let ban = StoredBan {
        user: user(2),
        until_ms: FAR_MS,
        origin: Some(u64::MAX - 5),
        in_lines: "Guest~0202".into(),
    };
    let db = schema::open(&dir.file()).unwrap();
    make_group(&db);
    channels::place_of(&db, &channel).unwrap();
    for room in [&channel, &group()] {
        channels::moderate(&db, &act(room, ModerationKind::Ban { until_ms: 5 })).unwrap();
        channels::moderate(&db, &act(room, ModerationKind::Ban { until_ms: FAR_MS })).unwrap();
        channels::moderate(&db, &act(room, ModerationKind::Mute { until_ms: 5 })).unwrap();
        let mute = ModerationKind::Mute { until_ms: FAR_MS - 1 };
        channels::moderate(&db, &act(room, mute)).unwrap();
    }
    drop(db);
    // A new process.
    drop(dir.storage());
    let db = schema::open(&dir.file()).unwrap();
    // Somebody came back in time.
    channels::revive(&db, &channel).unwrap();
    for room in [&channel, &group()] {
        assert_eq!(loaded(&db, room, 6), (vec![ban.clone()], vec![(user(2), FAR_MS - 1)]));
        assert_eq!(loaded(&db, room, FAR_MS - 1), (vec![ban.clone()], vec![]));
        assert_eq!(loaded(&db, room, FAR_MS), (vec![], vec![]));
    }
    let (name, found) = rooms::load(&db, NUMBER, 10, 6).unwrap().unwrap();
    assert_eq!((name, found.bans.len(), found.mutes.len()), (group(), 1, 1));
    channels::moderate(&db, &act(&group(), ModerationKind::Unban)).unwrap();
    channels::moderate(&db, &act(&group(), ModerationKind::Unmute)).unwrap();
    assert_eq!(loaded(&db, &group(), 6), (vec![], vec![]));
    assert_eq!(loaded(&db, &channel, 6).0, [ban], "each room has its own");
    let log = audit::newest(&db, None, 100).unwrap();
    let did: Vec<_> = log.iter().rev().map(|entry| entry.action.as_str()).collect();
    assert_eq!(did[..4], ["ban", "ban", "mute", "mute"]);
    assert_eq!(did[8..], ["unban", "unmute"]);
    assert_eq!(log[0].channel.as_deref(), Some(group().as_str()));
    // They end with their room.
    channels::forget(&db, channel.as_str()).unwrap();
    let left = "SELECT (SELECT count(*) FROM bans) + (SELECT count(*) FROM mutes)";
    assert_eq!(db.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

/// The operator's acts are in the log of the operator's command.
#[test]
fn operators_are_not_logged_twice() {
    let db = schema::open_memory().unwrap();
    let channel = ChannelName::parse("room").unwrap();
    channels::place_of(&db, &channel).unwrap();
    let mute = act(&channel, ModerationKind::Mute { until_ms: FAR_MS });
    channels::moderate(&db, &ModerationAct { by: None, ..mute }).unwrap();
    assert_eq!(loaded(&db, &channel, 0).1, [(user(2), FAR_MS)]);
    assert!(audit::newest(&db, None, 1).unwrap().is_empty());
}

#[test]
fn a_file_of_the_fourth_version_keeps_its_bans_and_rooms() {
    let dir = Dir::new();
    schema::make_old(&dir.file(), 4);
    let old = Connection::open(dir.file()).unwrap();
    make_group(&old);
    bans::insert(&old, &ban(&user(3).to_string(), Some(group().as_str()), Some(FAR_MS))).unwrap();
    drop(old);
    let db = schema::open(&dir.file()).unwrap();
    assert_eq!(schema::version(&db).unwrap(), schema::VERSION);
    let expected =
        StoredBan { user: user(3), until_ms: FAR_MS, origin: None, in_lines: Box::default() };
    assert_eq!(loaded(&db, &group(), 0), (vec![expected], vec![]));
    let belongings: Vec<(RoomId, Option<Invitation>)> = rooms::belongings(&db, user(1)).unwrap();
    assert_eq!(belongings, [(NUMBER, None)]);
    let mute = ModerationKind::Mute { until_ms: FAR_MS };
    channels::moderate(&db, &act(&group(), mute)).unwrap();
    assert_eq!(loaded(&db, &group(), 0).1, [(user(2), FAR_MS)]);
}

#[test]
fn a_fifth_version_that_cannot_be_made_leaves_the_fourth() {
    let dir = Dir::new();
    schema::make_old(&dir.file(), 4);
    let old = Connection::open(dir.file()).unwrap();
    old.execute_batch("CREATE TABLE mutes (x)").unwrap();
    drop(old);
    schema::open(&dir.file()).unwrap_err();
    let db = Connection::open(dir.file()).unwrap();
    assert_eq!(schema::version(&db).unwrap(), 4);
    let made = "SELECT count(*) FROM pragma_table_info('bans') WHERE name = 'origin'";
    assert_eq!(db.query_row(made, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn what_is_new_is_checked_exported_and_pruned() {
    let dir = Dir::new();
    let db = schema::open(&dir.file()).unwrap();
    make_group(&db);
    channels::moderate(&db, &act(&group(), ModerationKind::Ban { until_ms: FAR_MS })).unwrap();
    channels::moderate(&db, &act(&group(), ModerationKind::Mute { until_ms: FAR_MS })).unwrap();
    let over =
        ModerationAct { user: user(3), ..act(&group(), ModerationKind::Mute { until_ms: 9 }) };
    channels::moderate(&db, &over).unwrap();
    drop(db);
    let mut out = Vec::new();
    tool::check(&dir.file(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in ["people     2", "bans       1", "mutes      2", "uploads    0"] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    let mut out = Vec::new();
    tool::prune(&dir.file(), &settings().retention, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(" 0 bans, 1 mutes,"), "{text}");
    let mut out = Vec::new();
    tool::export(&dir.file(), &mut out).unwrap();
    let rows: Vec<serde_json::Value> =
        out.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let of = |table: &str| rows.iter().filter(|row| row["table"] == table).collect::<Vec<_>>();
    let people = of("people");
    assert_eq!(people.len(), 2);
    assert_eq!((&people[1]["standing"], &people[1]["lasts"]), (&"invited".into(), &true.into()));
    assert_eq!(people[0]["person"]["role"], "Owner");
    assert_eq!(
        (&of("channels")[0]["number"], &of("channels")[0]["room"]["title"]),
        (&5_000.into(), &"us".into())
    );
    assert_eq!(of("bans")[0]["in_lines"], "Guest~0202");
    let mutes = of("mutes");
    assert_eq!((mutes.len(), &mutes[0]["user"]), (1, &user(2).to_string().into()));
    assert_eq!(mutes[0]["channel"], group().as_str());
}
