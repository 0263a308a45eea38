//! What a single message may be beyond its types, and how often peers ran into each limit.

use std::cell::Cell;
use tutti_shards::{ChannelName, ChatText, UserName, utf16_len};

/// What a single message may be, beyond its types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest user name, in UTF-16 code units.
    pub name_length_max: usize,
    /// Longest chat message, in UTF-16 code units.
    pub chat_length_max: usize,
    /// Longest channel name that peers may join, in UTF-16 code units.
    pub channel_name_length_max: usize,
    /// Longest label, in UTF-16 code units.
    pub tag_length_max: usize,
    /// Longest JSON part of a binary custom message, in bytes; below 2^24, so that its first byte is 0.
    pub custom_json_bytes_max: usize,
    /// Most users that one custom message can name.
    pub custom_targets_max: usize,
    /// Longest time for which an operator's notification stays, milliseconds.
    pub notice_ms_max: i32,
    /// How long an operator's notification stays when nothing else is asked, milliseconds.
    pub notice_ms_default: i32,
    /// Deepest nesting of JSON arrays and objects, the frame's own array included.
    pub json_depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            name_length_max: 40,
            chat_length_max: 512,
            channel_name_length_max: 512,
            tag_length_max: 50,
            custom_json_bytes_max: 16_384,
            custom_targets_max: 32,
            notice_ms_max: 60_000,
            notice_ms_default: 7_000,
            json_depth_max: 32,
        }
    }
}

/// A limit that is counted here. The label of each is the last part of its key's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hit {
    NameLength,
    ChatLength,
    ChannelNameLength,
    CustomJsonBytes,
    CustomTargets,
    JsonDepth,
}

const LABELS: [&str; 6] = [
    "name_length",
    "chat_length",
    "channel_name_length",
    "custom_json_bytes",
    "custom_targets",
    "json_depth",
];

/// The limits in force and their counters.
pub(super) struct Rules {
    pub(super) limits: Limits,
    hits: [Cell<u64>; LABELS.len()],
}

impl Rules {
    pub(super) fn new(limits: Limits) -> Self {
        Rules { limits, hits: Default::default() }
    }

    pub(super) fn count_on(&mut self, before: &Rules) {
        self.hits = before.hits.clone();
    }

    pub(super) fn hit(&self, limit: Hit) {
        if let Some(count) = self.hits.get(limit as usize) {
            count.set(count.get() + 1);
        }
    }

    /// How often each limit was hit, by its label.
    pub(super) fn hits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        LABELS.into_iter().zip(self.hits.iter().map(Cell::get))
    }

    pub(super) fn chat(&self, text: &str) -> Option<ChatText> {
        let max = self.limits.chat_length_max;
        self.fitting(text, max, Hit::ChatLength, ChatText::parse(text, max))
    }

    pub(super) fn name(&self, text: &str) -> Option<UserName> {
        let max = self.limits.name_length_max;
        self.fitting(text, max, Hit::NameLength, UserName::parse(text, max))
    }

    pub(super) fn channel(&self, text: &str) -> Option<ChannelName> {
        let max = self.limits.channel_name_length_max;
        let name = ChannelName::parse(text).filter(|name| utf16_len(name.as_str()) <= max);
        self.fitting(text, max, Hit::ChannelNameLength, name)
    }

    /// Counts a text that was refused and is too long.
    fn fitting<T>(&self, text: &str, max: usize, limit: Hit, parsed: Option<T>) -> Option<T> {
        if parsed.is_none() && utf16_len(text) > max {
            self.hit(limit);
        }
        parsed
    }
}
