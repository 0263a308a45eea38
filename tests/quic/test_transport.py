"""Statements 1 to 18 of the checklist: transport, frames and streams."""

import asyncio
import json

from client import (
    ACK, AUTH_OK, COMMAND_OK, ERROR, GOODBYE, HELLO_ACK, INIT, JOIN, LIST_ROOMS, MESSAGE, OPEN, PING, PONG, READ,
    ROOM_LIST, SEND, frame,
)
from server import Case


class Transport(Case):
    async def test_001_garou_1_is_selected(self):
        client = await self.login(alpn=["chat", "garou/1"])
        self.assertEqual(client.handshake.alpn_protocol, "garou/1")

    async def test_002_chat_is_an_alias(self):
        client = await self.login(alpn=["chat"])
        self.assertEqual(client.handshake.alpn_protocol, "chat")
        await client.say(client.lobby["room_id"], "hi")

    async def test_003_no_common_protocol(self):
        client = self.client(alpn=["h3"])
        client.connect()
        self.assertEqual(await client.closed(), 0x178)

    async def test_005_a_header_byte_by_byte(self):
        client = await self.login()
        for byte in frame(PING, {"timestamp": 5}):
            client.write(0, bytes([byte]))
            await asyncio.sleep(0.005)
        await client.expect(PONG, timestamp=5)

    async def test_006_many_frames_in_one_packet(self):
        client = await self.login()
        client.write(0, b"".join(frame(PING, {"timestamp": n}) for n in range(4)))
        pongs = await client.until(lambda: len(p := [g for g in client.inbox if g.kind == PONG]) == 4 and p, "pongs")
        self.assertEqual([pong["timestamp"] for pong in pongs], [0, 1, 2, 3])

    async def test_007_a_length_over_the_limit(self):
        client = await self.login()
        client.write(0, bytes([PING]) + (64 * 1024 + 1).to_bytes(4, "big"))
        self.assertEqual(await client.closed(), 0x07)

    async def test_007_the_limit_itself_passes(self):
        client = await self.login()
        payload = json.dumps({"timestamp": 9}).encode()
        client.write(0, frame(PING, payload + b" " * (64 * 1024 - len(payload))))
        await client.expect(PONG, timestamp=9)

    async def test_008_009_unassigned_types(self):
        client = await self.login()
        client.control(0x0F, b"x")
        error = await client.expect(ERROR, code=1001)
        self.assertTrue("0x0f" in error["context"].lower() or "15" in error["context"], error)
        await client.quiet()
        for n in range(15):
            client.control(0x0F, b"")
        await client.quiet()
        client.control(0x0F, b"")
        self.assertEqual(await client.closed(), 0x02)

    async def test_010_a_command_on_control(self):
        client = await self.login()
        client.control(SEND, {"room_id": client.lobby["room_id"], "content": "x", "nonce": "a"})
        # An assigned type on the wrong kind of stream; that stream is control itself, so only the error remains.
        await client.expect(ERROR, code=1020)
        self.assertIsNone(client.terminated)

    async def test_011_a_receipt_on_the_chat_stream(self):
        client = await self.login()
        nonce = client.chat(LIST_ROOMS, {})
        await client.expect(ROOM_LIST, nonce=nonce)
        client.write(client._chat, frame(READ, {"message_id": 1, "room_id": 1, "read_at": 1}))
        await client.expect(ERROR, code=1020)
        stream = client._chat
        await client.until(lambda: stream in client.stopped, "stop")
        self.assertEqual(client.stopped[stream], 0x11)
        await client.quiet()

    async def test_012_a_second_chat_stream(self):
        client = await self.login()
        await client.expect(ROOM_LIST, nonce=client.chat(LIST_ROOMS, {}))
        first, second = client._chat, client.open()
        client.write(second, frame(LIST_ROOMS, {"nonce": "second"}))
        await client.expect(ERROR, code=1020)
        await client.until(lambda: second in client.stopped, "stop")
        self.assertEqual(client.stopped[second], 0x11)
        client.write(first, b"", end=True)
        await client.quiet()
        client._chat = client.open()
        await client.expect(ROOM_LIST, nonce=client.chat(LIST_ROOMS, {}))

    async def test_013_the_end_of_control(self):
        client = await self.login()
        client.write(0, b"", end=True)
        self.assertEqual(await client.closed(), 0x00)
        client = await self.login()
        client.quic.reset_stream(0, 1)
        client.flush()
        self.assertEqual(await client.closed(), 0x05)

    async def test_014_a_lane_that_is_stopped(self):
        client = await self.login()
        lane = client.shards["shard_streams"][3]["stream_id"]
        client.quic.stop_stream(lane, 1)
        client.flush()
        self.assertEqual(await client.closed(), 0x02)

    async def test_015_too_few_streams(self):
        client = self.client(max_uni=4)
        client.connect()
        client.hello()
        client.auth(self.somebody())
        await client.expect(ERROR, code=1018)
        self.assertEqual(await client.closed(), 0x08)

    async def test_016_what_a_payload_may_be(self):
        client = await self.login()
        room = client.lobby["room_id"]
        await client.done(SEND, {"room_id": room, "content": "x", "later": [1, {"a": None}]})
        deep = {"a": 1}
        for _ in range(8):
            deep = {"a": deep}
        for payload in (
            b'{"room_id":1,"content":"x","content":"y","nonce":"d1"}',
            json.dumps({"room_id": 1, "content": "x", "nonce": "d2", "deep": deep}).encode(),
            b'{"room_id":1,"content":"x","nonce":"d3"}x',
            b'{"room_id":1,"content":"\\ud800","nonce":"d4"}',
            b'{"room_id":1.5,"content":"x","nonce":"d5"}',
            b'{"room_id":1,"content":"x","nonce":"d6"',
            b'[1]',
            b'\xff\xfe',
        ):
            client.chat(SEND, payload)
            await client.expect(ERROR, code=1007)
        await client.quiet()

    async def test_017_integers_that_javascript_does_not_have(self):
        client = await self.login()
        for n in (2**53, 2**63, 2**64, 10**30, -1):
            client.chat(JOIN, {"room_id": n})
            await client.expect(ERROR, code=1007)
        await client.refused(JOIN, {"room_id": 2**53 - 1}, 1005)

    async def test_018_an_empty_ping(self):
        client = await self.login()
        client.control(PING, b"")
        await client.expect(ERROR, code=1007)
        await client.quiet()

    async def test_a_reset_or_stopped_control_ends_the_session(self):
        client = await self.login()
        client.quic.stop_stream(0, 1)
        client.flush()
        self.assertEqual(await client.closed(), 0x05)

    async def test_larger_frames_than_their_stream_may_have(self):
        client = await self.login()
        stream = client.open()
        client.write(stream, bytes([SEND]) + (64 * 1024 + 1).to_bytes(4, "big"))
        self.assertEqual(await client.closed(), 0x07)
        client = await self.login()
        stream = client.open()
        client.write(stream, bytes([READ]) + (4 * 1024 + 1).to_bytes(4, "big"))
        self.assertEqual(await client.closed(), 0x07)

    async def test_bytes_that_mean_nothing_hurt_nobody(self):
        """Streams of rubbish, of every sort; the server lives, and others notice nothing."""
        watcher = await self.login()
        for n in range(40):
            client = await self.login()
            stream = client.open()
            kind = (n * 37) % 256
            client.write(stream, bytes([kind]) + b"\x00\x00\x00\x05hello" + bytes(range(n)))
            client.datagram(bytes(range(n)))
            await asyncio.sleep(0.01)
            client.quic.close(0)
            client.flush()
        await watcher.quiet()


class Counted(Case):
    def counted(self):
        """The frames that came and went, by type, over all shards."""
        sums = {}
        for key, value in self.server.metrics().items():
            name, _, labels = key.partition("{")
            if name.startswith("tutti_quic_frames_"):
                direction, kind = name.split("_")[3], labels.split('type="')[1].split('"')[0]
                sums[direction, kind] = sums.get((direction, kind), 0) + value
        return sums

    async def test_frames_are_counted_by_type(self):
        client, other = await self.login(), await self.login()
        name = self.room()
        room = (await client.join(name))["room_id"]
        await other.join(name)
        for n in range(3):
            await client.say(room, f"m{n}")
        await other.expect(MESSAGE, room_id=room, content="m2")
        client.control(0x0F, {})
        await client.expect(ERROR, code=1001)
        counted = await asyncio.to_thread(self.counted)
        self.assertEqual(counted["in", "0x10"], 3)
        self.assertEqual((counted["out", "0x30"], counted["out", "0x62"]), (6, 3))
        self.assertEqual((counted["in", "other"], counted["out", "0xff"]), (1, 1))
        self.assertEqual((counted["in", "0x02"], counted["out", "0x53"]), (2, 16))
