//! Bans: of the whole server, which are kept, and of channels, which live with them.

use super::{
    Failure, Operator, PATIENCE,
    act::{Act, channel, entry, silent, user, warned},
    peer::Who,
};
use crate::{
    driver::{Answer, Ask},
    gate::{network, wall_ms},
    storage::{Ban, BanTarget, Write},
};
use serde_json::{Value, json};
use std::sync::{MutexGuard, PoisonError};
use tutti_shards::Order;

/// Longest ban of a channel, seconds: what channels live for is shorter.
const CHANNEL_SECONDS_MAX: u64 = 31_536_000;

impl Operator {
    /// Reads the bans of the whole server into the gate, once they have changed.
    ///
    /// Together with those that the storage did not confirm, until it has them or newer ones. Under one lock, so that
    /// of two operators the one who read less cannot be the last to say what holds.
    fn load_bans(&self) -> Result<(), Failure> {
        let mut unkept = self.unkept();
        let mut bans = self.kept_bans()?;
        let newer =
            |ban: &Ban| bans.iter().any(|b| b.target == ban.target && b.since_ms >= ban.since_ms);
        unkept.retain(|ban| !newer(ban));
        bans.extend(unkept.iter().cloned());
        self.gate.set_bans(bans);
        Ok(())
    }

    /// Bans somebody, or lets them in again, though the storage has not confirmed it.
    fn replace_unkept(&self, target: &BanTarget, by: Option<Ban>) {
        let mut unkept = self.unkept();
        let mut bans = self.gate.bans();
        for list in [&mut *unkept, &mut bans] {
            list.retain(|ban| ban.target != *target);
            list.extend(by.clone());
        }
        self.gate.set_bans(bans);
    }

    fn unkept(&self) -> MutexGuard<'_, Vec<Ban>> {
        let (mut unkept, now_ms) =
            (self.unkept.lock().unwrap_or_else(PoisonError::into_inner), wall_ms());
        unkept.retain(|ban| ban.until_ms.is_none_or(|until| until > now_ms));
        unkept
    }

    fn kept_bans(&self) -> Result<Vec<Ban>, Failure> {
        let bans = self.storage.bans(None, wall_ms(), PATIENCE);
        bans.map_err(|error| Failure::new("storage", error.to_string()))
    }

    pub(super) fn ban(
        &self,
        who: &Who,
        target: &str,
        name: Option<String>,
        seconds: Option<u64>,
        reason: Option<String>,
    ) -> Result<Value, Failure> {
        let details = match seconds {
            Some(seconds) => format!("for {seconds} s"),
            None => "for ever".to_owned(),
        };
        if let Some(name) = name {
            let seconds = seconds.unwrap_or(CHANNEL_SECONDS_MAX).min(CHANNEL_SECONDS_MAX);
            let (user, ms) = (user(target)?, seconds * 1_000);
            let order = Order::Ban { channel: channel(&name)?, user, ms };
            let target = Some(target.to_owned());
            let act = Act { action: "ban", channel: Some(name), target, reason, details };
            return self.order(who, order, act);
        }
        let target = self.target(target)?;
        let now_ms = wall_ms();
        let ban = Ban {
            channel: None,
            target,
            reason: reason.clone().unwrap_or_default(),
            moderator: who.to_string(),
            since_ms: now_ms,
            until_ms: seconds.map(|seconds| now_ms + seconds * 1_000),
        };
        let target = Some(ban.target.to_string());
        let until_ms = ban.until_ms;
        let act = Act { action: "ban", target: target.clone(), reason, details, ..Act::default() };
        // On the disk before anybody feels it: what is confirmed holds after a power failure. When the disk refuses,
        // it has to hold all the same, and whoever asked knows that it may not last.
        let written = self.commit(vec![Write::Ban(Box::new(ban.clone())), entry(who, act)]);
        let kept = written.and_then(|()| self.load_bans());
        if kept.is_err() {
            self.replace_unkept(&ban.target, Some(ban.clone()));
        }
        let closed = self.sweep()?;
        let done = json!({ "target": target, "until_ms": until_ms, "closed": closed });
        Ok(warned(done, "it holds until the server ends, and is not certain to last", kept))
    }

    pub(super) fn unban(
        &self,
        who: &Who,
        target: &str,
        name: Option<String>,
    ) -> Result<Value, Failure> {
        if let Some(name) = name {
            let order = Order::Unban { channel: channel(&name)?, user: user(target)? };
            let target = Some(target.to_owned());
            let act = Act { action: "unban", channel: Some(name), target, ..Act::default() };
            return self.order(who, order, act);
        }
        let target = self.target(target)?;
        let names = |ban: &Ban| ban.target == target;
        if !self.gate.bans().iter().any(names) && !self.kept_bans()?.iter().any(names) {
            return Err(Failure::new(
                "nothing_to_lift",
                "there is no such ban; `tutti ctl bans` lists them as they are to be named",
            ));
        }
        let shown = Some(target.to_string());
        let act = Act { action: "unban", target: shown.clone(), ..Act::default() };
        self.unkept().retain(|ban| ban.target != target);
        let written = self.commit(vec![Write::Lift { channel: None, target }, entry(who, act)]);
        let kept = written.and_then(|()| self.load_bans());
        if kept.is_err() {
            self.replace_unkept(&target, None);
        }
        let done = json!({ "target": shown });
        Ok(warned(done, "lifted, but the ban may be back after a restart", kept))
    }

    pub(super) fn bans(&self, name: Option<String>) -> Result<Value, Failure> {
        if let Some(name) = name {
            let mut channel = self.channel(channel(&name)?)?;
            return Ok(json!({ "channel": name, "bans": channel["banned"].take() }));
        }
        let bans = self.kept_bans()?;
        let unkept = self.unkept().clone();
        let replaced = |ban: &&Ban| !unkept.iter().any(|other| other.target == ban.target);
        let bans: Vec<Value> = bans
            .iter()
            .filter(replaced)
            .chain(&unkept)
            .map(|ban| {
                json!({
                    "target": ban.target.to_string(),
                    "reason": ban.reason,
                    "by": ban.moderator,
                    "since_ms": ban.since_ms,
                    "until_ms": ban.until_ms,
                })
            })
            .collect();
        Ok(json!({ "bans": bans }))
    }

    /// Closes whatever connections are banned now; how many.
    fn sweep(&self) -> Result<u32, Failure> {
        let answers = self.control.ask_all(&Ask::Sweep, PATIENCE);
        if answers.len() < self.control.shards() {
            return Err(silent());
        }
        let closed = |(_, answer)| if let Answer::Swept(closed) = answer { closed } else { 0 };
        Ok(answers.into_iter().map(closed).sum())
    }

    /// A target as it is kept. One that would lock everyone out is refused.
    fn target(&self, text: &str) -> Result<BanTarget, Failure> {
        let target: BanTarget =
            text.parse().map_err(|error| Failure::new("bad_target", format!("{error}")))?;
        let Some(network) = network(&target) else { return Ok(target) };
        if network.prefix_len() == 0 {
            return Err(Failure::new(
                "bad_target",
                "that is everyone; `tutti ctl panic 3` lets nobody in",
            ));
        }
        if network.prefix_len() == network.max_prefix_len() {
            if self.gate.is_trusted(network.addr()) {
                return Err(Failure::new(
                    "bad_target",
                    "that is a trusted proxy (trusted_proxies): all who come through it would be banned",
                ));
            }
            return Ok(BanTarget::Address(network.addr()));
        }
        Ok(BanTarget::Network(network))
    }
}
