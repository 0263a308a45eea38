//! Parts of what was said in a channel, in the order in which it was said.
//!
//! That order is the one of `place`. Messages numbered by one shard rise with it; those of another shard, which owned
//! the channel before a restart, need not.

use super::json;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use tutti_shards::{ChannelName, ChatMessage, Loaded, MessageId, Page, PageFrom, StoredPage};

/// A part of what was said in a channel; nothing of one that is not kept.
pub(super) fn load(
    db: &Connection,
    channel: &ChannelName,
    page: &Page,
) -> rusqlite::Result<StoredPage> {
    let sql = "SELECT id FROM channels WHERE name = ?1";
    let mut find = db.prepare_cached(sql)?;
    let channel = find.query_row(params![channel.as_str()], |row| row.get(0)).optional()?;
    let Some(channel) = channel else { return Ok(StoredPage::default()) };
    let loaded = match page.loaded {
        Some(loaded) => place_of(db, channel, loaded.last)?.map(|place| (place, loaded)),
        None => None,
    };
    let (forwards, sql, from) = match page.from {
        PageFrom::End => (false, BACKWARDS, i64::MAX),
        PageFrom::Before(id) => (false, BACKWARDS, place_or_next(db, channel, id)?),
        PageFrom::After(seq) => (true, FORWARDS, place_after(db, channel, seq, loaded)?),
    };
    let mut statement = db.prepare_cached(sql)?;
    let limit = i64::from(page.limit);
    let mut rows = read(&mut statement, channel, from, limit + 1)?;
    let more = rows.len() as i64 > limit;
    rows.truncate(page.limit as usize);
    if !forwards {
        rows.reverse();
    }
    let mut rows: Vec<(i64, ChatMessage)> = rows
        .into_iter()
        .filter_map(|(place, text)| Some((place, json::read::<ChatMessage>("message", &text)?)))
        .collect();
    if let Some(loaded) = loaded {
        number(db, channel, loaded, &mut rows)?;
    }
    Ok(StoredPage { messages: rows.into_iter().map(|(_, message)| message).collect(), more })
}

const BACKWARDS: &str = "SELECT place, message FROM messages WHERE channel = ?1 AND place < ?2
    ORDER BY place DESC LIMIT ?3";
const FORWARDS: &str = "SELECT place, message FROM messages WHERE channel = ?1 AND place >= ?2
    ORDER BY place LIMIT ?3";

fn read(
    statement: &mut CachedStatement<'_>,
    channel: i64,
    from: i64,
    most: i64,
) -> rusqlite::Result<Vec<(i64, String)>> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    statement.query_map(params![channel, from, most], row)?.collect()
}

fn place_of(db: &Connection, channel: i64, id: MessageId) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT place FROM messages WHERE channel = ?1 AND id = ?2";
    db.prepare_cached(sql)?.query_row(params![channel, id.0 as i64], |row| row.get(0)).optional()
}

/// Where a message is, or would be: of one that is not here it is known when it was numbered.
fn place_or_next(db: &Connection, channel: i64, id: MessageId) -> rusqlite::Result<i64> {
    match place_of(db, channel, id)? {
        Some(place) => Ok(place),
        None => first_place(db, channel, 0, |other, _| other.count() >= id.count()),
    }
}

/// Where the messages begin whose number in the room is above `seq`.
fn place_after(
    db: &Connection,
    channel: i64,
    seq: u64,
    loaded: Option<(i64, Loaded)>,
) -> rusqlite::Result<i64> {
    let Some((place, loaded)) = loaded else {
        // What was there when the room began to count is forgotten, or there was nothing.
        return first_place(db, channel, 0, |_, other| other > seq);
    };
    if seq >= loaded.seq {
        return first_place(db, channel, place + 1, |_, other| other > seq);
    }
    // They are numbered one by one, back from the last.
    let back = (loaded.seq - seq).min(loaded.count) - 1;
    let sql = "SELECT place FROM messages WHERE channel = ?1 AND place <= ?2
        ORDER BY place DESC LIMIT 1 OFFSET ?3";
    let found = db
        .prepare_cached(sql)?
        .query_row(params![channel, place, back as i64], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// The first place from `low` on of which something holds that holds of all places behind it, too. Looks at a few dozen
/// messages, however many there are.
fn first_place(
    db: &Connection,
    channel: i64,
    low: i64,
    holds: impl Fn(MessageId, u64) -> bool,
) -> rusqlite::Result<i64> {
    let sql = "SELECT max(place) FROM messages WHERE channel = ?1";
    let last: Option<i64> =
        db.prepare_cached(sql)?.query_row(params![channel], |row| row.get(0))?;
    let (mut low, mut high) = (low, last.map_or(low, |last| last + 1).max(low));
    let sql = "SELECT place, id, ifnull(json_extract(message, '$.seq'), 0) FROM messages
        WHERE channel = ?1 AND place >= ?2 ORDER BY place LIMIT 1";
    let mut next = db.prepare_cached(sql)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let (place, id, seq): (i64, i64, i64) = next
            .query_row(params![channel, middle], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        if holds(MessageId(id as u64), seq as u64) {
            high = middle;
        } else {
            low = place + 1;
        }
    }
    Ok(low)
}

/// Numbers the messages of a part that were there when the room began to count, and no older ones.
fn number(
    db: &Connection,
    channel: i64,
    (place, loaded): (i64, Loaded),
    rows: &mut [(i64, ChatMessage)],
) -> rusqlite::Result<()> {
    let old = rows.partition_point(|(at, _)| *at <= place);
    let Some((top, _)) = old.checked_sub(1).and_then(|last| rows.get(last)) else { return Ok(()) };
    let sql = "SELECT count(*) FROM (SELECT 1 FROM messages
        WHERE channel = ?1 AND place > ?2 AND place <= ?3 LIMIT ?4)";
    let count = loaded.count as i64;
    let behind: i64 =
        db.prepare_cached(sql)?.query_row(params![channel, top, place, count], |row| row.get(0))?;
    let ranks = behind as u64..;
    for ((_, message), rank) in rows.iter_mut().take(old).rev().zip(ranks) {
        message.seq = if rank < loaded.count { loaded.seq - rank } else { 0 };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Retention, channels, schema};
    use std::time::Duration;
    use tutti_shards::{ChatText, Profile, ShardId, UserId};

    fn room() -> ChannelName {
        ChannelName::parse("room").unwrap()
    }

    /// Says `n`, with this number of the message and in the room.
    fn say(db: &Connection, n: u32, id: MessageId, seq: u64) {
        let by = Profile::new(UserId([1; 12]), 0);
        let text = ChatText::parse(&n.to_string(), 9).unwrap();
        let message = ChatMessage { seq, ..ChatMessage::new(id, 0, by, text) };
        let retention = Retention {
            history_messages: 1_000_000,
            history: None,
            users: None,
            audit: None,
            channel: Duration::ZERO,
            restart: Duration::ZERO,
        };
        channels::say(db, &room(), id.0, &message, &retention).unwrap();
        // Others speak elsewhere between.
        let other = ChannelName::parse("other").unwrap();
        channels::say(db, &other, u64::from(n), &message, &retention).unwrap();
    }

    fn id(n: u32) -> MessageId {
        // The first hundred are from a time with more shards, so their numbers are higher.
        MessageId::new(ShardId(if n < 100 { 3 } else { 0 }), 1_000 + u64::from(n))
    }

    /// Two hundred messages: those from 100 on of this life of the room, which found the fifty before them and numbered
    /// them from 1 on. Only every second number is one of a message.
    fn two_lives() -> (Connection, Option<Loaded>) {
        let db = schema::open_memory().unwrap();
        for n in 0..200 {
            let seq = if n < 100 { 7_000 + n } else { 50 + 2 * (n - 99) };
            say(&db, n, id(n), u64::from(seq));
        }
        (db, Some(Loaded { last: id(99), seq: 50, count: 50 }))
    }

    /// What is found, as first and last text, how many, and whether there are more.
    fn found(
        db: &Connection,
        from: PageFrom,
        limit: u32,
        loaded: Option<Loaded>,
    ) -> (Vec<(u32, u64)>, bool) {
        let StoredPage { messages, more } =
            load(db, &room(), &Page { from, limit, loaded }).unwrap();
        let all = messages.iter().map(|said| (said.text.as_str().parse().unwrap(), said.seq));
        (all.collect(), more)
    }

    /// The messages of a range as they are numbered in the second life.
    fn expected(range: std::ops::Range<u32>) -> Vec<(u32, u64)> {
        let seq = |n: u32| match n {
            0..50 => 0,
            50..100 => n - 49,
            _ => 50 + 2 * (n - 99),
        };
        range.map(|n| (n, u64::from(seq(n)))).collect()
    }

    #[test]
    fn parts_go_back_to_the_first_message() {
        let (db, loaded) = two_lives();
        assert_eq!(found(&db, PageFrom::End, 30, loaded), (expected(170..200), true));
        let before = |n| PageFrom::Before(id(n));
        assert_eq!(found(&db, before(120), 60, loaded), (expected(60..120), true));
        assert_eq!(found(&db, before(95), 60, loaded), (expected(35..95), true));
        assert_eq!(found(&db, before(40), 40, loaded), (expected(0..40), false));
        assert_eq!(found(&db, before(0), 40, loaded), (vec![], false));
        assert_eq!(found(&db, before(41), 40, loaded), (expected(1..41), true));
        let mut all = Vec::new();
        let mut from = PageFrom::End;
        loop {
            let (part, more) = found(&db, from, 7, loaded);
            from = before(part[0].0);
            all.splice(0..0, part);
            if !more {
                break;
            }
        }
        assert_eq!(all, expected(0..200), "page by page");
    }

    #[test]
    fn one_that_is_gone_has_a_place_by_when_it_was_numbered() {
        let (db, loaded) = two_lives();
        db.execute("DELETE FROM messages WHERE id = ?1", params![id(150).0 as i64]).unwrap();
        db.execute("DELETE FROM messages WHERE id = ?1", params![id(10).0 as i64]).unwrap();
        let before = |id| PageFrom::Before(id);
        assert_eq!(found(&db, before(id(150)), 5, loaded), (expected(145..150), true));
        assert_eq!(found(&db, before(id(10)), 20, loaded), (expected(0..10), false));
        assert_eq!(found(&db, before(MessageId(1)), 20, loaded), (vec![], false));
        let last = MessageId::new(ShardId(0), u64::MAX);
        assert_eq!(found(&db, before(last), 3, loaded), (expected(197..200), true));
    }

    #[test]
    fn parts_go_on_behind_a_number_of_the_room() {
        let (db, loaded) = two_lives();
        let after = PageFrom::After;
        assert_eq!(found(&db, after(0), 10, loaded), (expected(50..60), true));
        assert_eq!(found(&db, after(20), 40, loaded), (expected(70..110), true));
        assert_eq!(found(&db, after(50), 3, loaded), (expected(100..103), true));
        assert_eq!(found(&db, after(52), 1, loaded), (expected(101..102), true));
        assert_eq!(found(&db, after(53), 1, loaded), (expected(101..102), true));
        assert_eq!(found(&db, after(248), 9, loaded), (expected(199..200), false));
        assert_eq!(found(&db, after(250), 9, loaded), (vec![], false));
        // What the room found is forgotten by now: all that is left has numbers of its own.
        channels::trim(&db, 1, 90).unwrap();
        assert_eq!(found(&db, after(20), 2, loaded), (expected(110..112), true));
        assert_eq!(found(&db, PageFrom::End, 95, loaded), (expected(110..200), false));
    }

    #[test]
    fn what_a_room_that_counted_already_found_has_no_numbers() {
        let (db, loaded) = two_lives();
        let loaded = loaded.map(|loaded| Loaded { seq: 0, count: 0, ..loaded });
        assert_eq!(found(&db, PageFrom::After(0), 2, loaded), (expected(100..102), true));
        let (part, more) = found(&db, PageFrom::Before(id(101)), 3, loaded);
        assert_eq!((part, more), (vec![(98, 0), (99, 0), expected(100..101)[0]], true));
    }

    #[test]
    fn nothing_is_known_of_a_channel_that_is_not_kept() {
        let db = schema::open_memory().unwrap();
        for from in [PageFrom::End, PageFrom::Before(id(1)), PageFrom::After(1)] {
            assert_eq!(found(&db, from, 5, None), (vec![], false));
        }
        say(&db, 1, id(1), 1);
        channels::clear(&db, &room()).unwrap();
        for from in [PageFrom::End, PageFrom::Before(id(1)), PageFrom::After(1)] {
            assert_eq!(found(&db, from, 5, None), (vec![], false));
        }
    }
}
