//! What a scenario may not say, although each of its keys is well formed.

use super::{Accounting, Dialect, Group, Kind, Nuisance, Reads, Scenario};

/// Messages a second and sender above which intended times would not be told apart.
const RATE_MAX: f64 = 100_000.0;
/// Messages a second and sender below which intended times would be too far apart.
const RATE_MIN: f64 = 0.001;
/// Positions of a cursor that can be told apart: 100.00 x 100.00.
const POSITIONS: f64 = 1e8;
/// Pairs of receiver and sender that are accounted for one by one: 4 bytes each.
const PAIRS_MAX: usize = 64 << 20;
/// Most connections that one run may ask for.
const CONNECTIONS_MAX: usize = 4_000_000;

/// Why a scenario cannot be run.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault(String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scenario {
    /// # Errors
    /// The first contradiction found, with what to change.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let fault = |text: String| Err(Fault(text));
        if self.groups.is_empty() {
            return fault("there is no [[group]], so nobody to connect".to_owned());
        }
        let times = [
            ("warm_s", self.warm_s, 0.0),
            ("measure_s", self.measure_s, 0.1),
            ("drain_s", self.drain_s, 0.0),
            ("settle_s", self.settle_s, 0.0),
            ("arrivals_per_s", self.arrivals_per_s, 0.0),
        ];
        for (name, value, least) in times {
            if !(least..=1e6).contains(&value) {
                return fault(format!("`{name}` is {value}; it is from {least} to 1000000"));
            }
        }
        if !(self.probes > 0.0 && self.probes <= 1.0) {
            return fault("`probes` is a share, above 0 and at most 1".to_owned());
        }
        if self.in_flight == 0 {
            return fault(
                "`in_flight` is 0, so nobody could connect; 200 is the default".to_owned(),
            );
        }
        if self.total() > CONNECTIONS_MAX {
            return fault(format!(
                "{} connections are more than {CONNECTIONS_MAX}; use several runs and join them",
                self.total()
            ));
        }
        if !self.memory_at.is_sorted() || self.memory_at.last().is_some_and(|&n| n > self.total()) {
            let total = self.total();
            return fault(format!("`memory_at` rises, and ends with at most {total} connections"));
        }
        const HEADLINES: [&str; 8] =
            ["note", "chat", "cursor", "ping", "arrival", "join", "back", "list"];
        if let Some(headline) = &self.headline
            && !HEADLINES.contains(&headline.as_str())
        {
            return fault(format!("`headline` is one of {}", HEADLINES.join(", ")));
        }
        self.check_groups()?;
        if self.accounting == Accounting::Exact && self.pairs() > PAIRS_MAX {
            return fault(format!(
                "{} pairs of receiver and sender are too many to account for one by one; set \
                 accounting = \"totals\", or fewer senders",
                self.pairs()
            ));
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), Fault> {
        for (at, group) in self.groups.iter().enumerate() {
            let name = &group.name;
            let fault = |text: String| Err(Fault(format!("group `{name}`: {text}")));
            if name.is_empty() || self.groups[..at].iter().any(|other| other.name == *name) {
                return fault("names are not empty, and each stands once".to_owned());
            }
            if group.channels == 0 || group.members == 0 {
                return fault("`channels` and `members` are at least 1".to_owned());
            }
            if let Some(what) = unknown_to(self.dialect, group) {
                let dialect = self.dialect.name();
                return fault(format!("{what} does not exist with dialect = \"{dialect}\""));
            }
            if !group.seats && (group.streams().next().is_some() || group.roams.is_some()) {
                return fault("who sends or roams has `seats = true`".to_owned());
            }
            if let Some(with) = &group.with {
                let Some(other) = self.groups.iter().find(|other| other.name == *with) else {
                    return fault(format!("`with` names `{with}`, which no group is called"));
                };
                if other.with.is_some() || other.abuse.is_some() || other.name == *name {
                    return fault(format!(
                        "`with` names `{with}`, which has no channels of its own"
                    ));
                }
                if other.channels != group.channels {
                    return fault(format!(
                        "it sits with `{with}`: `channels` is {}",
                        other.channels
                    ));
                }
            }
            for (kind, stream) in group.streams() {
                let kind = kind.name();
                if !group.is_steady() {
                    return fault(format!(
                        "{kind}s come from a group that stays and reads; give them to another one"
                    ));
                }
                if !(RATE_MIN..=RATE_MAX).contains(&stream.rate) {
                    return fault(format!("the rate of {kind}s is from {RATE_MIN} to {RATE_MAX}"));
                }
                let each = stream.rate * (self.warm_s + self.measure_s);
                if each > if kind == "cursor" { POSITIONS } else { f64::from(u32::MAX / 2) } {
                    return fault(format!(
                        "{each:.0} {kind}s of one sender cannot be numbered; measure for less long"
                    ));
                }
                let senders = group.senders(&stream);
                if senders == 0 || senders > group.members {
                    return fault(format!("{senders} of {} members cannot send", group.members));
                }
                if stream.size == 0 || stream.size > 1000 {
                    return fault("`size` is from 1 to 1000 notes".to_owned());
                }
            }
            if group.roams.is_some() && group.abuse.is_some() {
                return fault("`roams` and `abuse` do not go together".to_owned());
            }
            if let Some(roams) = group.roams
                && !(roams.every_s >= 0.01 && (0.0..=1e6).contains(&roams.pause_s))
            {
                return fault("`every_s` is at least 0.01, and `pause_s` not negative".to_owned());
            }
            if let Some(abuse) = group.abuse
                && !(abuse.rate > 0.0 && abuse.rate <= RATE_MAX)
            {
                return fault(format!("the rate of abuse is above 0 and at most {RATE_MAX}"));
            }
            if group.reads == Reads::Slowly(0) {
                return fault("who reads 0 bytes a second reads \"never\"".to_owned());
            }
        }
        Ok(())
    }

    /// Pairs of receiver and sender in all.
    fn pairs(&self) -> usize {
        let audience = |room: usize| -> usize {
            let sits = |&at: &usize| self.room_of(at) == room;
            (0..self.groups.len()).filter(sits).map(|at| self.groups[at].total()).sum()
        };
        let groups = self.groups.iter().enumerate();
        groups
            .flat_map(|(at, group)| {
                let streams = group.streams();
                streams.map(move |(_, stream)| audience(self.room_of(at)) * group.senders(&stream))
            })
            .sum()
    }
}

/// What a group does that the dialect has no words for.
fn unknown_to(dialect: Dialect, group: &Group) -> Option<String> {
    if matches!(dialect, Dialect::Text | Dialect::Quick) {
        return None;
    }
    if let Some((kind, _)) = group.streams().find(|(kind, _)| *kind != Kind::Chat) {
        return Some(format!("a {}", kind.name()));
    }
    if group.list {
        return Some("a list to follow".to_owned());
    }
    if dialect == Dialect::Quic && group.reads != Reads::Always {
        return Some("a slow reader".to_owned());
    }
    let how = group.abuse.map(|abuse| abuse.how)?;
    let unknown = match dialect {
        Dialect::Quic => !matches!(
            how,
            Nuisance::Silent | Nuisance::Connects | Nuisance::Flood | Nuisance::Channels
        ),
        _ => matches!(how, Nuisance::BadJson | Nuisance::HugeFrames),
    };
    unknown.then(|| "such abuse".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::scenario::load_text;

    #[track_caller]
    fn check(change: (&str, &str), said: &str) {
        let text = "about = \"x\"\nmeasure_s = 5\n[[group]]\nname = \"a\"\nmembers = 10\nnotes = { rate = 5 }\n\
                    [[group]]\nname = \"b\"\nmembers = 2\nwith = \"a\"\nreads = \"never\"\n";
        load_text("x", text, &[]).expect("good as it is");
        let error = load_text("x", &text.replacen(change.0, change.1, 1), &[]).expect_err(said);
        assert!(error.to_string().contains(said), "{error}");
    }

    #[test]
    fn contradictions_are_named() {
        check(("measure_s = 5", "measure_s = 0"), "`measure_s` is 0");
        check(("measure_s = 5", "memory_at = [13]"), "at most 12 connections");
        check(("measure_s = 5", "headline = \"nots\""), "one of note");
        check(("measure_s = 5", "probes = 0.0"), "above 0 and at most 1");
        check(("measure_s = 5", "in_flight = 0"), "`in_flight` is 0");
        check(("members = 10", "members = 0"), "at least 1");
        check(("members = 10", "members = 50_000"), "accounting = \"totals\"");
        check(("members = 10", "channels = 3\nmembers = 10"), "`channels` is 3");
        check(("rate = 5", "rate = 0"), "from 0.001 to 100000");
        let long = "measure_s = 100_000\nprobes = 0.1";
        check(
            (
                "measure_s = 5\n[[group]]\nname = \"a\"\nmembers = 10\nnotes = { rate = 5 }",
                &format!(
                    "{long}\n[[group]]\nname = \"a\"\nmembers = 10\nnotes = {{ rate = 50_000 }}"
                ),
            ),
            "measure for less long",
        );
        check(("rate = 5", "rate = 5, senders = 11"), "11 of 10 members");
        check(("rate = 5", "rate = 5, size = 0"), "1 to 1000 notes");
        check(("name = \"b\"", "name = \"a\""), "each stands once");
        check(("with = \"a\"", "with = \"c\""), "no group is called");
        check(("with = \"a\"", "chat = { rate = 1 }"), "a group that stays and reads");
        check(("\"never\"", "{ slowly = 0 }"), "reads \"never\"");
        check(("measure_s = 5", "dialect = \"line\""), "a note does not exist with dialect");
        check(("rate = 5 }", "rate = 5 }\nseats = false"), "`seats = true`");
    }
}
