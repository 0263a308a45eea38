//! A channel's settings, and what peers may ask of them (protocol page, section 5.2).

use crate::{ChannelKind, Color};
use serde::{Deserialize, Serialize};

/// What a channel is set to. The `lobby` flag on the wire follows from the channel's name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Whether the channel is listed.
    pub visible: bool,
    /// Whether chat is allowed.
    pub chat: bool,
    /// Whether only the holder of the crown may play.
    pub crown_solo: bool,
    /// Asks bots not to join by themselves.
    pub no_index: bool,
    /// Clients show a notice; absent until somebody sets it.
    pub no_cussing: Option<bool>,
    /// Legacy, passed through; absent until somebody sets it.
    pub lyrical_notes: Option<bool>,
    /// Passed through; absent until somebody sets it.
    pub allow_bots: Option<bool>,
    /// Inner colour.
    pub color: Color,
    /// Outer colour; absent means that clients darken the inner one.
    pub color2: Option<Color>,
    /// Most participants, 0 to 99; absent in test lobbies.
    pub limit: Option<u8>,
    /// Milliseconds for which a user must have been known before joining.
    pub min_online_ms: Option<u32>,
}

/// What a peer asks to change: only valid values, everything else was dropped at the door.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct SettingsPatch {
    /// See [`Settings::visible`].
    pub visible: Option<bool>,
    /// See [`Settings::chat`].
    pub chat: Option<bool>,
    /// See [`Settings::crown_solo`].
    pub crown_solo: Option<bool>,
    /// See [`Settings::no_index`].
    pub no_index: Option<bool>,
    /// See [`Settings::no_cussing`].
    pub no_cussing: Option<bool>,
    /// See [`Settings::lyrical_notes`].
    pub lyrical_notes: Option<bool>,
    /// See [`Settings::allow_bots`].
    pub allow_bots: Option<bool>,
    /// See [`Settings::color`].
    pub color: Option<Color>,
    /// See [`Settings::color2`].
    pub color2: Option<Color>,
    /// See [`Settings::limit`]; at most [`LIMIT_MAX`].
    pub limit: Option<u8>,
    /// See [`Settings::min_online_ms`]; at most [`MIN_ONLINE_MS_MAX`].
    pub min_online_ms: Option<u32>,
}

/// Highest participant limit that a holder can set.
pub const LIMIT_MAX: u8 = 99;
/// Longest acquaintance that a holder can demand: a day.
pub const MIN_ONLINE_MS_MAX: u32 = 86_400_000;

impl SettingsPatch {
    /// Whether nothing valid was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == SettingsPatch::default()
    }
}

impl Settings {
    /// What a channel of this kind starts with.
    #[must_use]
    pub fn new(kind: ChannelKind) -> Self {
        let (color, color2) = match kind {
            ChannelKind::Normal => (Color([0x3b, 0x50, 0x54]), Color([0x00, 0x10, 0x14])),
            _ => (Color([0x73, 0xb3, 0xcc]), Color([0x27, 0x35, 0x46])),
        };
        Settings {
            visible: true,
            chat: true,
            crown_solo: false,
            no_index: false,
            no_cussing: None,
            lyrical_notes: None,
            allow_bots: None,
            color,
            color2: Some(color2),
            limit: match kind {
                ChannelKind::Normal => Some(50),
                ChannelKind::Lobby => Some(20),
                ChannelKind::TestLobby => None,
            },
            min_online_ms: None,
        }
    }

    /// What a channel starts with when its creator asked for `patch`.
    ///
    /// A new colour without its own outer colour drops the default outer one, which would not match.
    #[must_use]
    pub fn created(kind: ChannelKind, patch: &SettingsPatch) -> Self {
        let mut settings = Settings::new(kind);
        if kind.is_lobby() {
            return settings;
        }
        if patch.color.is_some() {
            settings.color2 = None;
        }
        settings.merge(patch);
        settings
    }

    /// Applies a holder's change to a channel that exists.
    ///
    /// Clients echo back every setting that they last saw. So an outer colour that is unchanged while the inner one
    /// changes is an echo, not a wish, and goes.
    pub fn change(&mut self, patch: &SettingsPatch) {
        let recolored = patch.color.is_some_and(|color| color != self.color);
        let echoed = patch.color2.is_none() || patch.color2 == self.color2;
        self.merge(patch);
        if recolored && echoed {
            self.color2 = None;
        }
    }

    fn merge(&mut self, patch: &SettingsPatch) {
        fn set<T: Copy>(field: &mut T, wish: Option<T>) {
            if let Some(value) = wish {
                *field = value;
            }
        }
        fn set_optional<T: Copy>(field: &mut Option<T>, wish: Option<T>) {
            if wish.is_some() {
                *field = wish;
            }
        }
        set(&mut self.visible, patch.visible);
        set(&mut self.chat, patch.chat);
        set(&mut self.crown_solo, patch.crown_solo);
        set(&mut self.no_index, patch.no_index);
        set(&mut self.color, patch.color);
        set_optional(&mut self.no_cussing, patch.no_cussing);
        set_optional(&mut self.lyrical_notes, patch.lyrical_notes);
        set_optional(&mut self.allow_bots, patch.allow_bots);
        set_optional(&mut self.color2, patch.color2);
        set_optional(&mut self.limit, patch.limit);
        set_optional(&mut self.min_online_ms, patch.min_online_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Color = Color([255, 0, 0]);
    const BLUE: Color = Color([0, 0, 255]);

    #[test]
    fn an_echoed_outer_colour_goes_with_the_old_inner_one() {
        let mut settings = Settings::new(ChannelKind::Normal);
        let echo = settings.color2;
        settings.change(&SettingsPatch { color: Some(RED), color2: echo, ..Default::default() });
        assert_eq!((settings.color, settings.color2), (RED, None));
        settings.change(&SettingsPatch {
            color: Some(BLUE),
            color2: Some(RED),
            ..Default::default()
        });
        assert_eq!((settings.color, settings.color2), (BLUE, Some(RED)));
        settings.change(&SettingsPatch {
            color: Some(BLUE),
            chat: Some(false),
            ..Default::default()
        });
        assert_eq!((settings.color2, settings.chat), (Some(RED), false));
    }

    #[test]
    fn lobbies_are_created_as_they_are() {
        let wish = SettingsPatch { visible: Some(false), ..Default::default() };
        assert!(Settings::created(ChannelKind::Lobby, &wish).visible);
        assert!(!Settings::created(ChannelKind::Normal, &wish).visible);
    }
}
