//! What has to hold between keys, whoever set them.

use super::raw::{ConfigError, RawConfig, Value};

/// `smaller` must stay below `larger`, or reach it at most.
struct Below {
    smaller: &'static str,
    larger: &'static str,
    may_be_equal: bool,
    why: &'static str,
}

const fn at_most(smaller: &'static str, larger: &'static str, why: &'static str) -> Below {
    Below { smaller, larger, may_be_equal: true, why }
}

const fn less(smaller: &'static str, larger: &'static str, why: &'static str) -> Below {
    Below { smaller, larger, may_be_equal: false, why }
}

const RELATIONS: &[Below] = &[
    at_most(
        "limits.message_bytes",
        "limits.outbox_bytes",
        "a message that is passed on must fit the receivers' outboxes",
    ),
    at_most(
        "limits.message_bytes",
        "limits.bytes_in",
        "a message of the greatest length must fit the byte quota",
    ),
    at_most(
        "limits.outbox_mark_bytes",
        "limits.outbox_bytes",
        "cursor moves are left out before the connection is closed",
    ),
    at_most(
        "line.outbox_mark_bytes",
        "line.outbox_bytes",
        "lines are left out before the connection is closed",
    ),
    at_most(
        "line.outbox_bytes",
        "limits.outbox_total_bytes",
        "one connection's share cannot exceed the whole",
    ),
    at_most(
        "limits.outbox_bytes",
        "limits.outbox_total_bytes",
        "one connection's share cannot exceed the whole",
    ),
    less(
        "quic.retry_above",
        "quic.ignore_above",
        "clients are asked to show their address before they are not answered at all",
    ),
    at_most("mesh.backlog_mark", "mesh.backlog", "cursors wait before connections are refused"),
    less("limits.ping_ms", "limits.silence_ms", "a ping needs time for its answer"),
    less("hot.demote_rate", "hot.promote_rate", "a channel would keep changing"),
    less("quic.cool_rate", "quic.busy_rate", "a room would keep changing streams"),
    less("quic.ping_ms", "quic.dead_ms", "a ping needs time for its answer"),
    at_most("quic.init_messages", "quic.ring_messages", "what is shown has to be kept"),
    at_most(
        "quic.outbox_mark_bytes",
        "quic.outbox_bytes",
        "presence is left out before the connection is closed",
    ),
    at_most("quota.lobby.allowance", "quota.lobby.max", "clients cap the quota at max"),
    at_most("quota.normal.allowance", "quota.normal.max", "clients cap the quota at max"),
    at_most("quota.crown.allowance", "quota.crown.max", "clients cap the quota at max"),
    at_most("notice.default_ms", "notice.max_ms", "a notification stays no longer than that"),
];

/// Checks every relation.
pub(super) fn check(raw: &RawConfig) -> Result<(), ConfigError> {
    for relation in RELATIONS {
        let (Some(smaller), Some(larger)) =
            (number(raw, relation.smaller), number(raw, relation.larger))
        else {
            continue;
        };
        let (holds, must) = if relation.may_be_equal {
            (smaller <= larger, "be at most")
        } else {
            (smaller < larger, "be less than")
        };
        if !holds {
            let (smaller, larger) = (shown(raw, relation.smaller), shown(raw, relation.larger));
            let why = relation.why;
            return Err(ConfigError::Relation(format!("{smaller} must {must} {larger}: {why}")));
        }
    }
    check_history(raw)?;
    check_texts(raw)
}

/// A joiner is sent the whole history at once: it must not fill the outbox, or nobody could join a talkative
/// channel. A UTF-16 unit takes at most 3 bytes of UTF-8, and the author of a message about 256.
fn check_history(raw: &RawConfig) -> Result<(), ConfigError> {
    let of = |name| number(raw, name).expect("the key takes numbers only");
    let bytes = of("chat.history") * (of("limits.chat_length") * 3 + 256);
    if bytes <= of("limits.outbox_bytes") {
        return Ok(());
    }
    Err(ConfigError::Relation(format!(
        "{} with {} may take {bytes} bytes for each joiner, which must be at most {}",
        shown(raw, "chat.history"),
        shown(raw, "limits.chat_length"),
        shown(raw, "limits.outbox_bytes"),
    )))
}

/// JSON may write a UTF-16 unit in 6 bytes, and the message around the text takes less than 128.
fn check_texts(raw: &RawConfig) -> Result<(), ConfigError> {
    let of = |name| number(raw, name).expect("the key takes numbers only");
    for name in ["limits.name_length", "limits.chat_length"] {
        let bytes = of(name) * 6 + 128;
        if bytes > of("limits.message_bytes") {
            return Err(ConfigError::Relation(format!(
                "{} may take {bytes} bytes in a message, which must be at most {}",
                shown(raw, name),
                shown(raw, "limits.message_bytes"),
            )));
        }
    }
    Ok(())
}

fn number(raw: &RawConfig, name: &str) -> Option<u64> {
    match raw.value(name) {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}

fn shown(raw: &RawConfig, name: &str) -> String {
    let value = raw.value(name).map_or(String::new(), |value| value.to_string());
    format!("`{name}` = {value} ({})", raw.origin(name))
}
