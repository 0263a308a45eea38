//! What is left of a run to be looked at.

/// What a run came to.
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs, reason = "each field says what it is")]
pub struct Report {
    pub steps: u64,
    pub virtual_us: u64,
    pub connections: u64,
    pub received: u64,
    /// Messages that terminals received.
    pub at_terminals: u64,
    pub handovers: u64,
    pub promotions: u64,
    pub demotions: u64,
    pub closed_backlog: u64,
    pub cursors_held: u64,
    pub ordered: u64,
    pub confirmed: u64,
    /// Seats that sat down, what they were told, and what of it was compared with what another was told.
    pub seated: u64,
    /// What they asked while they ended.
    pub undone: u64,
    pub told: u64,
    pub compared: u64,
    pub states_compared: u64,
    pub trace: u64,
}
