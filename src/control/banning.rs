//! Bans: of the whole server, which are kept, and of channels, which live with them.

use super::{
    Failure, Operator, PATIENCE,
    act::{Act, channel, entry, silent, user},
    peer::Who,
};
use crate::{
    driver::{Answer, Ask},
    gate::{network, wall_ms},
    storage::{Ban, BanTarget, Write},
};
use serde_json::{Value, json};
use tutti_shards::Order;

/// Longest ban of a channel, seconds: what channels live for is shorter.
const CHANNEL_SECONDS_MAX: u64 = 31_536_000;

impl Operator {
    /// Reads the bans of the whole server, at the start and whenever they change.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub fn load_bans(&self) -> Result<(), Failure> {
        let bans = self
            .storage
            .bans(None, wall_ms(), PATIENCE)
            .map_err(|error| Failure::new("storage", error.to_string()))?;
        self.gate.set_bans(bans);
        Ok(())
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
        // On the disk before anybody feels it: what is confirmed holds after a power failure.
        self.commit(vec![Write::Ban(Box::new(ban)), entry(who, act)])?;
        self.load_bans()?;
        let closed = self.sweep()?;
        Ok(json!({ "target": target, "until_ms": until_ms, "closed": closed }))
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
        let known = self
            .storage
            .bans(None, wall_ms(), PATIENCE)
            .map_err(|error| Failure::new("storage", error.to_string()))?;
        if !known.iter().any(|ban| ban.target == target) {
            return Err(Failure::new(
                "nothing_to_lift",
                "there is no such ban; `tutti ctl bans` lists them as they are to be named",
            ));
        }
        let shown = Some(target.to_string());
        let act = Act { action: "unban", target: shown.clone(), ..Act::default() };
        self.commit(vec![Write::Lift { channel: None, target }, entry(who, act)])?;
        self.load_bans()?;
        Ok(json!({ "target": shown }))
    }

    pub(super) fn bans(&self, name: Option<String>) -> Result<Value, Failure> {
        if let Some(name) = name {
            let mut channel = self.channel(channel(&name)?)?;
            return Ok(json!({ "channel": name, "bans": channel["banned"].take() }));
        }
        let bans = self
            .storage
            .bans(None, wall_ms(), PATIENCE)
            .map_err(|error| Failure::new("storage", error.to_string()))?;
        let bans: Vec<Value> = bans
            .iter()
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
