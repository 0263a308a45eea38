"""Statements 82 to 100: hot rooms and their order, limits, closing, staying alive."""

import asyncio
import os
import signal
import time

from client import (
    ACK, CLOSE, DELETE, DELETED, DEMOTED, EDIT, EDITED, ERROR, GOODBYE, INIT, JOIN, JOINED, LEAVE, LEFT, MESSAGE, OPEN,
    PING, PONG, PROMOTED, REACT, REACTED, SEND, SERVER_COMMAND, THROTTLE, Order,
)
from server import Case
from test_messages import FAST

PLAIN = ("chat", "presence", "typing", "receipts")
SEQUENCED = (0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x39, 0x3A)


class Heat(Case):
    """Rooms that become busy. Limits are off, because they are filled faster than the budgets allow."""

    arguments = FAST

    async def crowd(self):
        """A talker, a listener, and one without hot streams, in a room of their own; and the listener's `RoomInit`."""
        talker, plain, listener = await self.login(), await self.login(capabilities=PLAIN), await self.login()
        name = self.room()
        await talker.join(name)
        await plain.join(name)
        return talker, listener, plain, await listener.join(name)

    async def talk(self, talker, room, rate, seconds):
        """Says so many messages a second; gives how many that were."""
        said, begin = 0, time.monotonic()
        while (passed := time.monotonic() - begin) < seconds:
            while said < passed * rate:
                talker.chat(SEND, {"room_id": room, "content": f"m{said}"})
                said += 1
            talker.take(ACK)
            await asyncio.sleep(0.02)
        return said

    async def heat(self, talker, listener, room, rate=150):
        """Talks until the listener's room is on a stream of its own; gives that stream's first frame."""
        for _ in range(10):
            await self.talk(talker, room, rate, 1.0)
            if opened := [got for got in listener.take(OPEN, kind="hot", room_id=room)]:
                return opened[0]
        raise AssertionError("the room did not become hot")

    def of_room(self, client, room):
        return [got for got in client.inbox if got.kind in (*SEQUENCED, CLOSE, INIT) and got["room_id"] == room]

    def in_order(self, client, init, later=None):
        """What has come of the room, in order; what came on the stream `later` counts as half a second late."""
        order = Order()
        order.take([init])
        frames = self.of_room(client, init["room_id"])
        frames.sort(key=lambda got: got.at + 0.5 * (got.stream == later))
        seen, self.most_held = [], 0
        for got in frames:
            seen += order.take([got])
            self.most_held = max(self.most_held, len(order.rooms[init["room_id"]]["held"]))
        self.assertEqual(order.rooms[init["room_id"]]["held"], {}, "nothing is missing")
        return seen

    def complete(self, client, init, later=None):
        """Every number once and in order; gives how many."""
        numbers = [got["seq"] for got in self.in_order(client, init, later) if got.kind in SEQUENCED]
        self.assertEqual(numbers, list(range(init["seq"] + 1, init["seq"] + 1 + len(numbers))))
        return len(numbers)

    async def heard(self, client, content):
        """Waits for a message; gives it and leaves it in the inbox."""
        found = lambda: [got for got in client.inbox if got.kind == MESSAGE and got["content"] == content]
        return (await client.until(found, f"message {content}"))[0]


class Hot(Heat):
    async def test_082_to_086_promotion(self):
        """At the rates of the defaults: a hundred messages a second over ten seconds."""
        talker, listener, plain, init = await self.crowd()
        room = init["room_id"]
        said = await self.talk(talker, room, 120, 12.0)
        promoted = await listener.expect(PROMOTED, room_id=room)
        self.assertEqual(promoted["from_shard"], room % 8)
        opened = await listener.expect(OPEN, kind="hot", room_id=room)
        self.assertEqual((opened.stream, opened["first_seq"]), (promoted["stream_id"], promoted["first_seq"]))
        self.assertEqual(listener.streams[opened.stream].kinds[0], OPEN)
        lane = listener.shards["shard_streams"][room % 8]["stream_id"]
        # 86: not messages alone are there.
        message = await talker.say(room, "last")
        await talker.done(REACT, {"room_id": room, "message_id": message["message_id"], "emoji": "👍"})
        await talker.done(EDIT, {"room_id": room, "message_id": message["message_id"], "content": "changed"})
        await talker.done(DELETE, {"room_id": room, "message_id": message["message_id"]})
        other = await self.login()
        await other.done(JOIN, {"room_id": room})
        await other.done(LEAVE, {"room_id": room})
        await listener.until(lambda: [g for g in listener.inbox if g.kind == LEFT and g["room_id"] == room], "leave")
        for got in self.of_room(listener, room):
            self.assertEqual(got.stream, lane if got["seq"] < opened["first_seq"] else opened.stream)
        kinds = {got.kind for got in self.of_room(listener, room) if got.stream == opened.stream}
        self.assertLessEqual({MESSAGE, EDITED, DELETED, REACTED, JOINED, LEFT}, kinds)
        # 84, and 85: as if the lane were half a second late.
        self.assertGreater(self.complete(listener, init), said)
        self.assertGreater(self.complete(listener, init, later=lane), said)
        self.assertGreater(self.most_held, 0)
        await plain.quiet()
        self.assertEqual(plain.take(PROMOTED), [])
        lane = plain.shards["shard_streams"][room % 8]["stream_id"]
        self.assertEqual({got.stream for got in self.of_room(plain, room)}, {lane})


class Cooling(Heat):
    """Messages are counted over one second, rooms cool for three, and a connection has two hot places."""

    settings = {"quic.rate_window_s": 1, "quic.cool_after_s": 3, "quic.hot_rooms": 2}
    #: About so long.
    seconds = 35

    async def test_087_between_the_rates(self):
        talker, listener, _, init = await self.crowd()
        room = init["room_id"]
        await self.heat(talker, listener, room)
        await self.talk(talker, room, 60, 6.0)
        await listener.quiet()
        self.assertEqual(listener.take(DEMOTED), [], "at sixty a second it stays hot")
        # Almost cool, and then one busy second.
        await asyncio.sleep(2.0)
        await self.talk(talker, room, 80, 1.2)
        begin = time.monotonic()
        await listener.expect(DEMOTED, room_id=room)
        self.assertGreater(time.monotonic() - begin, 2.0, "the wait began anew")

    async def test_088_and_090_silence_cools(self):
        talker, listener, _, init = await self.crowd()
        room = init["room_id"]
        opened = await self.heat(talker, listener, room)
        demoted = await listener.expect(DEMOTED, room_id=room)
        self.assertEqual((demoted["stream_id"], demoted["to_shard"]), (opened.stream, room % 8))
        await listener.until(lambda: listener.streams[opened.stream].ended, "end of the hot stream")
        await talker.say(room, "cool")
        cool = await self.heard(listener, "cool")
        self.assertEqual(cool.stream, listener.shards["shard_streams"][room % 8]["stream_id"])
        self.assertEqual(cool["seq"], demoted["first_seq"])
        self.complete(listener, init)
        self.complete(listener, init, later=opened.stream)
        # And it may become hot again, on another stream (R6).
        again = await self.heat(talker, listener, room)
        self.assertNotEqual(again.stream, opened.stream)
        await talker.say(room, "end")
        await self.heard(listener, "end")
        self.complete(listener, init)

    async def test_089_more_hot_rooms_than_places(self):
        """With two places instead of ten."""
        talker, listener = await self.login(), await self.login()
        rooms = []
        for _ in range(3):
            name = self.room()
            await talker.join(name)
            rooms.append((await listener.join(name))["room_id"])
        for room in rooms[:2]:
            await self.heat(talker, listener, room)
        talking = [asyncio.create_task(self.talk(talker, room, 40, 8.0)) for room in rooms[:2]]
        await self.talk(talker, rooms[2], 150, 3.0)
        await listener.quiet()
        self.assertEqual(listener.take(OPEN, room_id=rooms[2]), [], "both places are taken")
        lane = listener.shards["shard_streams"][rooms[2] % 8]["stream_id"]
        streams = {got.stream for got in listener.inbox if got.kind == MESSAGE and got["room_id"] == rooms[2]}
        self.assertEqual(streams, {lane})
        await listener.done(LEAVE, {"room_id": rooms[0]})
        await self.heat(talker, listener, rooms[2])
        await asyncio.gather(*talking)

    async def test_091_leaving_a_hot_room(self):
        talker, listener, _, init = await self.crowd()
        room = init["room_id"]
        opened = await self.heat(talker, listener, room)
        listener.chat(LEAVE, {"room_id": room})
        listener.chat(JOIN, {"room_id": room})
        closed = await listener.until(lambda: [g for g in listener.inbox if g.kind == CLOSE], "close")
        self.assertEqual(closed[0].stream, opened.stream)
        inits = lambda: [got for got in listener.inbox if got.kind == INIT and got["room_id"] == room]
        again = await listener.until(inits, "init")
        await talker.say(room, "again")
        await self.heard(listener, "again")
        await listener.until(lambda: listener.streams[opened.stream].ended, "end of the hot stream")
        self.assertEqual(listener.streams[opened.stream].kinds[-1], CLOSE)
        # However late the old stream is, the client ends inside, and misses nothing of its new membership.
        for later in (None, opened.stream):
            seen = self.in_order(listener, init, later)
            self.assertEqual(seen[-1].get("content"), "again")
            inside = [got["seq"] for got in seen if got.kind in SEQUENCED and got["seq"] > again[0]["seq"]]
            self.assertEqual(inside, list(range(again[0]["seq"] + 1, seen[-1]["seq"] + 1)))


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
        counted = await asyncio.to_thread(self.server.metrics)
        of = lambda name: sum(value for key, value in counted.items() if key.startswith(name))
        self.assertGreaterEqual(of("tutti_quic_throttled_total"), 100)
        self.assertEqual(sum(v for k, v in counted.items() if 'code="0x09"' in k), 1)

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
    settings = {"quic.outbox_bytes": 65536, "quic.outbox_mark_bytes": 32768}

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
