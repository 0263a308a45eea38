//! Benchmarks of Tutti: the floor and the peers that it is held against, and the reports on them.
//!
//! `run.sh` runs servers under `tutti-loadgen`, one result file a run, and `report` makes the pages of them:
//! - `floor`: the least that a server can do and still be driven by the same load. It parses next to
//!   nothing and sends the same bytes to as many sockets, so its cost is the cost of the kernel.
//! - `report`: tables, plots and sentences, from result files alone.
//!
//! Nothing here uses the server's code: a mistake made twice the same way would never be seen.
//!
//! Reading order: [`figures`] (what was measured), [`rows`] (budgets), [`curves`] (plots), [`scaling`] (what follows for
//! larger hosts), [`report`] (the page); [`ws`] and [`poller`] are the floor's.

pub mod figures;

pub mod rows;

pub mod curves;

pub mod scaling;

pub mod report;

pub mod peers;

pub mod poller;
pub mod ws;
