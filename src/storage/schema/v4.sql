-- What a channel is as a room (topic, who may post, roles, the title of a group) is JSON, null for nothing of it. number
-- is that of a direct or group room, null for channels.
ALTER TABLE channels ADD COLUMN room TEXT;
ALTER TABLE channels ADD COLUMN number INTEGER;
CREATE INDEX channels_number ON channels (number) WHERE number IS NOT NULL;

-- Who belongs to direct and group rooms, in the order in which they came to. standing: 1 is in, 2 is one of two and not
-- in, 3 is invited, 4 may come again. lasts: whether they can come back under the same id. The person is JSON.
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    user BLOB NOT NULL,
    standing INTEGER NOT NULL,
    lasts INTEGER NOT NULL,
    person TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX people_channel ON people (channel, user);
CREATE INDEX people_user ON people (user, standing);
