//! `tutti tune revert`: puts back what is still as `apply` left it, and names the rest.

use super::files::{self, Found};
use super::state::{self, Queues, State};
use super::{Outcome, Shown, Step, TuneError, Tuner, nic, same, value};
use crate::check::Finding;

impl Tuner<'_> {
    pub(super) fn revert(mut self) -> Result<Outcome, TuneError> {
        let mut state = State::read(&self.host)?;
        state.forget_other_boots(&self.boot);
        let mut left = state.clone();
        // Files first: a reboot in between then brings nothing back that is about to go.
        let usual = [files::sysctl(&[]).path, files::drop_in_path(&self.options.unit)];
        let unknown = usual.into_iter().filter(|path| !state.files.contains(path));
        for path in state.files.iter().cloned().chain(unknown) {
            let known = state.files.contains(&path);
            match files::look(&self.host, &path) {
                Found::Ours(_) => {
                    if !self.options.dry_run
                        && let Err(error) = files::remove(&self.host, &path)
                    {
                        let remedy = "see to it, and revert again";
                        self.findings.push(Finding::fail("files", error.to_string(), remedy));
                        continue;
                    }
                    self.done.push(Step::File { path: path.clone(), written: false });
                }
                Found::Foreign(why) if known => self.drift(&path, why),
                Found::Foreign(_) | Found::Nothing => {}
            }
            left.files.retain(|other| *other != path);
        }
        // Backwards, so that limits which contain each other go back in the order in which they came.
        for changed in state.values.iter().rev() {
            let step = Step::Value {
                what: if state::is_setting(&changed.path) { "setting" } else { "nic" },
                path: changed.path.clone(),
                before: changed.after.clone(),
                after: changed.before.clone(),
            };
            match value(&self.host, &changed.path) {
                None => self.drift(&step.shown().target, "is not there any more"),
                Some(now) if same(&changed.path, &now, &changed.after) => {
                    if !self.put_back(step) {
                        continue;
                    }
                }
                Some(now) if same(&changed.path, &now, &changed.before) => {}
                Some(now) => {
                    let ours = &changed.after;
                    let why = format!("is {now}, which is not ours ({ours}), and stays");
                    self.drift(&step.shown().target, &why);
                }
            }
            left.values.retain(|other| other.path != changed.path);
        }
        for Queues { nic, before, after, .. } in &state.queues {
            let step = Step::Queues { nic: nic.clone(), before: *after, after: *before };
            match nic::channels(&self.host, nic) {
                None => self.drift(nic, "does not tell its queues any more"),
                Some((_, now)) if now == *after => {
                    if !self.put_back(step) {
                        continue;
                    }
                }
                Some((_, now)) if now == *before => {}
                Some((_, now)) => {
                    let why =
                        format!("has {now} queues, which is not ours ({after}), and keeps them");
                    self.drift(nic, &why);
                }
            }
            left.queues.retain(|other| other.nic != *nic);
        }
        if state.irqbalance_stopped.is_some() && self.put_back(Step::StartIrqbalance) {
            left.irqbalance_stopped = None;
        }
        if !self.options.dry_run {
            left.save(&self.host)?;
        }
        Ok(self.outcome())
    }

    fn drift(&mut self, target: &str, what: &str) {
        let remedy = "none needed, if that was meant";
        self.findings.push(Finding::warn("drift", format!("{target} {what}"), remedy));
    }

    /// Whether a step back was made.
    fn put_back(&mut self, step: Step) -> bool {
        if !self.options.dry_run
            && let Err(error) = self.make(&step)
        {
            let Shown { what, target, after, .. } = step.shown();
            let after = after.unwrap_or_default();
            let detail = format!("{target} cannot be put back to {after}: {error}");
            self.findings.push(Finding::fail(what, detail, "see to it, and revert again"));
            return false;
        }
        self.done.push(step);
        true
    }
}
