"""Settings of section 20 of the protocol's page that no other test turns."""

import asyncio
import os
import time

from client import ERROR, MESSAGE, SEND, THROTTLE, UPLOAD_ACK, UPLOAD_CANCEL
from server import OtherDoors
from test_files import FileCase, chunk


class Settings(OtherDoors, FileCase):
    shards = 4
    arguments = ()
    settings = {
        "quic.connection_ids": '"plain"', "rate.room.count": "4", "rate.room.per_ms": "4000",
        "uploads.per_connection": "3", "uploads.stall_ms": "1000",
    }

    async def test_plain_connection_ids_name_their_shard(self):
        homes = set()
        for _ in range(24):
            client = await self.login()
            cids = [client.quic._peer_cid.cid] + [cid.cid for cid in client.quic._peer_cid_available]
            self.assertEqual({len(cid) for cid in cids}, {8})
            first = {cid[0] for cid in cids}
            self.assertEqual(len(first), 1, "all ids of a connection name one shard")
            homes |= first
            await client.goodbye()
        self.assertTrue(homes <= set(range(4)) and len(homes) > 1, homes)

    async def test_with_plain_connection_ids_packets_find_their_shard(self):
        proxy = self.proxy()
        client = await self.login(address=proxy.address)
        room = (await client.join(self.room()))["room_id"]
        for n in range(4):
            proxy.move()
            await client.say(room, f"from another port {n}")
            await asyncio.sleep(0.2)
        self.assertIsNone(client.terminated)

    async def test_a_room_has_a_rate_for_everybody_together(self):
        """Whoever speaks when the room's messages are used up is refused, on every door."""
        name = self.somebody()
        first, second = await self.login(), await self.login()
        room = (await first.join(name))["room_id"]
        await second.join(name)
        piano, terminal = await self.piano(name), await self.terminal(name)
        await first.say(room, "1")
        await second.say(room, "2")
        terminal.send("3")
        await first.expect(MESSAGE, content="3")
        piano.send({"m": "a", "message": "4"})
        await first.expect(MESSAGE, content="4")
        nonce = second.chat(SEND, {"room_id": room, "content": "over"})
        error = await second.expect(ERROR, nonce=nonce, code=1006)
        throttle = await second.expect(THROTTLE)
        self.assertEqual((throttle["room_id"], error["room_id"]), (room, room))
        self.assertEqual(throttle["delay_ms"], error["retry_after_ms"])
        self.assertTrue(0 < throttle["delay_ms"] <= 1000, throttle)
        terminal.send("over")
        piano.send({"m": "a", "message": "over"})
        await terminal.until(lambda line: line.startswith("ERROR: There are too many messages in this room"), "error")
        # Another room is not this one.
        other = (await first.join(self.room()))["room_id"]
        await first.say(other, "elsewhere")
        await asyncio.sleep(throttle["delay_ms"] / 1000 + 0.1)
        await second.say(room, "later")
        await first.expect(MESSAGE, content="later")
        self.assertEqual(first.take(MESSAGE, content="over"), [])
        hits = sum(value for name, value in self.server.metrics().items() if 'limit="room_rate"' in name)
        self.assertGreaterEqual(hits, 3)

    async def test_uploads_of_a_connection_and_their_patience(self):
        client = await self.login()
        room = (await client.join(self.room()))["room_id"]
        data = os.urandom(1000)
        begun = [self.start(client, room, data + bytes([n])) for n in range(4)]
        for _, nonce in begun[:3]:
            await client.expect(UPLOAD_ACK, nonce=nonce)
        await client.expect(ERROR, nonce=begun[3][1], code=1009)
        since = time.monotonic()
        client.write(begun[0][0], chunk(data[:10], 0))
        for _ in range(3):
            await client.expect(UPLOAD_CANCEL)
        self.assertTrue(0.5 < time.monotonic() - since < 5)
