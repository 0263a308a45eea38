//! The tables of channels and of what was said in them.

use super::{Retention, bans, json, mutes, rooms};
use rusqlite::{Connection, OptionalExtension as _, params};
use tutti_shards::{
    ChannelName, ChatMessage, ModerationAct, ModerationKind, Settings, StoredChannel, StoredRoom,
    UserId,
};

/// Messages of a channel between two looks at whether it has too many: a power of two.
const TRIM_EVERY: u64 = 64;

/// What a channel was that has not been forgotten yet.
pub(super) fn load(
    db: &Connection,
    channel: &ChannelName,
    history: u32,
    now_ms: u64,
) -> rusqlite::Result<Option<StoredChannel>> {
    let sql = "SELECT id, settings, crown, room FROM channels
        WHERE name = ?1 AND (until_ms IS NULL OR until_ms > ?2)";
    let row = db
        .prepare_cached(sql)?
        .query_row(params![channel.as_str(), now_ms as i64], |row| {
            let settings: Option<String> = row.get(1)?;
            let crown: Option<[u8; 12]> = row.get(2)?;
            Ok((row.get::<_, i64>(0)?, settings, crown, row.get::<_, Option<String>>(3)?))
        })
        .optional()?;
    let Some((id, settings, crown, room)) = row else { return Ok(None) };
    Ok(Some(StoredChannel {
        settings: settings.and_then(|text| json::read::<Settings>("channel", &text)),
        crown: crown.map(UserId),
        bans: bans::of_channel(db, channel.as_str(), now_ms)?,
        mutes: mutes::list(db, channel, now_ms)?,
        history: messages(db, id, history)?,
        room: room.and_then(|text| json::read::<StoredRoom>("room", &text)),
        people: rooms::people(db, id)?,
    }))
}

/// The last messages of a channel, oldest first.
fn messages(db: &Connection, channel: i64, most: u32) -> rusqlite::Result<Vec<ChatMessage>> {
    let sql = "SELECT message FROM messages WHERE channel = ?1 ORDER BY place DESC LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![channel, most], |row| row.get::<_, String>(0))?;
    let mut found = Vec::new();
    for text in rows {
        found.extend(json::read::<ChatMessage>("message", &text?));
    }
    found.reverse();
    Ok(found)
}

/// A channel exists again.
pub(super) fn revive(db: &Connection, channel: &ChannelName) -> rusqlite::Result<()> {
    let sql = "UPDATE channels SET until_ms = NULL WHERE name = ?1";
    db.prepare_cached(sql)?.execute(params![channel.as_str()])?;
    Ok(())
}

/// A channel as it is now.
pub(super) fn save(
    db: &Connection,
    channel: &ChannelName,
    settings: &Settings,
    crown: Option<UserId>,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO channels (name, settings, crown) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, crown = excluded.crown,
            until_ms = NULL";
    let crown = crown.map(|user| user.0);
    db.prepare_cached(sql)?.execute(params![channel.as_str(), json::write(settings)?, crown])?;
    Ok(())
}

/// A channel has ended. What is kept of it goes with it, unless it is to be kept for longer.
pub(super) fn end(
    db: &Connection,
    channel: &ChannelName,
    at_ms: u64,
    retention: &Retention,
) -> rusqlite::Result<()> {
    if retention.channel.is_zero() || channel.is_private() {
        return forget(db, channel.as_str());
    }
    let until_ms = at_ms.saturating_add(retention.channel.as_millis() as u64);
    let sql = "UPDATE channels SET until_ms = ?2 WHERE name = ?1";
    db.prepare_cached(sql)?.execute(params![channel.as_str(), until_ms as i64])?;
    Ok(())
}

/// Forgets a channel with its messages, bans and mutes.
pub(super) fn forget(db: &Connection, channel: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM channels WHERE name = ?1")?.execute(params![channel])?;
    db.prepare_cached("DELETE FROM bans WHERE channel = ?1")?.execute(params![channel])?;
    db.prepare_cached("DELETE FROM mutes WHERE channel = ?1")?.execute(params![channel])?;
    Ok(())
}

/// Something was said.
pub(super) fn say(
    db: &Connection,
    channel: &ChannelName,
    number: u64,
    message: &ChatMessage,
    retention: &Retention,
) -> rusqlite::Result<()> {
    let id = place_of(db, channel)?;
    let sql = "INSERT INTO messages (channel, id, sent_ms, user, message)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (channel, id) DO UPDATE SET message = excluded.message";
    db.prepare_cached(sql)?.execute(params![
        id,
        number as i64,
        message.sent_ms as i64,
        message.by.user.0,
        json::write(message)?,
    ])?;
    if number.is_multiple_of(TRIM_EVERY) {
        trim(db, id, retention.history_messages)?;
    }
    Ok(())
}

/// What was said is another now: edited, deleted or reacted to. It keeps its place; what is not kept any more stays so.
pub(super) fn say_again(
    db: &Connection,
    channel: &ChannelName,
    number: u64,
    message: &ChatMessage,
) -> rusqlite::Result<()> {
    let sql = "UPDATE messages SET message = ?3 WHERE id = ?2
        AND channel = (SELECT id FROM channels WHERE name = ?1)";
    let message = json::write(message)?;
    db.prepare_cached(sql)?.execute(params![channel.as_str(), number as i64, message])?;
    Ok(())
}

/// The number of a channel's row, which is made if there is none.
pub(super) fn place_of(db: &Connection, channel: &ChannelName) -> rusqlite::Result<i64> {
    let find = "SELECT id FROM channels WHERE name = ?1";
    let found = db
        .prepare_cached(find)?
        .query_row(params![channel.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    let sql = "INSERT INTO channels (name) VALUES (?1) RETURNING id";
    db.prepare_cached(sql)?.query_row(params![channel.as_str()], |row| row.get(0))
}

/// Leaves the newest messages of a channel.
pub(super) fn trim(db: &Connection, channel: i64, most: u32) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM messages WHERE channel = ?1 AND place <= (SELECT place FROM messages
        WHERE channel = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)";
    db.prepare_cached(sql)?.execute(params![channel, most])
}

/// A channel's chat was cleared.
pub(super) fn clear(db: &Connection, channel: &ChannelName) -> rusqlite::Result<()> {
    let sql = "DELETE FROM messages WHERE channel = (SELECT id FROM channels WHERE name = ?1)";
    db.prepare_cached(sql)?.execute(params![channel.as_str()])?;
    Ok(())
}

/// A channel's moderator acted: the ban or mute, and the entry in the audit log.
pub(super) fn moderate(db: &Connection, act: &ModerationAct) -> rusqlite::Result<()> {
    let channel = Some(act.channel.as_str().to_owned());
    let target = bans::BanTarget::User(act.user);
    let seconds = |until_ms: u64| until_ms.saturating_sub(act.at_ms).div_ceil(1_000);
    let (action, details) = match act.kind {
        ModerationKind::Kick => ("kick", act.name.to_string()),
        ModerationKind::Unban => ("unban", act.name.to_string()),
        ModerationKind::Ban { until_ms } => {
            ("ban", format!("{} for {} min", act.name, seconds(until_ms) / 60))
        }
        ModerationKind::Mute { until_ms } => {
            ("mute", format!("{} for {} s", act.name, seconds(until_ms)))
        }
        ModerationKind::Unmute => ("unmute", act.name.to_string()),
    };
    let by = act.by.map_or_else(|| "operator".to_owned(), |by| by.to_string());
    match act.kind {
        ModerationKind::Kick => {}
        ModerationKind::Unban => bans::lift(db, channel.as_deref(), &target)?,
        ModerationKind::Ban { until_ms } => {
            bans::insert(
                db,
                &bans::Ban {
                    channel: channel.clone(),
                    target,
                    reason: String::new(),
                    moderator: by.clone(),
                    since_ms: act.at_ms,
                    until_ms: Some(until_ms),
                },
            )?;
            bans::mark(db, act.channel.as_str(), act.user, act.origin, &act.in_lines)?;
        }
        ModerationKind::Mute { until_ms } => {
            mutes::insert(db, &act.channel, act.user, &by, (act.at_ms, until_ms))?;
        }
        ModerationKind::Unmute => mutes::lift(db, &act.channel, act.user)?,
    }
    if act.by.is_none() {
        // Whoever carried the operator's order out has it in the log, with who that was.
        return Ok(());
    }
    let entry = super::AuditEntry {
        id: 0,
        at_ms: act.at_ms,
        actor: by,
        action: action.to_owned(),
        channel,
        target: Some(target.to_string()),
        reason: String::new(),
        details,
    };
    super::audit::append(db, &entry)
}
