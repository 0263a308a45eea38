"""Statements 82 to 100: hot rooms and their order, limits, closing, staying alive."""

import asyncio
import os
import signal
import time

from client import (
    ACK, CLOSE, COMMAND_OK, DEMOTED, ERROR, GOODBYE, INIT, JOIN, JOINED, LEAVE, LEFT, LIST_ROOMS, MESSAGE, OPEN, PING,
    PONG, PROMOTED, REACT, REACTED, SEND, SERVER_COMMAND, THROTTLE, Order, frame,
)
from server import Case, not_yet
from test_messages import FAST

PLAIN = ("chat", "presence", "typing", "receipts")
SEQUENCED = (0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x39, 0x3A)


class Hot(Case):
    arguments = FAST

    async def crowd(self, address=None):
        """Talkers, a listener behind `address`, and one without hot streams, in a room of their own."""
        talker, plain = await self.login(), await self.login(capabilities=PLAIN)
        listener = await self.login(address)
        name = self.room()
        await talker.join(name)
        await plain.join(name)
        # Each may say five a second.
        self.more = [await self.login(capabilities=("chat",)) for _ in range(27)]
        for one in self.more:
            await one.join(name)
        init = await listener.join(name)
        return talker, listener, plain, init

    async def shout(self, room, seconds):
        """Everybody says what they may; gives how many that were."""
        said, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            for one in self.more:
                one.chat(SEND, {"room_id": room, "content": f"m{said}"})
                one.inbox.clear()
                said += 1
                await asyncio.sleep(0.21 / len(self.more))
        return said

    def in_order(self, client, init):
        """What has come of the room, in order."""
        order = Order()
        order.take([init])
        kinds = (*SEQUENCED, CLOSE, INIT)
        mine = [got for got in client.inbox if got.kind in kinds and got["room_id"] == init["room_id"]]
        return order.take(mine)

    @not_yet("hot rooms")
    async def test_082_to_086_promotion(self):
        proxy = self.proxy()
        talker, listener, plain, init = await self.crowd(proxy.address)
        room = init["room_id"]
        said = await self.shout(room, 13.0)
        promoted = await listener.expect(PROMOTED, room_id=room)
        self.assertEqual(promoted["from_shard"], room % 8)
        opened = await listener.expect(OPEN, kind="hot", room_id=room)
        self.assertEqual((opened.stream, opened["first_seq"]), (promoted["stream_id"], promoted["first_seq"]))
        self.assertEqual(listener.streams[opened.stream].kinds[0], OPEN)
        message = await talker.say(room, "last")
        await talker.done(REACT, {"room_id": room, "message_id": message["message_id"], "emoji": "👍"})
        got = await listener.until(lambda: [g for g in listener.inbox if g.kind == REACTED], "reaction")
        self.assertEqual(got[0].stream, opened.stream)
        numbers = [one["seq"] for one in self.in_order(listener, init)]
        self.assertEqual(numbers, list(range(init["seq"] + 1, init["seq"] + 1 + len(numbers))))
        self.assertGreater(len(numbers), said * 0.8)
        await plain.quiet()
        self.assertEqual(plain.take(PROMOTED), [])
        lane = plain.shards["shard_streams"][room % 8]["stream_id"]
        self.assertEqual({g.stream for g in plain.inbox if g.kind == MESSAGE}, {lane})
        # 88 and 90: silence cools, the stream ends, and later frames are on the lane.
        demoted = await listener.expect(DEMOTED, room_id=room, patience=90.0)
        self.assertEqual(demoted["stream_id"], opened.stream)
        await listener.until(lambda: listener.streams[opened.stream].ended, "end of the hot stream")
        await talker.say(room, "cool")
        await listener.until(
            lambda: [g for g in listener.inbox if g.kind == MESSAGE and g["content"] == "cool"], "message")
        self.assertNotEqual([g for g in listener.inbox if g.get("content") == "cool"][0].stream, opened.stream)
        numbers = [one["seq"] for one in self.in_order(listener, init)]
        self.assertEqual(numbers, list(range(init["seq"] + 1, init["seq"] + 1 + len(numbers))))

    async def test_091_leaving_a_hot_room(self):
        talker, listener, plain, init = await self.crowd()
        room = init["room_id"]
        await self.shout(room, 13.0)
        opened = await listener.expect(OPEN, kind="hot", room_id=room)
        listener.chat(LEAVE, {"room_id": room})
        listener.chat(JOIN, {"room_id": room})
        closed = await listener.until(lambda: [g for g in listener.inbox if g.kind == CLOSE], "close")
        self.assertEqual(closed[0].stream, opened.stream)
        await listener.until(lambda: [g for g in listener.inbox if g.kind == INIT and g["room_id"] == room], "init")
        await talker.say(room, "again")
        await listener.until(lambda: [g for g in listener.inbox if g.get("content") == "again"], "message")
        await listener.until(lambda: listener.streams[opened.stream].ended, "end of the hot stream")
        seen = self.in_order(listener, init)
        self.assertEqual(seen[-1]["content"], "again")


class Limits(Case):
    async def test_093_the_eleventh_of_a_burst(self):
        client = await self.login()
        room = (await client.join(self.room()))["room_id"]
        nonces = [client.chat(SEND, {"room_id": room, "content": str(n)}) for n in range(11)]
        error = await client.expect(ERROR, code=1006)
        self.assertEqual(error["nonce"], nonces[10])
        self.assertGreater(error["retry_after_ms"], 0)
        await client.expect(THROTTLE)
        await asyncio.sleep(error["retry_after_ms"] / 1000 + 0.1)
        await client.say(room, "later")

    async def test_094_a_flood(self):
        client = await self.login()
        for n in range(160):
            client.chat(SEND, {"room_id": 1, "content": "x"})
        goodbye = await client.expect(GOODBYE)
        self.assertIn("flood", goodbye["reason"])
        self.assertEqual(await client.closed(), 0x09)

    async def test_096_a_goodbye_before_every_close(self):
        client = await self.login()
        for n in range(17):
            client.control(0x0F, b"")
        await client.expect(GOODBYE)
        self.assertEqual(await client.closed(), 0x02)

    async def test_097_shutdown(self):
        server = await self.own_server()
        clients = [await self.login(server.address) for _ in range(3)]
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        for client in clients:
            await client.expect(SERVER_COMMAND, command="shutdown")
            goodbye = await client.expect(GOODBYE)
            self.assertIsNotNone(goodbye["retry_after_ms"])
            self.assertEqual(await client.closed(), 0x01)
        self.assertLess(time.monotonic() - begin, 5.0)

    async def test_098_pings(self):
        client = self.client()
        client.connect()
        client.hello()
        client.control(PING, {"timestamp": 123})
        await client.expect(PONG, timestamp=123)
        client.auth(self.somebody())
        await client.quiet()


class Alive(Case):
    settings = {"quic.ping_ms": 300, "quic.dead_ms": 1500}

    async def test_099_who_vanishes_and_who_is_silent(self):
        name = self.room()
        watcher, silent, gone = [await self.login() for _ in range(3)]
        room = (await watcher.join(name))["room_id"]
        await silent.join(name)
        await gone.join(name)
        gone.end()
        await watcher.expect(LEFT, room_id=room, user_id=gone.user_id, patience=6.0)
        # One that acknowledges but never answers pings is not dead.
        silent.answer_pings = False
        await asyncio.sleep(3.0)
        self.assertEqual(watcher.take(LEFT, user_id=silent.user_id), [])
        await silent.quiet()


class Slow(Case):
    settings = {"quic.outbox_bytes": 65536}

    async def test_092_a_lane_that_is_not_read(self):
        """Flow control is per stream: the window of one lane is used up, the others go on."""
        client = await self.login(max_stream_data=16 * 1024)
        talker = await self.login()
        rooms = {}
        while len(rooms) < 2:
            name = self.room()
            room = (await talker.join(name))["room_id"]
            rooms.setdefault(room % 8, (room, name))
        (full, full_name), (free, free_name) = rooms.values()
        await client.join(full_name)
        await client.join(free_name)
        # aioquic raises a stream's limit when its data is taken; for this one it does not.
        lane = client.shards["shard_streams"][full % 8]["stream_id"]
        client.quic._streams[lane].max_stream_data_local = 0
        client.quic._streams[lane].max_stream_data_local_sent = 0
        original = client.quic._write_stream_limits

        def without(builder, space, stream):
            if stream.stream_id != lane:
                original(builder, space, stream)

        client.quic._write_stream_limits = without
        client.quic._streams[lane].max_stream_data_local = 1 << 30
        for n in range(60):
            await talker.say(full, "x" * 500)
        await talker.say(free, "free")
        await client.expect(MESSAGE, room_id=free, content="free")
        await client.quiet()

    async def test_095_a_client_that_stops_reading(self):
        client, watcher = await self.login(), await self.login()
        talkers = [await self.login(capabilities=("chat",)) for _ in range(8)]
        name = self.room()
        for one in (client, watcher, *talkers):
            room = (await one.join(name))["room_id"]
        asyncio.get_running_loop().remove_reader(client.socket)
        worst, marks = 0.0, 0
        end = time.monotonic() + 60.0
        while time.monotonic() < end:
            for talker in talkers[1:]:
                talker.chat(SEND, {"room_id": room, "content": "🎹" * 256})
                talker.inbox.clear()
            marks += 1
            begin = time.monotonic()
            await talkers[0].say(room, f"mark {marks}")
            await watcher.expect(MESSAGE, room_id=room, content=f"mark {marks}")
            worst = max(worst, time.monotonic() - begin)
            if watcher.take(LEFT, room_id=room, user_id=client.user_id):
                break
            watcher.inbox.clear()
            await asyncio.sleep(0.22)
        else:
            self.fail("the client that does not read is still there")
        self.assertLess(worst, 1.0)
