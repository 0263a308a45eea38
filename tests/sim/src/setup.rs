//! What a run is like: drawn from its seed, so that each run is another server under another load.

use crate::{draw::Draw, storage::Kind};
use std::{sync::Arc, time::Duration};
use tutti_shards::{Busy, Config, CrownOnLeave, Hot, NumberKey, QuotaPreset, Rate};

/// What peers do. Each run switches some of it off entirely, so that the rest happens in combinations that a mixture
/// of everything would never show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is the command of the same name")]
pub enum Op {
    Join,
    Pipeline,
    Chat,
    Notes,
    Cursor,
    Profile,
    Settings,
    Crown,
    Direct,
    Custom,
    List,
    Time,
    Speak,
    Ban,
    Bye,
    Vanish,
    Admin,
    Hello,
    /// Done by an operator, not by a peer.
    Operate,
}

/// All of them, with how often each is done.
const OPS: [(Op, u32); 19] = [
    (Op::Join, 12),
    (Op::Pipeline, 6),
    (Op::Chat, 16),
    (Op::Notes, 24),
    (Op::Cursor, 16),
    (Op::Profile, 4),
    (Op::Settings, 3),
    (Op::Crown, 4),
    (Op::Direct, 3),
    (Op::Custom, 5),
    (Op::List, 4),
    (Op::Time, 3),
    (Op::Speak, 3),
    (Op::Ban, 4),
    (Op::Bye, 2),
    (Op::Vanish, 3),
    (Op::Admin, 2),
    (Op::Hello, 1),
    (Op::Operate, 1),
];

/// The rooms of a run: few, so that peers meet.
const ROOMS: [&str; 8] =
    ["lobby", "alpha", "beta", "test/x", "lobby2", "gamma", "test/awkward", "delta"];

/// A run's circumstances.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each field says what it is")]
pub struct Setup {
    pub shards: u16,
    pub peers: usize,
    /// Sessions that sit in many rooms, how many people they are, and whether they have rooms of their own and act on
    /// each other.
    pub sessions: usize,
    pub session_users: usize,
    pub private: bool,
    pub govern: bool,
    /// Of 100 peers, how many are terminals.
    pub terminals: u64,
    pub steps: u64,
    pub phases: u32,
    pub ops: Vec<(Op, u32)>,
    pub rooms: Vec<&'static str>,
    /// Users that several connections share; 0 for none.
    pub shared_users: u64,
    pub config: Arc<Config>,
    /// Whether rates, quotas and capacities are in force.
    pub limits: bool,
    /// Most parcels that wait in front of a shard.
    pub mesh_capacity: usize,
    pub mesh_delay_max_us: u64,
    /// Bytes that a socket holds between server and peer.
    pub socket_bytes: usize,
    /// Of 100 peers, how many read slowly, and how many not at all for a long time.
    pub slow: u64,
    pub stalled: u64,
    /// Of 100 steps, how many jump ahead in time.
    pub jump: u64,
    /// How good the storage is.
    pub storage: Kind,
    /// Whether the server crashes between two phases and starts again.
    pub crashes: bool,
    /// Whether the server is stopped at the end instead of settling.
    pub stop: bool,
    /// Whether a flush may hold notes and cursors back.
    pub bulk_waits: bool,
}

impl Setup {
    /// Draws the circumstances of a run.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw::new(seed, 1);
        let shards = draw.within(1, 6) as u16;
        let size = draw.below(100);
        let (peers, steps) = match size {
            0..60 => (draw.within(2, 20), draw.within(200, 1_500)),
            60..96 => (draw.within(10, 80), draw.within(500, 2_500)),
            96..99 => (draw.within(80, 300), draw.within(2_000, 6_000)),
            _ => (draw.within(500, 1_200), draw.within(8_000, 12_000)),
        };
        let all_on = draw.chance(15);
        let ops = OPS
            .into_iter()
            .filter(|&(op, _)| op == Op::Join || all_on || draw.chance(65))
            .collect();
        let limits = draw.chance(30);
        let rooms = ROOMS[..draw.within(1, ROOMS.len() as u64) as usize].to_vec();
        let config = config(&mut draw, limits);
        // A stream of its own, so that runs are otherwise what they were before there was storage.
        let mut draw_storage = Draw::new(seed, 11);
        let storage = match draw_storage.below(100) {
            0..35 => Kind::Off,
            35..75 => Kind::Good,
            75..90 => Kind::Bad,
            _ => Kind::Gone,
        };
        // Longer than any delay and any jump in time, or shorter than some.
        let patience = match storage {
            Kind::Good => Duration::from_secs(5),
            _ => Duration::from_millis(*draw_storage.pick(&[100, 500])),
        };
        let config = Config { storage: (storage != Kind::Off).then_some(patience), ..config };
        let crashes = draw_storage.chance(50);
        // The same again, for what there was before there were sessions.
        let mut draw_sessions = Draw::new(seed, 12);
        let sessions = match draw_sessions.below(100) {
            0..50 => 0,
            50..95 => draw_sessions.within(1, 12),
            _ => draw_sessions.within(12, 40),
        };
        let (private, govern) = (draw_sessions.chance(60), draw_sessions.chance(60));
        let session_users = draw_sessions.within(1, 14) as usize;
        let busy = Busy {
            rate: draw_sessions.within(1, 4) as u32,
            cool_rate: 1,
            cool_after: Duration::from_secs(draw_sessions.within(0, 3)),
            window: Duration::from_secs(draw_sessions.within(1, 10)),
        };
        let number_key = NumberKey([draw_sessions.bits(), draw_sessions.bits()]);
        let config = match sessions {
            0 => config,
            _ => Config { busy, number_key, ..config },
        };
        // And again, for what there was before there were terminals among the others.
        let mut draw_terminals = Draw::new(seed, 15);
        let terminals = *draw_terminals.pick(&[0, 15, 50, 50]);
        Setup {
            shards,
            terminals,
            peers: peers as usize,
            sessions: sessions as usize,
            session_users,
            private,
            govern,
            steps,
            phases: draw.within(1, 3) as u32,
            ops,
            rooms,
            shared_users: if draw.chance(60) { draw.within(1, 6) } else { 0 },
            config: Arc::new(config),
            storage,
            crashes,
            limits,
            mesh_capacity: *draw.pick(&[2, 8, 64, 1_024]),
            mesh_delay_max_us: *draw.pick(&[0, 200, 2_000, 20_000, 200_000]),
            socket_bytes: *draw.pick(&[300, 1_000, 4_000, 100_000, 1_000_000]),
            slow: *draw.pick(&[0, 0, 10, 50]),
            stalled: *draw.pick(&[0, 0, 5, 20]),
            jump: *draw.pick(&[0, 1, 3, 10]),
            stop: draw.chance(25),
            bulk_waits: draw.chance(40),
        }
    }

    /// Whether peers do this in this run.
    #[must_use]
    pub fn does(&self, op: Op) -> bool {
        self.ops.iter().any(|&(other, _)| other == op)
    }
}

fn config(draw: &mut Draw, limits: bool) -> Config {
    let ms = Duration::from_millis;
    let mut config = Config {
        crown_on_leave: *draw.pick(&[CrownOnLeave::Transfer, CrownOnLeave::Drop]),
        crown_pickup: ms(*draw.pick(&[10, 500, 15_000])),
        channel_empty: ms(*draw.pick(&[0, 20, 500, 3_000])),
        chat_history: *draw.pick(&[0, 1, 5, 32]),
        // The piano shows all that is kept, so that checks need not tell the two apart.
        ring_messages: 0,
        cursor_tick: ms(*draw.pick(&[1, 40, 200])),
        directory_tick: ms(*draw.pick(&[1, 100, 500])),
        ..Config::default()
    };
    if draw.chance(75) {
        config.hot = Hot {
            promote_rate: draw.within(1, 5) as u32,
            promote_members: draw.within(2, 4) as u32,
            demote_rate: draw.within(1, 30) as u32,
            demote_after: ms(*draw.pick(&[0, 100, 2_000])),
            max: draw.within(1, 4) as u32,
        };
    }
    config.hot.demote_after = config.hot.demote_after.min(ms(2_000));
    if draw.chance(25) {
        (config.ping_after, config.silence_max) = (ms(300), ms(1_500));
    }
    if !limits {
        config = config.without_limits();
    }
    if draw.chance(50) {
        config.lobby_capacity = Some(draw.within(1, 6) as u32);
    }
    if limits {
        config.connections_per_user = Some(draw.within(1, 4) as u32);
        config.profiles_max = draw.within(1, 4) as u32;
        config.channels_max = *draw.pick(&[2, 4, 1_000]);
        config.bans_max = *draw.pick(&[1, 1_000]);
        config.quotas.tick = ms(*draw.pick(&[50, 2_000]));
        let preset = |n: u32| QuotaPreset { allowance: 2 * n, max: 6 * n };
        (config.quotas.lobby, config.quotas.normal, config.quotas.crown) =
            (preset(2), preset(4), preset(6));
        if draw.chance(50) {
            config.rates.join = Rate::new(2, 500);
            config.rates.profile = Rate::new(2, 500);
            config.rates.messages_in = Rate::new(200, 1_000);
        }
    }
    if draw.chance(25) {
        config.outbox_bytes_mark = draw.within(100, 2_000) as u32;
        config.outbox_bytes_max = config.outbox_bytes_mark + draw.within(500, 20_000) as u32;
    }
    if draw.chance(10) {
        config.outbox_bytes_total = draw.within(1_000, 50_000);
    }
    config
}
