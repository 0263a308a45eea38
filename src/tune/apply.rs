//! `tutti tune apply`: plan, write down, change, and write the files that make it last.

use super::files::{self, Desired, Found};
use super::state::{self, Changed, Queues, State};
use super::{Outcome, Shown, Step, TuneError, Tuner, same, value};
use crate::check::{Finding, Level, Scope, hidden};
use std::io;

impl Tuner<'_> {
    pub(super) fn apply(mut self) -> Result<Outcome, TuneError> {
        let mut state = State::read(&self.host)?;
        state.forget_other_boots(&self.boot);
        // A file that is somebody's ends it before anything is changed: what is set now would be lost at the next boot.
        let sysctl_path = files::sysctl(&[]).path;
        if let Found::Foreign(why) = files::look(&self.host, &sysctl_path)
            && !self.options.force
        {
            let detail = format!("{sysctl_path} {why}");
            let remedy = "look at it, and take it away or use --force; nothing was changed";
            self.findings.push(Finding::fail("files", detail, remedy));
            return Ok(self.outcome());
        }
        let mut steps = self.plan();
        if self.options.dry_run {
            // As if all of it had been done.
            for step in &steps {
                self.note(&mut state, step);
            }
            self.done = steps;
            for desired in self.desired(&state, true) {
                self.settle_file(&mut state, &desired);
            }
            self.advise();
            return Ok(self.outcome());
        }
        // New queues have interrupts and masks of their own, which are seen only when they are there.
        let is_queues = |step: &Step| matches!(step, Step::Queues { .. });
        if let Some(queues) = steps.iter().find(|step| is_queues(step)).cloned() {
            self.findings.clear();
            self.carry_out(&mut state, vec![queues])?;
            steps = self.plan();
            steps.retain(|step| !is_queues(step));
        }
        self.carry_out(&mut state, steps)?;
        for desired in self.desired(&state, false) {
            self.settle_file(&mut state, &desired);
        }
        state.save(&self.host)?;
        if self
            .done
            .iter()
            .any(|step| matches!(step, Step::File { path, .. } if path.contains("/systemd/")))
        {
            let detail = format!("limits of {} hold from its next start", self.options.unit);
            let mut finding = Finding::ok("service", detail);
            let unit = &self.options.unit;
            finding.remedy = Some(format!("systemctl daemon-reload && systemctl restart {unit}"));
            self.findings.push(finding);
        }
        self.advise();
        Ok(self.outcome())
    }

    /// Writes down what is to be changed, and changes it.
    fn carry_out(&mut self, state: &mut State, steps: Vec<Step>) -> Result<(), TuneError> {
        for step in &steps {
            self.note(state, step);
        }
        state.save(&self.host)?;
        for step in steps {
            match self.make(&step) {
                Ok(()) => {
                    self.read_back(state, &step);
                    self.done.push(step);
                }
                Err(error) => self.failed(state, &step, &error),
            }
        }
        Ok(())
    }

    /// What is left to do, without the files.
    fn plan(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (setting, found, mut better, lowers) in files::short(&self.host, &self.demand) {
            let withheld = if lowers && !self.options.force {
                Some("it would be lowered; --force does")
            } else if setting.scope == Scope::Module && !self.options.conntrack {
                Some("the firewall's table is changed only with --conntrack")
            } else {
                None
            };
            if let Some(why) = withheld {
                let detail = format!("{} is {found}, wanted is {better}", setting.key);
                let finding = Finding::warn(setting.name, detail, why);
                self.findings.push(finding.with_effect(setting.effect));
                continue;
            }
            if let Some(larger) = files::larger_elsewhere(&self.host, setting.key, &better) {
                better = larger;
            }
            let path = setting.path();
            steps.push(Step::Value { what: "setting", path, before: found, after: better });
        }
        if let Some(mut hidden) = hidden(&self.demand, &self.host) {
            let place = if self.is_in_container() { "this container" } else { "this namespace" };
            hidden.detail = hidden.detail.replacen("here", place, 1);
            hidden.level = Level::Warn;
            self.findings.push(hidden);
        }
        let (nic, findings) = self.nic();
        self.findings.extend(findings.into_iter().filter(|finding| finding.level > Level::Ok));
        steps.extend(nic);
        steps
    }

    /// Writes down what a step is about to change.
    fn note(&self, state: &mut State, step: &Step) {
        match step {
            Step::Value { path, before, after, .. } => {
                // What was there before the first of our changes, as long as it is still our value that is changed.
                let known = state.of(path).filter(|changed| same(path, &changed.after, before));
                let before = known.map_or_else(|| before.clone(), |changed| changed.before.clone());
                state.values.retain(|changed| changed.path != *path);
                state.values.push(Changed {
                    path: path.clone(),
                    before,
                    after: after.clone(),
                    boot: self.boot.clone(),
                });
            }
            Step::Queues { nic, before, after } => {
                let known =
                    state.queues.iter().find(|known| known.nic == *nic && known.after == *before);
                let before = known.map_or(*before, |known| known.before);
                state.queues.retain(|known| known.nic != *nic);
                let boot = self.boot.clone();
                state.queues.push(Queues { nic: nic.clone(), before, after: *after, boot });
            }
            Step::StopIrqbalance => state.irqbalance_stopped = Some(self.boot.clone()),
            Step::StartIrqbalance | Step::File { .. } => {}
        }
    }

    /// The kernel may keep a value in another form, or less than it was given.
    fn read_back(&mut self, state: &mut State, step: &Step) {
        let Step::Value { what, path, after, .. } = step else { return };
        let Some(now) = value(&self.host, path) else { return };
        if !same(path, &now, after) {
            let target = step.shown().target;
            let detail = format!("{target} was given {after}, and the kernel made {now} of it");
            self.findings.push(Finding::warn(
                what,
                detail,
                "that is the kernel's own limit; a smaller --conns may fit",
            ));
        }
        if let Some(changed) = state.values.iter_mut().find(|changed| changed.path == *path) {
            changed.after = now;
        }
    }

    fn failed(&mut self, state: &mut State, step: &Step, error: &io::Error) {
        let Shown { what, target, after, .. } = step.shown();
        let after = after.unwrap_or_default();
        let remedy = match step {
            Step::Value { path, .. } if state::is_setting(path) && self.is_in_container() => {
                format!(
                    "docker run --sysctl {target}={after}, or on the host sysctl -w {target}=\"{after}\""
                )
            }
            Step::Value { path, .. } if state::is_setting(path) => {
                format!("sysctl -w {target}=\"{after}\"")
            }
            Step::Value { path, .. } => format!("echo {after} > {path}"),
            Step::Queues { nic, .. } => format!("ethtool -L {nic} combined {after}"),
            _ => "systemctl stop irqbalance".to_owned(),
        };
        let detail = format!("{target} cannot be set to {after}: {error}");
        // Interrupts that the driver manages itself refuse it; that is no failure of the whole.
        let finding = if what == "irq" || self.is_in_container() {
            Finding::warn(what, detail, remedy)
        } else {
            Finding::fail(what, detail, remedy)
        };
        self.findings.push(finding);
        match step {
            Step::Value { path, before, .. } => {
                // An older note of the same value stays: it is what has to be put back.
                state.values.retain(|changed| {
                    changed.path != *path || !same(path, &changed.before, before)
                });
                if let Some(changed) = state.values.iter_mut().find(|c| c.path == *path) {
                    changed.after.clone_from(before);
                }
            }
            Step::Queues { nic, .. } => state.queues.retain(|known| known.nic != *nic),
            Step::StopIrqbalance => state.irqbalance_stopped = None,
            Step::StartIrqbalance | Step::File { .. } => {}
        }
    }

    /// The files as they should be. Settings that are no longer as we left them are no longer ours to set at boot: an
    /// operator's larger value would come back smaller. A value that is what it was before, in another boot, is one
    /// that the boot undid: a module that was loaded after the files were read, as the firewall's is. With `planned`
    /// they count as done.
    fn desired(&mut self, state: &State, planned: bool) -> Vec<Desired> {
        let ours: Vec<(String, String)> = state
            .values
            .iter()
            .filter(|changed| state::is_setting(&changed.path))
            .filter(|changed| {
                let now = value(&self.host, &changed.path);
                let to_come = planned
                    && self.done.iter().any(
                        |step| matches!(step, Step::Value { path, .. } if *path == changed.path),
                    );
                to_come
                    || now.is_some_and(|now| {
                        let undone =
                            changed.boot != self.boot && same(&changed.path, &now, &changed.before);
                        undone || same(&changed.path, &now, &changed.after)
                    })
            })
            .filter_map(|changed| Some((files::key_of(&changed.path)?, changed.after.clone())))
            .collect();
        self.findings.extend(files::undone_at_boot(&self.host, &ours));
        let drop_in = files::drop_in(&self.host, &self.demand, &self.options.unit);
        std::iter::once(files::sysctl(&ours)).chain(drop_in).collect()
    }

    /// Makes a file what it should be, when it is ours to write.
    fn settle_file(&mut self, state: &mut State, desired: &Desired) {
        let Desired { path, text } = desired;
        let found = files::look(&self.host, path);
        match (&found, text) {
            (Found::Nothing | Found::Foreign(_), None) => return,
            (Found::Ours(found), Some(text)) if found == text => return,
            (Found::Foreign(why), Some(_)) if !self.options.force => {
                let remedy = "look at it, and take it away or use --force";
                self.findings.push(Finding::warn("files", format!("{path} {why}"), remedy));
                return;
            }
            _ => {}
        }
        if !self.options.dry_run
            && let Err(error) = self.write_file(state, &found, path, text.as_deref())
        {
            let remedy = "what was set holds until the next boot; see to it, and apply again";
            self.findings.push(Finding::fail("files", error.to_string(), remedy));
            return;
        }
        self.done.push(Step::File { path: path.clone(), written: text.is_some() });
    }

    /// Writes or removes a file of ours, noting it first. Somebody's is put aside.
    fn write_file(
        &self,
        state: &mut State,
        found: &Found,
        path: &str,
        text: Option<&str>,
    ) -> Result<(), TuneError> {
        state.files.retain(|known| known != path);
        let Some(text) = text else { return files::remove(&self.host, path) };
        state.files.push(path.to_owned());
        state.save(&self.host)?;
        if matches!(found, Found::Foreign(_)) {
            files::put_aside(&self.host, path)?;
        }
        files::write(&self.host, path, text)
    }
}
