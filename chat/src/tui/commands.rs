//! The commands of the input line.

use super::app::{Action, App, Purpose};
use super::help::{COMMANDS, INDENT, KEYS};
use std::path::PathBuf;
use tutti_chat::wire::{Command, Signal};

/// What `/help` shows.
pub(crate) fn help() -> Vec<String> {
    let line =
        |(usage, what): &(&str, &str)| format!("  {usage:<width$}{what}", width = INDENT - 2);
    let mut lines = vec!["commands:".to_owned()];
    lines.extend(COMMANDS.iter().map(line));
    lines.push("keys:".into());
    lines.extend(KEYS.iter().map(line));
    lines
}

/// Splits the first word off.
fn word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

fn usage(command: &str) -> String {
    let form = COMMANDS
        .iter()
        .find(|(form, _)| form.split(", ").any(|one| one.split(' ').next() == Some(command)));
    format!("usage: {}", form.map_or(command, |(form, _)| form))
}

/// Finds a person of the room that is shown, by name or the beginning of one, or by `user:NUMBER`.
fn person(app: &App, who: &str) -> Result<u64, String> {
    if let Some(number) = who.strip_prefix("user:") {
        return number.parse().map_err(|_| format!("`{who}` has no user's number"));
    }
    let Some(room) = app.room() else { return Err("that works in a room".into()) };
    let lower = who.trim_start_matches('@').to_lowercase();
    let of = |fits: &dyn Fn(&str) -> bool| -> Vec<u64> {
        let members = room.members.values();
        let fitting = members.filter(|member| fits(&member.username.to_lowercase()));
        fitting.map(|member| member.user_id).collect()
    };
    let exact = of(&|name| name == lower);
    let begins = of(&|name| name.starts_with(&lower));
    match (exact.as_slice(), begins.as_slice()) {
        ([one], _) | ([], [one]) => Ok(*one),
        ([], []) => Err(format!("there is no {who} here")),
        _ => {
            Err(format!("more than one person here is {who}; name one by user:NUMBER (see /users)"))
        }
    }
}

/// Does what the line after the slash says.
///
/// # Errors
/// What to tell the person, who gets the line back.
pub(crate) fn run(app: &mut App, line: &str) -> Result<Vec<Action>, String> {
    let (name, rest) = word(line);
    let name = format!("/{}", name.to_lowercase());
    let need = |text: &str| if text.is_empty() { Err(usage(&name)) } else { Ok(text.to_owned()) };
    let one = |command: Command, purpose: Purpose| Ok(vec![Action::Send(command, purpose)]);
    let done = |command: Command, text: &'static str| one(command, Purpose::Done(text));
    let here = |app: &App| match app.room() {
        Some(room) => Ok(room.room_id),
        None => Err("that works in a room; /join one".to_owned()),
    };
    match name.as_str() {
        "/help" | "/?" => app.show(help()),
        "/quit" | "/exit" => return Ok(vec![Action::Quit]),
        "/join" => {
            let room = need(rest)?;
            let command = match room.strip_prefix("id:").map(str::parse) {
                Some(Ok(room_id)) => Command::JoinById { room_id },
                Some(Err(_)) => return Err("after `id:` comes a room's number".into()),
                None => Command::JoinByName { name: room.trim_start_matches('#').into() },
            };
            return one(command, Purpose::Enter);
        }
        "/leave" | "/part" => {
            let room_id = here(app)?;
            if app.room().is_some_and(|room| !room.inside) {
                app.model.rooms.remove(&room_id);
                app.go(None);
                return Ok(Vec::new());
            }
            return done(Command::LeaveRoom { room_id }, "");
        }
        "/create" => {
            let (room_type, name) = word(rest);
            let (room_type, name) = (room_type.to_owned(), need(name)?);
            let create = Command::CreateRoom { name, room_type, members: Vec::new(), topic: None };
            return one(create, Purpose::Enter);
        }
        "/rooms" => {
            let filter = (!rest.is_empty()).then(|| rest.to_owned());
            return one(Command::ListRooms { filter, after: None, limit: 200 }, Purpose::Rooms);
        }
        "/users" | "/who" => {
            here(app)?;
            let lines = users(app);
            app.show(lines);
        }
        "/msg" | "/pm" => {
            let (who, text) = word(rest);
            let text = need(text)?;
            let user_id = person(app, who)?;
            return one(Command::OpenDirect { user_id }, Purpose::Whisper(text));
        }
        "/r" => {
            let text = need(rest)?;
            let room_id = app.last_whisper.ok_or("nobody has written to you")?;
            return Ok(vec![app.message(room_id, text, None, "text")]);
        }
        "/me" => {
            let text = need(rest)?;
            return Ok(app.speak(&text, None, "action"));
        }
        "/reply" => {
            let text = need(rest)?;
            let to =
                app.target().map(|said| said.message_id).ok_or("there is no message to answer")?;
            return Ok(app.speak(&text, Some(to), "text"));
        }
        "/edit" => {
            let room_id = here(app)?;
            let said = app.own_target().ok_or("there is no message of yours")?;
            let (message_id, content) = (said.message_id, said.content.clone());
            if rest.is_empty() {
                app.editor.set(format!("/edit {content}"));
                return Ok(Vec::new());
            }
            return done(Command::EditMessage { room_id, message_id, content: rest.into() }, "");
        }
        "/delete" | "/del" => {
            let room_id = here(app)?;
            let message_id = app.own_target().ok_or("there is no message of yours")?.message_id;
            return done(Command::DeleteMessage { room_id, message_id }, "");
        }
        "/react" | "/unreact" => {
            let (room_id, emoji) = (here(app)?, need(rest)?);
            let message_id = app.target().ok_or("there is no message here")?.message_id;
            return match name.as_str() {
                "/react" => done(Command::AddReaction { room_id, message_id, emoji }, ""),
                _ => {
                    let user_id = None;
                    done(Command::RemoveReaction { room_id, message_id, emoji, user_id }, "")
                }
            };
        }
        "/history" => {
            here(app)?;
            return Ok(app.fetch());
        }
        "/upload" => {
            let (room_id, path) = (here(app)?, need(rest)?);
            let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
                (Some(rest), Some(folder)) => PathBuf::from(folder).join(rest),
                _ => PathBuf::from(path),
            };
            app.say(format!("sending {}", path.display()));
            return Ok(vec![Action::Upload { room_id, path }]);
        }
        "/download" => {
            let to = (!rest.is_empty()).then(|| PathBuf::from(rest));
            let upload_id = file(app).ok_or("there is no file at the message")?;
            return Ok(vec![Action::Download { upload_id, to }]);
        }
        "/away" => {
            app.pseq += 1;
            app.say("you are away".into());
            return Ok(vec![Action::Signal(Signal::Away {
                away_since: super::clock(),
                pseq: app.pseq,
            })]);
        }
        "/back" => {
            app.pseq += 1;
            app.say("you are back".into());
            return Ok(vec![Action::Signal(Signal::Online { status: None, pseq: app.pseq })]);
        }
        "/nick" => {
            let username = Some(need(rest)?);
            return done(Command::SetProfile { username, color: None }, "your name has changed");
        }
        "/color" => {
            let color = Some(need(rest)?);
            return done(Command::SetProfile { username: None, color }, "your color has changed");
        }
        "/joins" => match rest {
            "on" | "off" => {
                app.model.show_joins = rest == "on";
                app.say(format!(
                    "who comes and goes is {}",
                    if rest == "on" { "shown" } else { "hidden" }
                ));
            }
            _ => return Err(usage(&name)),
        },
        "/topic" => {
            let (room_id, topic) = (here(app)?, Some(rest.to_owned()));
            let update =
                Command::UpdateRoom { room_id, name: None, topic, post_role: None, visible: None };
            return done(update, "");
        }
        "/invite" | "/kick" | "/ban" | "/unban" | "/mute" | "/role" => {
            return moderate(app, &name, rest);
        }
        _ => return Err(format!("unknown command {name}; /help shows them")),
    }
    Ok(Vec::new())
}

/// Commands that act on another person.
fn moderate(app: &App, name: &str, rest: &str) -> Result<Vec<Action>, String> {
    let (who, rest) = word(rest);
    if who.is_empty() {
        return Err(usage(name));
    }
    let room_id = app.room().ok_or("that works in a room; /join one")?.room_id;
    let user_id = person(app, who)?;
    let minutes = |text: &str| text.parse::<u64>().map(|n| n * 60_000).map_err(|_| usage(name));
    let reason = (!rest.is_empty()).then(|| rest.to_owned());
    let (command, text) = match name {
        "/invite" => (Command::InviteUser { room_id, user_id }, "invited"),
        "/kick" => (Command::KickUser { room_id, user_id, reason }, "kicked"),
        "/ban" => {
            let duration_ms = minutes(if rest.is_empty() { "30" } else { rest })?;
            (Command::BanUser { room_id, user_id, duration_ms, reason: None }, "banned")
        }
        "/unban" => (Command::UnbanUser { room_id, user_id }, "unbanned"),
        "/mute" => {
            let duration_ms = minutes(rest)?;
            (Command::MuteUser { room_id, user_id, duration_ms }, "done")
        }
        _ if rest.is_empty() => return Err(usage(name)),
        _ => (Command::SetRole { room_id, user_id, role: rest.into() }, "done"),
    };
    Ok(vec![Action::Send(command, Purpose::Done(text))])
}

/// The people of the room that is shown.
fn users(app: &App) -> Vec<String> {
    let Some(room) = app.room() else { return Vec::new() };
    let me = app.model.my_id();
    let mut lines = vec![format!("{} people in {}:", room.member_count, room.title(me))];
    let mut members: Vec<_> = room.members.values().collect();
    members.sort_by_key(|member| (member.user_id != me, member.username.to_lowercase()));
    for member in members {
        let marks = [member.role.as_deref(), member.presence.as_deref(), member.door.as_deref()];
        let marks = marks.into_iter().flatten().collect::<Vec<_>>().join(", ");
        lines.push(format!("  {} ({marks}) user:{}", member.username, member.user_id));
    }
    lines
}

/// The file of the selected message, or the last one of the room.
fn file(app: &App) -> Option<u64> {
    let room = app.room()?;
    match app.selected {
        Some(id) => room.messages.get(&id)?.attachments.first().map(|file| file.upload_id),
        None => {
            let with_files = room.messages.values().filter(|said| !said.attachments.is_empty());
            let last = with_files.max_by_key(|said| said.message_id)?;
            last.attachments.first().map(|file| file.upload_id)
        }
    }
}
