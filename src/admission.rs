//! Who may connect: counts of the whole process, shared by the shards.
//!
//! Everything here runs once per connection or per wrong password, never per message, so a few locks and shared
//! atomics do no harm. What is granted is a guard, and its `Drop` gives it back on every path.
//!
//! **Invariants worth naming.** Memory is bounded by the number of connections that exist, plus a fixed table:
//! a flood of attempts from ever new addresses allocates nothing. One address's attempts never refuse another,
//! unless floods hit both of its slots in the same second: about one chance in 10^8 for each pair of flooding
//! addresses, and noticeable only from some 100,000 attempts a second in all.

use crate::address::AddressKey;
use crate::config::DoorLimits;
use crate::gate::Gate;
use ahash::RandomState;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// Locks that the counts per address are spread over.
const STRIPES: usize = 32;
/// Slots in each of the two rows that count attempts; 8 bytes each.
const ATTEMPT_SLOTS: usize = 16_384;
/// Most addresses whose wrong passwords are remembered; about 64 bytes each.
const GUESSERS_MAX: usize = 4_096;

/// Why a connection is refused. A peer is over our limits; the answer is HTTP 429, or 503 when the process is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The process has as many connections as it may.
    #[error("too many connections")]
    Connections,
    /// The address has as many connections as it may.
    #[error("too many connections from this address")]
    Address,
    /// The address tries too often.
    #[error("too many connection attempts from this address")]
    Attempts,
    /// The address is banned. The answer is HTTP 403.
    #[error("banned")]
    Banned,
    /// Operators let nobody in, or few, at the moment. The answer is HTTP 503; the text is the label.
    #[error("{0}")]
    Panic(&'static str),
}

impl Refused {
    /// How it is counted.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Refused::Connections => "connections",
            Refused::Address => "connections_per_address",
            Refused::Attempts => "accepts_per_second",
            Refused::Banned => "banned",
            Refused::Panic(label) => label,
        }
    }
}

/// How often each limit was hit and what is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AdmissionCounts {
    /// Connections that hold a grant.
    pub connections: u32,
    /// Addresses with at least one connection that counts.
    pub addresses: usize,
    /// Refusals for [`Refused::Connections`].
    pub refused_connections: u64,
    /// Refusals for [`Refused::Address`].
    pub refused_address: u64,
    /// Refusals for [`Refused::Attempts`].
    pub refused_attempts: u64,
    /// Wrong staff passwords.
    pub wrong_passwords: u64,
    /// Staff passwords that were ignored, right or wrong.
    pub ignored_passwords: u64,
}

/// The process's counts. Shared as `Arc<Admission>`; times are monotonic, from any fixed start.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<Gate>,
    limits: RwLock<Limits>,
    counts_loopback: bool,
    connections: AtomicU32,
    hasher: RandomState,
    addresses: [Mutex<HashMap<AddressKey, u32, RandomState>>; STRIPES],
    attempts: Attempts,
    guessers: Mutex<HashMap<AddressKey, Guesses, RandomState>>,
    refused: [AtomicU64; 3],
    wrong_passwords: AtomicU64,
    ignored_passwords: AtomicU64,
}

/// The limits in force. Copied out by whoever looks at them, so that none is held locked.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections_max: u32,
    per_address_max: Option<u32>,
    attempts_max: Option<u32>,
    guesses_max: u32,
    guess_window: Duration,
    guess_lockout: Duration,
}

impl Limits {
    fn of(limits: &DoorLimits) -> Self {
        Limits {
            connections_max: limits.connections.unwrap_or(u32::MAX),
            per_address_max: limits.connections_per_address,
            attempts_max: limits.accepts_per_second,
            guesses_max: limits.guesses,
            guess_window: limits.guess_window,
            guess_lockout: limits.guess_lockout,
        }
    }
}

impl Limits {
    fn forgotten_at(&self, guesses: &Guesses) -> Duration {
        guesses.ignored_until.max(guesses.window_start + self.guess_window)
    }
}

impl Admission {
    /// Starts counting, under these limits, those whom the gate lets in.
    #[must_use]
    pub fn new(limits: &DoorLimits, gate: Arc<Gate>) -> Self {
        let hasher = RandomState::new();
        Admission {
            gate,
            limits: RwLock::new(Limits::of(limits)),
            counts_loopback: false,
            connections: AtomicU32::new(0),
            addresses: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))),
            attempts: Attempts::new(),
            guessers: Mutex::new(HashMap::with_hasher(hasher.clone())),
            hasher,
            refused: Default::default(),
            wrong_passwords: AtomicU64::new(0),
            ignored_passwords: AtomicU64::new(0),
        }
    }

    /// Counts loopback addresses like others.
    #[must_use]
    pub fn with_loopback(mut self) -> Self {
        self.counts_loopback = true;
        self
    }

    fn exempts(&self, client: IpAddr) -> bool {
        client.to_canonical().is_loopback() && !self.counts_loopback
    }

    /// Whom it lets in at all.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// From now on these limits are in force. Whoever is connected stays.
    pub fn reconfigure(&self, limits: &DoorLimits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Limits::of(limits);
    }

    fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits an accepted connection to the process; [`Grant::charge`] follows as soon as the client's address is
    /// known, at the latest before the upgrade.
    ///
    /// # Errors
    /// [`Refused::Connections`] when there are as many as may be, [`Refused::Panic`] when operators let nobody in.
    pub fn admit(self: &Arc<Self>) -> Result<Grant, Refused> {
        self.gate.let_in().map_err(Refused::Panic)?;
        let max = self.limits().connections_max;
        let more = |count: u32| (count < max).then(|| count + 1);
        match self.connections.fetch_update(Relaxed, Relaxed, more) {
            Ok(_) => Ok(Grant { admission: Arc::clone(self), client: UNKNOWN }),
            Err(_) => Err(self.refuse(Refused::Connections)),
        }
    }

    /// Counts a connection attempt of a client, and looks whether its address has room for one more, without taking it:
    /// [`Grant::charge_known`] does once the connection stands. Attempts from addresses that somebody else may have
    /// written (`is_its_own` is false) are counted apart, so that they keep nobody out who can show its own. Loopback
    /// clients are exempt, unless they are counted.
    ///
    /// # Errors
    /// [`Refused::Banned`], [`Refused::Attempts`] or [`Refused::Address`].
    pub fn knock(&self, client: IpAddr, is_its_own: bool, now: Duration) -> Result<(), Refused> {
        self.not_banned(client)?;
        if self.exempts(client) {
            return Ok(());
        }
        let limits = self.limits();
        let key = AddressKey::of(client);
        let hash = self.hasher.hash_one((key, is_its_own));
        if let Some(max) = limits.attempts_max
            && self.attempts.count_hash(hash, now.as_secs()) > max
        {
            return Err(self.refuse(Refused::Attempts));
        }
        let count = self.stripe(key).get(&key).copied().unwrap_or(0);
        match limits.per_address_max {
            Some(max) if count >= max => Err(self.refuse(Refused::Address)),
            _ => Ok(()),
        }
    }

    /// Whether an address may try a staff password now: after [`DoorLimits::guesses`] wrong ones in
    /// [`DoorLimits::guess_window`] its passwords are ignored for [`DoorLimits::guess_lockout`], right ones too.
    #[must_use]
    pub fn may_guess(&self, client: IpAddr, now: Duration) -> bool {
        let guessers = lock(&self.guessers);
        let guesses = guessers.get(&AddressKey::of(client));
        let may = guesses.is_none_or(|guesses| now >= guesses.ignored_until);
        self.ignored_passwords.fetch_add(u64::from(!may), Relaxed);
        may
    }

    /// Notes a wrong staff password.
    pub fn wrong_guess(&self, client: IpAddr, now: Duration) {
        self.wrong_passwords.fetch_add(1, Relaxed);
        let limits = self.limits();
        let key = AddressKey::of(client);
        let mut guessers = lock(&self.guessers);
        if guessers.len() >= GUESSERS_MAX && !guessers.contains_key(&key) {
            guessers.retain(|_, guesses| limits.forgotten_at(guesses) > now);
            // All are recent: the one that would be forgotten first makes room.
            if guessers.len() >= GUESSERS_MAX
                && let Some(first) = guessers
                    .iter()
                    .min_by_key(|(key, guesses)| (limits.forgotten_at(guesses), **key))
                    .map(|(key, _)| *key)
            {
                guessers.remove(&first);
            }
        }
        let guesses = guessers.entry(key).or_insert(Guesses::since(now));
        if now >= guesses.window_start + limits.guess_window {
            *guesses = Guesses::since(now);
        }
        guesses.wrong += 1;
        if guesses.wrong >= limits.guesses_max {
            guesses.ignored_until = now + limits.guess_lockout;
        }
    }

    /// Whether no connection holds a grant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.load(Relaxed) == 0
    }

    /// What is in use and how often each limit was hit.
    #[must_use]
    pub fn counts(&self) -> AdmissionCounts {
        let refused = |counter: usize| self.refused[counter].load(Relaxed);
        AdmissionCounts {
            connections: self.connections.load(Relaxed),
            addresses: self.addresses.iter().map(|stripe| lock(stripe).len()).sum(),
            refused_connections: refused(0),
            refused_address: refused(1),
            refused_attempts: refused(2),
            wrong_passwords: self.wrong_passwords.load(Relaxed),
            ignored_passwords: self.ignored_passwords.load(Relaxed),
        }
    }

    fn not_banned(&self, client: IpAddr) -> Result<(), Refused> {
        match self.gate.ban_of_address(client) {
            None => Ok(()),
            Some(_) => {
                self.gate.count_banned();
                Err(self.refuse(Refused::Banned))
            }
        }
    }

    fn refuse(&self, why: Refused) -> Refused {
        let counter = match why {
            Refused::Connections => 0,
            Refused::Address => 1,
            // The gate counts what it turns away.
            Refused::Banned | Refused::Panic(_) => return why,
            Refused::Attempts => 2,
        };
        self.refused[counter].fetch_add(1, Relaxed);
        why
    }

    fn stripe(&self, key: AddressKey) -> MutexGuard<'_, HashMap<AddressKey, u32, RandomState>> {
        // The upper bits, because the maps inside use the lower ones of the same hash.
        lock(&self.addresses[(self.hasher.hash_one(key) >> 40) as usize % STRIPES])
    }
}

/// One connection's share of the counts, given back when it is dropped. It moves with its connection.
#[derive(Debug)]
#[must_use = "dropping the grant gives it back"]
pub struct Grant {
    admission: Arc<Admission>,
    /// Once it is charged, the client's address; one of IPv4 in mapped form, so that it takes 16 bytes. It is counted
    /// unless it is a loopback address.
    client: Ipv6Addr,
}

/// The client of a grant that is not charged. Nobody connects from there.
const UNKNOWN: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

impl Grant {
    /// The client's address, once it is known.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        (self.client != UNKNOWN).then(|| self.client.to_canonical())
    }

    fn counted(&self) -> Option<AddressKey> {
        self.client().filter(|&client| !self.admission.exempts(client)).map(AddressKey::of)
    }

    /// Counts the connection for its client's address. Loopback clients are exempt, unless
    /// [`Admission::with_loopback`] says otherwise.
    ///
    /// The address is that of the client, resolved behind trusted proxies. A grant is charged once.
    ///
    /// # Errors
    /// [`Refused::Banned`], [`Refused::Attempts`] or [`Refused::Address`]; the connection is then to be refused and the
    /// grant dropped.
    ///
    /// # Panics
    /// When the grant has been charged before.
    pub fn charge(&mut self, client: IpAddr, now: Duration) -> Result<(), Refused> {
        assert!(self.client == UNKNOWN, "a grant is charged once");
        let admission = &self.admission;
        admission.not_banned(client)?;
        let limits = admission.limits();
        if admission.exempts(client) {
            return self.count(client, None);
        }
        let key = AddressKey::of(client);
        if let Some(max) = limits.attempts_max
            && admission.attempts.count(&admission.hasher, key, now.as_secs()) > max
        {
            return Err(admission.refuse(Refused::Attempts));
        }
        self.count(client, limits.per_address_max)
    }

    /// The same for a client whose attempt [`Admission::knock`] has counted.
    ///
    /// # Errors
    /// [`Refused::Banned`] or [`Refused::Address`].
    ///
    /// # Panics
    /// When the grant has been charged before.
    pub fn charge_known(&mut self, client: IpAddr) -> Result<(), Refused> {
        assert!(self.client == UNKNOWN, "a grant is charged once");
        self.admission.not_banned(client)?;
        let max = self.admission.limits().per_address_max;
        self.count(client, max.filter(|_| !self.admission.exempts(client)))
    }

    /// Counts the connection for another address from now on, whatever that one has: who walks from one network to
    /// another is not cut off for it.
    pub fn move_to(&mut self, client: IpAddr) {
        self.uncount();
        let counted = self.count(client, None);
        debug_assert!(counted.is_ok(), "without a limit there is none to be over");
    }

    /// Counts it without a limit, too: there may be one after the next reload.
    fn count(&mut self, client: IpAddr, max: Option<u32>) -> Result<(), Refused> {
        let mapped = match client.to_canonical() {
            IpAddr::V4(client) => client.to_ipv6_mapped(),
            IpAddr::V6(client) => client,
        };
        if !self.admission.exempts(client) && mapped != UNKNOWN {
            let mut counts = self.admission.stripe(AddressKey::of(client));
            let count = counts.entry(AddressKey::of(client)).or_insert(0);
            if max.is_some_and(|max| *count >= max) {
                drop(counts);
                return Err(self.admission.refuse(Refused::Address));
            }
            *count += 1;
        }
        self.client = mapped;
        Ok(())
    }

    fn uncount(&mut self) {
        let counted = self.counted();
        self.client = UNKNOWN;
        if let Some(key) = counted {
            let mut counts = self.admission.stripe(key);
            let count = counts.get_mut(&key).expect("a charged address is counted");
            *count -= 1;
            if *count == 0 {
                counts.remove(&key);
                // What a flood made the map grow to goes back once the flood has gone.
                if counts.capacity() > 64 && counts.len() < counts.capacity() / 8 {
                    counts.shrink_to_fit();
                }
            }
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.uncount();
        let before = self.admission.connections.fetch_sub(1, Relaxed);
        assert!(before > 0, "as many grants are given back as were given");
    }
}

/// Attempts of the current second, counted in two rows of slots that the address's keyed hash selects. The lower
/// count of the two holds, so an address is only mistaken for another that shares both slots.
#[derive(Debug)]
struct Attempts {
    /// The second in the upper half, the count in the lower.
    slots: Box<[AtomicU64]>,
}

impl Attempts {
    fn new() -> Self {
        Attempts { slots: (0..2 * ATTEMPT_SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one more and returns how many this second has had.
    fn count(&self, hasher: &RandomState, key: AddressKey, second: u64) -> u32 {
        self.count_hash(hasher.hash_one(key), second)
    }

    fn count_hash(&self, hash: u64, second: u64) -> u32 {
        let (first, other) = self.slots.split_at(self.slots.len() / 2);
        let in_row = |row: &[AtomicU64], hash: u64| {
            row.get(hash as usize % ATTEMPT_SLOTS)
                .map_or(0, |slot| count_in_slot(slot, second as u32))
        };
        in_row(first, hash).min(in_row(other, hash >> 32))
    }
}

fn count_in_slot(slot: &AtomicU64, second: u32) -> u32 {
    let next = |packed: u64| match ((packed >> 32) as u32, packed as u32) {
        (of, count) if of == second => pack(second, count.saturating_add(1)),
        _ => pack(second, 1),
    };
    let mut packed = slot.load(Relaxed);
    loop {
        match slot.compare_exchange_weak(packed, next(packed), Relaxed, Relaxed) {
            Ok(_) => return next(packed) as u32,
            Err(now) => packed = now,
        }
    }
}

fn pack(second: u32, count: u32) -> u64 {
    u64::from(second) << 32 | u64::from(count)
}

#[derive(Debug)]
struct Guesses {
    window_start: Duration,
    wrong: u32,
    ignored_until: Duration,
}

impl Guesses {
    fn since(now: Duration) -> Self {
        Guesses { window_start: now, wrong: 0, ignored_until: Duration::ZERO }
    }
}

/// The counts are whole after every statement, so a panic elsewhere while a lock was held leaves them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn admission(connections: u32, per_address: u32, attempts: u32) -> Arc<Admission> {
        let limits = DoorLimits {
            connections: Some(connections),
            connections_per_address: Some(per_address),
            accepts_per_second: Some(attempts),
            ..limits("")
        };
        Arc::new(Admission::new(&limits, Arc::default()))
    }

    fn connect(admission: &Arc<Admission>, client: &str) -> Result<Grant, Refused> {
        let mut grant = admission.admit()?;
        grant.charge(client.parse().unwrap(), NOW)?;
        Ok(grant)
    }

    #[test]
    fn process_limit_is_exact_and_given_back() {
        let admission = admission(2, 100, 100);
        let first = connect(&admission, "127.0.0.1").unwrap();
        let _second = connect(&admission, "203.0.113.1").unwrap();
        assert_eq!(connect(&admission, "203.0.113.2").unwrap_err(), Refused::Connections);
        drop(first);
        let _third = connect(&admission, "203.0.113.2").unwrap();
        assert_eq!(admission.counts().connections, 2);
        assert_eq!(admission.counts().refused_connections, 1);
    }

    #[test]
    fn address_limit_counts_a_64_together_and_others_apart() {
        let admission = admission(100, 2, 100);
        let _one = connect(&admission, "2001:db8::1").unwrap();
        let two = connect(&admission, "2001:db8::2").unwrap();
        assert_eq!(connect(&admission, "2001:db8::3").unwrap_err(), Refused::Address);
        let _other = connect(&admission, "2001:db8:0:1::3").unwrap();
        drop(two);
        let _three = connect(&admission, "2001:db8::3").unwrap();
        assert_eq!(admission.counts().connections, 3, "refused ones hold nothing");
        assert_eq!(admission.counts().refused_address, 1);
    }

    #[test]
    fn loopback_clients_are_exempt_from_what_counts_addresses() {
        let admission = admission(100, 1, 1);
        let grants: Vec<_> = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::1"]
            .map(|client| connect(&admission, client).unwrap())
            .into();
        assert_eq!(admission.counts().addresses, 0);
        drop(grants);
        assert_eq!(admission.counts().connections, 0);
    }

    #[test]
    fn attempts_are_counted_by_the_second_even_when_refused() {
        let admission = admission(1_000, 1, 3);
        let client = "203.0.113.1".parse().unwrap();
        let attempt = |now| admission.admit().unwrap().charge(client, now);
        let kept = connect(&admission, "203.0.113.1").unwrap();
        assert_eq!(attempt(NOW), Err(Refused::Address));
        assert_eq!(attempt(NOW), Err(Refused::Address));
        assert_eq!(attempt(NOW), Err(Refused::Attempts));
        drop(kept);
        assert_eq!(attempt(NOW + Duration::from_millis(999)), Err(Refused::Attempts));
        assert_eq!(attempt(NOW + Duration::from_secs(1)), Ok(()));
        drop(connect(&admission, "203.0.113.2").unwrap());
    }

    #[test]
    fn who_knocks_takes_nothing_and_forged_addresses_keep_nobody_out() {
        let admission = admission(100, 1, 3);
        let client = "203.0.113.1".parse().unwrap();
        for _ in 0..3 {
            admission.knock(client, false, NOW).unwrap();
        }
        assert_eq!(admission.knock(client, false, NOW), Err(Refused::Attempts));
        assert_eq!(admission.counts().addresses, 0);
        admission.knock(client, true, NOW).unwrap();
        let mut grant = admission.admit().unwrap();
        grant.charge_known(client).unwrap();
        assert_eq!(admission.knock(client, true, NOW), Err(Refused::Address));
        let mut second = admission.admit().unwrap();
        assert_eq!(second.charge_known(client), Err(Refused::Address));
        drop(second);
        drop(grant);
        admission.knock(client, true, NOW).unwrap();
        assert_eq!(admission.counts().connections, 0);
        let local = "127.0.0.1".parse().unwrap();
        assert!((0..10).all(|_| admission.knock(local, false, NOW).is_ok()));
    }

    #[test]
    fn who_moves_counts_for_the_new_address_even_when_it_is_full() {
        let admission = admission(100, 1, 100);
        let mut walker = connect(&admission, "203.0.113.1").unwrap();
        let stays = connect(&admission, "203.0.113.2").unwrap();
        walker.move_to("203.0.113.2".parse().unwrap());
        let _first = connect(&admission, "203.0.113.1").unwrap();
        drop(stays);
        assert_eq!(connect(&admission, "203.0.113.2").unwrap_err(), Refused::Address);
        walker.move_to("127.0.0.1".parse().unwrap());
        let _second = connect(&admission, "203.0.113.2").unwrap();
        assert_eq!(admission.counts().addresses, 2);
        drop(walker);
    }

    #[test]
    fn limits_change_while_connections_are_there() {
        let mut limits = limits("limits.enabled = false");
        let admission = Arc::new(Admission::new(&limits, Arc::default()));
        let mut grants: Vec<_> =
            (0..100).map(|_| connect(&admission, "203.0.113.1").unwrap()).collect();
        limits.connections_per_address = Some(100);
        admission.reconfigure(&limits);
        assert_eq!(connect(&admission, "203.0.113.1").unwrap_err(), Refused::Address);
        grants.pop();
        let _again = connect(&admission, "203.0.113.1").unwrap();
        limits.connections = Some(0);
        admission.reconfigure(&limits);
        assert_eq!(admission.admit().unwrap_err(), Refused::Connections);
    }

    #[test]
    fn the_banned_hold_nothing_and_a_grant_knows_its_client() {
        let admission = admission(100, 100, 100);
        admission.gate().set_bans(vec![crate::storage::Ban {
            channel: None,
            target: "203.0.113.0/24".parse().unwrap(),
            reason: String::new(),
            moderator: String::new(),
            since_ms: 0,
            until_ms: None,
        }]);
        assert_eq!(connect(&admission, "203.0.113.1").unwrap_err(), Refused::Banned);
        assert_eq!(admission.counts().connections, 0);
        assert_eq!(admission.gate().counts().refused_banned, 1);
        for client in ["127.0.0.1", "198.51.100.1", "2001:db8::1"] {
            let grant = connect(&admission, client).unwrap();
            assert_eq!(grant.client(), Some(client.parse().unwrap()));
        }
        assert_eq!(admission.admit().unwrap().client(), None);
    }

    /// The limits that a configuration file sets.
    fn limits(file: &str) -> DoorLimits {
        let mut raw = crate::config::RawConfig::default();
        raw.add_file("t.toml", file).unwrap();
        let host = crate::config::HostCpus { allowed: vec![0], parallelism: 1 };
        crate::config::Config::new(&raw, &host).unwrap().limits
    }

    #[test]
    fn flood_of_addresses_leaves_nothing_behind() {
        let admission = admission(u32::MAX, 4, 30);
        let mut grants = Vec::new();
        for address in 0..20_000u32 {
            let mut grant = admission.admit().unwrap();
            let client = IpAddr::V4((0x0b00_0000 + address).into());
            grant.charge(client, NOW).unwrap();
            grants.push(grant);
        }
        assert_eq!(admission.counts().addresses, 20_000);
        drop(grants);
        assert_eq!(admission.counts(), AdmissionCounts::default());
        let capacity: usize = admission.addresses.iter().map(|map| lock(map).capacity()).sum();
        assert!(capacity <= STRIPES * 64, "{capacity}");
        assert_eq!(admission.attempts.slots.len(), 2 * ATTEMPT_SLOTS);
    }

    #[test]
    fn three_wrong_passwords_in_a_minute_are_ignored_for_ten() {
        let admission = admission(1, 1, 1);
        let client = "203.0.113.1".parse().unwrap();
        let other = "203.0.113.2".parse().unwrap();
        let at = |seconds| NOW + Duration::from_secs(seconds);
        admission.wrong_guess(client, at(0));
        admission.wrong_guess(client, at(59));
        assert!(admission.may_guess(client, at(59)));
        admission.wrong_guess(client, at(60));
        assert!(admission.may_guess(client, at(60)), "the first minute is over");
        admission.wrong_guess(client, at(61));
        admission.wrong_guess(client, at(62));
        assert!(!admission.may_guess(client, at(62)));
        assert!(!admission.may_guess(client, at(661)));
        assert!(admission.may_guess(other, at(62)));
        assert!(admission.may_guess(client, at(662)));
        admission.wrong_guess(client, at(662));
        assert!(admission.may_guess(client, at(662)), "counting starts anew");
    }

    #[test]
    fn guessers_are_bounded_and_the_ignored_stay() {
        let admission = admission(1, 1, 1);
        let ignored = "203.0.113.1".parse().unwrap();
        for _ in 0..3 {
            admission.wrong_guess(ignored, NOW);
        }
        for address in 0..(GUESSERS_MAX as u32 + 100) {
            admission.wrong_guess(IpAddr::V4((0x0b00_0000 + address).into()), NOW);
        }
        assert_eq!(lock(&admission.guessers).len(), GUESSERS_MAX);
        assert!(!admission.may_guess(ignored, NOW));
    }

    #[test]
    fn threads_never_exceed_the_limit_nor_lose_a_grant() {
        let admission = admission(50, 20, u32::MAX);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let admission = &admission;
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let client = format!("203.0.113.{}", (thread + round) % 3);
                        let held: Vec<_> =
                            (0..20).filter_map(|_| connect(admission, &client).ok()).collect();
                        assert!(admission.counts().connections <= 50);
                        drop(held);
                    }
                });
            }
        });
        let counts = admission.counts();
        assert_eq!((counts.connections, counts.addresses), (0, 0));
        assert!(counts.refused_connections + counts.refused_address > 0);
    }
}
