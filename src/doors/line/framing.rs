//! From bytes to lines: one small state machine, all of whose state travels with its connection.
//!
//! A line ends with LF or CR; an LF or NUL right after a CR belongs to it. Telnet's commands are swallowed wherever
//! they stand. Any split of the same bytes gives the same lines.

const IAC: u8 = 255;
const SE: u8 = 240;
const SB: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;

/// Where in the input the machine is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    #[default]
    Text,
    AfterCr,
    Iac,
    /// Before the byte that WILL, WONT, DO or DONT is about.
    Option,
    Subnegotiation,
    SubnegotiationIac,
}

/// One line of input, without its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// At most as many bytes as a line may have.
    Bytes(Vec<u8>),
    /// Longer; what it said was thrown away.
    TooLong,
}

/// Takes lines off a stream of bytes. Between two lines it owns no memory.
#[derive(Default, Debug)]
pub struct Framer {
    line: Vec<u8>,
    state: State,
    too_long: bool,
    crlf: bool,
}

impl Framer {
    /// Whether the peer wants lines that end with CR LF: it has ended one with CR itself, or speaks telnet.
    #[must_use]
    pub fn wants_crlf(&self) -> bool {
        self.crlf
    }

    /// Takes the next line off the front of `input`; `None` when its end is not there yet.
    ///
    /// Holds no more than `bytes_max` bytes of it, however long it is.
    pub fn next(&mut self, input: &mut &[u8], bytes_max: usize) -> Option<Line> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            match self.state {
                State::Text | State::AfterCr => {
                    let after_cr = std::mem::take(&mut self.state) == State::AfterCr;
                    match byte {
                        b'\n' | 0 if after_cr => {}
                        b'\n' => return Some(self.take()),
                        b'\r' => {
                            self.state = State::AfterCr;
                            self.crlf = true;
                            return Some(self.take());
                        }
                        IAC => {
                            self.state = State::Iac;
                            self.crlf = true;
                        }
                        0 => {}
                        byte => self.push(byte, bytes_max),
                    }
                }
                State::Iac => {
                    self.state = match byte {
                        SB => State::Subnegotiation,
                        WILL..=DONT => State::Option,
                        _ => State::Text,
                    };
                    if byte == IAC {
                        self.push(IAC, bytes_max);
                    }
                }
                State::Option => self.state = State::Text,
                State::Subnegotiation if byte == IAC => self.state = State::SubnegotiationIac,
                State::Subnegotiation => {}
                State::SubnegotiationIac => {
                    let ends = byte == SE;
                    self.state = if ends { State::Text } else { State::Subnegotiation };
                }
            }
        }
        None
    }

    /// Whether a line has begun whose end is not there yet.
    #[must_use]
    pub fn is_within_line(&self) -> bool {
        self.too_long || !self.line.is_empty()
    }

    /// The line that the end of the input ends, if there is one.
    pub fn finish(&mut self) -> Option<Line> {
        self.is_within_line().then(|| self.take())
    }

    fn push(&mut self, byte: u8, bytes_max: usize) {
        if self.too_long {
            return;
        }
        if self.line.len() >= bytes_max {
            self.too_long = true;
            self.line = Vec::new();
            return;
        }
        self.line.push(byte);
    }

    fn take(&mut self) -> Line {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) { Line::TooLong } else { Line::Bytes(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(parts: &[&[u8]]) -> Vec<Line> {
        let (mut framer, mut lines) = (Framer::default(), Vec::new());
        for part in parts {
            let mut input = *part;
            while let Some(line) = framer.next(&mut input, 8) {
                lines.push(line);
            }
        }
        lines.extend(framer.finish());
        lines
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[&str]) {
        let expected: Vec<Line> = expected.iter().map(|line| Line::Bytes((*line).into())).collect();
        assert_eq!(lines(&[input]), expected, "{input:x?}");
    }

    #[test]
    fn every_line_end_is_one() {
        check(b"a\nb\nc", &["a", "b", "c"]);
        check(b"a\r\nb\r\nc\r\n", &["a", "b", "c"]);
        check(b"a\r\0b\r\0c", &["a", "b", "c"]);
        check(b"a\rb\rc\r", &["a", "b", "c"]);
        check(b"a\n\n\r\r\nb", &["a", "", "", "", "b"]);
        check(b"a\0b\n", &["ab"]);
        assert_eq!(lines(&[b"a\r", b"\nb\n"]), lines(&[b"a\nb\n"]));
    }

    #[test]
    fn telnet_is_swallowed() {
        check(b"\xff\xfb\x1fa\xff\xfd\x01b\xff\xfe\x0ac\n", &["abc"]);
        check(b"a\xff\xfa\x1f\0P\0\x18\xff\xff\x0a\xff\xf0b\n", &["ab"]);
        check(b"a\xff\xf1b\n", &["ab"]);
        check(b"a\r\xff\xf1\nb\n", &["a", "", "b"]);
        assert_eq!(lines(&[b"a\xff\xff\n"]), [Line::Bytes(b"a\xff".to_vec())]);
        let long = [&b"a\xff\xfa"[..], &[b'x'; 10_000], b"\xff\xf0b\n"].concat();
        check(&long, &["ab"]);
    }

    #[test]
    fn long_lines_are_thrown_away() {
        check(b"12345678\n", &["12345678"]);
        let both = [Line::TooLong, Line::Bytes(b"ok".to_vec())];
        assert_eq!(lines(&[b"123456789\nok"]), both);
        assert_eq!(lines(&[&[b'x'; 100_000]]), [Line::TooLong]);
        let mut framer = Framer::default();
        assert_eq!(framer.next(&mut &[b'x'; 100_000][..], 2048), None);
        assert_eq!(framer.line.capacity(), 0);
    }

    #[test]
    fn line_ends_follow_the_peer() {
        let wants = |input: &[u8]| {
            let mut framer = Framer::default();
            let _ = framer.next(&mut &input[..], 8);
            framer.wants_crlf()
        };
        assert!(!wants(b"a\n") && !wants(b"a") && wants(b"a\r") && wants(b"\xff"));
    }

    fn telnet_bytes() -> impl Strategy<Value = Vec<u8>> {
        let likely = prop::sample::select(vec![0, b'\r', b'\n', 27, 240, 250, 251, 254, 255]);
        prop::collection::vec(prop_oneof![likely, any::<u8>()], 0..60)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(bytes in telnet_bytes(), cuts in any::<u64>()) {
            let (mut parts, mut start) = (Vec::new(), 0);
            for at in 0..bytes.len() {
                if cuts >> (at % 64) & 1 == 1 {
                    parts.push(&bytes[start..at]);
                    start = at;
                }
            }
            parts.push(&bytes[start..]);
            prop_assert_eq!(lines(&parts), lines(&[&bytes]));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(lines(&single), lines(&[&bytes]));
        }
    }
}
