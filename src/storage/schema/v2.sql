-- Users who can come back. The profile is JSON, null for one who never changed anything.
CREATE TABLE users (
    id BLOB PRIMARY KEY,
    name TEXT,
    profile TEXT,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX users_age ON users (last_seen_ms);

-- Channels with something to keep. The settings are JSON. until_ms is null as long as the channel exists.
CREATE TABLE channels (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    settings TEXT,
    crown BLOB,
    until_ms INTEGER
) STRICT;
CREATE INDEX channels_age ON channels (until_ms);

-- What was said, through whichever door. The order is that of place; id is the message's own 64-bit number, unique in
-- its channel. The message is JSON.
CREATE TABLE messages (
    place INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    sent_ms INTEGER NOT NULL,
    user BLOB NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_id ON messages (channel, id);
CREATE INDEX messages_channel ON messages (channel, place);
CREATE INDEX messages_age ON messages (sent_ms);
CREATE INDEX bans_age ON bans (until_ms);
