//! Answers as people read them. Texts that people of the server wrote never become control characters here.

use crate::control::Do;
use crate::gate::wall_ms;
use serde_json::Value;
use std::fmt::Write as _;

/// What came of a request.
pub(super) fn done(what: &Do, done: &Value) -> String {
    match what {
        Do::Status {} => status(done),
        Do::Top { .. } => top(done, None),
        Do::Users { .. } => {
            let rows = rows(&done["users"], &["id", "connections", "name", "tag"]);
            table(&["user", "conns", "name", "tag"], rows)
        }
        Do::User { .. } => user(done),
        Do::Channels { .. } => channels(&done["channels"]),
        Do::Channel { .. } => channel(done),
        Do::Bans { channel: None } => {
            let ban = |ban: &Value| {
                let until = ban["until_ms"].as_u64().map_or("for ever".to_owned(), left);
                vec![text(&ban["target"]), until, text(&ban["by"]), text(&ban["reason"])]
            };
            table(&["target", "left", "by", "reason"], list(&done["bans"]).map(ban).collect())
        }
        Do::Bans { channel: Some(_) } => {
            table(&["user", "left s"], rows(&done["bans"], &["user", "left_s"]))
        }
        Do::Ban { channel: None, .. } => {
            let until = done["until_ms"].as_u64().map_or("for ever".to_owned(), left);
            format!("banned {}, {until}; {} closed\n", text(&done["target"]), text(&done["closed"]))
        }
        Do::Unban { channel: None, .. } => format!("{} may come again\n", text(&done["target"])),
        Do::Panic { .. } => format!("{}: {}\n", text(&done["level"]), text(&done["means"])),
        Do::Log { .. } => format!("{}\n", text(&done["filter"])),
        Do::Reload {} => reload(done),
        Do::Drain { .. } => format!("stopping; {} were still connected\n", text(&done["closed"])),
        Do::Audit { .. } => audit(done),
        Do::Notice { to: crate::control::NoticeTo::All, .. } => "told everyone\n".to_owned(),
        _ => match done["reached"].as_u64() {
            Some(1) => "done; 1 connection\n".to_owned(),
            Some(reached) => format!("done; {reached} connections\n"),
            None => "done\n".to_owned(),
        },
    }
}

/// How far something is.
pub(super) fn progress(progress: &Value) -> String {
    format!("{} connected, {} s left\n", text(&progress["connections"]), text(&progress["left_s"]))
}

/// Without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() || is_format(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// What turns the direction of text, or shows nothing.
fn is_format(c: char) -> bool {
    let marks = ['\u{200b}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2060}'..='\u{2069}'];
    c == '\u{feff}' || marks.iter().any(|marks| marks.contains(&c))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => plain(&other.to_string()),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn rows(value: &Value, keys: &[&str]) -> Vec<Vec<String>> {
    list(value).map(|item| keys.iter().map(|&key| text(&item[key])).collect()).collect()
}

/// Columns as wide as their widest cell.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return "none\n".to_owned();
    }
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(head).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(&row) {
            let pad = width.saturating_sub(cell.chars().count());
            let _ = write!(line, "{cell}{}  ", " ".repeat(pad));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn facts(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = writeln!(out, "{name:width$}  {value}");
        out
    })
}

fn status(status: &Value) -> String {
    facts(&[
        ("version", text(&status["version"])),
        ("process", text(&status["pid"])),
        ("up", span(status["uptime_s"].as_u64().unwrap_or(0))),
        ("shards", format!("{} of {} answer", text(&status["answering"]), text(&status["shards"]))),
        ("connections", text(&status["connections"])),
        ("participants", text(&status["participants"])),
        (
            "channels",
            format!("{}, {} hot", text(&status["channels"]), text(&status["hot_channels"])),
        ),
        ("slow readers", text(&status["slow_readers"])),
        ("bans", text(&status["bans"])),
        ("panic level", text(&status["panic"])),
        ("draining", text(&status["draining"])),
        ("log", text(&status["log"])),
    ])
}

/// The whole view; with what it was a while before, rates too.
pub(super) fn top(now: &Value, before: Option<(&Value, f64)>) -> String {
    let mut out = format!(
        "tutti {}  up {}  {} connections  {} channels  {} slow  {} bans  panic {}\n\n",
        text(&now["version"]),
        span(now["uptime_s"].as_u64().unwrap_or(0)),
        text(&now["connections"]),
        text(&now["channels"]),
        text(&now["slow_readers"]),
        text(&now["bans"]),
        text(&now["panic"]),
    );
    let shard = |(n, shard): (usize, &Value)| {
        let rate = |key: &str| match before {
            None => "-".to_owned(),
            Some((before, seconds)) => {
                let was = before["shard_list"][n][key].as_f64().unwrap_or(0.0);
                let is = shard[key].as_f64().unwrap_or(0.0);
                format!("{:.0}", ((is - was) / seconds).max(0.0))
            }
        };
        let mut cells: Vec<String> =
            ["shard", "connections", "channels", "participants", "slow_readers", "outbox_bytes"]
                .map(|key| text(&shard[key]))
                .into();
        cells.extend(["messages_in", "messages_out", "bytes_out"].map(rate));
        cells.extend(["turn_us_p99", "mesh_backlog"].map(|key| text(&shard[key])));
        cells
    };
    let shards = list(&now["shard_list"]).enumerate().map(shard).collect();
    out.push_str(&table(
        &[
            "shard", "conns", "channels", "people", "slow", "waiting", "in/s", "out/s", "bytes/s",
            "turn µs", "mesh",
        ],
        shards,
    ));
    out.push('\n');
    out.push_str(&channels(&now["channel_list"]));
    if list(&now["slow_list"]).next().is_some() {
        let slow = rows(&now["slow_list"], &["connection", "user", "waiting_bytes"]);
        out.push('\n');
        out.push_str(&table(&["slow reader", "user", "waiting"], slow));
    }
    out
}

fn channels(channels: &Value) -> String {
    let keys = ["name", "count", "connections", "shard", "visible", "hot", "crown"];
    table(&["channel", "people", "conns", "shard", "listed", "hot", "crown"], rows(channels, &keys))
}

fn channel(channel: &Value) -> String {
    let settings = &channel["settings"];
    let mut out = facts(&[
        ("channel", text(&channel["name"])),
        ("shard", text(&channel["shard"])),
        ("people", text(&channel["count"])),
        ("listed", text(&settings["visible"])),
        ("chat", text(&settings["chat"])),
        ("crown solo", text(&settings["crown_solo"])),
        ("limit", text(&settings["limit"])),
        ("crown", text(&channel["crown"])),
        ("hot", text(&channel["hot"])),
        ("history", text(&channel["history"])),
    ]);
    let people = rows(&channel["people"], &["id", "connections", "name", "tag"]);
    out.push('\n');
    out.push_str(&table(&["person", "conns", "name", "tag"], people));
    for (title, key) in [("banned", "banned"), ("muted", "muted")] {
        let rows = rows(&channel[key], &["user", "left_s"]);
        if !rows.is_empty() {
            out.push('\n');
            out.push_str(&table(&[title, "left s"], rows));
        }
    }
    out
}

fn user(user: &Value) -> String {
    let muted = user["muted_until_ms"].as_u64().map_or("no".to_owned(), left);
    let mut out = facts(&[
        ("user", text(&user["id"])),
        ("name", text(&user["name"])),
        ("tag", text(&user["tag"])),
        ("muted", muted),
        ("banned", text(&user["banned"])),
    ]);
    out.push('\n');
    let connections = rows(&user["connections"], &["connection", "shard", "address"]);
    out.push_str(&table(&["connection", "shard", "address"], connections));
    let seats = rows(&user["channels"], &["channel", "connections", "crown", "muted_s"]);
    if !seats.is_empty() {
        out.push('\n');
        out.push_str(&table(&["channel", "conns", "crown", "muted s"], seats));
    }
    out
}

fn reload(done: &Value) -> String {
    let mut out = String::new();
    for (title, key) in [("changed", "changed"), ("needs a restart", "needs_restart")] {
        let rows = rows(&done[key], &["key", "before", "after"]);
        if !rows.is_empty() {
            out.push_str(&table(&[title, "before", "after"], rows));
        }
    }
    if out.is_empty() { "nothing has changed\n".to_owned() } else { out }
}

fn audit(done: &Value) -> String {
    let entry = |entry: &Value| {
        let mut cells = vec![text(&entry["number"]), ago(entry["at_ms"].as_u64().unwrap_or(0))];
        cells.extend(
            ["who", "what", "channel", "target", "reason", "details"].map(|key| text(&entry[key])),
        );
        cells
    };
    table(
        &["number", "ago", "who", "what", "channel", "target", "reason", "details"],
        list(&done["entries"]).map(entry).collect(),
    )
}

fn left(until_ms: u64) -> String {
    format!("for {}", span(until_ms.saturating_sub(wall_ms()).div_ceil(1_000)))
}

fn ago(at_ms: u64) -> String {
    span(wall_ms().saturating_sub(at_ms) / 1_000)
}

/// The two largest units of a time.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_what_people_wrote_is_no_command() {
        let users = json!({ "users": [
            { "id": "a", "connections": 1, "name": "\u{1b}[31mred\n\u{202e}", "tag": null },
            { "id": "bbbb", "connections": 12, "name": "Bé", "tag": "mod" },
        ]});
        let what = Do::Users { text: None, absent: false, muted: false, limit: 1 };
        assert_eq!(
            done(&what, &users),
            "user  conns  name        tag\n\
             a     1      \u{fffd}[31mred\u{fffd}\u{fffd}  -\n\
             bbbb  12     Bé          mod\n"
        );
        assert_eq!(done(&what, &json!({ "users": [] })), "none\n");
    }

    #[test]
    fn times_are_two_units() {
        for (seconds, text) in
            [(59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
