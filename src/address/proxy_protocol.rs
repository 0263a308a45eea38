//! The PROXY protocol, versions 1 and 2, as proxies send it before anything else. No I/O: bytes in, a header out.
//!
//! Read only from trusted proxies. Those may also send none, so the first bytes decide; no HTTP request begins
//! like either version.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes that a header may have; whoever reads from a socket needs no larger buffer to get an answer.
pub const HEADER_BYTES_MAX: usize = V2_BYTES_MAX;

/// Version 1, line end included (the specification's 107 bytes).
const V1_BYTES_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";

/// Version 2 with type-length-value extras: 16 bytes and 520 more.
const V2_BYTES_MAX: usize = V2_FIXED + 520;
const V2_FIXED: usize = 16;
const V2_START: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What stands at the start of a proxied connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preface {
    /// No PROXY header: the first byte is the request's.
    Absent,
    /// A header.
    Header {
        /// Bytes that the header takes; the request begins after them.
        consumed: usize,
        /// The client that the proxy speaks for, `::ffff:` stripped; `None` when it speaks for itself (health
        /// checks) or does not say, and the peer counts.
        source: Option<SocketAddr>,
    },
}

/// Why a header is refused; the proxy is at fault, and the connection is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProxyError {
    /// Longer than [`HEADER_BYTES_MAX`], or a line of version 1 longer than 107 bytes.
    #[error("the PROXY header is too long")]
    TooLong,
    /// Not of the form that the specification gives.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// A version or command that the specification does not have.
    #[error("the PROXY header has an unknown version or command")]
    Unknown,
}

/// Reads the start of a connection; `Ok(None)` asks for more bytes than these.
///
/// # Errors
/// When the bytes begin like a header but are none.
pub fn parse_preface(bytes: &[u8]) -> Result<Option<Preface>, ProxyError> {
    if begins_alike(bytes, V1_START) {
        return if bytes.len() < V1_START.len() { Ok(None) } else { parse_v1(bytes) };
    }
    if begins_alike(bytes, V2_START) {
        return if bytes.len() < V2_FIXED { Ok(None) } else { parse_v2(bytes) };
    }
    Ok(Some(Preface::Absent))
}

/// Whether the two agree as far as both go.
fn begins_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Preface>, ProxyError> {
    let window = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX { Ok(None) } else { Err(ProxyError::TooLong) };
    };
    let line = bytes.get(V1_START.len()..end).ok_or(ProxyError::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Malformed)?;
    let header = |source| Ok(Some(Preface::Header { consumed: end + 2, source }));
    let mut words = line.split(' ');
    let family = words.next();
    if family == Some("UNKNOWN") {
        // Whatever follows is to be ignored.
        return header(None);
    }
    let mut next = || words.next().ok_or(ProxyError::Malformed);
    let (source, destination) = (next()?, next()?);
    let source_port = port(next()?)?;
    port(next()?)?;
    if words.next().is_some() {
        return Err(ProxyError::Malformed);
    }
    address(family, destination)?;
    header(Some(client(address(family, source)?, source_port)))
}

fn address(family: Option<&str>, text: &str) -> Result<IpAddr, ProxyError> {
    match family {
        Some("TCP4") => text.parse().map(IpAddr::V4).map_err(|_| ProxyError::Malformed),
        Some("TCP6") => text.parse().map(IpAddr::V6).map_err(|_| ProxyError::Malformed),
        _ => Err(ProxyError::Malformed),
    }
}

fn port(text: &str) -> Result<u16, ProxyError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProxyError::Malformed);
    }
    text.parse().map_err(|_| ProxyError::Malformed)
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Preface>, ProxyError> {
    let Some(([.., version_command, family, long, short], rest)) =
        bytes.split_first_chunk::<V2_FIXED>()
    else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*long, *short]));
    let local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Unknown),
    };
    if V2_FIXED + length > V2_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let source = match family >> 4 {
        _ if local => None,
        1 => Some(source_v4(body).ok_or(ProxyError::Malformed)?),
        2 => Some(source_v6(body).ok_or(ProxyError::Malformed)?),
        // Unspecified and Unix sockets say nothing about a network address; anything else is not in the
        // specification.
        0 | 3 => None,
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Some(Preface::Header { consumed: V2_FIXED + length, source }))
}

/// Two addresses of 4 bytes, two ports, then extras that are skipped.
fn source_v4(body: &[u8]) -> Option<SocketAddr> {
    let source: [u8; 4] = *body.first_chunk()?;
    let ports: [u8; 4] = *body.get(8..)?.first_chunk()?;
    Some(client(Ipv4Addr::from(source).into(), u16::from_be_bytes([ports[0], ports[1]])))
}

/// Two addresses of 16 bytes, two ports, then extras that are skipped.
fn source_v6(body: &[u8]) -> Option<SocketAddr> {
    let source: [u8; 16] = *body.first_chunk()?;
    let ports: [u8; 4] = *body.get(32..)?.first_chunk()?;
    Some(client(Ipv6Addr::from(source).into(), u16::from_be_bytes([ports[0], ports[1]])))
}

fn client(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(bytes: &[u8]) -> (usize, Option<String>) {
        match parse_preface(bytes) {
            Ok(Some(Preface::Header { consumed, source })) => {
                (consumed, source.map(|source| source.to_string()))
            }
            other => panic!("{other:?} for {}", bytes.escape_ascii()),
        }
    }

    fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_START.to_vec();
        bytes.extend([version_command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn body_v4() -> Vec<u8> {
        vec![203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80]
    }

    fn body_v6(source: &str) -> Vec<u8> {
        let mut body = source.parse::<Ipv6Addr>().unwrap().octets().to_vec();
        body.extend([0; 16]);
        body.extend([0x12, 0x34, 0, 80]);
        body
    }

    #[test]
    fn version_1_names_the_source() {
        let line = b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\nGET /";
        assert_eq!(header(line), (43, Some("203.0.113.7:56324".into())));
        let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n";
        assert_eq!(header(line), (40, Some("[2001:db8::7]:1".into())));
        let line = b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n";
        assert_eq!(header(line), (35, Some("1.2.3.4:1".into())));
        assert_eq!(header(b"PROXY UNKNOWN\r\n"), (15, None));
        assert_eq!(header(b"PROXY UNKNOWN ffff:f::f whatever\r\n"), (34, None));
    }

    #[test]
    fn version_1_is_strict_and_bounded() {
        for bad in [
            &b"PROXY \r\n"[..],
            b"PROXY TCP4\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 1\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2 3\r\n",
            b"PROXY TCP4  203.0.113.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            b"PROXY TCP6 203.0.113.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 +1 2\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 2\r\n",
            b"PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 203.0.113.7 nowhere 1 2\r\n",
            b"PROXY \xff\r\n",
        ] {
            assert_eq!(parse_preface(bad), Err(ProxyError::Malformed), "{}", bad.escape_ascii());
        }
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(V1_BYTES_MAX - 2, b'x');
        assert_eq!(parse_preface(&line), Ok(None));
        let mut longest = line.clone();
        longest.extend(b"\r\n");
        assert_eq!(header(&longest), (V1_BYTES_MAX, None));
        line.extend(b"x\r\n");
        assert_eq!(parse_preface(&line), Err(ProxyError::TooLong));
    }

    #[test]
    fn version_2_names_the_source_and_skips_extras() {
        assert_eq!(header(&v2(0x21, 0x11, &body_v4())), (28, Some("203.0.113.7:4660".into())));
        let mut body = body_v4();
        body.extend([0x01, 0, 2, b'h', b'2', 0x04, 0, 0]);
        assert_eq!(header(&v2(0x21, 0x11, &body)), (36, Some("203.0.113.7:4660".into())));
        let bytes = v2(0x21, 0x21, &body_v6("2001:db8::7"));
        assert_eq!(header(&bytes), (52, Some("[2001:db8::7]:4660".into())));
        let bytes = v2(0x21, 0x21, &body_v6("::ffff:1.2.3.4"));
        assert_eq!(header(&bytes), (52, Some("1.2.3.4:4660".into())));
    }

    #[test]
    fn local_and_unspecified_keep_the_peer() {
        assert_eq!(header(&v2(0x20, 0x00, &[])), (16, None));
        assert_eq!(header(&v2(0x20, 0x11, &body_v4())), (28, None));
        assert_eq!(header(&v2(0x21, 0x00, &[1, 2, 3])), (19, None));
        assert_eq!(header(&v2(0x21, 0x31, &[0; 216])), (232, None));
    }

    #[test]
    fn version_2_is_strict_and_bounded() {
        assert_eq!(parse_preface(&v2(0x11, 0x11, &body_v4())), Err(ProxyError::Unknown));
        assert_eq!(parse_preface(&v2(0x22, 0x11, &body_v4())), Err(ProxyError::Unknown));
        assert_eq!(parse_preface(&v2(0x21, 0x11, &[0; 11])), Err(ProxyError::Malformed));
        assert_eq!(parse_preface(&v2(0x21, 0x21, &[0; 35])), Err(ProxyError::Malformed));
        assert_eq!(parse_preface(&v2(0x21, 0x41, &[0; 35])), Err(ProxyError::Malformed));
        assert_eq!(header(&v2(0x21, 0x00, &[0; 520])), (HEADER_BYTES_MAX, None));
        assert_eq!(parse_preface(&v2(0x21, 0x00, &[0; 521])), Err(ProxyError::TooLong));
    }

    #[test]
    fn requests_are_not_headers() {
        for request in
            [&b"G"[..], b"GET / HTTP/1.1\r\n", b"POST /", b"PROXx", b"\r\nGET", b"\r\n\r\nG"]
        {
            assert_eq!(parse_preface(request), Ok(Some(Preface::Absent)));
        }
        assert_eq!(parse_preface(b""), Ok(None));
        assert_eq!(parse_preface(b"P"), Ok(None));
    }

    /// However the bytes are cut, the answer is the same, and it comes at one length for good.
    fn splits_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
        let whole = parse_preface(bytes);
        let mut answer = Ok(None);
        for end in 0..=bytes.len() {
            let now = parse_preface(&bytes[..end]);
            if answer == Ok(None) {
                answer = now;
            } else {
                prop_assert_eq!(&now, &answer, "changed its mind at {}", end);
            }
        }
        prop_assert_eq!(answer, whole);
        if bytes.len() >= HEADER_BYTES_MAX {
            prop_assert_ne!(whole, Ok(None));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            splits_agree(&bytes)?;
        }

        #[test]
        fn arbitrary_version_1_lines_agree_in_all_splits(rest in "[ -~\r\n]{0,140}") {
            splits_agree(format!("PROXY {rest}").as_bytes())?;
            splits_agree(format!("PROXY TCP4 {rest}\r\n").as_bytes())?;
        }

        #[test]
        fn arbitrary_version_2_headers_agree_in_all_splits(
            command: u8,
            family: u8,
            length in 0u16..600,
            body in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let command = if command % 3 == 0 { command } else { 0x21 };
            let mut bytes = V2_START.to_vec();
            bytes.extend([command, family % 0x50]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(body);
            splits_agree(&bytes)?;
        }

        #[test]
        fn sources_survive(address: u32, port: u16) {
            let source = SocketAddr::new(Ipv4Addr::from(address).into(), port);
            let line = format!("PROXY TCP4 {} 10.0.0.1 {port} 1\r\n", source.ip());
            prop_assert_eq!(header(line.as_bytes()), (line.len(), Some(source.to_string())));
        }
    }
}
