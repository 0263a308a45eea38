//! Frames from peers into commands (protocol page, sections 2.2, 6 and 10).

use super::{
    json::{self, Value},
    keys, quick,
    rules::{Hit, Limits, Rules},
    scan,
};
use simd_json::{Buffers, ErrorType, Tape};
use std::{collections::VecDeque, mem};
use tutti_shards::{
    AdminCommand, Audience, ChannelName, Color, Command, Custom, CustomBody, CustomTarget, Format,
    JoinTarget, LIMIT_MAX, MIN_ONLINE_MS_MAX, MessageRef, Note, NoteBatch, OperatorNotice,
    Position, ProfileChange, SettingsPatch, Tag, UserId, UserName, clean, utf16_len,
};

/// Who peers are, and who of them is staff.
pub trait Auth {
    /// The user of a peer that said hello with this token, and a token that it should keep from now on.
    ///
    /// No user means a new one for this connection. A token that is not valid counts as none. May be asked again for
    /// a connection that already said hello; the answer is then ignored.
    fn hello(&self, token: Option<&str>) -> (Option<UserId>, Option<Box<str>>);

    /// Whether `given` is the staff password; never without one in the configuration.
    fn password(&self, given: &str) -> bool;
}

/// A channel name that leads into the first lobby however full it is; old bots use it.
const BACKDOOR: &str = "lolwutsecretlobbybackdoor";

/// Turns frames from peers into commands. One serves all connections of a shard.
///
/// Its buffers grow with the largest frame so far, to some 40 bytes for each of its bytes.
pub struct Decoder {
    rules: Rules,
    buffers: Buffers,
    /// Empty between calls; kept for its memory.
    tape: Tape<'static>,
    scratch: Vec<u8>,
}

impl Decoder {
    /// A decoder with empty buffers.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Decoder {
            rules: Rules::new(limits),
            buffers: Buffers::with_max_depth(4096, limits.json_depth_max),
            tape: Tape(Vec::new()),
            scratch: Vec::new(),
        }
    }

    /// Goes on counting where another stopped.
    pub fn count_on(&mut self, before: &Decoder) {
        self.rules.count_on(&before.rules);
    }

    /// How often each limit of a single message was hit, by its label.
    pub fn limit_hits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.rules.hits()
    }

    /// Appends the commands of a text frame's `payload`, which the caller has bounded; it is overwritten.
    ///
    /// What is wrong is left out: the whole frame if it is not a JSON array, single messages otherwise. `format` is
    /// what the connection spoke so far, and changes with [`Command::Speak`].
    ///
    /// Returns how many messages to count against the peer's rate, at least 1.
    pub fn text(
        &mut self,
        payload: &mut [u8],
        format: &mut Format,
        auth: &dyn Auth,
        out: &mut VecDeque<Command>,
    ) -> usize {
        let first = out.len();
        match scan::frame(payload, out) {
            Some(messages) => {
                speak(Format::MPP_TEXT, format, first, out);
                messages
            }
            None => self.text_by_parser(payload, format, auth, out),
        }
    }

    /// What [`Decoder::text`] does with a frame that its short cut does not know: the yardstick of its benchmark and
    /// tests.
    #[doc(hidden)]
    pub fn text_by_parser(
        &mut self,
        payload: &mut [u8],
        format: &mut Format,
        auth: &dyn Auth,
        out: &mut VecDeque<Command>,
    ) -> usize {
        let first = out.len();
        let rules = &self.rules;
        with_json(rules, &mut self.buffers, &mut self.tape, payload, |frame| {
            let messages = frame.items()?;
            let count = messages.len();
            out.extend(messages.filter_map(|message| command(message, rules, auth)));
            speak(Format::MPP_TEXT, format, first, out);
            Some(count)
        })
        .map_or(1, |count| count.max(1))
    }

    /// Appends the commands of a binary frame's `payload`: a custom message with a binary part, or messages in the
    /// quick dialect. Anything else is ignored, and of a frame that is wrong anywhere nothing is taken.
    ///
    /// `format` and the return value are as in [`Decoder::text`].
    pub fn binary(
        &mut self,
        payload: &[u8],
        format: &mut Format,
        auth: &dyn Auth,
        out: &mut VecDeque<Command>,
    ) -> usize {
        if payload.first() == Some(&0) {
            if let Some(custom) = self.binary_custom(payload) {
                out.push_back(Command::SpeakBinaryCustom);
                out.push_back(Command::Custom(Box::new(custom)));
            }
            return 1;
        }
        let first = out.len();
        match quick::decode(payload, &self.rules, auth, out) {
            Some(messages) => {
                speak(Format::MPP_QUICK, format, first, out);
                messages
            }
            None => {
                out.truncate(first);
                1
            }
        }
    }

    fn binary_custom(&mut self, payload: &[u8]) -> Option<Custom> {
        let (length, rest) = payload.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.rules.limits.custom_json_bytes_max {
            self.rules.hit(Hit::CustomJsonBytes);
            return None;
        }
        let (json, blob) = rest.split_at_checked(length)?;
        self.scratch.clear();
        self.scratch.extend_from_slice(json);
        let rules = &self.rules;
        with_json(rules, &mut self.buffers, &mut self.tape, &mut self.scratch, |message| {
            let mut message =
                (message.get("m")?.string()? == "custom").then(|| custom(message, rules))??;
            message.body.blob = Some(blob.into());
            Some(message)
        })
    }
}

/// Notes that the peer speaks `heard`, before the commands from `first` on.
fn speak(heard: Format, format: &mut Format, first: usize, out: &mut VecDeque<Command>) {
    if *format != heard {
        *format = heard;
        out.insert(first, Command::Speak(heard));
    }
}

/// Parses `json` and reads the value with `read`; `None` when it is not JSON or too deep.
fn with_json<T>(
    rules: &Rules,
    buffers: &mut Buffers,
    kept: &mut Tape<'static>,
    json: &mut [u8],
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Option<T> {
    // The protocol page says: parse, on failure mend and parse again. Mending first is the same, because the parser
    // takes no lone surrogate, and it leaves no copy to be made of what the parser overwrites.
    json::mend_lone_surrogates(json);
    let mut tape = mem::replace(kept, Tape(Vec::new())).reset();
    let result = match simd_json::fill_tape(json, buffers, &mut tape) {
        Ok(()) => read(Value::root(&tape)),
        Err(error) => {
            if *error.error() == ErrorType::DepthLimitExceeded {
                rules.hit(Hit::JsonDepth);
            }
            None
        }
    };
    *kept = tape.reset();
    result
}

/// The command of one JSON message; `None` when it is unknown, wrong, or asks for nothing.
fn command(message: Value<'_>, rules: &Rules, auth: &dyn Auth) -> Option<Command> {
    let text = |key| message.get(key)?.string();
    let chat = || rules.chat(text("message")?);
    let reply_to = || MessageRef::parse(text("reply_to")?);
    Some(match text("m")? {
        "n" => Command::Play(play(message)?),
        "m" => {
            let coordinate = |key| message.get(key)?.number_or_text();
            Command::Move(Position::from_percent(coordinate("x")?, coordinate("y")?)?)
        }
        "a" => Command::Chat { text: chat()?, reply_to: reply_to() },
        "t" => Command::Time { echo: message.get("e").and_then(Value::number) },
        "hi" => {
            let (user, token) = auth.hello(text("token"));
            Command::Hello { user, token }
        }
        "bye" => Command::Bye,
        "ch" => Command::Join {
            target: join_target(text("_id")?, rules),
            set: message.get("set").and_then(settings).map(Box::new),
        },
        "chset" => Command::ChangeSettings(Box::new(settings(message.get("set")?)?)),
        "chown" => match message.get("id") {
            // Old clients send `null` where others leave the id out.
            Some(id) if !id.is_null() => Command::GiveCrown(UserId::parse(id.string()?)),
            _ => Command::GiveCrown(None),
        },
        "userset" => {
            let set = message.get("set")?;
            set_profile(name(set, rules), color(set.get("color")))?
        }
        "kickban" => ban(UserId::parse(text("_id")?)?, message.get("ms")?.number()?),
        "unban" => Command::Unban(UserId::parse(text("_id")?)?),
        "+ls" => Command::FollowList(true),
        "-ls" => Command::FollowList(false),
        "+custom" => Command::FollowCustom(true),
        "-custom" => Command::FollowCustom(false),
        "custom" => Command::Custom(Box::new(custom(message, rules)?)),
        "dm" => Command::Direct {
            to: UserId::parse(text("_id")?)?,
            text: chat()?,
            reply_to: reply_to(),
        },
        "admin message" if auth.password(text("password")?) => {
            Command::Admin(Box::new(admin(message.get("msg")?, rules)?))
        }
        "adminmsg" if auth.password(text("password")?) => {
            Command::Admin(Box::new(admin(message.get("message")?, rules)?))
        }
        _ => return None,
    })
}

/// Where a join to a channel of this name leads. A bad name leads to the lobby: a client that got no answer would be
/// left without any channel.
pub(super) fn join_target(name: &str, rules: &Rules) -> JoinTarget {
    if name == BACKDOOR {
        return JoinTarget::LobbyBackdoor;
    }
    JoinTarget::Named(rules.channel(name).unwrap_or_else(ChannelName::lobby))
}

/// A removal of `user` for `ms` milliseconds; a negative time is none.
pub(super) fn ban(user: UserId, ms: f64) -> Command {
    // The cast saturates, and takes negative numbers for 0.
    Command::Ban { user, ms: ms as u64 }
}

/// A profile change, unless it changes nothing.
pub(super) fn set_profile(name: Option<UserName>, color: Option<Color>) -> Option<Command> {
    (name.is_some() || color.is_some()).then_some(Command::SetProfile { name, color })
}

/// A note's velocity, which senders may exceed.
pub(super) fn velocity(value: f64) -> Option<f32> {
    // Adding 0 makes a negative zero a plain one.
    (!value.is_nan()).then(|| (value.clamp(0.0, 1.0) + 0.0) as f32)
}

/// A note's delay in milliseconds.
pub(super) fn delay(value: f64) -> Option<f32> {
    (!value.is_nan()).then(|| (value.clamp(0.0, 10_000.0) + 0.0) as f32)
}

fn play(message: Value<'_>) -> Option<NoteBatch> {
    let at_ms = message.get("t")?.number()?;
    let notes = message.get("n")?.items()?;
    let sent = notes.len() as u32;
    let notes = notes.filter_map(|note| {
        Some(Note {
            key: keys::parse(note.get("n")?.string()?.as_bytes())?,
            stop: note.get("s").is_some_and(Value::is_truthy),
            velocity: note.get("v").and_then(Value::number_or_text).and_then(velocity),
            delay_ms: note.get("d").and_then(Value::number).and_then(delay),
        })
    });
    // An empty batch neither sounds nor costs.
    (sent > 0).then(|| NoteBatch { at_ms, sent, notes: notes.collect() })
}

fn name(set: Value<'_>, rules: &Rules) -> Option<UserName> {
    rules.name(set.get("name")?.string()?)
}

fn color(value: Option<Value<'_>>) -> Option<Color> {
    Color::parse(value?.string()?)
}

/// The valid ones of the settings in `set`; `None` without any.
fn settings(set: Value<'_>) -> Option<SettingsPatch> {
    let flag = |key| {
        let value = set.get(key)?;
        value.boolean().or_else(|| match value.string()? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    };
    let whole = |key, max| {
        let value: f64 = set.get(key)?.number()?;
        ((0.0..=f64::from(max)).contains(&value)).then_some(value)
    };
    // The page of one client sends the limit as text.
    let limit = || {
        let value = set.get("limit")?;
        let number = match value.string() {
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => value.number()?,
        };
        let valid = (0.0..=f64::from(LIMIT_MAX)).contains(&number) && number.fract() == 0.0;
        valid.then_some(number as u8)
    };
    let patch = SettingsPatch {
        visible: flag("visible"),
        chat: flag("chat"),
        crown_solo: flag("crownsolo"),
        no_index: flag("noindex"),
        no_cussing: flag("no cussing"),
        lyrical_notes: flag("lyrical notes"),
        allow_bots: flag("allowBots"),
        color: color(set.get("color")),
        color2: color(set.get("color2")),
        limit: limit(),
        min_online_ms: whole("minOnlineTime", MIN_ONLINE_MS_MAX).map(|ms| ms as u32),
    };
    (!patch.is_empty()).then_some(patch)
}

fn custom(message: Value<'_>, rules: &Rules) -> Option<Custom> {
    let target = message.get("target")?;
    let global = match target.get("global") {
        Some(value) => value.boolean()?,
        None => false,
    };
    let target = match target.get("mode")?.string()? {
        "subscribed" => CustomTarget::Subscribed,
        "id" => {
            let user = UserId::parse(target.get("id")?.string()?)?;
            CustomTarget::Users(std::iter::once(user).collect())
        }
        "ids" => {
            let mut ids = target.get("ids")?.items()?;
            if ids.len() > rules.limits.custom_targets_max {
                rules.hit(Hit::CustomTargets);
                return None;
            }
            // A value that is no string spoils the message; a string that is nobody's id is only skipped.
            let users = ids.try_fold(smallvec::SmallVec::new(), |mut users, id| {
                users.extend(UserId::parse(id.string()?));
                Some(users)
            })?;
            CustomTarget::Users(users)
        }
        _ => return None,
    };
    let mut data = Vec::new();
    match message.get("data") {
        Some(value) => value.write(&mut data),
        None => data.extend_from_slice(b"null"),
    }
    // Written from strings and ASCII, so this is always UTF-8.
    let json = String::from_utf8(data).ok()?.into_boxed_str();
    Some(Custom { target, global, body: CustomBody { json, blob: None } })
}

fn admin(message: Value<'_>, rules: &Rules) -> Option<AdminCommand> {
    let text = |key| message.get(key)?.string();
    // One dialect names the user `id`.
    let user = || UserId::parse(text("_id").or_else(|| text("id"))?);
    let profile = |change| Some(AdminCommand::Profile { user: user()?, change });
    let nothing = ProfileChange::default();
    match text("m")? {
        "notification" => Some(AdminCommand::Notify {
            audience: audience(message)?,
            notice: Box::new(operator_notice(message, &rules.limits)),
        }),
        "clear_chat" => Some(AdminCommand::ClearChat),
        "color" | "setcolor" => {
            profile(ProfileChange { color: Some(color(message.get("color"))?), ..nothing })
        }
        "name" | "setname" => {
            profile(ProfileChange { name: Some(name(message, rules)?), ..nothing })
        }
        "tag" => {
            let tag = tag(message.get("tag")?, &rules.limits)?;
            profile(ProfileChange { tag: Some(Some(Box::new(tag))), ..nothing })
        }
        "remove_tag" => profile(ProfileChange { tag: Some(None), ..nothing }),
        "move" => Some(AdminCommand::Move {
            user: match text("_id") {
                Some(id) => Some(UserId::parse(id)?),
                None => None,
            },
            channel: ChannelName::parse(text("ch")?)?,
            set: message.get("set").and_then(settings).map(Box::new),
        }),
        "admin_chat" => Some(AdminCommand::Chat {
            channel: match text("_id") {
                Some(name) => Some(ChannelName::parse(name)?),
                None => None,
            },
            text: rules.chat(text("message")?)?,
        }),
        _ => None,
    }
}

fn tag(value: Value<'_>, limits: &Limits) -> Option<Tag> {
    let text = clean(value.get("text")?.string()?)?;
    let color = value.get("color")?.string()?;
    let digits = color.strip_prefix('#')?;
    let colored = matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = utf16_len(&text) <= limits.tag_length_max;
    (colored && fits).then(|| Tag { text, color: color.into() })
}

fn audience(message: Value<'_>) -> Option<Audience> {
    let text = |key| message.get(key)?.string();
    Some(match (text("targetUser"), text("targetChannel")) {
        (Some(user), _) => Audience::User(UserId::parse(user)?),
        (None, Some("all")) => Audience::Everyone,
        (None, Some(name)) => Audience::Channel(ChannelName::parse(name)?),
        (None, None) => Audience::Here,
    })
}

/// An operator's notification. Fields that would break pages are left out: the id and the target end up in selectors.
fn operator_notice(message: Value<'_>, limits: &Limits) -> OperatorNotice {
    let text = |key| message.get(key)?.string();
    let one_of = |key, known: &[&str]| text(key).filter(|value| known.contains(value));
    let is_id = |id: &&str| MessageRef::parse(id).is_some();
    let duration = message.get("duration").and_then(Value::number).filter(|&ms| ms != 0.0);
    OperatorNotice {
        id: text("id").filter(is_id).map(Into::into),
        title: text("title").map(Into::into),
        text: text("text").map(Into::into),
        html: text("html").map(Into::into),
        class: one_of("class", &["classic", "short"]).map(Into::into),
        target: one_of("target", &["#piano", "#room", "#names", "#chat"]).map(Into::into),
        duration_ms: Some(
            duration.map_or(limits.notice_ms_default, |ms| {
                ms.min(f64::from(limits.notice_ms_max)) as i32
            }),
        ),
    }
}

#[cfg(test)]
mod tests;
