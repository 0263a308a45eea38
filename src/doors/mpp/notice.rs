//! What notifications say (protocol page, sections 0, 5.3, 6 and 7).

use super::write;
use std::borrow::Cow;
use tutti_shards::{Notice, OperatorNotice};

/// The fields of a notification. What peers wrote goes into `text` alone: clients take the others for markup.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a str>,
    title: Option<&'a str>,
    text: Option<Cow<'a, str>>,
    html: Option<&'a str>,
    class: Option<&'a str>,
    target: Option<&'a str>,
    duration_ms: Option<i32>,
}

/// Appends the `notification` message.
pub(super) fn write(notice: &Notice, out: &mut Vec<u8>) {
    let fields = fields(notice);
    out.extend_from_slice(b"{\"m\":\"notification\"");
    let texts = [
        ("id", fields.id),
        ("title", fields.title),
        ("text", fields.text.as_deref()),
        ("html", fields.html),
        ("class", fields.class),
        ("target", fields.target),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            out.push(b',');
            write::string(out, key);
            out.push(b':');
            write::string(out, value);
        }
    }
    if let Some(duration_ms) = fields.duration_ms {
        out.extend_from_slice(b",\"duration\":");
        write::integer(out, duration_ms);
    }
    out.push(b'}');
}

fn fields(notice: &Notice) -> Fields<'_> {
    match notice {
        Notice::TooFast => Fields {
            id: Some("too-fast"),
            text: Some("You're playing too fast! Slow down.".into()),
            class: Some("short"),
            duration_ms: Some(2_000),
            ..Fields::default()
        },
        Notice::Removed { channel, minutes: 0, .. } => {
            room("removed", format!("You were removed from \"{channel}\"."))
        }
        Notice::Removed { channel, minutes, .. } => {
            room("removed", format!("You are banned from \"{channel}\" for {}.", span(*minutes)))
        }
        Notice::RemovedFromHere { name, by, minutes, reason } => {
            let (name, by) = (&name.name, &by.name);
            let end = reason.as_ref().map_or(".".into(), |why| format!(": {}", why.as_str()));
            news(match minutes {
                0 => format!("{by} removed {name} from the channel{end}"),
                _ => {
                    format!("{by} banned {name} from the channel for {}{end}", span(*minutes))
                }
            })
        }
        Notice::RemovedThemselves { name } => Fields {
            title: Some("Certificate of Award"),
            ..news(format!("Let it be known that {name} removed themselves. Well done!"))
        },
        Notice::Unbanned { name, by } => news(format!("{by} lifted the ban of {name}.")),
        Notice::StillBanned { channel, seconds } => room(
            "banned",
            format!("You are banned from \"{channel}\" for {} more.", span(seconds.div_ceil(60))),
        ),
        Notice::ChannelFull { channel } => room("full", format!("\"{channel}\" is full.")),
        Notice::TooNew { channel, required_ms } => {
            let minutes = u64::from(required_ms.div_ceil(60_000));
            let text = format!(
                "\"{channel}\" is for people who have been here for at least {}.",
                span(minutes)
            );
            room("too-new", text)
        }
        Notice::NoMoreChannels { channel } => room(
            "no-more-channels",
            format!("The server has no room for another channel, so \"{channel}\" was not made."),
        ),
        Notice::NotKept => room(
            "not-kept",
            "This holds, but could not be written down: it ends when the server restarts.".into(),
        ),
        Notice::TooManyConnections => Fields {
            target: None,
            ..room("too-many", "You have too many connections. Close one and try again.".into())
        },
        Notice::Muted { seconds: 0 } => room("muted", "You can be heard again.".into()),
        Notice::Muted { seconds } => {
            room("muted", format!("You are muted for {}.", time(*seconds)))
        }
        Notice::StillMuted { seconds } => {
            room("muted", format!("You are muted for {} more.", time(*seconds)))
        }
        Notice::Kicked { reason } => {
            last("kicked", because("An operator closed your connection.", reason))
        }
        Notice::SiteBanned { reason } => {
            last("site-banned", because("You are banned from this server.", reason))
        }
        Notice::ChannelClosed { channel, reason } => {
            let text = format!("\"{channel}\" was closed by an operator.");
            room("closed", because(&text, reason))
        }
        Notice::Operator(notice) => operator(notice),
    }
}

/// A short notification at the channel's name for one person.
fn room(id: &'static str, text: String) -> Fields<'static> {
    Fields { id: Some(id), ..news(text) }
}

/// A short notification at the channel's name. Without an id it does not replace the one before it.
fn news(text: String) -> Fields<'static> {
    Fields {
        title: Some("Notice"),
        text: Some(text.into()),
        class: Some("short"),
        target: Some("#room"),
        duration_ms: Some(7_000),
        ..Fields::default()
    }
}

/// The last that a connection hears: it stays, and is not at a channel's name.
fn last(id: &'static str, text: String) -> Fields<'static> {
    Fields { target: None, duration_ms: Some(-1), class: Some("classic"), ..room(id, text) }
}

fn because(text: &str, reason: &Option<Box<str>>) -> String {
    match reason {
        Some(reason) => format!("{text} Reason: {reason}"),
        None => text.to_owned(),
    }
}

/// A time as people say it, rounded up: seconds below two minutes.
fn time(seconds: u64) -> String {
    match seconds {
        1 => "1 second".into(),
        0..120 => format!("{seconds} seconds"),
        _ => span(seconds.div_ceil(60)),
    }
}

fn operator(notice: &OperatorNotice) -> Fields<'_> {
    Fields {
        id: notice.id.as_deref(),
        title: notice.title.as_deref(),
        text: notice.text.as_deref().map(Cow::from),
        html: notice.html.as_deref(),
        class: notice.class.as_deref(),
        target: notice.target.as_deref(),
        duration_ms: notice.duration_ms,
    }
}

fn span(minutes: u64) -> String {
    if minutes == 1 { "1 minute".into() } else { format!("{minutes} minutes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_shards::ChannelName;

    fn check(notice: Notice, expected: &str) {
        let mut out = Vec::new();
        write(&notice, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    fn named(name: &str) -> tutti_shards::Named {
        tutti_shards::Named { name: name.into(), in_lines: "not here".into() }
    }

    fn channel() -> ChannelName {
        ChannelName::parse("a <b> \"c\"").unwrap()
    }

    #[test]
    fn refused_notes_are_told_briefly() {
        check(
            Notice::TooFast,
            r##"{"m":"notification","id":"too-fast","text":"You're playing too fast! Slow down.","class":"short","duration":2000}"##,
        );
    }

    #[test]
    fn bans_name_channel_and_minutes() {
        check(
            Notice::Removed { channel: channel(), minutes: 5, by: named("Mira") },
            r##"{"m":"notification","id":"removed","title":"Notice","text":"You are banned from \"a <b> \"c\"\" for 5 minutes.","class":"short","target":"#room","duration":7000}"##,
        );
        check(
            Notice::RemovedFromHere {
                name: named("Ben"),
                by: named("Mira"),
                minutes: 1,
                reason: None,
            },
            r##"{"m":"notification","title":"Notice","text":"Mira banned Ben from the channel for 1 minute.","class":"short","target":"#room","duration":7000}"##,
        );
        check(
            Notice::RemovedFromHere {
                name: named("Ben"),
                by: named("Mira"),
                minutes: 0,
                reason: None,
            },
            r##"{"m":"notification","title":"Notice","text":"Mira removed Ben from the channel.","class":"short","target":"#room","duration":7000}"##,
        );
    }

    #[test]
    fn mutes_and_kicks_say_how_long_and_why() {
        check(
            Notice::StillMuted { seconds: 61 },
            r##"{"m":"notification","id":"muted","title":"Notice","text":"You are muted for 61 seconds more.","class":"short","target":"#room","duration":7000}"##,
        );
        check(
            Notice::Muted { seconds: 3_601 },
            r##"{"m":"notification","id":"muted","title":"Notice","text":"You are muted for 61 minutes.","class":"short","target":"#room","duration":7000}"##,
        );
        check(
            Notice::Kicked { reason: Some("flood".into()) },
            r##"{"m":"notification","id":"kicked","title":"Notice","text":"An operator closed your connection. Reason: flood","class":"classic","duration":-1}"##,
        );
    }

    #[test]
    fn operators_choose_every_field() {
        check(Notice::Operator(Box::default()), r##"{"m":"notification"}"##);
        check(
            Notice::Operator(Box::new(OperatorNotice {
                id: Some("x".into()),
                title: Some("T".into()),
                text: None,
                html: Some("<b>h</b>".into()),
                class: Some("classic".into()),
                target: Some("#chat".into()),
                duration_ms: Some(-1),
            })),
            r##"{"m":"notification","id":"x","title":"T","html":"<b>h</b>","class":"classic","target":"#chat","duration":-1}"##,
        );
    }
}
