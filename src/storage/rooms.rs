//! What channels are as rooms, and the table of those who belong to direct and group rooms.

use super::{channels, json};
use rusqlite::{Connection, OptionalExtension as _, params};
use tutti_shards::{
    ChannelName, Invitation, RoomId, RoomMember, Standing, StoredChannel, StoredRoom, UserId,
};

/// Rooms and invitations of a user that are looked at: some more than are ever shown.
const BELONGINGS_MAX: u32 = 512;

/// How somebody stands to a room, as a number in the table.
fn number_of(standing: &Standing) -> i64 {
    match standing {
        Standing::In => 1,
        Standing::Closed => 2,
        Standing::Invited(_) => 3,
        Standing::Former => 4,
    }
}

/// A room as it is now; `number` is that of a direct or group room.
pub(super) fn save(
    db: &Connection,
    channel: &ChannelName,
    number: Option<RoomId>,
    room: &StoredRoom,
) -> rusqlite::Result<()> {
    let id = channels::place_of(db, channel)?;
    let sql = "UPDATE channels SET room = ?2, number = ?3 WHERE id = ?1";
    let number = number.map(|number| number.0 as i64);
    db.prepare_cached(sql)?.execute(params![id, json::write(room)?, number])?;
    Ok(())
}

/// Somebody who belongs to a room as they are now; `None` when they do not any more.
pub(super) fn save_person(
    db: &Connection,
    channel: &ChannelName,
    user: UserId,
    person: Option<&RoomMember>,
) -> rusqlite::Result<()> {
    let id = channels::place_of(db, channel)?;
    let Some(person) = person else {
        let sql = "DELETE FROM people WHERE channel = ?1 AND user = ?2";
        db.prepare_cached(sql)?.execute(params![id, user.0])?;
        return Ok(());
    };
    let sql = "INSERT INTO people (channel, user, standing, lasts, person)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (channel, user) DO UPDATE SET standing = excluded.standing,
            lasts = excluded.lasts, person = excluded.person";
    db.prepare_cached(sql)?.execute(params![
        id,
        user.0,
        number_of(&person.standing),
        person.profile.account.is_some(),
        json::write(person)?,
    ])?;
    Ok(())
}

/// Those who belong to a room.
pub(super) fn people(db: &Connection, channel: i64) -> rusqlite::Result<Vec<RoomMember>> {
    let sql = "SELECT person FROM people WHERE channel = ?1 ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![channel], |row| row.get::<_, String>(0))?;
    let mut found = Vec::new();
    for text in rows {
        found.extend(json::read::<RoomMember>("member", &text?));
    }
    Ok(found)
}

/// The direct or group room of a number.
pub(super) fn load(
    db: &Connection,
    room: RoomId,
    history: u32,
    now_ms: u64,
) -> rusqlite::Result<Option<(ChannelName, StoredChannel)>> {
    let sql = "SELECT name FROM channels WHERE number = ?1";
    let name = db
        .prepare_cached(sql)?
        .query_row(params![room.0 as i64], |row| row.get::<_, String>(0))
        .optional()?;
    let Some(name) = name.and_then(|name| ChannelName::parse_kept(&name)) else { return Ok(None) };
    Ok(channels::load(db, &name, history, now_ms)?.map(|found| (name, found)))
}

/// The rooms that a user is in, and those into which they are invited, oldest first.
pub(super) fn belongings(
    db: &Connection,
    user: UserId,
) -> rusqlite::Result<Vec<(RoomId, Option<Invitation>)>> {
    let sql = "SELECT c.number, c.name, c.room, p.person FROM people p
        JOIN channels c ON c.id = p.channel
        WHERE p.user = ?1 AND p.standing IN (1, 3) AND c.number IS NOT NULL
        ORDER BY p.id DESC LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![user.0, BELONGINGS_MAX], |row| {
        let number = RoomId(row.get::<_, i64>(0)? as u64);
        Ok((number, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?, row.get(3)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (room, name, kept, person): (_, String, Option<String>, String) = row?;
        let Some(person) = json::read::<RoomMember>("member", &person) else { continue };
        let invitation = match person.standing {
            Standing::Invited(by) => {
                let kept = kept.and_then(|text| json::read::<StoredRoom>("room", &text));
                let (Some(name), Some(kept)) = (ChannelName::parse_kept(&name), kept) else {
                    continue;
                };
                let (kind, title) = (name.room_kind(), kept.title);
                Some(Invitation { room, kind, title, by: *by })
            }
            _ => None,
        };
        found.push((room, invitation));
    }
    found.reverse();
    Ok(found)
}

/// A new process: nobody who cannot come back belongs to a group any more, and rooms of which nobody is left are gone.
pub(super) fn restarted(db: &Connection) -> rusqlite::Result<()> {
    db.execute(
        "DELETE FROM people WHERE lasts = 0 AND channel IN
            (SELECT id FROM channels WHERE number IS NOT NULL AND name GLOB char(10) || 'group *')",
        [],
    )?;
    db.execute(
        "DELETE FROM channels WHERE number IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM people WHERE channel = channels.id AND lasts = 1 AND standing <= 2)",
        [],
    )?;
    Ok(())
}
