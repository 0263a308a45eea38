//! From a line to what it asks for.

use tutti_shards::{ChannelName, ChatText, Color, LineCommand, Nick, NickFault, clean};

/// What a line asks for.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Asked {
    /// Nothing: it is blank.
    Nothing,
    /// Something of the core.
    Core(LineCommand),
    Help,
    Quit,
    /// It cannot be done, and why.
    Refused(String),
}

/// Lengths that a command is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    /// Of a text, in UTF-16 units.
    pub(super) text: usize,
    /// Of a room's name, in UTF-16 units.
    pub(super) room: usize,
}

/// Every command: its usage, what it does. The usage begins with the name.
const COMMANDS: &[(&str, &str)] = &[
    ("/nick <new_nickname>", "Change your nickname"),
    ("/join <room_name>", "Go to a room, making it if need be"),
    ("/leave", "Return to the lobby"),
    ("/rooms", "List the rooms"),
    ("/users", "List who is here (also /who)"),
    ("/msg <user> <message>", "Write to one person (also /pm)"),
    ("/r <message>", "Answer who wrote to you last"),
    ("/me <text>", "Say what you do"),
    ("/history [n]", "Show the last n lines, 1 to 50"),
    ("/away [text]", "Say that you are away"),
    ("/back", "Say that you are back"),
    ("/joins on|off", "Show or hide who joins and leaves"),
    ("/color #rrggbb", "Change your color"),
    ("/kick <user> [reason]", "Send somebody to the lobby"),
    ("/ban <user> [minutes]", "The same, and keep them out, 1 to 60"),
    ("/unban <user>", "Let somebody in again"),
    ("/help", "Show this list (also /?)"),
    ("/quit", "Leave (also /exit)"),
];

/// Minutes of a ban that names none.
const BAN_MINUTES: u16 = 30;
/// Most minutes of a ban: the limit of the piano's door.
const BAN_MINUTES_MAX: u16 = 60;
/// Lines of history that are shown when none are named.
const HISTORY_LINES: u8 = 10;
const HISTORY_LINES_MAX: u8 = 50;

/// The list of commands, without line ends.
pub(super) fn help() -> impl Iterator<Item = String> {
    let line = |(usage, what): &(&str, &str)| format!("  {usage:<24} - {what}");
    std::iter::once("Available commands:".to_owned()).chain(COMMANDS.iter().map(line))
}

/// The bytes of a line as a cleaned text, empty when there is nothing in it; `None` when they are not UTF-8.
///
/// Escape sequences go as a whole, tabs become spaces, and what is left is cleaned as on every door.
pub(super) fn text_of(line: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(line).ok()?;
    if !text.contains(['\u{1b}', '\t']) {
        return Some(clean(text).unwrap_or_default());
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\t' => plain.push(' '),
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    skip_control_sequence(&mut rest);
                }
            }
            c => plain.push(c),
        }
    }
    Some(clean(&plain).unwrap_or_default())
}

/// Skips parameters, intermediate bytes and the final byte of ECMA-48, section 5.4.
fn skip_control_sequence(rest: &mut std::str::Chars<'_>) {
    loop {
        let mut ahead = rest.clone();
        match ahead.next() {
            Some(' '..='?') => *rest = ahead,
            Some('@'..='~') => {
                *rest = ahead;
                return;
            }
            _ => return,
        }
    }
}

/// What a nick is refused with.
pub(super) fn nick_reason(fault: NickFault) -> &'static str {
    match fault {
        NickFault::TooShort => "Nickname must be at least 3 characters",
        NickFault::TooLong => "Nickname must be at most 20 characters",
        NickFault::Alphabet => "Nickname can only contain letters, numbers, underscore and dash",
        NickFault::Reserved => "Nickname is reserved",
    }
}

/// Reads a cleaned line.
pub(super) fn parse(line: &str, lengths: Lengths) -> Asked {
    if line.is_empty() {
        return Asked::Nothing;
    }
    let Some(command) = line.strip_prefix('/') else { return say(line, lengths) };
    if command.starts_with('/') {
        return say(command, lengths);
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let lower = name.to_ascii_lowercase();
    match (lower.as_str(), rest) {
        ("nick" | "join" | "r" | "me" | "unban", "") => usage(&lower),
        ("msg" | "pm", "") => usage("msg"),
        ("nick", nick) => match Nick::parse(nick) {
            Ok(nick) => Asked::Core(LineCommand::Rename(nick)),
            Err(fault) => Asked::Refused(nick_reason(fault).to_owned()),
        },
        ("join", room) => {
            let room = room.strip_prefix('#').unwrap_or(room);
            let name = clean(room).filter(|name| tutti_shards::utf16_len(name) <= lengths.room);
            match name.and_then(|name| ChannelName::parse(&name)) {
                Some(name) => Asked::Core(LineCommand::Go(name)),
                None => Asked::Refused("Invalid room name".to_owned()),
            }
        }
        ("leave", _) => Asked::Core(LineCommand::Leave),
        ("rooms", _) => Asked::Core(LineCommand::Rooms),
        ("users" | "who", _) => Asked::Core(LineCommand::Users),
        ("msg" | "pm", rest) => match rest.split_once(' ') {
            Some((to, said)) => {
                text(said, lengths, |text| LineCommand::Write { to: to.into(), text })
            }
            None => usage("msg"),
        },
        ("r", said) => text(said, lengths, LineCommand::Answer),
        ("me", said) => text(said, lengths, LineCommand::Act),
        ("history", "") => Asked::Core(LineCommand::History(HISTORY_LINES)),
        ("history", n) => match n.parse() {
            Ok(n @ 1..=HISTORY_LINES_MAX) => Asked::Core(LineCommand::History(n)),
            _ => usage("history"),
        },
        ("away", _) => Asked::Core(LineCommand::Away(true)),
        ("back", _) => Asked::Core(LineCommand::Away(false)),
        ("joins", choice) => match choice.to_ascii_lowercase().as_str() {
            "on" => Asked::Core(LineCommand::ShowJoins(true)),
            "off" => Asked::Core(LineCommand::ShowJoins(false)),
            _ => usage("joins"),
        },
        ("color", color) => match Color::parse(color) {
            Some(color) => Asked::Core(LineCommand::Color(color)),
            None => usage("color"),
        },
        ("kick" | "ban", "") => usage(&lower),
        ("kick", rest) => {
            let (who, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            match reason.trim() {
                "" => Asked::Core(LineCommand::Kick { who: who.into(), reason: None }),
                reason => text(reason, lengths, |reason| LineCommand::Kick {
                    who: who.into(),
                    reason: Some(reason),
                }),
            }
        }
        ("ban", rest) => {
            let (who, minutes) = rest.split_once(' ').unwrap_or((rest, ""));
            let minutes = match minutes.trim() {
                "" => Some(BAN_MINUTES),
                minutes => minutes.parse().ok().filter(|n| (1..=BAN_MINUTES_MAX).contains(n)),
            };
            match minutes {
                Some(minutes) => Asked::Core(LineCommand::Ban { who: who.into(), minutes }),
                None => usage("ban"),
            }
        }
        ("unban", who) => Asked::Core(LineCommand::Unban(who.into())),
        ("help" | "?", _) => Asked::Help,
        ("quit" | "exit", _) => Asked::Quit,
        _ => Asked::Refused(format!("Unknown command: /{name}. Type /help for available commands")),
    }
}

fn usage(name: &str) -> Asked {
    let named =
        |usage: &str| usage.strip_prefix('/').and_then(|u| u.split(' ').next()) == Some(name);
    let usage = COMMANDS.iter().map(|&(usage, _)| usage).find(|usage| named(usage));
    Asked::Refused(format!("Usage: {}", usage.unwrap_or_default()))
}

fn say(said: &str, lengths: Lengths) -> Asked {
    text(said, lengths, LineCommand::Say)
}

fn text(said: &str, lengths: Lengths, command: impl FnOnce(ChatText) -> LineCommand) -> Asked {
    if tutti_shards::utf16_len(said) > lengths.text {
        return Asked::Refused(format!("Message too long (max {} characters)", lengths.text));
    }
    match ChatText::parse(said, lengths.text) {
        Some(text) => Asked::Core(command(text)),
        None => Asked::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Asked {
        parse(line, Lengths { text: 512, room: 512 })
    }

    #[track_caller]
    fn core(line: &str) -> LineCommand {
        match asked(line) {
            Asked::Core(command) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[track_caller]
    fn refused(line: &str, expected: &str) {
        assert_eq!(asked(line), Asked::Refused(expected.to_owned()), "{line}");
    }

    fn said(text: &str) -> ChatText {
        ChatText::parse(text, 600).unwrap()
    }

    #[test]
    fn lines_without_a_slash_are_said() {
        assert_eq!(core("hello there"), LineCommand::Say(said("hello there")));
        assert_eq!(core("//shrug it"), LineCommand::Say(said("/shrug it")));
        assert_eq!(asked(""), Asked::Nothing);
    }

    #[test]
    fn names_have_no_case_and_arguments_are_trimmed() {
        assert_eq!(asked("/Help"), Asked::Help);
        assert_eq!(asked("/?"), Asked::Help);
        assert_eq!(asked("/EXIT now"), Asked::Quit);
        let room = ChannelName::parse("a b").unwrap();
        assert_eq!(core("/JOIN   #a b"), LineCommand::Go(room));
        assert_eq!(core("/history"), LineCommand::History(10));
        assert_eq!(core("/ban x 5"), LineCommand::Ban { who: "x".into(), minutes: 5 });
        assert_eq!(core("/ban x"), LineCommand::Ban { who: "x".into(), minutes: 30 });
        let write = LineCommand::Write { to: "bob".into(), text: said("hi you") };
        assert_eq!(core("/pm bob  hi you"), write);
    }

    #[test]
    fn mistakes_are_answered_and_not_said() {
        refused("/jion x", "Unknown command: /jion. Type /help for available commands");
        refused("/", "Unknown command: /. Type /help for available commands");
        refused("/nick", "Usage: /nick <new_nickname>");
        refused("/join", "Usage: /join <room_name>");
        refused("/msg bob", "Usage: /msg <user> <message>");
        refused("/pm", "Usage: /msg <user> <message>");
        refused("/joins maybe", "Usage: /joins on|off");
        refused("/color red", "Usage: /color #rrggbb");
        refused("/history 51", "Usage: /history [n]");
        refused("/ban x 61", "Usage: /ban <user> [minutes]");
        refused("/kick", "Usage: /kick <user> [reason]");
        refused("/nick a!b", "Nickname can only contain letters, numbers, underscore and dash");
        refused("/join #", "Invalid room name");
        refused(&"x".repeat(513), "Message too long (max 512 characters)");
        refused(&"\u{1f600}".repeat(257), "Message too long (max 512 characters)");
        assert_eq!(
            core(&"\u{1f600}".repeat(256)),
            LineCommand::Say(said(&"\u{1f600}".repeat(256)))
        );
    }

    #[test]
    fn terminals_cannot_be_drawn_on() {
        let text = |line: &[u8]| text_of(line).unwrap();
        assert_eq!(&*text(b"a\x1b[31;1mred\x1b[0m b"), "ared b");
        assert_eq!(&*text(b"\x1b]0;title\x07x"), "0;titlex");
        assert_eq!(&*text(b"a\tb\x07\x08c\x7f"), "a bc");
        assert_eq!(&*text("a\u{9b}31m\u{202e}b".as_bytes()), "a31mb");
        assert_eq!(&*text(b"x\x1b[31"), "x");
        assert_eq!(&*text("x\x1b[3\u{e9}".as_bytes()), "x\u{e9}");
        assert_eq!(&*text(b" \x1b "), "");
        assert_eq!(text_of(b"\xff"), None);
    }

    #[test]
    fn help_names_every_command() {
        let lines: Vec<String> = help().collect();
        assert_eq!(lines[0], "Available commands:");
        assert_eq!(lines[1], "  /nick <new_nickname>     - Change your nickname");
        assert_eq!(lines.len(), COMMANDS.len() + 1);
    }
}
