"""Statements 101 to 115: 0-RTT, TLS, many shards."""

import asyncio
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from client import AUTH, AUTH_OK, HELLO, JOIN, JOINED, MESSAGE, SEND, frame
from server import Case, environment, free_port


class Early(Case):
    async def ticket(self, address=None):
        first = await self.login(address)
        await first.until(lambda: first.tickets, "ticket")
        await first.goodbye()
        return first.tickets[0]

    def first_flight(self, client, name, room_name=None, room=None, say=None):
        """Login, join and message, all with the first packets, which are not sent yet."""
        client.quic.connect(client.peer, time.monotonic())
        client.quic.get_next_available_stream_id()
        control = frame(HELLO, {"version": 1, "capabilities": ["chat"]})
        control += frame(AUTH, {"method": "username", "credentials": name})
        client.quic.send_stream_data(0, control)
        if room_name is not None:
            client._chat = client.open()
            data = frame(JOIN, {"name": room_name, "nonce": "early-join"})
            data += frame(SEND, {"room_id": room, "content": say, "nonce": "early-send"})
            client.quic.send_stream_data(client._chat, data)

    async def test_102_a_message_in_early_data(self):
        ticket = await self.ticket()
        watcher = await self.login()
        name = self.room()
        room = (await watcher.join(name))["room_id"]
        client = self.client(session_ticket=ticket)
        self.first_flight(client, self.somebody(), name, room, "early")
        client.flush()
        await client.expect(AUTH_OK)
        await watcher.expect(MESSAGE, room_id=room, content="early")
        self.assertTrue(client.handshake.early_data_accepted)
        await watcher.quiet()
        self.assertEqual(watcher.take(MESSAGE, room_id=room), [])

    async def test_103_a_replayed_flight(self):
        ticket = await self.ticket()
        watcher = await self.login()
        name = self.room()
        room = (await watcher.join(name))["room_id"]
        client = self.client(session_ticket=ticket)
        self.first_flight(client, self.somebody(), name, room, "replayed")
        flight = [data for data, _ in client.quic.datagrams_to_send(time.monotonic())]
        for _ in range(3):
            attacker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for data in flight:
                attacker.sendto(data, self.server.address)
            await asyncio.sleep(0.3)
            attacker.close()
        await watcher.quiet()
        self.assertEqual(watcher.take(JOINED) + watcher.take(MESSAGE), [])

    async def test_105_resumption_on_any_shard(self):
        for _ in range(8):
            client = await self.login(session_ticket=await self.ticket())
            self.assertTrue(client.handshake.session_resumed)

    async def test_112_packets_of_nobody(self):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(one.close)
        one.setblocking(False)
        for n in range(20):
            one.sendto(b"\x40" + os.urandom(60), self.server.address)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(one, 2048), 0.5)
        client = await self.login()
        cids = [client.quic._peer_cid.cid] + [cid.cid for cid in client.quic._peer_cid_available]
        await client.goodbye()
        await asyncio.sleep(3.5)
        one.sendto(b"\x40" + cids[0] + os.urandom(60), self.server.address)
        reset = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(one, 2048), 2)
        self.assertLess(len(reset), 69)

    async def test_108_connection_ids(self):
        first_bytes = []
        for _ in range(40):
            client = await self.login()
            cids = [client.quic._peer_cid.cid] + [cid.cid for cid in client.quic._peer_cid_available]
            self.assertEqual({len(cid) for cid in cids}, {8})
            first_bytes += [cid[0] for cid in cids]
            await client.goodbye()
        self.assertGreater(len(set(first_bytes)), 64 if len(first_bytes) > 120 else 20)

    async def test_115_rooms_of_many_shards(self):
        talker, listener = await self.login(), await self.login()
        rooms = []
        for _ in range(8):
            name = self.room()
            rooms.append((await talker.join(name))["room_id"])
            await listener.join(name)
            await asyncio.sleep(0.55)
        for n in range(9):
            await talker.say(rooms[n % 8], str(n))
        seen = {}
        for n in range(9):
            got = await listener.expect(MESSAGE)
            seen.setdefault(got["room_id"], []).append(int(got["content"]))
        for numbers in seen.values():
            self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(sum(map(len, seen.values())), 9)


class EarlyOneShard(Early):
    shards = 1


class Certificates(Case):
    async def test_104_without_early_data(self):
        server = await self.own_server(settings={"quic.early_data": "false"})
        first = await self.login(server.address)
        await first.goodbye()
        for ticket in first.tickets:
            second = await self.login(server.address, session_ticket=ticket)
            self.assertFalse(second.handshake.early_data_accepted)

    async def test_106_a_public_address_needs_a_certificate(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        port = free_port()
        done = await asyncio.to_thread(
            subprocess.run,
            [os.environ["TUTTI_BIN"], "serve", "--data", folder.name, "--quic", f"0.0.0.0:{port}", "--mode",
             "production", "--listen", f"127.0.0.1:{free_port(socket.SOCK_STREAM)}", "--admin", "off"],
            capture_output=True, text=True, timeout=20, env=environment(),
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("quic.", done.stdout + done.stderr)

    async def test_106_the_fingerprint_is_printed(self):
        self.assertRegex(self.server.log().lower(), r"[0-9a-f]{64}|([0-9a-f]{2}:){31}[0-9a-f]{2}")


class Retry(Case):
    settings = {"quic.retry_above": 0}
    shards = 4

    async def test_113_after_a_retry(self):
        for _ in range(10):
            client = await self.login()
            self.assertTrue(client.quic._retry_source_connection_id)
            await client.quiet()
