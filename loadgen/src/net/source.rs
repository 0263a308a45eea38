//! Source addresses: where connections come from.
//!
//! One address has some 64,000 ports towards one server, and servers limit what one address may do. So a
//! run uses many: on loopback each of 127.0.0.0/8 is there without being set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Addresses to connect from (`--sources`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The kernel chooses.
    Kernel,
    /// So many of loopback, from 127.0.1.1 on; the kernel chooses for other servers.
    Loopback(u32),
    /// These.
    List(Vec<IpAddr>),
}

impl Sources {
    /// The address of the `index`-th connection to `server`.
    pub(crate) fn of(&self, index: usize, server: SocketAddr) -> Option<SocketAddr> {
        match self {
            Sources::Kernel => None,
            Sources::Loopback(n) => {
                if !(server.is_ipv4() && server.ip().is_loopback()) {
                    return None;
                }
                Some(SocketAddr::new(nth_loopback(index as u32 % n.max(&1)).into(), 0))
            }
            Sources::List(list) => Some(SocketAddr::new(list[index % list.len()], 0)),
        }
    }

    /// How many addresses `connections` connections to `server` come from.
    pub(crate) fn count(&self, server: SocketAddr) -> usize {
        match self {
            Sources::Loopback(n) if server.is_ipv4() && server.ip().is_loopback() => *n as usize,
            Sources::Kernel | Sources::Loopback(_) => 1,
            Sources::List(list) => list.len(),
        }
    }
}

/// Skips the first and last of each 256, which look like network addresses to people.
fn nth_loopback(n: u32) -> Ipv4Addr {
    let (high, low) = (n / 254 + 256, n % 254 + 1);
    Ipv4Addr::new(127, (high >> 8 & 0xff) as u8 - 1, (high & 0xff) as u8 + 1, low as u8)
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "kernel" {
            return Ok(Sources::Kernel);
        }
        if let Ok(n) = text.parse() {
            return match n {
                0 => Ok(Sources::Kernel),
                1..=60_000 => Ok(Sources::Loopback(n)),
                _ => Err("at most 60000 loopback addresses".to_owned()),
            };
        }
        let parse = |part: &str| part.trim().parse().map_err(|_| format!("`{part}` is no address"));
        text.split(',').map(parse).collect::<Result<_, _>>().map(Sources::List)
    }
}

/// Addresses that are claimed in `X-Forwarded-For` (`--forwarded-for`): 198.18.0.0/15, which is set aside
/// for benchmarks (RFC 2544), one an index.
pub(crate) fn forwarded_address(index: usize) -> Ipv4Addr {
    let n = index as u32 % (1 << 17);
    Ipv4Addr::from(0xc612_0000 | n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn loopback_addresses_are_distinct_and_loopback() {
        let server = "127.0.0.1:80".parse().expect("an address");
        let sources: Sources = "60000".parse().expect("a number");
        let all: HashSet<_> = (0..60_000).filter_map(|i| sources.of(i, server)).collect();
        assert_eq!(all.len(), 60_000);
        assert!(all.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(sources.of(0, server).expect("one").ip().to_string(), "127.0.1.1");
        assert_eq!(sources.of(60_000, server), sources.of(0, server));
        assert_eq!(sources.of(0, "10.0.0.1:80".parse().expect("an address")), None);
    }

    #[test]
    fn sources_are_a_number_a_list_or_the_kernels_choice() {
        let list: Sources = "10.0.0.1,10.0.0.2".parse().expect("a list");
        let server = "10.0.0.9:80".parse().expect("an address");
        assert_eq!(list.of(3, server).expect("one").ip().to_string(), "10.0.0.2");
        assert_eq!("0".parse(), Ok(Sources::Kernel));
        assert!("10.0.0".parse::<Sources>().is_err());
        assert!("60001".parse::<Sources>().is_err());
        assert_eq!(forwarded_address(258).to_string(), "198.18.1.2");
    }
}
