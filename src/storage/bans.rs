//! The table of bans: of the whole site, and of channels.

use ipnet::IpNet;
use rusqlite::{Connection, Row, params};
use std::{fmt, net::IpAddr, str::FromStr};
use tutti_shards::{StoredBan, UserId};

/// Whom a ban is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BanTarget {
    /// One user, wherever they come from.
    User(UserId),
    /// One address, whoever comes from it.
    Address(IpAddr),
    /// All addresses of a network.
    Network(IpNet),
}

impl BanTarget {
    fn kind(&self) -> &'static str {
        match self {
            BanTarget::User(_) => "user",
            BanTarget::Address(_) => "address",
            BanTarget::Network(_) => "network",
        }
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BanTarget::User(user) => user.fmt(f),
            BanTarget::Address(address) => address.fmt(f),
            BanTarget::Network(network) => network.fmt(f),
        }
    }
}

/// The text is no user id, no address and no network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("neither a user id (24 hex digits) nor an ADDRESS nor an ADDRESS/BITS")]
pub struct NoTarget;

impl FromStr for BanTarget {
    type Err = NoTarget;

    /// Reads what `Display` writes. An IPv4 address in IPv6 form is the IPv4 address; a network is cut to its bits.
    fn from_str(text: &str) -> Result<Self, NoTarget> {
        if let Some(user) = UserId::parse(text) {
            return Ok(BanTarget::User(user));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(BanTarget::Address(address.to_canonical()));
        }
        text.parse::<IpNet>()
            .map(|network| BanTarget::Network(network.trunc()))
            .map_err(|_| NoTarget)
    }
}

/// A ban as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ban {
    /// In which channel; `None` for the whole site.
    pub channel: Option<String>,
    /// Whom it is for.
    pub target: BanTarget,
    /// Why, in the moderator's words; may be empty.
    pub reason: String,
    /// Who decided it: a user id, or what the operator's command says.
    pub moderator: String,
    /// When it was given, milliseconds since 1970.
    pub since_ms: u64,
    /// When it ends, milliseconds since 1970; `None` for never.
    pub until_ms: Option<u64>,
}

pub(super) fn insert(db: &Connection, ban: &Ban) -> rusqlite::Result<()> {
    let sql = "INSERT INTO bans (channel, kind, target, reason, moderator, since_ms, until_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (ifnull(channel, ''), kind, target) DO UPDATE SET
            reason = excluded.reason, moderator = excluded.moderator,
            since_ms = excluded.since_ms, until_ms = excluded.until_ms";
    db.prepare_cached(sql)?.execute(params![
        ban.channel,
        ban.target.kind(),
        ban.target.to_string(),
        ban.reason,
        ban.moderator,
        ban.since_ms as i64,
        ban.until_ms.map(|until| i64::try_from(until).unwrap_or(i64::MAX)),
    ])?;
    Ok(())
}

/// Says for which address a ban of a channel holds as well, and what lines called whom it is for.
pub(super) fn mark(
    db: &Connection,
    channel: &str,
    user: UserId,
    origin: Option<u64>,
    in_lines: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE bans SET origin = ?3, in_lines = ?4
        WHERE channel = ?1 AND kind = 'user' AND target = ?2";
    let origin = origin.map(u64::cast_signed);
    db.prepare_cached(sql)?.execute(params![channel, user.to_string(), origin, in_lines])?;
    Ok(())
}

/// The bans of users of a channel that have not ended, oldest first.
pub(super) fn of_channel(
    db: &Connection,
    channel: &str,
    now_ms: u64,
) -> rusqlite::Result<Vec<StoredBan>> {
    let sql = "SELECT target, until_ms, origin, in_lines FROM bans WHERE channel = ?1
        AND kind = 'user' AND (until_ms IS NULL OR until_ms > ?2) ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![channel, now_ms as i64], |row| {
        let Some(user) = UserId::parse(row.get_ref(0)?.as_str()?) else { return Ok(None) };
        let until_ms = row.get::<_, Option<i64>>(1)?.map_or(u64::MAX, |until| until as u64);
        let origin = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
        let in_lines = row.get::<_, Option<String>>(3)?.unwrap_or_default().into();
        Ok(Some(StoredBan { user, until_ms, origin, in_lines }))
    })?;
    // A target that cannot be read was not written by us: it bans nobody.
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

pub(super) fn lift(
    db: &Connection,
    channel: Option<&str>,
    target: &BanTarget,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM bans WHERE channel IS ?1 AND kind = ?2 AND target = ?3";
    db.prepare_cached(sql)?.execute(params![channel, target.kind(), target.to_string()])?;
    Ok(())
}

/// The bans of a channel (or of the whole site) that have not ended, oldest first.
pub(super) fn list(
    db: &Connection,
    channel: Option<&str>,
    now_ms: u64,
) -> rusqlite::Result<Vec<Ban>> {
    let sql = "SELECT channel, target, reason, moderator, since_ms, until_ms FROM bans
        WHERE channel IS ?1 AND (until_ms IS NULL OR until_ms > ?2) ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![channel, now_ms as i64], read)?;
    // A target that cannot be read was not written by us: it bans nobody.
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Ban>> {
    let Ok(target) = row.get_ref(1)?.as_str()?.parse() else { return Ok(None) };
    Ok(Some(Ban {
        channel: row.get(0)?,
        target,
        reason: row.get(2)?,
        moderator: row.get(3)?,
        since_ms: row.get::<_, i64>(4)? as u64,
        until_ms: row.get::<_, Option<i64>>(5)?.map(|until| until as u64),
    }))
}
