//! Arriving, a run, and waiting for the rest of it.

use std::sync::Arc;

use anyhow::Result;

use super::orders::{Event, News, Outcome, Plan, SliceNews, Tallies, Timed};
use super::peer::{Peer, State};
use super::{Task, Worker};
use crate::books::{Books, Line, Person, Receiver, Terms};
use crate::histogram;
use crate::net::clock::thread_cpu_ns;
use crate::scenario::Reads;
use crate::schedule::{Pace, xorshift};
use crate::wire::{self, Mark};

/// Sends made in a row before the sockets are looked at again.
const SENDS_PER_TURN: usize = 64;
/// Arrivals without any progress for so long have failed, in microseconds.
const STUCK_US: u64 = 10_000_000;
/// So many refusals, and nobody in: the rest is not tried.
const REFUSALS_MAX: u64 = 50;
/// With so few people all are read from promptly.
const PROBES_MIN: usize = 20;
/// How long what is on the way is waited for when the run is to end now, in microseconds.
const HASTY_US: u64 = 1_000_000;
/// At the end slow readers read until nothing has come for so long, in microseconds, but not more often than that.
const WAKE_US: u64 = 250_000;
const WAKES_MAX: usize = 12;
/// How often it is looked whether everything has arrived, in microseconds.
const LOOK_US: u64 = 20_000;

/// The senders of a stream that are this thread's.
struct Voice {
    line: usize,
    pace: Pace,
}

impl Worker {
    /// Connects everybody of this thread among the first `until` people of the run.
    pub(super) fn arrive(&mut self, until: usize) -> Result<()> {
        let per_s = self.scenario.arrivals_per_s / self.threads as f64;
        let in_flight = self.scenario.in_flight.div_ceil(self.threads) as u64;
        let begin_us = self.clock.now_us();
        let (mut begun, mut progress_us) = (0_u64, begin_us);
        let (number, threads) = (self.number, self.threads);
        let mut next = (self.arrived..until).filter(|at| at % threads == number).peekable();
        self.arrived = until;
        let (mut asked, mut seen) = (self.asked(), (0, 0));
        loop {
            let now_us = self.clock.now_us();
            let seated = self.shared.seated_of(self.number);
            let gone = self.tallies.gone();
            if (seated, gone) != seen {
                (seen, progress_us) = ((seated, gone), now_us);
            }
            let under_way = asked.saturating_sub(seated + gone);
            let hopeless = gone >= REFUSALS_MAX && seated == 0;
            let stuck = now_us - progress_us > STUCK_US;
            if under_way == 0 && next.peek().is_none() || hopeless || stuck || self.shared.is_over()
            {
                break;
            }
            let mut room = in_flight.saturating_sub(under_way);
            let mut due_us = now_us;
            while room > 0 && next.peek().is_some() {
                if per_s > 0.0 {
                    due_us = begin_us + (begun as f64 * 1e6 / per_s) as u64;
                    if due_us > now_us {
                        break;
                    }
                }
                let Some(at) = next.next() else { break };
                let idx = self.seat_person(at);
                if !self.peers[idx as usize].nuisance {
                    begun += 1;
                    asked += 1;
                    room -= 1;
                    self.connect(idx, due_us)?;
                }
            }
            let until_us = if due_us > now_us { due_us } else { now_us + LOOK_US };
            self.do_tasks()?;
            self.turn(until_us)?;
        }
        for at in next {
            self.seat_person(at);
        }
        let seated = self.shared.seated_of(self.number);
        let failure = (seated < self.asked_in_all() && !self.shared.is_over()).then(|| {
            let wanted = self.asked_in_all();
            format!("{seated} of {wanted} people of a thread have a seat; {}", self.complaint())
        });
        let senders = self.senders_of_each_group();
        let ids = self.peers.iter().filter(|peer| {
            peer.state.is_ready()
                && (peer.person.index as usize) < senders[usize::from(peer.person.group)]
        });
        let ids = ids.map(|peer| (peer.id.clone(), peer.person)).collect();
        let arrival_us = self.timed.whole(Event::Arrival).clone();
        let _ = self.news.send(News::Arrived {
            ids,
            tallies: Box::new(self.tallies.clone()),
            arrival_us,
            failure,
        });
        Ok(())
    }

    fn complaint(&self) -> String {
        let Tallies { refused, closed, turned_out, .. } = &self.tallies;
        let all = [("refused", refused), ("sent away", closed), ("sent away", turned_out)];
        let all = all.into_iter().flat_map(|(how, map)| map.iter().map(move |it| (how, it)));
        match all.max_by_key(|(_, (_, n))| **n) {
            Some((how, (reason, n))) => format!("{n} were {how}: {reason}"),
            None => "the server does not answer".to_owned(),
        }
    }

    /// Honest people of this thread whose connections have been asked for and are not under way.
    fn asked(&self) -> u64 {
        self.shared.seated_of(self.number) + self.tallies.gone()
    }

    /// Honest people of this thread.
    fn asked_in_all(&self) -> u64 {
        self.peers.iter().filter(|peer| !peer.nuisance).count() as u64
    }

    /// Makes a person of the run, who is this thread's.
    fn seat_person(&mut self, everybody: usize) -> u32 {
        let group = self.offsets.partition_point(|&offset| offset <= everybody) - 1;
        let index = (everybody - self.offsets[group]) as u32;
        let settings = &self.scenario.groups[group];
        let person = Person { group: group as u16, index };
        let room = self.scenario.room_of(group) as u16;
        let channel = index % settings.channels as u32;
        let mut peer = Peer::new(person, room, channel, settings);
        // A fixed choice, spread over the channels and the order of arrival.
        let draw = xorshift(everybody as u64 ^ 0x9e37_79b9_7f4a_7c15)
            .wrapping_mul(0x2545_f491_4f6c_dd1d)
            >> 40;
        let chosen = (draw as f64) < self.scenario.probes * (1 << 24) as f64;
        let few = self.scenario.honest() <= PROBES_MIN;
        // Connections of one socket are read from together.
        let shared = self.quic.is_some();
        peer.prompt = chosen
            || shared
            || few
            || settings.list
            || settings.roams.is_some()
            || settings.abuse.is_some();
        self.peers.push(peer);
        (self.peers.len() - 1) as u32
    }

    fn senders_of_each_group(&self) -> Vec<usize> {
        let groups = self.scenario.groups.iter();
        groups
            .map(|group| {
                let most = group.streams().map(|(_, stream)| group.senders(&stream)).max();
                most.unwrap_or(0) * group.channels
            })
            .collect()
    }

    /// Sends what `plan` says, when it says so, and receives.
    pub(super) fn play(&mut self, plan: &Arc<Plan>) -> Result<()> {
        self.timed = Timed::new();
        self.window_us = plan.window_us;
        self.books = Some(self.open_books(plan));
        self.round_us = self.scenario.turn_us;
        let mut voices = self.voices(plan);
        let mut sent: Vec<Vec<u64>> =
            plan.lines.iter().map(|(line, _)| vec![0; line.n_senders()]).collect();
        self.start_roaming(plan.start_us);
        self.start_annoying(plan.start_us);
        let mut send_lag_us = histogram::empty();
        let mut slices = plan.slices_us.iter().copied().enumerate().peekable();
        let mut last = SliceMark::default();
        let (mut n_sent, dialect) = (0, self.scenario.dialect);
        let mut message = Vec::new();
        loop {
            let now_us = self.clock.now_us();
            if let Some(&(number, at_us)) = slices.peek()
                && now_us >= at_us
            {
                slices.next();
                self.tell_slice(plan, number, n_sent, &mut last);
            }
            let Some(&(_, mark_us)) = slices.peek() else { break };
            if self.shared.is_over() {
                break;
            }
            let mut due_us = mark_us;
            for Voice { line: at, pace } in &mut voices {
                let line = &plan.lines[*at].0;
                let most = if self.scenario.turn_us > 0 { usize::MAX } else { SENDS_PER_TURN };
                for _ in 0..most {
                    let Some(due) = pace.take(now_us) else { break };
                    let idx = self.own(line, due.sender);
                    if !self.peers[idx as usize].state.is_ready() {
                        continue;
                    }
                    let mark = Mark {
                        kind: line.kind,
                        sender: due.sender,
                        number: due.number,
                        intended_us: due.intended_us,
                    };
                    let room = self.peers[idx as usize].room_id;
                    wire::put(&mut message, dialect, mark, line.size, room);
                    match self.scenario.merge {
                        true => self.queue(idx, &message, dialect),
                        false => self.send(idx, &message, dialect),
                    }
                    sent[*at][due.sender as usize] = due.number + 1;
                    n_sent += 1;
                    if due.intended_us >= plan.window_us.0 {
                        send_lag_us.saturating_record((now_us - due.intended_us).max(1));
                    }
                }
                due_us = due_us.min(pace.next_us().unwrap_or(u64::MAX));
            }
            self.flush();
            due_us = due_us.min(self.do_tasks()?);
            self.turn(due_us)?;
        }
        self.agenda.clear();
        self.count_under_way();
        self.send_lag_us = send_lag_us;
        let _ = self.news.send(News::Played { sent });
        Ok(())
    }

    /// Who is on the way when the window ends has taken at least so long: without them the slowest would be missing.
    fn count_under_way(&mut self) {
        let now_us = self.clock.now_us();
        for peer in &self.peers {
            let group = &self.scenario.groups[usize::from(peer.person.group)];
            let since_us = peer.since_us;
            let within = (self.window_us.0..self.window_us.1.min(now_us)).contains(&since_us);
            if group.roams.is_none() || peer.state == State::Ready || !within {
                continue;
            }
            let event = if peer.state == State::Moving { Event::Join } else { Event::Back };
            self.timed.record(event, now_us - since_us);
            self.tallies.under_way += 1;
        }
    }

    fn open_books(&self, plan: &Plan) -> Books {
        let receivers = self.peers.iter().map(|peer| {
            let group = &self.scenario.groups[usize::from(peer.person.group)];
            Receiver {
                person: peer.person,
                room: peer.room,
                channel: peer.channel,
                steady: group.is_steady(),
                owed: !group.may_be_turned_out(),
                prompt: peer.prompt && group.reads == Reads::Always,
            }
        });
        Books::new(Terms {
            scenario: &self.scenario,
            exact: plan.exact,
            lines: &plan.lines,
            window_us: plan.window_us,
            directory: plan.directory.clone(),
            receivers: receivers.collect(),
        })
    }

    fn voices(&self, plan: &Plan) -> Vec<Voice> {
        let lines = plan.lines.iter().enumerate();
        lines
            .map(|(at, (line, schedule))| {
                let offset = self.offsets[line.group];
                let own = (0..line.n_senders() as u32)
                    .filter(|&sender| (offset + sender as usize) % self.threads == self.number);
                Voice { line: at, pace: Pace::new(schedule.clone(), own) }
            })
            .collect()
    }

    /// The place of a sender that is this thread's.
    fn own(&self, line: &Line, sender: u32) -> u32 {
        ((self.offsets[line.group] + sender as usize) / self.threads) as u32
    }

    fn tell_slice(&mut self, plan: &Plan, number: usize, sent: u64, last: &mut SliceMark) {
        let Some(books) = &mut self.books else { return };
        let headline = plan.headline.as_deref().unwrap_or_default();
        let mut latency_us = histogram::empty();
        for (account, (line, _)) in books.accounts.iter_mut().zip(&plan.lines) {
            if line.kind.name() == headline {
                latency_us += &account.slice_us;
                account.slice_us.reset();
            }
        }
        if let Some(slice_us) = self.timed.take_slice(headline) {
            latency_us += slice_us;
        }
        let faults = books.counts.faults() + self.tallies.faults();
        let now = SliceMark { sent, deliveries: books.counts.deliveries, faults };
        let _ = self.news.send(News::Slice(Box::new(SliceNews {
            number,
            thread: self.number,
            sent: now.sent - last.sent,
            deliveries: now.deliveries - last.deliveries,
            faults: now.faults - last.faults,
            connections: self.shared.seated_of(self.number),
            latency_us,
            cpu_ns: thread_cpu_ns(),
            tallies: self.tallies.clone(),
        })));
        *last = now;
    }

    /// Waits until everything has arrived that was sent, but not longer than `patience_us`, and tells what was found.
    pub(super) fn settle(&mut self, sent: &[Vec<u64>], patience_us: u64) -> Result<()> {
        self.hurry = true;
        self.wake_the_slow()?;
        let begin_us = self.clock.now_us();
        loop {
            let now_us = self.clock.now_us();
            let complete =
                self.books.as_ref().is_none_or(|books| books.is_complete(&self.scenario, sent));
            // What is on the way is not lost because somebody wants to go: a moment is left for it.
            let patience_us =
                if self.shared.is_over() { patience_us.min(HASTY_US) } else { patience_us };
            if complete || now_us >= begin_us + patience_us {
                break;
            }
            self.linger(LOOK_US.min(begin_us + patience_us - now_us))?;
        }
        // Anything that is sent twice would arrive now.
        self.linger(LOOK_US)?;
        self.hurry = false;
        let Some(books) = self.books.take() else { return Ok(()) };
        let (lost, surplus) = books.settle(&self.scenario, sent);
        let (mut streams_us, mut spreads) = (Vec::new(), Vec::new());
        for account in books.accounts {
            streams_us.push(account.latency_us);
            spreads.push(account.spreads);
        }
        let outcome = Outcome {
            counts: books.counts,
            lost: lost + books.counts.lost,
            surplus,
            streams_us,
            spreads,
            timed: std::mem::replace(&mut self.timed, Timed::new()),
            send_lag_us: std::mem::replace(&mut self.send_lag_us, histogram::empty()),
            tallies: self.tallies.clone(),
        };
        let _ = self.news.send(News::Settled(Box::new(outcome)));
        Ok(())
    }

    /// Lets slow readers read what is there. That they were turned out stands behind it, at the end of the stream.
    fn wake_the_slow(&mut self) -> Result<()> {
        let slow = self.peers.iter().enumerate().filter(|(_, peer)| {
            let group = &self.scenario.groups[usize::from(peer.person.group)];
            group.reads != Reads::Always && !peer.nuisance && peer.fd.is_some()
        });
        let slow: Vec<u32> = slow.map(|(idx, _)| idx as u32).collect();
        if slow.is_empty() {
            return Ok(());
        }
        self.unread.extend(slow);
        for _ in 0..WAKES_MAX {
            let before = self.tallies.bytes_received;
            self.linger(WAKE_US)?;
            if self.tallies.bytes_received == before {
                break;
            }
        }
        Ok(())
    }

    fn linger(&mut self, us: u64) -> Result<()> {
        let until_us = self.clock.now_us() + us;
        while self.clock.now_us() < until_us {
            self.turn(until_us)?;
        }
        Ok(())
    }

    /// Does what is due, and says when the next thing is.
    fn do_tasks(&mut self) -> Result<u64> {
        let now_us = self.clock.now_us();
        while let Some(std::cmp::Reverse((at_us, task))) = self.agenda.peek().copied() {
            if at_us > now_us {
                return Ok(at_us);
            }
            self.agenda.pop();
            match task {
                Task::Roam(idx) => self.roam(idx, at_us)?,
                Task::Return(idx) => self.come_back(idx)?,
                Task::Storm(group) => self.storm(group, at_us)?,
                Task::Annoy(idx) => self.annoy(idx, at_us)?,
                Task::Sip(idx) => self.sip(idx, at_us)?,
            }
        }
        Ok(u64::MAX)
    }

    pub(super) fn at(&mut self, at_us: u64, task: Task) {
        self.agenda.push(std::cmp::Reverse((at_us, task)));
    }

    /// A slow reader takes what it takes in a tenth of a second.
    fn sip(&mut self, idx: u32, at_us: u64) -> Result<()> {
        let peer = &self.peers[idx as usize];
        let group = usize::from(peer.person.group);
        if let Reads::Slowly(bytes_per_s) = self.scenario.groups[group].reads
            && peer.state == State::Ready
        {
            self.read_once(idx, (bytes_per_s / 10).max(1) as usize)?;
            self.at(at_us + 100_000, Task::Sip(idx));
        }
        Ok(())
    }

    /// Somebody has got a seat.
    pub(super) fn after_seat(&mut self, idx: u32) {
        let group = usize::from(self.peers[idx as usize].person.group);
        if matches!(self.scenario.groups[group].reads, Reads::Slowly(_)) {
            self.at(self.clock.now_us() + 100_000, Task::Sip(idx));
        }
    }

    /// Forgets what happened before a reset.
    pub(super) fn forget(&mut self) {
        self.tallies = Tallies::default();
        self.timed = Timed::new();
    }
}

/// Totals at the last slice.
#[derive(Default)]
struct SliceMark {
    sent: u64,
    deliveries: u64,
    faults: u64,
}
