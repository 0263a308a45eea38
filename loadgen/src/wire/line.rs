//! The dialect of terminals: what the lines of the TCP chat mean.

use memchr::memmem::find;

use super::What;
use super::mark::Marked;

/// What the server asks with, the only text that no line end follows.
pub(crate) const PROMPT: &[u8] = b"Enter your nickname: ";
/// Longest nick that a server takes, in characters.
pub(crate) const NICK_MAX: usize = 20;

/// What a line is. Only lines of people begin with a bracket: what the server says of itself never does.
#[inline]
pub(super) fn what(line: &[u8]) -> What {
    match line {
        [b'[', ..] => What::Chat,
        [b'*', b'*', b'*', b' ', rest @ ..] => match rest {
            _ if rest.starts_with(b"Last ") => What::History,
            b"End of history" => What::HistoryEnd,
            b"Server is shutting down. Goodbye!" => What::Farewell,
            _ => What::Other,
        },
        _ if line.starts_with(b"ERROR: ") => What::Notification,
        _ if line.starts_with(b"Welcome ") && find(line, b"! You are in #").is_some() => What::Hi,
        _ if line.starts_with(b"You joined #") => What::Channel,
        _ if line.starts_with(b"Registration failed: ") => What::Refusal,
        _ if line.starts_with(b"Invalid nickname: ") => What::Refusal,
        b"Goodbye!" => What::Farewell,
        _ => What::Other,
    }
}

/// Reads `[HH:MM:SS] nick: text`.
#[inline]
pub(super) fn read(line: &[u8]) -> Option<Marked<'_>> {
    let (time, rest) = line.strip_prefix(b"[")?.split_at_checked(8)?;
    let is_time = time.iter().enumerate().all(|(at, byte)| match at {
        2 | 5 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let rest = rest.strip_prefix(b"] ").filter(|_| is_time)?;
    let end = memchr::memchr(b':', rest)?;
    Some(Marked::Chat { by: &rest[..end], line: rest[end + 1..].strip_prefix(b" ")? })
}

/// The room that the answer to a join names.
pub(super) fn room(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"You joined #")
}

/// A nick that nobody else has: `run` is the run's own, `serial` never comes twice in `thread`.
pub(crate) fn nick(run: u64, thread: usize, serial: u32) -> String {
    let nick = format!("{run:x}-{thread:x}-{serial:x}");
    debug_assert!(nick.len() <= NICK_MAX, "{nick}");
    nick
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let cases = [
            ("Welcome to the chat server!", What::Other),
            ("Welcome bob! You are in #lobby", What::Hi),
            ("Type /help for available commands", What::Other),
            ("You joined #test/load-1-0-0-0", What::Channel),
            ("Registration failed: Server is full", What::Refusal),
            ("Invalid nickname: Nickname is reserved", What::Refusal),
            ("ERROR: You are sending too fast", What::Notification),
            ("*** bob joined the room", What::Other),
            ("*** Last 10 messages in #x", What::History),
            ("*** End of history", What::HistoryEnd),
            ("*** Server is shutting down. Goodbye!", What::Farewell),
            ("[12:00:00] bob: hello", What::Chat),
            ("[12:00:00] bob: *** End of history", What::Chat),
        ];
        for (line, expected) in cases {
            assert_eq!(what(line.as_bytes()), expected, "{line}");
        }
        assert_eq!(room(b"You joined #a b"), Some(&b"a b"[..]));
    }

    #[test]
    fn a_line_of_chat_is_read_strictly() {
        let chat = Some(Marked::Chat { by: b"bob", line: b"a: b" });
        assert_eq!(read(b"[12:00:00] bob: a: b"), chat);
        for bad in [
            "[12:00:0] bob: a",
            "[12.00.00] bob: a",
            "[12:00:00]bob: a",
            "[12:00:00] bob:a",
            "[12:00:00] * bob waves",
            "[",
            "",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn nicks_are_short_enough_and_their_own() {
        let longest = nick(36_u64.pow(6) - 1, 0xfff, 0xfff_ffff);
        assert!(longest.len() <= NICK_MAX, "{longest}");
        assert_ne!(nick(1, 2, 3), nick(1, 3, 2));
    }
}
