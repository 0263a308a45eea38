"""One room seen from three doors: statements 61 to 81 of the line chat's page, as far as QUIC has a part in them."""

import asyncio
import hashlib

from client import (
    AWAY, BAN, CLOSE, DELETE, EDIT, INIT, JOIN, JOINED, LEFT, MESSAGE, ONLINE, OPEN_DIRECT, REACT, ROOM_UPDATED, SEND,
    SET_PROFILE, TYPING, UPLOAD_ACK, UPLOAD_COMPLETE, UPLOAD_START, USER_UPDATED, frame,
)
from server import Case, OtherDoors
from test_files import chunk


class Doors(OtherDoors, Case):
    shards = 2

    async def three(self):
        """A piano page, a terminal and a QUIC client in a room of their own."""
        name = self.somebody()
        piano = await self.piano(name)
        terminal = await self.terminal(name)
        client = await self.login()
        client.init = await client.join(name)
        await terminal.line("joined the room")
        return piano, terminal, client, client.init["room_id"]

    async def test_062_who_is_there(self):
        piano, terminal, client, room = await self.three()
        doors = {user["username"]: user["door"] for user in client.init["members"]}
        self.assertEqual((doors[terminal.nick], doors[client.name]), ("tcp", "quic"))
        self.assertIn("mpp", doors.values())

    async def test_063_everybody_is_heard_everywhere(self):
        piano, terminal, client, room = await self.three()
        await client.say(room, "from quic")
        got = await piano.expect("a", a="from quic")
        self.assertEqual((got["p"]["name"], got["p"]["tag"]["text"]), (client.name, "QUIC"))
        line = await terminal.line(": from quic")
        self.assertRegex(line, rf"^\[\d\d:\d\d:\d\d\] {client.name}~[0-9a-f]{{4}}: from quic$")
        terminal.send("from tcp")
        got = await client.expect(MESSAGE, room_id=room, content="from tcp")
        self.assertEqual((got["sender"]["username"], got["sender"]["door"]), (terminal.nick, "tcp"))
        piano.send({"m": "a", "message": "from mpp"})
        got = await client.expect(MESSAGE, room_id=room, content="from mpp")
        self.assertEqual(got["sender"]["door"], "mpp")

    async def test_069_070_071_edit_delete_react(self):
        piano, terminal, client, room = await self.three()
        message = (await client.say(room, "teh"))["message_id"]
        original = await piano.expect("a", a="teh")
        self.assertEqual(original["id"], f"{message:x}"[-8:])
        what = {"room_id": room, "message_id": message}
        await client.done(EDIT, what | {"content": "the"})
        await terminal.line("(edit): the")
        got = await piano.expect("a")
        self.assertTrue(got["a"].startswith("\u270e") and got["a"].endswith("the"), got)
        self.assertEqual(got["r"], original["id"])
        await client.done(REACT, what | {"emoji": "👍"})
        await client.done(DELETE, what)
        line = await terminal.line("was deleted")
        self.assertRegex(line, rf"^\*\*\* A message from {client.name}~[0-9a-f]{{4}} was deleted$")

    async def test_080_files(self):
        piano, terminal, client, room = await self.three()
        data, stream, nonce = b"do re mi", client.open(), client.nonce()
        start = {"room_id": room, "filename": "song.txt", "mime_type": "text/plain", "size": len(data),
                 "checksum": hashlib.sha256(data).hexdigest(), "nonce": nonce}
        client.write(stream, frame(UPLOAD_START, start) + chunk(data, 0))
        client.write(stream, frame(UPLOAD_COMPLETE, {"upload_id": 0}), end=True)
        ack = await client.expect(UPLOAD_ACK, nonce=nonce, bytes_received=len(data))
        while not ack.get("url"):
            ack = await client.expect(UPLOAD_ACK, nonce=nonce)
        await client.say(room, "listen", attachments=[ack["upload_id"]])
        await terminal.line(": listen")
        await terminal.line(f": [file] song.txt (8 bytes) {ack['url']}")
        await piano.expect("a", a=f"listen [file] song.txt {ack['url']}")

    async def test_072_line_breaks(self):
        piano, terminal, client, room = await self.three()
        await client.say(room, "one\ntwo")
        await terminal.line(": one")
        await terminal.line(": two")
        await piano.expect("a", a="one two")

    async def test_actions(self):
        piano, terminal, client, room = await self.three()
        terminal.send("/me waves")
        got = await client.expect(MESSAGE, room_id=room, content="waves")
        self.assertEqual(got["kind"], "action")
        await piano.expect("a", a="*waves*")
        await client.say(room, "bows", kind="action")
        await terminal.until(lambda line: line.endswith(" bows") and "* " in line, "bows")

    async def test_066_renames(self):
        piano, terminal, client, room = await self.three()
        nick = self.somebody()
        terminal.send(f"/nick {nick}")
        got = await client.expect(USER_UPDATED, room_id=room)
        self.assertEqual(got["user"]["username"], nick)
        await piano.expect("p", name=nick)
        name = self.somebody()
        await client.done(SET_PROFILE, {"username": name})
        await terminal.until(lambda line: f"is now known as {name}~" in line, "rename")
        nonce = client.chat(SET_PROFILE, {"color": "#010203"})
        refused = await client.answer(nonce, refused=True)
        self.assertEqual((refused["code"], refused["nonce"]), (1006, nonce))
        await piano.expect("p", name=name)
        shown = self.somebody()
        piano.send({"m": "userset", "set": {"name": shown}})
        got = await client.expect(USER_UPDATED, room_id=room)
        while got["user"]["username"] != shown:
            got = await client.expect(USER_UPDATED, room_id=room)

    def user_id(self, client, door):
        return next(user["user_id"] for user in client.init["members"] if user["door"] == door)

    async def test_068_private(self):
        piano, terminal, client, room = await self.three()
        direct = (await client.done(OPEN_DIRECT, {"user_id": self.user_id(client, "tcp")}))["room_id"]
        init = await client.expect(INIT, room_id=direct)
        self.assertEqual((init["room_type"], init["max_message_chars"]), ("direct", 512))
        said = await client.say(direct, "psst")
        line = await terminal.until(lambda line: "[Private from " in line and line, "private")
        self.assertRegex(line, rf"^\[\d\d:\d\d:\d\d\] \[Private from {client.name}~[0-9a-f]{{4}}\]: psst$")
        own = await client.expect(MESSAGE, room_id=direct, content="psst")
        self.assertEqual(own["message_id"], said["message_id"])
        terminal.send("/join elsewhere " + self.somebody())
        await terminal.until(lambda line: line.startswith("You joined #elsewhere"), "the other room")
        terminal.send("/r back")
        got = await client.expect(MESSAGE, room_id=direct, content="back")
        self.assertEqual((got["sender"]["username"], got["sender"]["door"]), (terminal.nick, "tcp"))
        await terminal.until(lambda line: line.startswith("[Private to ") and line.endswith("]: back"), "sent")
        # Across rooms, many at once, in order.
        for n in range(8):
            client.chat(SEND, {"room_id": direct, "content": f"more {n}"})
        seen = [await terminal.until(lambda line: ": more " in line and line[-1], "more") for _ in range(8)]
        self.assertEqual(seen, [str(n) for n in range(8)])
        shown = [(await client.expect(MESSAGE, room_id=direct))["content"] for _ in range(8)]
        self.assertEqual(shown, [f"more {n}" for n in range(8)])
        self.assertFalse(any("psst" in str(heard) or "back" in str(heard) for heard in piano.heard), piano.heard)
        # A nonce that comes twice is said once. Its door's rate has been used up.
        await asyncio.sleep(2)
        twice = {"room_id": direct, "content": "twice", "nonce": client.nonce()}
        client.chat(SEND, twice)
        client.chat(SEND, twice)
        acks = [await client.answer(twice["nonce"]) for _ in range(2)]
        self.assertEqual(acks[0]["message_id"], acks[1]["message_id"])
        client.chat(SEND, {"room_id": direct, "content": "once\nand a line"})
        for end in ("]: twice", "]: once", "]: and a line"):
            line = await terminal.until(lambda line: "[Private from " in line and line, end)
            self.assertTrue(line.endswith(end), line)
        terminal.send("/quit")
        await terminal.line("Goodbye!")
        error = await client.refused(SEND, {"room_id": direct, "content": "anybody there?"}, 1005)
        self.assertEqual(error["room_id"], direct)

    async def test_068_private_the_other_way_round(self):
        """A terminal begins: the room opens with the message. So does a piano's `dm`, and both hear the answer."""
        piano, terminal, client, room = await self.three()
        terminal.send("/users")
        handle = await terminal.until(lambda line: client.name in line and "[quic]" in line and line.split()[0], "handle")
        terminal.send(f"/msg {handle} first")
        await terminal.until(lambda line: line == f"[Private to {handle}]: first", "sent")
        init = await client.expect(INIT, room_type="direct")
        said = [message["content"] for message in init["recent_messages"]]
        if not said:
            said = [(await client.expect(MESSAGE, room_id=init["room_id"]))["content"]]
        self.assertEqual(said, ["first"])
        self.assertEqual({user["username"] for user in init["members"]}, {terminal.nick, client.name})
        await client.say(init["room_id"], "answer")
        await terminal.until(lambda line: "[Private from " in line and line.endswith(": answer"), "answer")
        # The piano.
        _id = next(
            person["_id"] for person in piano.room["ppl"] + [got["p"] if "p" in got else got for got in piano.heard
                                                             if got.get("m") == "p"]
            if person.get("name") == client.name)
        piano.send({"m": "dm", "_id": _id, "message": "hello from the piano"})
        sent = await piano.expect("dm", a="hello from the piano")
        self.assertEqual(sent["recipient"]["name"], client.name)
        init = await client.expect(INIT, room_type="direct")
        said = [message["content"] for message in init["recent_messages"]]
        if not said:
            said = [(await client.expect(MESSAGE, room_id=init["room_id"]))["content"]]
        self.assertEqual(said, ["hello from the piano"])
        await client.say(init["room_id"], "hello back")
        got = await piano.expect("dm", a="hello back")
        self.assertEqual((got["sender"]["_id"], got["recipient"]["_id"]), (_id, piano.me["_id"]))
        self.assertFalse(any("piano" in line or "back" in line for line in terminal.heard), terminal.heard)

    async def test_068_private_to_a_piano(self):
        piano, terminal, client, room = await self.three()
        direct = (await client.done(OPEN_DIRECT, {"user_id": self.user_id(client, "mpp")}))["room_id"]
        await piano.enter(self.somebody())
        await client.say(direct, "across rooms")
        got = await piano.expect("dm", a="across rooms")
        self.assertEqual(got["sender"]["name"], client.name)
        await client.refused(SEND, {"room_id": direct, "content": "x" * 513}, 1016)
        again = (await client.done(OPEN_DIRECT, {"user_id": self.user_id(client, "mpp")}))["room_id"]
        self.assertEqual(again, direct)
        await client.refused(OPEN_DIRECT, {"user_id": (1 << 52) + 12345}, 1005)

    async def test_078_away(self):
        piano, terminal, client, room = await self.three()
        terminal.send("/away")
        user = next(user for user in client.init["members"] if user["username"] == terminal.nick)
        await client.expect(AWAY, user_id=user["user_id"])
        terminal.send("/back")
        await client.expect(ONLINE, user_id=user["user_id"])
        client.datagram(frame(AWAY, {"away_since": 1, "pseq": 1}))
        await piano.expect("p", name=client.name, afk=True)
        terminal.send("/users")
        await terminal.until(lambda line: client.name in line and "(away)" in line, "away")

    async def test_074_a_ban_from_the_terminal(self):
        name = self.somebody()
        terminal = await self.terminal(name)
        client = await self.login()
        room = (await client.join(name))["room_id"]
        handle = (await terminal.line("joined the room")).split()[1]
        terminal.send(f"/ban {handle} 5")
        await client.expect(CLOSE, room_id=room, reason="banned")
        await client.refused(JOIN, {"name": name}, 1014)

    async def test_076_chat_switched_off(self):
        piano, terminal, client, room = await self.three()
        piano.send({"m": "chset", "set": {"chat": False}})
        got = await client.expect(ROOM_UPDATED, room_id=room)
        self.assertFalse(got["chat_enabled"])
        await client.refused(SEND, {"room_id": room, "content": "x"}, 1004)

    async def test_064_one_order(self):
        piano, terminal, client, room = await self.three()

        async def talk():
            for n in range(10):
                terminal.send(f"t{n}")
                piano.send({"m": "a", "message": f"p{n}"})
                client.chat(SEND, {"room_id": room, "content": f"q{n}"})
                await asyncio.sleep(0.25)

        await talk()
        seen = [[], [], []]
        for _ in range(30):
            seen[0].append((await client.expect(MESSAGE, room_id=room))["content"])
            seen[1].append((await piano.expect("a"))["a"])
            line = await terminal.until(lambda line: line.startswith("[") and line, "line")
            seen[2].append(line.rsplit(": ", 1)[1])
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(seen[0], seen[2])


class DoorsOneShard(Doors):
    shards = 1


class DoorsFourShards(Doors):
    shards = 4
