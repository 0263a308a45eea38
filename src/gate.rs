//! Who is let in at all: bans from the whole server, and the panic level. One for the process, whatever the door.
//!
//! It is asked once a connection and once a hello, never per message. Operators change it; the table of bans is
//! replaced as a whole, so that whoever looks something up holds no lock meanwhile.

use crate::address::{TrustedProxies, canonical_network};
use crate::storage::{Ban, BanTarget};
use ahash::RandomState;
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tutti_shards::UserId;

/// How much of a hurry operators are in. Each level does what those below it do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
#[repr(u8)]
pub enum Panic {
    /// Nothing is out of the ordinary.
    #[default]
    Calm = 0,
    /// New connections of the whole process are limited to `panic.connections_per_second`.
    Limited = 1,
    /// Guests (users first seen less than `panic.guest_ms` ago) are not heard.
    GuestsMuted = 2,
    /// Nobody new is let in.
    Closed = 3,
}

impl Panic {
    /// The level of a number.
    #[must_use]
    pub fn of(level: u8) -> Option<Self> {
        [Panic::Calm, Panic::Limited, Panic::GuestsMuted, Panic::Closed]
            .into_iter()
            .find(|panic| *panic as u8 == level)
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Panic::Calm => "normal",
            Panic::Limited => "new connections are limited",
            Panic::GuestsMuted => "new connections are limited, guests are muted",
            Panic::Closed => "no new connections, guests are muted",
        })
    }
}

/// How often somebody was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GateCounts {
    /// Bans in force or not yet forgotten.
    pub bans: usize,
    /// The panic level.
    pub panic: u8,
    /// Connections and hellos of the banned.
    pub refused_banned: u64,
    /// Connections over the limit of a panic.
    pub refused_limited: u64,
    /// Connections while nobody is let in.
    pub refused_closed: u64,
}

/// Bans and the panic level.
#[derive(Debug)]
pub struct Gate {
    bans: RwLock<Arc<Bans>>,
    /// Whether there is any ban, which spares most connections the rest.
    banned: AtomicBool,
    trusted: RwLock<TrustedProxies>,
    panic: AtomicU8,
    per_second: AtomicU32,
    /// The second in the upper half, its connections in the lower.
    admitted: AtomicU64,
    refused_banned: AtomicU64,
    refused_limited: AtomicU64,
    refused_closed: AtomicU64,
}

#[derive(Debug, Default)]
struct Bans {
    users: HashMap<UserId, Arc<Ban>, RandomState>,
    /// Addresses are networks of one.
    networks: HashMap<IpNet, Arc<Ban>, RandomState>,
    /// The lengths of their prefixes, longest first: each is one look-up.
    v4_bits: Vec<u8>,
    v6_bits: Vec<u8>,
}

/// The network that a ban of an address or a network is for; `None` for one of a user.
#[must_use]
pub fn network(target: &BanTarget) -> Option<IpNet> {
    match target {
        BanTarget::User(_) => None,
        BanTarget::Address(address) => Some(IpNet::from(address.to_canonical())),
        BanTarget::Network(network) => Some(canonical_network(network).trunc()),
    }
}

impl Gate {
    /// Nobody is banned, and nobody panics. What trusted proxies connect from can never be banned.
    #[must_use]
    pub fn new(trusted: TrustedProxies, per_second: u32) -> Self {
        Gate {
            bans: RwLock::default(),
            banned: AtomicBool::new(false),
            trusted: RwLock::new(trusted),
            panic: AtomicU8::new(0),
            per_second: AtomicU32::new(per_second),
            admitted: AtomicU64::new(0),
            refused_banned: AtomicU64::new(0),
            refused_limited: AtomicU64::new(0),
            refused_closed: AtomicU64::new(0),
        }
    }

    /// From now on these are the trusted proxies, and so many are let in a second in a panic.
    pub fn reconfigure(&self, trusted: TrustedProxies, per_second: u32) {
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted;
        self.per_second.store(per_second, Relaxed);
    }

    /// From now on these are the bans.
    pub fn set_bans(&self, all: Vec<Ban>) {
        let mut bans = Bans::default();
        let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
        for ban in all {
            match (&ban.target, network(&ban.target)) {
                (BanTarget::User(user), _) => {
                    bans.users.insert(*user, Arc::new(ban));
                }
                (_, Some(network)) => {
                    match network {
                        IpNet::V4(network) => v4.insert(network.prefix_len()),
                        IpNet::V6(network) => v6.insert(network.prefix_len()),
                    };
                    bans.networks.insert(network, Arc::new(ban));
                }
                (_, None) => {}
            }
        }
        bans.v4_bits = v4.into_iter().rev().collect();
        bans.v6_bits = v6.into_iter().rev().collect();
        let any = !bans.users.is_empty() || !bans.networks.is_empty();
        *self.bans.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bans);
        self.banned.store(any, Relaxed);
    }

    /// The bans that are in force, in no order.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        let (bans, now_ms) = (self.snapshot(), wall_ms());
        let all = bans.users.values().chain(bans.networks.values());
        all.filter(|ban| is_in_force(ban, now_ms)).map(|ban| (**ban).clone()).collect()
    }

    /// Whether there is any ban at all.
    #[must_use]
    pub fn has_bans(&self) -> bool {
        self.banned.load(Relaxed)
    }

    /// The ban that an address is under: a client's, resolved behind trusted proxies. Never one of a trusted proxy.
    #[must_use]
    pub fn ban_of_address(&self, client: IpAddr) -> Option<Arc<Ban>> {
        if !self.has_bans() || self.is_trusted(client) {
            return None;
        }
        let (bans, now_ms) = (self.snapshot(), wall_ms());
        let client = client.to_canonical();
        let bits = if client.is_ipv4() { &bans.v4_bits } else { &bans.v6_bits };
        bits.iter()
            .filter_map(|&bits| IpNet::new(client, bits).ok())
            .filter_map(|network| bans.networks.get(&network.trunc()))
            .find(|ban| is_in_force(ban, now_ms))
            .cloned()
    }

    /// The ban that a user is under.
    #[must_use]
    pub fn ban_of_user(&self, user: UserId) -> Option<Arc<Ban>> {
        if !self.has_bans() {
            return None;
        }
        self.snapshot().users.get(&user).filter(|ban| is_in_force(ban, wall_ms())).cloned()
    }

    /// Whether this is what a trusted proxy connects from.
    #[must_use]
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.read().unwrap_or_else(PoisonError::into_inner).trusts(address)
    }

    /// Counts one who was turned away for a ban.
    pub fn count_banned(&self) {
        self.refused_banned.fetch_add(1, Relaxed);
    }

    /// The panic level.
    #[must_use]
    pub fn panic(&self) -> Panic {
        Panic::of(self.panic.load(Relaxed)).unwrap_or_default()
    }

    /// Sets the panic level.
    pub fn set_panic(&self, panic: Panic) {
        self.panic.store(panic as u8, Relaxed);
    }

    /// Whether the panic level lets a new connection in.
    ///
    /// # Errors
    /// The label of why not.
    pub fn let_in(&self) -> Result<(), &'static str> {
        match self.panic() {
            Panic::Calm => Ok(()),
            Panic::Closed => {
                self.refused_closed.fetch_add(1, Relaxed);
                Err("panic_closed")
            }
            Panic::Limited | Panic::GuestsMuted => {
                let (second, max) = (wall_ms() / 1_000, self.per_second.load(Relaxed));
                let next = |packed: u64| {
                    let of_now = (packed >> 32) == (second & 0xffff_ffff);
                    let before = if of_now { packed & 0xffff_ffff } else { 0 };
                    (before < u64::from(max)).then(|| (second & 0xffff_ffff) << 32 | (before + 1))
                };
                self.admitted.fetch_update(Relaxed, Relaxed, next).map(|_| ()).map_err(|_| {
                    self.refused_limited.fetch_add(1, Relaxed);
                    "panic_limited"
                })
            }
        }
    }

    /// How often somebody was turned away.
    #[must_use]
    pub fn counts(&self) -> GateCounts {
        let bans = self.snapshot();
        GateCounts {
            bans: bans.users.len() + bans.networks.len(),
            panic: self.panic() as u8,
            refused_banned: self.refused_banned.load(Relaxed),
            refused_limited: self.refused_limited.load(Relaxed),
            refused_closed: self.refused_closed.load(Relaxed),
        }
    }

    fn snapshot(&self) -> Arc<Bans> {
        self.bans.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Gate::new(TrustedProxies::default(), u32::MAX)
    }
}

fn is_in_force(ban: &Ban, now_ms: u64) -> bool {
    ban.until_ms.is_none_or(|until| until > now_ms)
}

/// Milliseconds since 1970.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(target: &str, until_ms: Option<u64>) -> Ban {
        Ban {
            channel: None,
            target: target.parse().unwrap(),
            reason: target.to_owned(),
            moderator: "test".to_owned(),
            since_ms: 0,
            until_ms,
        }
    }

    fn gate(targets: &[&str]) -> Gate {
        let trusted = TrustedProxies::new(vec!["10.0.0.1/32".parse().unwrap()]);
        let gate = Gate::new(trusted, 3);
        gate.set_bans(targets.iter().map(|target| ban(target, None)).collect());
        gate
    }

    fn check(gate: &Gate, address: &str, by: Option<&str>) {
        let found = gate.ban_of_address(address.parse().unwrap());
        assert_eq!(found.as_deref().map(|ban| ban.reason.as_str()), by, "{address}");
    }

    #[test]
    fn addresses_are_found_in_either_form_and_in_networks() {
        let gate = gate(&["203.0.113.7", "198.51.100.0/24", "2001:db8:1::/48", "2001:db8::7"]);
        check(&gate, "203.0.113.7", Some("203.0.113.7"));
        check(&gate, "::ffff:203.0.113.7", Some("203.0.113.7"));
        check(&gate, "203.0.113.8", None);
        check(&gate, "198.51.100.255", Some("198.51.100.0/24"));
        check(&gate, "::ffff:198.51.100.1", Some("198.51.100.0/24"));
        check(&gate, "198.51.101.0", None);
        check(&gate, "2001:db8:1:ffff::1", Some("2001:db8:1::/48"));
        check(&gate, "2001:db8:2::1", None);
        check(&gate, "2001:db8::7", Some("2001:db8::7"));
        check(&gate, "2001:db8::8", None);
    }

    #[test]
    fn mapped_networks_are_those_of_ipv4() {
        let gate = gate(&["::ffff:198.51.100.0/120"]);
        check(&gate, "198.51.100.9", Some("::ffff:198.51.100.0/120"));
        check(&gate, "::ffff:198.51.100.9", Some("::ffff:198.51.100.0/120"));
        check(&gate, "198.51.101.9", None);
    }

    #[test]
    fn a_trusted_proxy_is_never_banned() {
        let gate = gate(&["10.0.0.0/8"]);
        check(&gate, "10.0.0.1", None);
        check(&gate, "::ffff:10.0.0.1", None);
        check(&gate, "10.0.0.2", Some("10.0.0.0/8"));
    }

    #[test]
    fn bans_end_and_a_wider_one_that_lasts_counts() {
        let gate = Gate::default();
        let now = wall_ms();
        gate.set_bans(vec![
            ban("203.0.113.7", Some(now)),
            ban("203.0.113.0/24", Some(now + 60_000)),
        ]);
        check(&gate, "203.0.113.7", Some("203.0.113.0/24"));
        let user = UserId([7; 12]);
        gate.set_bans(vec![ban(&user.to_string(), Some(now))]);
        assert!(gate.ban_of_user(user).is_none());
        gate.set_bans(vec![ban(&user.to_string(), Some(now + 60_000))]);
        assert!(gate.ban_of_user(user).is_some() && gate.ban_of_user(UserId([8; 12])).is_none());
        gate.set_bans(Vec::new());
        assert!(!gate.has_bans());
    }

    #[test]
    fn a_panic_limits_and_then_closes() {
        let gate = gate(&[]);
        assert!((0..100).all(|_| gate.let_in().is_ok()));
        gate.set_panic(Panic::Limited);
        // At most two seconds are touched.
        let admitted = (0..100).filter(|_| gate.let_in().is_ok()).count();
        assert!((3..=6).contains(&admitted), "{admitted}");
        gate.set_panic(Panic::Closed);
        assert_eq!(gate.let_in(), Err("panic_closed"));
        assert_eq!(gate.counts().refused_closed, 1);
        assert_eq!(Panic::of(4), None);
    }
}
