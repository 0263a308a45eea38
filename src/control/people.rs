//! What there is: the whole, users, channels, and who is slow.

use super::{Failure, Operator, PATIENCE, act::silent};
use crate::driver::{Answer, Ask, UserKnown};
use serde_json::{Value, json};
use std::{cmp::Reverse, sync::atomic::Ordering::Relaxed};
use tutti_shards::{
    ChannelFilter, ChannelName, ChannelSeen, CommandKind, Profile, UserFilter, UserId, UserSeen,
};

/// Most entries of a list.
const LIMIT_MAX: u32 = 10_000;

impl Operator {
    pub(super) fn status(&self) -> Result<Value, Failure> {
        let (reports, gate) = (self.control.reports(PATIENCE), self.gate.counts());
        let sum = |count: fn(&crate::driver::Report) -> u64| reports.iter().map(count).sum::<u64>();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": self.started.elapsed().as_secs(),
            "shards": self.control.shards(),
            "answering": reports.len(),
            "connections": sum(|report| report.gauges.connections),
            "sockets": sum(|report| report.driver.sockets),
            "channels": sum(|report| report.gauges.channels),
            "participants": sum(|report| report.gauges.participants),
            "hot_channels": sum(|report| report.gauges.hot_channels),
            "slow_readers": sum(|report| report.gauges.blocked),
            "outbox_bytes": sum(|report| report.gauges.outbox_bytes),
            "bans": gate.bans,
            "panic": gate.panic,
            "draining": self.draining.load(Relaxed),
            "log": self.running().log,
        }))
    }

    pub(super) fn top(&self, limit: u32) -> Result<Value, Failure> {
        let mut top = self.status()?;
        let shards: Vec<Value> = self
            .control
            .reports(PATIENCE)
            .iter()
            .map(|report| {
                let commands = |kind: CommandKind| report.stats.commands[kind as usize];
                json!({
                    "shard": report.shard.0,
                    "connections": report.gauges.connections,
                    "channels": report.gauges.channels,
                    "participants": report.gauges.participants,
                    "hot_channels": report.gauges.hot_channels,
                    "slow_readers": report.gauges.blocked,
                    "outbox_bytes": report.gauges.outbox_bytes,
                    "messages_in": report.stats.commands.iter().sum::<u64>(),
                    "notes_in": commands(CommandKind::Notes),
                    "messages_out": report.stats.messages_sent,
                    "bytes_in": report.stats.bytes_received,
                    "bytes_out": report.stats.bytes_sent,
                    "turns": report.driver.turns,
                    "turn_us_p99": report.driver.turn_us.value_at_quantile(0.99),
                    "mesh_backlog": report.driver.mesh_backlog,
                })
            })
            .collect();
        top["shard_list"] = Value::Array(shards);
        top["channel_list"] = self.channels(None, false, true, limit)?["channels"].take();
        let mut slow: Vec<_> = self
            .control
            .ask_all(&Ask::SlowReaders(limit.min(LIMIT_MAX) as usize), PATIENCE)
            .into_iter()
            .filter_map(|(_, answer)| match answer {
                Answer::SlowReaders(slow) => Some(slow),
                _ => None,
            })
            .flatten()
            .collect();
        slow.sort_by_key(|slow| Reverse(slow.waiting));
        slow.truncate(limit as usize);
        let slow = slow.iter().map(|slow| {
            json!({
                "connection": slow.conn.to_string(),
                "user": slow.user.map(|user| user.to_string()),
                "waiting_bytes": slow.waiting,
            })
        });
        top["slow_list"] = slow.collect();
        Ok(top)
    }

    pub(super) fn users(
        &self,
        text: Option<String>,
        absent: bool,
        muted: bool,
        limit: u32,
    ) -> Result<Value, Failure> {
        let limit = limit.min(LIMIT_MAX);
        let text = text.map(|text| text.to_lowercase().into());
        let filter = UserFilter { text, absent, muted, limit };
        let answers = self.control.ask_all(&Ask::Users(filter), PATIENCE);
        if answers.len() < self.control.shards() {
            return Err(silent());
        }
        let mut users: Vec<UserSeen> = answers
            .into_iter()
            .filter_map(|(_, answer)| match answer {
                Answer::Users(users) => Some(users),
                _ => None,
            })
            .flatten()
            .collect();
        users.sort_by_key(|seen| (Reverse(seen.connections.len()), seen.profile.user));
        users.truncate(limit as usize);
        let users: Vec<Value> = users
            .iter()
            .map(|seen| {
                let mut user = profile(&seen.profile);
                user["connections"] = json!(seen.connections.len());
                user
            })
            .collect();
        Ok(json!({ "users": users }))
    }

    pub(super) fn user(&self, id: UserId) -> Result<Value, Failure> {
        let answers = self.control.ask_all(&Ask::User(id), PATIENCE);
        if answers.len() < self.control.shards() {
            return Err(silent());
        }
        let mut known = UserKnown::default();
        for (_, answer) in answers {
            let Answer::User(part) = answer else { continue };
            known.record = known.record.or(part.record);
            known.seats.extend(part.seats);
            known.addresses.extend(part.addresses);
        }
        let Some(record) = known.record else {
            return Err(Failure::new("no_such_user", "nobody of that id is known"));
        };
        let mut user = profile(&record.profile);
        let connections = record.connections.iter().map(|&(conn, shard)| {
            let address = known.addresses.iter().find(|&&(other, _)| other == conn);
            json!({
                "connection": conn.to_string(),
                "shard": shard.0,
                "address": address.map(|(_, address)| address.to_string()),
            })
        });
        user["connections"] = connections.collect();
        let seats = known.seats.iter().map(|seat| {
            json!({
                "channel": seat.channel.to_string(),
                "connections": seat.connections.len(),
                "crown": seat.crowned,
                "muted_s": seat.muted_ms.div_ceil(1_000),
            })
        });
        user["channels"] = seats.collect();
        user["banned"] = json!(self.gate.ban_of_user(id).is_some());
        Ok(user)
    }

    pub(super) fn channels(
        &self,
        text: Option<String>,
        hidden: bool,
        peopled: bool,
        limit: u32,
    ) -> Result<Value, Failure> {
        let limit = limit.min(LIMIT_MAX);
        let text = text.map(|text| text.to_lowercase().into());
        let filter = ChannelFilter { text, hidden, peopled, limit };
        let answers = self.control.ask_all(&Ask::Channels(filter), PATIENCE);
        if answers.len() < self.control.shards() {
            return Err(silent());
        }
        let mut channels: Vec<ChannelSeen> = answers
            .into_iter()
            .filter_map(|(_, answer)| match answer {
                Answer::Channels(channels) => Some(channels),
                _ => None,
            })
            .flatten()
            .collect();
        channels.sort_by(|a, b| {
            (Reverse(a.count), a.name.as_str()).cmp(&(Reverse(b.count), b.name.as_str()))
        });
        channels.truncate(limit as usize);
        let channels: Vec<Value> = channels.iter().map(channel).collect();
        Ok(json!({ "channels": channels }))
    }

    pub(super) fn channel(&self, name: ChannelName) -> Result<Value, Failure> {
        let owner = self.control.placement().of_channel(&name);
        let Some(Answer::Channel(found)) = self.control.ask(owner, Ask::Channel(name), PATIENCE)
        else {
            return Err(silent());
        };
        let Some(detail) = found else {
            return Err(Failure::new("no_such_channel", "there is no channel of that name"));
        };
        let mut shown = channel(&detail.seen);
        let left = |list: &[(UserId, u64)]| {
            let entry = |&(user, ms): &(UserId, u64)| json!({ "user": user.to_string(), "left_s": ms.div_ceil(1_000) });
            list.iter().map(entry).collect::<Value>()
        };
        shown["banned"] = left(&detail.bans);
        shown["muted"] = left(&detail.mutes);
        let people = detail.participants.iter().map(|(who, connections)| {
            let mut person = profile(who);
            person["connections"] = json!(connections);
            person
        });
        shown["people"] = people.collect();
        let settings = &detail.seen.settings;
        shown["settings"] = json!({
            "visible": settings.visible,
            "chat": settings.chat,
            "crown_solo": settings.crown_solo,
            "limit": settings.limit,
            "color": settings.color.to_string(),
        });
        Ok(shown)
    }
}

fn profile(profile: &Profile) -> Value {
    json!({
        "id": profile.user.to_string(),
        "name": profile.display_name(),
        "color": profile.color.to_string(),
        "tag": profile.tag.as_ref().map(|tag| tag.text.clone()),
        "first_seen_ms": profile.first_seen_ms,
        "muted_until_ms": (profile.muted_until_ms > 0).then_some(profile.muted_until_ms),
    })
}

fn channel(seen: &ChannelSeen) -> Value {
    json!({
        "name": seen.name.to_string(),
        "type": seen.name.room_kind().word(),
        "shard": seen.shard.0,
        "count": seen.count,
        "connections": seen.members,
        "visible": seen.settings.visible,
        "crown": seen.crown.filter(|crown| crown.held).map(|crown| crown.user.to_string()),
        "hot": seen.hot,
        "history": seen.history,
        "banned": seen.banned,
    })
}
