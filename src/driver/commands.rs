//! What is looked at in commands before the core is given them: bans at the hello, and what staff do.

use crate::{
    admission::Admission,
    doors::{Commands, Wire},
    storage::{self, AuditEntry, Write},
};
use tutti_shards::{AdminCommand, Audience, Command, Flow, Key, Now, ProfileChange, Shard};

/// Gives the core commands until it wants no more of them.
pub(super) fn run(
    core: &mut Shard<Wire>,
    (admission, storage): (&Admission, &storage::Handle),
    now: Now,
    key: Key,
    commands: &mut Commands,
) -> Flow {
    while let Some(command) = commands.pop_front() {
        let comes_as = match &command {
            Command::Hello { user, .. } => *user,
            Command::Login(login) => login.user,
            _ => None,
        };
        if let Some(user) = comes_as
            && core.user_of(key).is_none()
            && let Some(ban) = admission.gate().ban_of_user(user)
        {
            admission.gate().count_banned();
            let reason = (!ban.reason.is_empty()).then(|| ban.reason.as_str().into());
            core.refuse_banned(now, key, reason);
            continue;
        }
        if let Command::Admin(admin) = &command {
            staff(core, storage, now, key, admin);
        }
        let flow = core.handle_command(now, key, command);
        if flow != Flow::Continue {
            return flow;
        }
    }
    Flow::Continue
}

/// Writes down what a connection with the staff password asks. Never waits: what finds no room is counted as dropped.
fn staff(
    core: &Shard<Wire>,
    storage: &storage::Handle,
    now: Now,
    key: Key,
    command: &AdminCommand,
) {
    let actor = core.user_of(key).map_or_else(|| "nobody".to_owned(), |user| user.to_string());
    let entry = AuditEntry {
        at_ms: now.wall_ms,
        actor: format!("staff {actor}"),
        details: core.conn_of(key).map(|conn| format!("connection {conn}")).unwrap_or_default(),
        ..of(command)
    };
    let _ = storage.write(Write::Audit(Box::new(entry)));
}

fn of(command: &AdminCommand) -> AuditEntry {
    let entry = |action: &str| AuditEntry { action: action.to_owned(), ..AuditEntry::default() };
    match command {
        AdminCommand::Notify { audience, .. } => AuditEntry {
            channel: match audience {
                Audience::Channel(channel) => Some(channel.as_str().to_owned()),
                Audience::Here | Audience::Everyone | Audience::User(_) => None,
            },
            target: match audience {
                Audience::User(user) => Some(user.to_string()),
                Audience::Here => Some("here".to_owned()),
                Audience::Everyone | Audience::Channel(_) => None,
            },
            ..entry("notice")
        },
        AdminCommand::ClearChat => entry("clear"),
        AdminCommand::Profile { user, change } => {
            let ProfileChange { name, color, tag, .. } = change;
            let action = match (name, color, tag) {
                (Some(_), _, _) => "rename",
                (None, Some(_), _) => "color",
                (None, None, _) => "tag",
            };
            AuditEntry { target: Some(user.to_string()), ..entry(action) }
        }
        AdminCommand::Move { user, channel, .. } => AuditEntry {
            channel: Some(channel.as_str().to_owned()),
            target: user.map(|user| user.to_string()),
            ..entry("move")
        },
        AdminCommand::Chat { channel, .. } => AuditEntry {
            channel: channel.as_ref().map(|channel| channel.as_str().to_owned()),
            ..entry("say")
        },
    }
}
