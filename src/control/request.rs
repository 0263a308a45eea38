//! What is said over the control socket: JSON, one object a line (`docs/ctl.md`). Used by both ends.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Sent back with each answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// On whose behalf, for the audit log.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub on_behalf: Option<String>,
    /// What.
    #[serde(rename = "do")]
    pub what: Do,
}

/// What can be asked.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "docs/ctl.md says what each is and takes")]
pub enum Do {
    Status {},
    Top {
        #[serde(default = "ten")]
        limit: u32,
    },
    Users {
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        absent: bool,
        #[serde(default)]
        muted: bool,
        #[serde(default = "hundred")]
        limit: u32,
    },
    User {
        id: String,
    },
    Channels {
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        hidden: bool,
        #[serde(default)]
        peopled: bool,
        #[serde(default = "hundred")]
        limit: u32,
    },
    Channel {
        name: String,
    },
    Say {
        channel: String,
        text: String,
    },
    Notice {
        to: NoticeTo,
        text: String,
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        seconds: Option<u32>,
    },
    Kick {
        user: String,
        #[serde(default)]
        channel: Option<String>,
        #[serde(default)]
        reason: Option<String>,
    },
    Disconnect {
        connection: String,
        #[serde(default)]
        reason: Option<String>,
    },
    Ban {
        target: String,
        #[serde(default)]
        channel: Option<String>,
        #[serde(default)]
        seconds: Option<u64>,
        #[serde(default)]
        reason: Option<String>,
    },
    Unban {
        target: String,
        #[serde(default)]
        channel: Option<String>,
    },
    Bans {
        #[serde(default)]
        channel: Option<String>,
    },
    Mute {
        user: String,
        #[serde(default)]
        channel: Option<String>,
        seconds: u64,
        #[serde(default)]
        reason: Option<String>,
    },
    Unmute {
        user: String,
        #[serde(default)]
        channel: Option<String>,
    },
    Close {
        channel: String,
        #[serde(default)]
        reason: Option<String>,
    },
    Rename {
        user: String,
        name: String,
    },
    Tag {
        user: String,
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        color: Option<String>,
    },
    Panic {
        #[serde(default)]
        level: Option<u8>,
    },
    Reload {},
    Drain {
        seconds: u64,
        #[serde(default)]
        text: Option<String>,
    },
    Log {
        #[serde(default)]
        filter: Option<String>,
    },
    Audit {
        #[serde(default = "hundred")]
        limit: u32,
        #[serde(default)]
        before: Option<i64>,
    },
}

/// Who sees a notice.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "docs/ctl.md says what each is")]
pub enum NoticeTo {
    All,
    Channel(String),
    User(String),
}

fn ten() -> u32 {
    10
}

fn hundred() -> u32 {
    100
}

/// One answer. The last of a request has `ok` or `error`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize, Debug)]
pub struct Reply {
    /// That of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Value>,
    /// How far it is; more follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Value>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// One word, for programs.
    pub code: String,
    /// A sentence, for people.
    pub text: String,
}

impl Failure {
    /// A failure of this code.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Failure { code: code.to_owned(), text: text.into() }
    }
}
