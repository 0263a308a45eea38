-- Files that people have sent, by their numbers. The files themselves are beside the database. The record is JSON.
CREATE TABLE uploads (
    id INTEGER PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;
