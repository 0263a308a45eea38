-- Rows as the first programs with this table wrote them.
INSERT INTO users (id, name, profile, first_seen_ms, last_seen_ms)
VALUES (x'010101010101010101010101', 'Clara', '{"user":[1,1,1,1,1,1,1,1,1,1,1,1],"version":3,"name":"Clara","color":[18,52,86],"tag":null,"first_seen_ms":1000}', 1000, 2000);
INSERT INTO channels (id, name, settings, crown)
VALUES (1, 'room', '{"visible":true,"chat":true,"crown_solo":false,"no_index":false,"no_cussing":null,"lyrical_notes":null,"allow_bots":null,"color":[59,80,84],"color2":null,"limit":7,"min_online_ms":null}', x'010101010101010101010101');
INSERT INTO messages (channel, id, sent_ms, user, message)
VALUES (1, 9, 5000, x'010101010101010101010101', '{"id":9,"sent_ms":5000,"by":{"user":[1,1,1,1,1,1,1,1,1,1,1,1],"version":3,"name":"Clara","color":[18,52,86],"tag":null,"first_seen_ms":1000},"text":"hello","reply_to":null}');
