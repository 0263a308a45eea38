//! The prompt: what somebody who has no nick yet is told, and what a line means there.

use super::{Line, command, put_line};
use tutti_shards::Nick;

/// What the server says first, without the line end.
pub(super) const WELCOME: &str = "Welcome to the chat server!";
/// What asks for a nick. It has no line end.
pub(super) const PROMPT: &[u8] = b"Enter your nickname: ";

/// What a line at the prompt comes to.
#[derive(PartialEq, Debug)]
pub(super) enum Step {
    /// Nothing happens.
    Nothing,
    /// The nick is well formed; whether it is free, the core knows.
    Claim { nick: Nick, last: bool },
    /// These bytes are the answer, and another nick may be tried.
    Again(Vec<u8>),
    /// These bytes are the answer, and the connection ends; a limit that it ran into.
    End(Vec<u8>, Option<&'static str>),
}

/// How often somebody has tried, and may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    pub(super) made: u8,
    pub(super) max: u8,
}

/// Whether a first line is the beginning of an HTTP request, which no person types and a browser can be made to send.
pub(super) fn is_http(line: &Line) -> bool {
    const METHODS: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let Line::Bytes(line) = line else { return false };
    let line = line.trim_ascii_end();
    let ends = line.ends_with(b"HTTP/1.0") || line.ends_with(b"HTTP/1.1");
    let begins = |method: &&str| {
        let rest = line.strip_prefix(method.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b" "))
    };
    ends && METHODS.iter().any(begins)
}

/// Takes a line at the prompt.
pub(super) fn take(line: &Line, bytes_max: usize, attempts: &mut Attempts, crlf: bool) -> Step {
    let text = match line {
        Line::TooLong => Err(too_long(bytes_max)),
        Line::Bytes(line) => command::text_of(line).ok_or_else(|| INVALID_UTF8.to_owned()),
    };
    let refusal = match text {
        Ok(text) if text.is_empty() => return Step::Nothing,
        Ok(text) if ["/quit", "/exit"].iter().any(|quit| quit.eq_ignore_ascii_case(&text)) => {
            let mut last = Vec::new();
            put_line(&mut last, crlf, GOODBYE);
            return Step::End(last, None);
        }
        Ok(text) => match Nick::parse(&text) {
            Ok(nick) => {
                attempts.made = attempts.made.saturating_add(1);
                return Step::Claim { nick, last: attempts.made >= attempts.max };
            }
            Err(fault) => format!("Invalid nickname: {}", command::nick_reason(fault)),
        },
        Err(fault) => fault,
    };
    attempts.made = attempts.made.saturating_add(1);
    let mut answer = Vec::new();
    put_line(&mut answer, crlf, &refusal);
    if attempts.made >= attempts.max {
        return Step::End(answer, Some("line.nick_attempts"));
    }
    answer.extend_from_slice(PROMPT);
    Step::Again(answer)
}

/// What is said to who leaves.
pub(super) const GOODBYE: &str = "Goodbye!";
/// What a line that is not UTF-8 is answered with.
pub(super) const INVALID_UTF8: &str = "ERROR: Invalid UTF-8";

/// What a line that is too long is answered with.
pub(super) fn too_long(bytes_max: usize) -> String {
    format!("ERROR: Line too long (max {bytes_max} bytes)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_request(line: &str) -> bool {
        is_http(&Line::Bytes(line.into()))
    }

    #[test]
    fn requests_are_told_from_people() {
        assert!(is_request("GET / HTTP/1.1") && is_request("POST /x HTTP/1.0"));
        assert!(is_request("OPTIONS * HTTP/1.1 "));
        for line in ["GETTY HTTP/1.1", "GET / HTTP/2", "alice", "HTTP/1.1", "get / HTTP/1.1"] {
            assert!(!is_request(line), "{line}");
        }
        assert!(!is_http(&Line::TooLong));
    }

    #[test]
    fn three_tries_are_given() {
        let mut attempts = Attempts { made: 0, max: 3 };
        let mut tell =
            |line: &str| match take(&Line::Bytes(line.into()), 2048, &mut attempts, false) {
                Step::Nothing => "nothing".to_owned(),
                Step::Claim { nick, last } => format!("claims {} {last}", nick.as_str()),
                Step::Again(bytes) => String::from_utf8(bytes).unwrap(),
                Step::End(bytes, _) => format!("{}end", String::from_utf8(bytes).unwrap()),
            };
        assert_eq!(tell("  "), "nothing");
        let short = "Invalid nickname: Nickname must be at least 3 characters\n";
        assert_eq!(tell("ab"), format!("{short}Enter your nickname: "));
        assert_eq!(tell("alice"), "claims alice false");
        assert_eq!(tell("ab"), format!("{short}end"));
        assert_eq!(tell("/QUIT"), "Goodbye!\nend");
    }
}
