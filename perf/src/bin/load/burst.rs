//! One broadcast at a time into a large channel: how long from the first delivery to the last.

use anyhow::Result;

use crate::fleet::{Fleet, Sink};
use crate::message::{each_message, note_time_us};
use crate::notes::put_note;
use crate::outcome::{Outcome, latency_histogram};

#[derive(Default)]
struct Counter {
    intended_us: u64,
    received: usize,
    first_us: u64,
    last_us: u64,
}

impl Sink for Counter {
    fn frame(&mut self, _: usize, payload: &[u8], now_us: u64) {
        each_message(payload, b'n', |message| {
            if note_time_us(message) == Some(self.intended_us) {
                if self.received == 0 {
                    self.first_us = now_us;
                }
                self.last_us = now_us;
                self.received += 1;
            }
        });
    }
}

/// `broadcasts` notes by one of `members` people, after a tenth as many for warm-up.
pub(crate) fn run(fleet: &mut Fleet, members: usize, broadcasts: usize) -> Result<Outcome> {
    let mut spread_us = latency_histogram();
    let mut to_first_us = latency_histogram();
    let mut to_last_us = latency_histogram();
    let mut incomplete = 0;
    let mut message = Vec::new();
    let mut counter = Counter::default();
    let warm = broadcasts.div_ceil(10);
    for i in 0..warm + broadcasts {
        let intended_us = fleet.clock.now_us();
        counter = Counter { intended_us, ..Counter::default() };
        put_note(&mut message, intended_us, 1);
        fleet.send(0, &message)?;
        let deadline_us = intended_us + 2_000_000;
        while counter.received < members - 1 && fleet.clock.now_us() < deadline_us {
            fleet.poll(deadline_us, &mut counter)?;
        }
        if i >= warm {
            incomplete += usize::from(counter.received != members - 1);
            spread_us.saturating_record((counter.last_us - counter.first_us).max(1));
            to_first_us.saturating_record(counter.first_us.saturating_sub(intended_us).max(1));
            to_last_us.saturating_record(counter.last_us.saturating_sub(intended_us).max(1));
        }
        fleet.linger(0.01, &mut counter)?;
    }
    let mut outcome = Outcome::new("burst");
    outcome.put("members", members);
    outcome.put("broadcasts", broadcasts);
    outcome.put("incomplete", incomplete);
    outcome.put("last_received", counter.received);
    outcome.put_latency("first_to_last", &spread_us);
    outcome.put_latency("send_to_first", &to_first_us);
    outcome.put_latency("send_to_last", &to_last_us);
    Ok(outcome)
}
