//! Text that passed the door: values of these types cannot be wrong.
//!
//! Lengths are counted in UTF-16 code units, because JavaScript peers count `String.length`.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Length of `text` as JavaScript counts it.
#[must_use]
pub fn utf16_len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// Control, line-breaking and direction-changing characters, which would let one person's text damage another's
/// page or terminal. Joiners and variation selectors stay: emoji are made of them.
pub(crate) fn is_forbidden(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

/// Characters of which nothing is seen by themselves: white space, and what Unicode ignores by default
/// (`Default_Ignorable_Code_Point`), such as joiners and variation selectors.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}')
}

/// Removes forbidden characters and surrounding white space; `None` when nothing is left.
#[must_use]
pub fn clean(text: &str) -> Option<Box<str>> {
    let kept: String;
    let text = if text.chars().any(is_forbidden) {
        kept = text.chars().filter(|&c| !is_forbidden(c)).collect();
        kept.as_str()
    } else {
        text
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// An RGB colour, `#rrggbb` on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Color(pub [u8; 3]);

impl Color {
    /// Reads `#` and six hex digits of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 7] = text.as_bytes().try_into().ok()?;
        if digits[0] != b'#' || !digits[1..].iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let value = u32::from_str_radix(text.get(1..)?, 16).ok()?;
        let [_, r, g, b] = value.to_be_bytes();
        Some(Color([r, g, b]))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl fmt::Debug for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where everyone starts.
pub(crate) const LOBBY: &str = "lobby";

/// A channel's name as peers write it: 1 to 512 UTF-16 code units, exact and case-sensitive.
///
/// Shared, because every member, the directory and every handover refer to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

/// Most UTF-16 code units in a channel name.
pub const CHANNEL_NAME_LENGTH_MAX: usize = 512;

/// What a channel's name makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelKind {
    /// `lobby`, `lobby` with digits, `lobbyNaN`: fixed settings, no crown, bounded, overflows into the next.
    Lobby,
    /// `test/` and something: fixed settings, no crown, unbounded.
    TestLobby,
    /// Any other name: has settings, a crown and bans.
    Normal,
}

impl ChannelKind {
    /// Whether settings are fixed and there is no crown.
    #[must_use]
    pub fn is_lobby(self) -> bool {
        self != ChannelKind::Normal
    }
}

impl ChannelName {
    /// Checks the length and refuses blank names and characters that break pages (protocol page, sections 3 and 5.1).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let length = utf16_len(text);
        let refused = |c: char| {
            matches!(
                c,
                '\n' | '\r'
                    | '\u{b}'
                    | '\0'
                    | '\t'
                    | '\u{202e}'
                    | '\u{2066}'
                    | '\u{2067}'
                    | '\u{202b}'
                    | '\u{200f}'
            )
        };
        let valid = (1..=CHANNEL_NAME_LENGTH_MAX).contains(&length)
            && !text.chars().any(refused)
            && !text.chars().all(char::is_whitespace);
        valid.then(|| ChannelName(text.into()))
    }

    /// A name of our own making.
    pub(crate) fn unchecked(text: &str) -> Self {
        ChannelName(text.into())
    }

    /// `lobby`, where everyone starts.
    #[must_use]
    pub fn lobby() -> Self {
        ChannelName(LOBBY.into())
    }

    /// `test/awkward`, where kicked, banned and refused people go.
    #[must_use]
    pub fn awkward() -> Self {
        ChannelName("test/awkward".into())
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name makes of the channel (protocol page, section 5.1).
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        if let Some(rest) = self.0.strip_prefix("lobby") {
            let digits = rest.len() <= 9 && rest.bytes().all(|b| b.is_ascii_digit());
            if digits || rest == "NaN" {
                return ChannelKind::Lobby;
            }
        }
        match self.0.strip_prefix("test/") {
            Some(rest) if !rest.is_empty() => ChannelKind::TestLobby,
            _ => ChannelKind::Normal,
        }
    }

    /// The lobby that takes those whom this full lobby cannot: `lobby` to `lobby2`, `lobbyN` to `lobby(N+1)`,
    /// and after the last number, as after `lobbyNaN`, `lobby1`.
    #[must_use]
    pub fn next_lobby(&self) -> Self {
        let number = self.0.strip_prefix("lobby").unwrap_or("");
        let next = match number {
            "" => 2,
            digits => digits.parse::<u32>().ok().map_or(1, |n| n + 1),
        };
        let next = if next > 999_999_999 { 1 } else { next };
        ChannelName(format!("lobby{next}").into())
    }

    /// Whether the channel stays when nobody is in it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self.as_str(), "lobby" | "test/awkward")
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// For people: what stands ahead of the names of private rooms is no part of it.
impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_start_matches(crate::private::PRIVATE))
    }
}

impl Serialize for ChannelName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        ChannelName::parse_kept(&text).ok_or_else(|| serde::de::Error::custom("not a channel name"))
    }
}

/// Chat text: cleaned, not empty, and not longer than the configured limit when it came in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChatText(Box<str>);

impl ChatText {
    /// Takes a message of at most `length_max` UTF-16 code units. A longer one is refused, never cut.
    #[must_use]
    pub fn parse(text: &str, length_max: usize) -> Option<Self> {
        if utf16_len(text) > length_max {
            return None;
        }
        clean(text).map(ChatText)
    }

    /// A text that was cleaned for rooms, in which it may have line breaks.
    #[must_use]
    pub(crate) fn of_room(text: crate::RoomText) -> Self {
        ChatText(text.0)
    }

    /// What is left of a text that was deleted.
    #[must_use]
    pub(crate) fn nothing() -> Self {
        ChatText(Box::default())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user's name: cleaned, not empty, and not longer than the configured limit when it came in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserName(Box<str>);

impl UserName {
    /// Takes a name of 1 to `length_max` UTF-16 code units after cleaning.
    #[must_use]
    pub fn parse(text: &str, length_max: usize) -> Option<Self> {
        // A text that is absurdly long is refused before it is walked and copied.
        if text.len() > length_max.saturating_mul(16) {
            return None;
        }
        let cleaned = clean(text)?;
        (utf16_len(&cleaned) <= length_max).then_some(UserName(cleaned))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lobbies_are_told_by_name() {
        let kind = |name: &str| ChannelName::parse(name).unwrap().kind();
        for name in ["lobby", "lobby0", "lobby7", "lobby123456789", "lobbyNaN"] {
            assert_eq!(kind(name), ChannelKind::Lobby, "{name}");
        }
        for name in ["lobby1234567890", "lobbyx", "Lobby", "test/", "test", "lobby 1", "lobbyNaN1"]
        {
            assert_eq!(kind(name), ChannelKind::Normal, "{name}");
        }
        assert_eq!(kind("test/x"), ChannelKind::TestLobby);
    }

    #[test]
    fn full_lobbies_lead_to_the_next() {
        let next = |name: &str| ChannelName::parse(name).unwrap().next_lobby().as_str().to_owned();
        assert_eq!(next("lobby"), "lobby2");
        assert_eq!(next("lobby2"), "lobby3");
        assert_eq!(next("lobbyNaN"), "lobby1");
        assert_eq!(next("lobby999999999"), "lobby1");
    }

    #[test]
    fn channel_names_are_bounded_and_printable() {
        assert!(ChannelName::parse(&"x".repeat(512)).is_some());
        assert!(ChannelName::parse(&"x".repeat(513)).is_none());
        assert!(ChannelName::parse(&"\u{1f600}".repeat(256)).is_some());
        assert!(ChannelName::parse(&"\u{1f600}".repeat(257)).is_none());
        for bad in ["", "   ", "a\nb", "a\u{202e}b"] {
            assert!(ChannelName::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn chat_is_cleaned_and_bounded() {
        let text = |s: &str| ChatText::parse(s, 512).map(|t| t.as_str().to_owned());
        assert_eq!(text(" a\u{202e}b\nc "), Some("abc".into()));
        assert_eq!(text("  \u{200f} "), None);
        assert!(text(&"\u{e9}".repeat(512)).is_some());
        assert!(text(&"\u{e9}".repeat(513)).is_none());
        let family = "\u{1f468}\u{200d}\u{1f469}";
        assert_eq!(text(family), Some(family.into()));
    }

    #[test]
    fn colors_are_six_digits() {
        assert_eq!(Color::parse("#12aBff").unwrap().to_string(), "#12abff");
        for bad in ["red", "#12345", "#1234567", "123456", "#+12345", "#12345\u{e9}"] {
            assert_eq!(Color::parse(bad), None, "{bad}");
        }
    }
}
