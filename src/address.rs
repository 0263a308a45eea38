//! The client's address: the socket's peer, or what a trusted proxy says about it.
//!
//! Nothing that an untrusted peer writes changes its address.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod proxy_protocol;

pub use proxy_protocol::{HEADER_BYTES_MAX, Preface, ProxyError, parse_preface};

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The peers whose word about the client address is taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts the peers in these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        TrustedProxies(networks.iter().map(canonical_network).collect())
    }

    /// Whether the peer's word is taken. Addresses mapped into IPv6 count as IPv4.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// The client's address behind `peer`.
    ///
    /// `forwarded_for` are the `X-Forwarded-For` headers in the order received; several are one list. From a
    /// trusted peer the right-most element that is no trusted proxy counts; at a malformed element the nearest
    /// valid trusted hop does, at worst the peer. Without any element `real_ip` (`X-Real-IP`) counts if it is an
    /// address. From an untrusted peer nothing does.
    #[must_use]
    pub fn client<'a, I>(&self, peer: IpAddr, forwarded_for: I, real_ip: Option<&[u8]>) -> IpAddr
    where
        I: IntoIterator<Item = &'a [u8]>,
        I::IntoIter: DoubleEndedIterator,
    {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let elements = forwarded_for
            .into_iter()
            .rev()
            .flat_map(|header| header.rsplit(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty());
        let mut nearest = None;
        for element in elements {
            match parse_address(element) {
                Some(address) if self.trusts(address) => nearest = Some(address),
                Some(address) => return address,
                None => return nearest.unwrap_or(peer),
            }
        }
        nearest.or_else(|| parse_address(real_ip?)).unwrap_or(peer)
    }
}

/// A network written in mapped form (`::ffff:10.0.0.0/104`) as the IPv4 network that it is.
#[must_use]
pub fn canonical_network(network: &IpNet) -> IpNet {
    if let IpNet::V6(mapped) = network
        && let (Some(v4), Some(bits)) =
            (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96))
        && let Ok(v4) = ipnet::Ipv4Net::new(v4, bits)
    {
        return IpNet::V4(v4);
    }
    *network
}

/// Reads an address as proxies write it: bare, `[v6]`, and either with a port. `::ffff:` is stripped.
#[must_use]
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| bracketed().map(IpAddr::V6))?;
    Some(address.to_canonical())
}

/// What limits by address count together: an IPv4 address, or the /64 that one IPv6 subscriber has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AddressKey {
    /// A whole IPv4 address.
    V4(u32),
    /// The upper half of an IPv6 address.
    V6(u64),
}

impl AddressKey {
    /// The key of an address; mapped ones count as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => AddressKey::V4(address.to_bits()),
            IpAddr::V6(address) => AddressKey::V6((address.to_bits() >> 64) as u64),
        }
    }

    /// The lowest address that has this key: the address itself, or the network's address of the /64.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self {
            AddressKey::V4(bits) => IpAddr::V4(bits.into()),
            AddressKey::V6(bits) => IpAddr::V6((u128::from(bits) << 64).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Resolves behind proxies in 10.0.0.0/8, fd00::/8 and on 127.0.0.1.
    fn check(peer: &str, forwarded_for: &[&str], real_ip: Option<&str>, expected: &str) {
        let networks = ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"];
        let trusted =
            TrustedProxies::new(networks.iter().map(|network| network.parse().unwrap()).collect());
        let headers = forwarded_for.iter().map(|header| header.as_bytes());
        let client = trusted.client(ip(peer), headers, real_ip.map(str::as_bytes));
        assert_eq!(client, ip(expected), "{peer} {forwarded_for:?} {real_ip:?}");
    }

    #[test]
    fn untrusted_peers_are_not_listened_to() {
        check("203.0.113.1", &["198.51.100.7"], Some("198.51.100.8"), "203.0.113.1");
        check("::ffff:203.0.113.1", &["198.51.100.7"], None, "203.0.113.1");
        let nobody = TrustedProxies::default();
        assert_eq!(nobody.client(ip("127.0.0.1"), [&b"1.2.3.4"[..]], None), ip("127.0.0.1"));
    }

    #[test]
    fn right_most_untrusted_element_counts() {
        check("10.0.0.1", &["198.51.100.7"], None, "198.51.100.7");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.9.9.9"], None, "198.51.100.7");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.7", "10.9.9.9 , 10.8.8.8"], None, "198.51.100.7");
        check("10.0.0.1", &["1.1.1.1", "198.51.100.7"], Some("2.2.2.2"), "198.51.100.7");
        check("fd00::1", &["2001:db8::7"], None, "2001:db8::7");
        check("::ffff:10.0.0.1", &["198.51.100.7"], None, "198.51.100.7");
        check("10.0.0.1", &["10.3.3.3, 10.2.2.2"], None, "10.3.3.3");
    }

    #[test]
    fn ports_brackets_and_mapped_forms_are_stripped() {
        check("10.0.0.1", &["198.51.100.7:4711"], None, "198.51.100.7");
        check("10.0.0.1", &["[2001:db8::7]:4711"], None, "2001:db8::7");
        check("10.0.0.1", &["[2001:db8::7]"], None, "2001:db8::7");
        check("10.0.0.1", &["::ffff:198.51.100.7"], None, "198.51.100.7");
        check("10.0.0.1", &["[::ffff:198.51.100.7]:1, ::ffff:10.1.1.1"], None, "198.51.100.7");
    }

    #[test]
    fn malformed_element_leads_to_the_nearest_trusted_hop() {
        check("10.0.0.1", &["198.51.100.7, unknown"], None, "10.0.0.1");
        check("10.0.0.1", &["198.51.100.7, unknown, 10.2.2.2"], None, "10.2.2.2");
        check("10.0.0.1", &["198.51.100.7, _hidden, 10.3.3.3, 10.2.2.2"], None, "10.3.3.3");
        check("10.0.0.1", &["1.2.3.4:99999"], Some("5.5.5.5"), "10.0.0.1");
        check("10.0.0.1", &["1.2.3"], None, "10.0.0.1");
        check("10.0.0.1", &["fe80::1%eth0"], None, "10.0.0.1");
    }

    #[test]
    fn real_ip_counts_only_without_a_list() {
        check("10.0.0.1", &[], Some("198.51.100.7"), "198.51.100.7");
        check("10.0.0.1", &[" , ,"], Some(" 198.51.100.7:5 "), "198.51.100.7");
        check("10.0.0.1", &[], Some("nonsense"), "10.0.0.1");
        check("10.0.0.1", &[], None, "10.0.0.1");
        check("10.0.0.1", &["10.2.2.2"], Some("198.51.100.7"), "10.2.2.2");
    }

    #[test]
    fn mapped_networks_are_ipv4_networks() {
        let trusted = TrustedProxies::new(vec!["::ffff:10.0.0.0/104".parse().unwrap()]);
        assert!(trusted.trusts(ip("10.1.2.3")) && trusted.trusts(ip("::ffff:10.1.2.3")));
        assert!(!trusted.trusts(ip("11.1.2.3")));
    }

    #[test]
    fn keys_are_whole_v4_and_half_v6() {
        assert_eq!(AddressKey::of(ip("::ffff:1.2.3.4")), AddressKey::of(ip("1.2.3.4")));
        assert_ne!(AddressKey::of(ip("1.2.3.5")), AddressKey::of(ip("1.2.3.4")));
        assert_eq!(AddressKey::of(ip("2001:db8::1")), AddressKey::of(ip("2001:db8::ff:1")));
        assert_ne!(AddressKey::of(ip("2001:db8:0:1::1")), AddressKey::of(ip("2001:db8::1")));
        assert_eq!(AddressKey::of(ip("2001:db8:1:2:3::4")).network(), ip("2001:db8:1:2::"));
        assert_eq!(AddressKey::of(ip("1.2.3.4")).network(), ip("1.2.3.4"));
    }

    proptest! {
        #[test]
        fn no_header_of_an_untrusted_peer_matters(header: Vec<u8>, real: Vec<u8>, peer: u32) {
            let peer = IpAddr::V4(peer.into());
            let trusted = TrustedProxies::new(Vec::new());
            prop_assert_eq!(trusted.client(peer, [&header[..]], Some(&real)), peer);
        }

        #[test]
        fn no_header_of_a_trusted_peer_panics(headers: Vec<Vec<u8>>, real: Option<Vec<u8>>) {
            let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
            let headers = headers.iter().map(Vec::as_slice);
            let client = trusted.client(ip("10.0.0.1"), headers, real.as_deref());
            prop_assert_eq!(client, client.to_canonical());
        }
    }
}
