-- The address that a ban of a channel holds for as well, as a number that is made of it under address_key, and what
-- lines called whom it is for.
ALTER TABLE bans ADD COLUMN origin INTEGER;
ALTER TABLE bans ADD COLUMN in_lines TEXT;

-- Whose words are refused in a channel.
CREATE TABLE mutes (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    user BLOB NOT NULL,
    moderator TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX mutes_user ON mutes (channel, user);
CREATE INDEX mutes_age ON mutes (until_ms);
