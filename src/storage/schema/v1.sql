-- Bans of the whole site (channel is null) and of channels.
CREATE TABLE bans (
    id INTEGER PRIMARY KEY,
    channel TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'address', 'network')),
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    moderator TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER
) STRICT;
-- One ban for a target in one place.
CREATE UNIQUE INDEX bans_target ON bans (ifnull(channel, ''), kind, target);
CREATE INDEX bans_channel ON bans (channel);

-- What moderators and operators did. Numbers are never used again, so that a gap is seen.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    channel TEXT,
    target TEXT,
    reason TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX audit_age ON audit (at_ms);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN
    SELECT raise(ABORT, 'the audit log is only appended to');
END;
