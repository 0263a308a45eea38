//! What `/help` shows.

/// Columns in front of what a command does.
pub(crate) const INDENT: usize = 25;

/// Commands: how one is written, and what it does.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("/join ROOM", "enter a room, or make it"),
    ("/leave", "leave this room"),
    ("/create group NAME", "make a group that only those who are invited can enter"),
    ("/rooms [TEXT]", "list rooms"),
    ("/users, /who", "list the people here"),
    ("/msg WHO TEXT", "write to one person"),
    ("/me TEXT", "say what you do"),
    ("/reply TEXT", "answer the selected message, or the last one"),
    ("/edit [TEXT]", "change the selected message of yours, or your last one"),
    ("/delete", "delete the selected message, or your last one"),
    ("/react EMOJI", "react to the selected message, or the last one"),
    ("/unreact EMOJI", "take a reaction back"),
    ("/history", "fetch older messages"),
    ("/upload FILE", "show a file here"),
    ("/download [FOLDER]", "fetch the file of the selected message, or the last one"),
    ("/away, /back", "say that you are away, or back"),
    ("/nick NAME", "change your name"),
    ("/color #RRGGBB", "change your color"),
    ("/joins on|off", "show who comes and goes"),
    ("/topic TEXT", "say what this room is about"),
    ("/invite WHO", "invite somebody into this group"),
    ("/kick WHO [REASON]", "put somebody out"),
    ("/ban WHO [MINUTES]", "put somebody out for a while, 30 minutes if nothing is said"),
    ("/unban WHO", "let somebody in again"),
    ("/mute WHO MINUTES", "silence somebody; 0 ends it"),
    ("/role WHO ROLE", "make somebody admin, moderator, member or guest"),
    ("/quit", "end"),
];

/// Keys, and what they do.
pub(crate) const KEYS: &[(&str, &str)] = &[
    (
        "Tab, Shift-Tab",
        "next and previous room; after the beginning of a name or a command, complete it",
    ),
    ("Alt-1 to Alt-9", "the room with that place in the list"),
    ("Up, Down", "select a message"),
    ("Esc", "select nothing, and go to the newest message"),
    ("F2, F3, F4", "answer, edit, react to the selected message"),
    ("PageUp, PageDown", "older and newer messages"),
    ("Alt-Enter", "a line break in a message"),
    ("Ctrl-C", "end"),
];
