"""Statements 55 to 67 and 78 to 80: messages, history and datagrams."""

import asyncio

from client import (
    ACK, COMMAND_OK, DELETE, DELETED, EDIT, EDITED, FETCH_HISTORY, HISTORY, JOIN, MESSAGE, REACT, REACTED, SEND,
    STOP_TYPING, TYPING, UNREACT, UNREACTED, frame,
)
from server import Case
from test_login import SECRET, token

#: Without rates: these tests say more than people do.
FAST = ("--limits", "off")


class Messages(Case):
    arguments = FAST
    settings = {"quic.token_secret": f'"{SECRET}"', "quic.names": "true"}

    async def pair(self):
        """Two in a room of their own."""
        first, second = await self.login(), await self.login()
        name = self.room()
        room = (await first.join(name))["room_id"]
        await second.join(name)
        return first, second, room, name

    async def test_055_everybody_gets_it(self):
        first, second, room, _ = await self.pair()
        nonce = first.chat(SEND, {"room_id": room, "content": "hi"})
        ack = await first.expect(ACK, nonce=nonce)
        for client in (first, second):
            got = await client.expect(MESSAGE, room_id=room)
            self.assertEqual((got["message_id"], got["content"]), (ack["message_id"], "hi"))
            self.assertEqual(got["sender"]["user_id"], first.user_id)
            self.assertEqual(got["nonce"], nonce)

    async def test_056_a_nonce_is_said_once(self):
        first = await self.login(token=token(sub="560"))
        second = await self.login()
        name = self.room()
        room = (await first.join(name))["room_id"]
        await second.join(name)
        say = {"room_id": room, "content": "once", "nonce": "the-nonce"}
        ack = await first.done(SEND, say)
        again = await first.done(SEND, say)
        other = await self.login(token=token(sub="560"))
        await other.join(name)
        third = await other.done(SEND, say)
        self.assertEqual({ack["message_id"], again["message_id"], third["message_id"]}, {ack["message_id"]})
        await first.say(room, "end")
        await second.expect(MESSAGE, room_id=room, content="end")
        self.assertEqual(len(second.take(MESSAGE, room_id=room)), 1)

    async def test_057_058_numbers_rise_and_order_holds(self):
        first, second, room, _ = await self.pair()
        for n in range(60):
            await first.say(room, str(n))
        got = [await second.expect(MESSAGE, room_id=room) for _ in range(60)]
        self.assertEqual([one["content"] for one in got], [str(n) for n in range(60)])
        for before, after in zip(got, got[1:]):
            self.assertGreater(after["message_id"], before["message_id"])
            self.assertEqual(after["seq"], before["seq"] + 1)
            self.assertGreaterEqual(after["timestamp"], before["timestamp"])

    async def test_059_join_and_send_in_one_packet(self):
        client, maker = await self.login(), await self.login()
        for _ in range(5):
            name = self.room()
            room = (await maker.join(name))["room_id"]
            join = frame(JOIN, {"name": name, "nonce": f"j{room}"})
            send = frame(SEND, {"room_id": room, "content": "at once", "nonce": f"s{room}"})
            client._chat = client._chat or client.open()
            client.write(client._chat, join + send)
            await client.expect(COMMAND_OK, nonce=f"j{room}")
            await client.expect(ACK, nonce=f"s{room}")

    async def test_060_text(self):
        first, second, room, _ = await self.pair()
        await first.say(room, "x" * 512)
        await first.say(room, "🎹" * 256)
        await first.refused(SEND, {"room_id": room, "content": "x" * 513}, 1016)
        await first.refused(SEND, {"room_id": room, "content": "🎹" * 256 + "x"}, 1016)
        for blank in ("", "  \n", "\u0007\u202e"):
            await first.refused(SEND, {"room_id": room, "content": blank}, 1007)
        second.take(MESSAGE)
        await first.say(room, " a\u0000\u0007\u001b\u0085\u200f\u202e\u2066b\tc\nd 👨‍👩‍👧 ")
        got = await second.expect(MESSAGE, room_id=room, content="ab\tc\nd 👨‍👩‍👧")
        self.assertEqual(got["kind"], "text")

    async def test_061_062_history(self):
        first, second, room, name = await self.pair()
        ids = [(await first.say(room, str(n)))["message_id"] for n in range(101)]
        third = await self.login()
        init = await third.join(name)
        self.assertEqual([m["message_id"] for m in init["recent_messages"]], ids[-50:])
        nonce = third.chat(FETCH_HISTORY, {"room_id": room, "limit": 100})
        history = await third.expect(HISTORY, nonce=nonce)
        self.assertEqual([m["message_id"] for m in history["messages"]], ids[1:])
        nonce = third.chat(FETCH_HISTORY, {"room_id": room, "before_id": ids[60], "limit": 20})
        history = await third.expect(HISTORY, nonce=nonce)
        self.assertEqual([m["message_id"] for m in history["messages"]], ids[40:60])
        self.assertTrue(history["more"])
        self.assertEqual(history.stream, third.shards["shard_streams"][room % 8]["stream_id"])

    async def test_063_edits(self):
        first, second, room, name = await self.pair()
        message = (await first.say(room, "teh"))["message_id"]
        await first.done(EDIT, {"room_id": room, "message_id": message, "content": "the"})
        got = await second.expect(EDITED, room_id=room)
        self.assertEqual((got["message_id"], got["content"]), (message, "the"))
        # The same text again is no event.
        await first.done(EDIT, {"room_id": room, "message_id": message, "content": "the"})
        await second.refused(EDIT, {"room_id": room, "message_id": message, "content": "x"}, 1004)
        theirs = (await second.say(room, "theirs"))["message_id"]
        await first.refused(EDIT, {"room_id": room, "message_id": theirs, "content": "x"}, 1004)
        third = await self.login()
        recent = (await third.join(name))["recent_messages"]
        self.assertEqual(recent[0]["content"], "the")
        self.assertIsNotNone(recent[0]["edited_at"])
        await second.quiet()
        self.assertEqual(second.take(EDITED), [])

    async def test_064_a_message_that_fell_out(self):
        first, second, room, _ = await self.pair()
        message = (await first.say(room, "old"))["message_id"]
        for n in range(100):
            await first.say(room, str(n))
        await first.refused(EDIT, {"room_id": room, "message_id": message, "content": "x"}, 1005)

    async def test_065_deletes(self):
        first, second, room, name = await self.pair()
        message = (await first.say(room, "oops"))["message_id"]
        what = {"room_id": room, "message_id": message}
        await first.done(REACT, what | {"emoji": "👍"})
        await first.done(DELETE, what)
        got = await second.expect(DELETED, room_id=room)
        self.assertEqual((got["message_id"], got["deleted_by"]), (message, first.user_id))
        await first.done(DELETE, what)
        third = await self.login()
        tombstone = (await third.join(name))["recent_messages"][0]
        self.assertEqual((tombstone["deleted"], tombstone["content"], tombstone["reactions"]), (True, "", []))
        await second.quiet()
        self.assertEqual(second.take(DELETED), [])

    async def test_066_reactions(self):
        first, second, room, name = await self.pair()
        message = (await first.say(room, "react"))["message_id"]
        what = {"room_id": room, "message_id": message}
        await second.done(REACT, what | {"emoji": "👍"})
        await second.done(REACT, what | {"emoji": "👍"})
        got = await first.expect(REACTED, room_id=room)
        self.assertEqual((got["user_id"], got["emoji"]), (second.user_id, "👍"))
        await second.done(UNREACT, what | {"emoji": "👍"})
        await second.done(UNREACT, what | {"emoji": "👍"})
        await first.expect(UNREACTED, room_id=room)
        for n in range(20):
            await second.done(REACT, what | {"emoji": chr(0x1F600 + n)})
        await second.refused(REACT, what | {"emoji": chr(0x1F600 + 20)}, 1018)
        for nothing in (" ", "\u00a0", "\u200b", "\u200d", "\ufe0f"):
            await second.refused(REACT, what | {"emoji": nothing}, 1007)
        for bad in ("", "👍👍", "x" * 33):
            await second.refused(REACT, what | {"emoji": bad}, 1007)
        third = await self.login()
        reactions = (await third.join(name))["recent_messages"][0]["reactions"]
        self.assertEqual(len(reactions), 20)
        self.assertEqual((reactions[0]["count"], reactions[0]["user_ids"]), (1, [second.user_id]))
        self.assertEqual(len(first.take(REACTED)), 20)
        self.assertEqual(first.take(UNREACTED), [])

    async def test_067_events_stay_in_their_room(self):
        first, second, room, _ = await self.pair()
        third = await self.login()
        other = await third.join(self.room())
        await first.join(other["name"])
        message = (await first.say(room, "x"))["message_id"]
        what = {"room_id": room, "message_id": message}
        await first.refused(EDIT, what | {"room_id": other["room_id"], "content": "y"}, 1005)
        await first.done(EDIT, what | {"content": "y"})
        await first.done(REACT, what | {"emoji": "👍"})
        await first.done(DELETE, what)
        await third.quiet()
        for kind in (EDITED, REACTED, DELETED):
            self.assertEqual(third.take(kind), [])

    # --- datagrams -------------------------------------------------------------------------------------------------

    async def test_078_typing(self):
        first, second, room, _ = await self.pair()
        first.datagram(frame(TYPING, {"room_id": room, "user_id": 5}))
        got = await second.expect(TYPING, room_id=room)
        self.assertEqual((got["user_id"], got.stream), (first.user_id, None))
        await asyncio.sleep(1.1)
        first.datagram(frame(STOP_TYPING, {"room_id": room}))
        await second.expect(STOP_TYPING, room_id=room, user_id=first.user_id)
        await first.quiet()
        self.assertEqual(first.take(TYPING), [])

    async def test_079_datagrams_that_are_nothing(self):
        first, second, room, _ = await self.pair()
        good = frame(TYPING, {"room_id": room})
        for bad in (good + good, good[:-1], good + b"x", b"", b"\x80", frame(TYPING, b"{"), frame(SEND, b"{}")):
            first.datagram(bad)
        await first.quiet()
        await second.quiet()
        self.assertEqual(second.take(TYPING), [])
        early = self.client()
        early.connect()
        early.hello()
        early.datagram(good)
        early.auth(self.somebody())
        await early.quiet()

    async def test_080_without_datagrams(self):
        first, second, room, name = await self.pair()
        plain = await self.login(datagram_bytes=None)
        await plain.join(name)
        first.datagram(frame(TYPING, {"room_id": room}))
        got = await plain.expect(TYPING, room_id=room)
        self.assertEqual((got["user_id"], got.stream), (first.user_id, 0))
        plain.control(TYPING, {"room_id": room})
        await second.expect(TYPING, room_id=room, user_id=plain.user_id)


class MessagesOneShard(Messages):
    shards = 1
