//! What comes of a request.

use super::{Do, Failure, NoticeTo, Operator, PATIENCE, Settings, peer::Who};
use crate::{
    driver::{Answer, Ask},
    gate::wall_ms,
    storage::{AuditEntry, Write},
};
use serde_json::{Value, json};
use std::sync::{MutexGuard, PoisonError, atomic::Ordering::Relaxed};
use tutti_shards::{
    ChannelName, ChatText, Color, ConnId, OperatorNotice, Order, OrderPlace, Outcome,
    ProfileChange, ShardId, Tag, UserId, UserName, clean,
};

/// Longest reason or notice, in UTF-16 units.
const TEXT_LENGTH: usize = 512;
/// Longest time of a ban or a mute: ten years. Longer is for ever.
const SECONDS_MAX: u64 = 315_360_000;

/// What is missing when the storage does not confirm an entry.
pub(super) const UNWRITTEN: &str = "done, but not in the audit log";

/// What was done, as the audit log keeps it.
#[derive(Default)]
pub(super) struct Act {
    pub(super) action: &'static str,
    pub(super) channel: Option<String>,
    pub(super) target: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) details: String,
}

impl Operator {
    pub(super) fn act(&self, who: &Who, what: Do) -> Result<Value, Failure> {
        match what {
            Do::Status {} => self.status(),
            Do::Top { limit } => self.top(limit),
            Do::Users { text, absent, muted, limit } => self.users(text, absent, muted, limit),
            Do::User { id } => self.user(user(&id)?),
            Do::Channels { text, hidden, peopled, limit } => {
                self.channels(text, hidden, peopled, limit)
            }
            Do::Channel { name } => self.channel(channel(&name)?),
            Do::Say { channel: name, text } => {
                let max = self.running().config.limits.chat_length;
                let text = ChatText::parse(&text, max).ok_or_else(|| {
                    Failure::new("bad_text", format!("not 1 to {max} characters that show"))
                })?;
                let act = Act {
                    action: "say",
                    channel: Some(name.clone()),
                    details: text.as_str().to_owned(),
                    ..Act::default()
                };
                self.order(who, Order::Say { channel: channel(&name)?, text }, act)
            }
            Do::Notice { to, text, title, seconds } => self.notice(who, to, text, title, seconds),
            Do::Kick { user: id, channel: None, reason } => {
                let reason = sound(reason)?;
                let act = Act {
                    action: "kick",
                    target: Some(id.clone()),
                    reason: reason.clone(),
                    ..Act::default()
                };
                let reason = reason.map(Into::into);
                self.order(who, Order::Kick { user: user(&id)?, reason }, act)
            }
            Do::Kick { user: id, channel: Some(name), reason } => {
                let act = Act {
                    action: "kick",
                    channel: Some(name.clone()),
                    target: Some(id.clone()),
                    reason: sound(reason)?,
                    ..Act::default()
                };
                let order = Order::Ban { channel: channel(&name)?, user: user(&id)?, ms: 0 };
                self.order(who, order, act)
            }
            Do::Disconnect { connection, reason } => {
                let reason = sound(reason)?;
                let act = Act {
                    action: "disconnect",
                    target: Some(connection.clone()),
                    reason: reason.clone(),
                    ..Act::default()
                };
                let conn = connection_of(&connection)?;
                let reason = reason.map(Into::into);
                self.order(who, Order::Disconnect { conn, reason }, act)
            }
            Do::Ban { target, channel, seconds, reason } => {
                self.ban(who, &target, channel, time(seconds)?, sound(reason)?)
            }
            Do::Unban { target, channel } => self.unban(who, &target, channel),
            Do::Bans { channel } => self.bans(channel),
            Do::Mute { user: id, channel, seconds, reason } => {
                let seconds = time(Some(seconds))?.unwrap_or(SECONDS_MAX);
                self.mute(who, &id, channel, seconds, sound(reason)?)
            }
            Do::Unmute { user: id, channel } => self.mute(who, &id, channel, 0, None),
            Do::Close { channel: name, reason } => {
                let reason = sound(reason)?;
                let act = Act {
                    action: "close",
                    channel: Some(name.clone()),
                    reason: reason.clone(),
                    ..Act::default()
                };
                let reason = reason.map(Into::into);
                self.order(who, Order::Close { channel: channel(&name)?, reason }, act)
            }
            Do::Rename { user: id, name } => {
                let max = self.running().config.limits.name_length;
                let shown = UserName::parse(&name, max).ok_or_else(|| {
                    Failure::new("bad_name", format!("not 1 to {max} characters that show"))
                })?;
                let change = ProfileChange { name: Some(shown), ..ProfileChange::default() };
                self.change(who, "rename", &id, change, name)
            }
            Do::Tag { user: id, text, color } => self.tag(who, &id, text, color),
            Do::Panic { level } => self.panic(who, level),
            Do::Reload {} => self.reload(who),
            Do::Log { filter } => self.log(who, filter),
            Do::Audit { limit, before } => self.audit_log(limit, before),
            Do::Drain { .. } => unreachable!("drains are served where their progress is told"),
        }
    }

    /// Gives an order to the shards that it is for, and writes down what became of it.
    pub(super) fn order(&self, who: &Who, order: Order, act: Act) -> Result<Value, Failure> {
        let outcome = self.give(order);
        let details = match &outcome {
            Ok(reached) => format!("reached {reached}"),
            Err(failure) => format!("failed: {}", failure.code),
        };
        let details = match act.details.as_str() {
            "" => details,
            text => format!("{details}; {text}"),
        };
        let written = self.audit(who, Act { details, ..act });
        Ok(warned(json!({ "reached": outcome? }), UNWRITTEN, written))
    }

    /// The number of connections or members that an order concerned.
    pub(super) fn give(&self, order: Order) -> Result<u32, Failure> {
        let ask = Ask::Order(order.clone());
        let outcome = match order.place(self.control.placement()) {
            OrderPlace::One(shard) => self.control.ask(shard, ask, PATIENCE),
            OrderPlace::Any => self.control.ask(ShardId(0), ask, PATIENCE),
            OrderPlace::All => {
                let answers = self.control.ask_all(&ask, PATIENCE);
                if answers.len() < self.control.shards() {
                    return Err(silent());
                }
                let reached = |answer: &Answer| match answer {
                    Answer::Outcome(Outcome::Done(reached)) => Some(*reached),
                    _ => None,
                };
                answers.into_iter().map(|(_, answer)| answer).max_by_key(reached)
            }
        };
        let Some(Answer::Outcome(outcome)) = outcome else { return Err(silent()) };
        let failure = match outcome {
            Outcome::Done(reached) => return Ok(reached),
            Outcome::NoSuchUser => ("no_such_user", "nobody of that id is here"),
            Outcome::NoSuchChannel => ("no_such_channel", "there is no channel of that name"),
            Outcome::NoSuchConnection => ("no_such_connection", "there is no such connection"),
            Outcome::NothingToLift => ("nothing_to_lift", "there is nothing to lift"),
            Outcome::Lobby => (
                "lobby",
                "nobody is sent out of a lobby, and none is closed: it would lead to the next; kick or mute instead",
            ),
            Outcome::OwnName => (
                "own_name",
                "names at terminals and of logins by a name alone are their owners' to change",
            ),
            Outcome::Permanent => ("permanent", "that channel is always there"),
        };
        Err(Failure::new(failure.0, failure.1))
    }

    /// Writes into the audit log and waits until it is on the disk.
    pub(super) fn audit(&self, who: &Who, act: Act) -> Result<(), Failure> {
        self.commit(vec![entry(who, act)])
    }

    pub(super) fn commit(&self, writes: Vec<Write>) -> Result<(), Failure> {
        self.storage
            .commit(writes, PATIENCE)
            .map_err(|error| Failure::new("storage", error.to_string()))
    }

    fn notice(
        &self,
        who: &Who,
        to: NoticeTo,
        text: String,
        title: Option<String>,
        seconds: Option<u32>,
    ) -> Result<Value, Failure> {
        let Some(text) = sound(Some(text))? else {
            return Err(Failure::new("bad_text", "a notice says something"));
        };
        let limits = self.running().config.limits.clone();
        let duration_ms = match seconds {
            None => limits.notice_ms_default,
            Some(seconds) => i32::try_from(u64::from(seconds) * 1_000)
                .unwrap_or(limits.notice_ms_max)
                .min(limits.notice_ms_max),
        };
        let notice = Box::new(OperatorNotice {
            title: Some(sound(title)?.unwrap_or_else(|| "Notice".to_owned()).into()),
            text: Some(text.clone().into()),
            class: Some("classic".into()),
            duration_ms: Some(duration_ms),
            ..OperatorNotice::default()
        });
        let mut act = Act { action: "notice", details: text, ..Act::default() };
        let order = match to {
            NoticeTo::All => Order::NotifyAll(notice),
            NoticeTo::Channel(name) => {
                act.channel = Some(name.clone());
                Order::NotifyChannel { channel: channel(&name)?, notice }
            }
            NoticeTo::User(id) => {
                act.target = Some(id.clone());
                Order::NotifyUser { user: user(&id)?, notice }
            }
        };
        self.order(who, order, act)
    }

    fn mute(
        &self,
        who: &Who,
        id: &str,
        name: Option<String>,
        seconds: u64,
        reason: Option<String>,
    ) -> Result<Value, Failure> {
        let (target, ms) = (user(id)?, seconds * 1_000);
        let order = match &name {
            Some(name) => Order::MuteIn { channel: channel(name)?, user: target, ms },
            None if seconds == 0 => Order::Mute { user: target, until_ms: 0 },
            None => Order::Mute { user: target, until_ms: wall_ms() + ms },
        };
        self.counts.0.mutes.fetch_add(u64::from(seconds > 0), Relaxed);
        let act = Act {
            action: if seconds > 0 { "mute" } else { "unmute" },
            channel: name,
            target: Some(id.to_owned()),
            reason,
            details: if seconds > 0 { format!("for {seconds} s") } else { String::new() },
        };
        self.order(who, order, act)
    }

    fn tag(
        &self,
        who: &Who,
        id: &str,
        text: Option<String>,
        color: Option<String>,
    ) -> Result<Value, Failure> {
        let details = text.clone().unwrap_or_default();
        let tag = match text {
            None => None,
            Some(text) => {
                let max = self.running().config.limits.tag_length;
                let text = clean(&text)
                    .filter(|text| (1..=max).contains(&tutti_shards::utf16_len(text)))
                    .ok_or_else(|| {
                        Failure::new("bad_tag", format!("not 1 to {max} characters that show"))
                    })?;
                let color = color.unwrap_or_else(|| "#7070a0".to_owned());
                if Color::parse(&color).is_none() {
                    return Err(Failure::new("bad_color", "a colour is #rrggbb"));
                }
                Some(Box::new(Tag { text, color: color.into() }))
            }
        };
        let change = ProfileChange { tag: Some(tag), ..ProfileChange::default() };
        self.change(who, "tag", id, change, details)
    }

    fn change(
        &self,
        who: &Who,
        action: &'static str,
        id: &str,
        change: ProfileChange,
        details: String,
    ) -> Result<Value, Failure> {
        let act = Act { action, target: Some(id.to_owned()), details, ..Act::default() };
        self.order(who, Order::Profile { user: user(id)?, change }, act)
    }

    pub(super) fn running(&self) -> MutexGuard<'_, super::Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> Settings {
        self.running().config.control.clone()
    }
}

/// What was done, with a warning when the storage did not confirm it.
pub(super) fn warned(mut done: Value, warning: &str, kept: Result<(), Failure>) -> Value {
    if let Err(failure) = kept {
        done["warning"] = json!(format!("{warning}: {failure}"));
    }
    done
}

/// An entry of the audit log.
pub(super) fn entry(who: &Who, act: Act) -> Write {
    Write::Audit(Box::new(AuditEntry {
        id: 0,
        at_ms: wall_ms(),
        actor: who.to_string(),
        action: act.action.to_owned(),
        channel: act.channel,
        target: act.target,
        reason: act.reason.unwrap_or_default(),
        details: act.details,
    }))
}

pub(super) fn silent() -> Failure {
    Failure::new("no_answer", "a shard did not answer in time; see /healthz and the log")
}

pub(super) fn user(id: &str) -> Result<UserId, Failure> {
    UserId::parse(id).ok_or_else(|| {
        Failure::new("bad_user", "a user id is 24 hex digits; `tutti ctl users NAME` finds it")
    })
}

pub(super) fn channel(name: &str) -> Result<ChannelName, Failure> {
    let bad = || Failure::new("bad_channel", "that is no channel's name");
    ChannelName::parse(name).ok_or_else(bad)
}

fn connection_of(text: &str) -> Result<ConnId, Failure> {
    let parse = || {
        let (birth, serial) = text.split_once('.')?;
        let (birth, serial) = (birth.parse().ok()?, serial.parse().ok()?);
        (1..1 << 48).contains(&serial).then(|| ConnId::new(ShardId(birth), serial))
    };
    parse().ok_or_else(|| {
        Failure::new("bad_connection", "a connection is SHARD.NUMBER; `tutti ctl user ID` shows it")
    })
}

/// A text that people will see, cleaned; nothing for an empty one.
fn sound(text: Option<String>) -> Result<Option<String>, Failure> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let cleaned = clean(&text).map(String::from);
    let fits = |text: &String| tutti_shards::utf16_len(text) <= TEXT_LENGTH;
    let bad = || Failure::new("bad_text", format!("a text has at most {TEXT_LENGTH} characters"));
    cleaned.filter(fits).map(Some).ok_or_else(bad)
}

/// A time that ends, if it does.
fn time(seconds: Option<u64>) -> Result<Option<u64>, Failure> {
    match seconds {
        Some(0) => Err(Failure::new("bad_time", "a time is at least a second")),
        Some(seconds) if seconds > SECONDS_MAX => Ok(None),
        seconds => Ok(seconds),
    }
}
