"""Interoperation, and networks that lose, corrupt, withhold and move: each case by its usual name."""

import asyncio
import os
import socket
import time

from aioquic.tls import CipherSuite

from client import ACK, AUTH_OK, HELLO_ACK, INIT, JOINED, LEFT, MESSAGE, PONG, SEND, Closed, Order, frame
from flood import Raw
from server import Case


class Interoperation(Case):
    anywhere = True

    async def test_handshake(self):
        client = await self.login()
        self.assertEqual(client.handshake.alpn_protocol, "garou/1")

    async def test_chacha20(self):
        client = await self.login(cipher_suites=[CipherSuite.CHACHA20_POLY1305_SHA256])
        await client.quiet()

    async def test_aes256(self):
        client = await self.login(cipher_suites=[CipherSuite.AES_256_GCM_SHA384])
        await client.quiet()

    async def test_transfer(self):
        """Both ways, more than the first flow control window."""
        client = await self.login()
        room = (await client.join(self.room()))["room_id"]
        for n in range(4):
            await client.say(room, f"{n}" * 500)
        for n in range(4):
            got = await client.expect(MESSAGE, room_id=room)
            self.assertEqual(got["content"], f"{n}" * 500)

    async def test_multiplexing(self):
        """Many streams one after the other, each with a command."""
        client = await self.login()
        for n in range(30):
            client._chat = client.open()
            client.quic.send_stream_data(client._chat, b"", False)
            nonce = client.nonce()
            data = frame(0x21, {"limit": 1, "nonce": nonce})
            client.write(client._chat, data, end=True)
            await client.expect(0x3C, nonce=nonce)
            await asyncio.sleep(0.06)

    async def test_004_version_negotiation(self):
        """Statement 4: an Initial with an unknown version gets the versions that there are."""
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(one.close)
        one.setblocking(False)
        ours, theirs = os.urandom(8), os.urandom(8)
        packet = b"\xc0\x1a\x2a\x3a\x4a" + b"\x08" + theirs + b"\x08" + ours + b"\x00"
        one.sendto(packet + bytes(1200 - len(packet)), self.server.address)
        got = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(one, 2048), 5)
        self.assertTrue(got[0] & 0x80)
        self.assertEqual(got[1:5], bytes(4))
        self.assertEqual(got[5:23], b"\x08" + ours + b"\x08" + theirs)
        versions = [got[at : at + 4] for at in range(23, len(got), 4)]
        self.assertIn(b"\x00\x00\x00\x01", versions)
        # One that is too small to be worth an answer gets none (RFC 9000, section 14.1).
        one.sendto(packet + bytes(100), self.server.address)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(one, 2048), 0.3)

    async def test_key_update(self):
        client = await self.login()
        room = (await client.join(self.room()))["room_id"]
        for n in range(3):
            client.quic.request_key_update()
            await client.say(room, f"under key {n}")
            await client.expect(MESSAGE, room_id=room, content=f"under key {n}")

    async def test_amplification_limit(self):
        """An address that was not validated is sent at most three times what it sent."""
        for attempt in range(3):
            proxy = self.proxy()
            proxy.judge_down = lambda data: False
            # One flight of the client and no more: the server's own retransmissions count too.
            flights = []
            proxy.judge_up = lambda data: len(flights) < 1 and not flights.append(data)
            client = self.client(proxy.address)
            client.connect()
            await asyncio.sleep(4.0)
            ratio = proxy.down / len(flights[0])
            self.assertGreater(ratio, 0, "the server answers")
            self.assertLessEqual(ratio, 3.0)

    async def test_resumption(self):
        first = await self.login()
        await first.until(lambda: first.tickets, "ticket")
        self.assertFalse(first.handshake.session_resumed)
        await first.goodbye()
        second = await self.login(session_ticket=first.tickets[0])
        self.assertTrue(second.handshake.session_resumed)

    async def test_101_zero_rtt(self):
        """Statement 101: Hello and Auth in early data are answered before the handshake is complete."""
        first = await self.login()
        await first.until(lambda: first.tickets, "ticket")
        await first.goodbye()
        proxy = self.proxy()
        second = self.client(proxy.address, session_ticket=first.tickets[0])
        # Nothing of what would complete the handshake gets through.
        state = {"passed": 0, "most": 1000}

        def count(data):
            state["passed"] += 1
            return state["passed"] <= state["most"]

        proxy.judge_up = count
        second.quic.connect(second.peer, time.monotonic())
        second.hello()
        second.auth(self.somebody())
        state["most"] = second.datagrams_sent
        await second.expect(AUTH_OK)
        self.assertTrue(second.quic.tls.early_data_accepted)
        self.assertEqual(second.take(INIT), [], "what others can see waits for the handshake")
        state["most"] = 10_000
        await second.expect(INIT)

    async def test_ipv6(self):
        if hasattr(self.server, "child"):
            server = await self.own_server(address="::1")
            client = await self.login(server.address)
            await client.quiet()

    async def test_connection_is_closed_by_the_client(self):
        client = await self.login()
        watcher = await self.login()
        room = self.room()
        await client.join(room)
        room = (await watcher.join(room))["room_id"]
        client.quic.close(0)
        client.flush()
        await watcher.expect(LEFT, room_id=room, user_id=client.user_id)


class BadNetworks(Case):
    anywhere = True
    #: About so long.
    seconds = 60

    async def test_handshake_loss(self):
        """30 % of all datagrams of the handshake are lost, both ways."""
        took = []
        for seed in range(12):
            proxy = self.proxy(seed=seed)
            proxy.loss = 0.3
            begin = time.monotonic()
            client = self.client(proxy.address, idle_timeout=30.0)
            client.connect()
            client.hello()
            client.auth(self.somebody())
            await client.expect(HELLO_ACK, patience=9.0)
            await client.expect(AUTH_OK, patience=9.0)
            took.append(time.monotonic() - begin)
            proxy.loss = 0.0
            await client.goodbye()
        self.assertLess(sorted(took)[len(took) // 2], 4.0, took)

    async def _talk(self, client, other, room, messages, pause=0.22):
        """Says so many messages; both get each once and in order."""
        for n in range(messages):
            client.chat(SEND, {"room_id": room, "content": f"m{n}"})
            await asyncio.sleep(pause)
        for one in (client, other):
            order, seen = Order(), []
            order.rooms[room] = {"next": one.first, "held": {}, "inside": True, "membership": 1}
            frames = []
            while len(seen) < messages:
                frames = [await one.expect(MESSAGE, room_id=room, patience=20.0)]
                seen += [got["content"] for got in order.take(frames)]
            self.assertEqual(seen, [f"m{n}" for n in range(messages)])

    async def _two(self, proxy):
        """A client behind the proxy and one beside it, in a room of their own."""
        client, other = await self.login(proxy.address), await self.login()
        name = self.room()
        await client.join(name)
        init = await other.join(name)
        room = init["room_id"]
        await client.expect(JOINED, room_id=room)
        client.first = other.first = init["seq"] + 1
        return client, other, room

    async def test_transfer_loss(self):
        """2 % of all datagrams are lost, both ways."""
        proxy = self.proxy()
        client, other, room = await self._two(proxy)
        proxy.loss = 0.02
        await self._talk(client, other, room, 40)
        self.assertGreater(proxy.dropped, 0)

    async def test_corruption(self):
        """5 % of all datagrams have a bit changed."""
        proxy = self.proxy()
        client, other, room = await self._two(proxy)
        proxy.corruption = 0.05
        await self._talk(client, other, room, 40)

    async def test_reordering(self):
        """Every datagram comes up to 50 ms later."""
        proxy = self.proxy()
        client, other, room = await self._two(proxy)
        proxy.jitter = 0.05
        await self._talk(client, other, room, 30)

    async def test_blackhole(self):
        """Nothing passes for three seconds; then everything goes on."""
        proxy = self.proxy()
        client, other, room = await self._two(proxy)
        asyncio.get_running_loop().call_later(1.0, setattr, proxy, "blackhole", True)
        asyncio.get_running_loop().call_later(4.0, setattr, proxy, "blackhole", False)
        # Slowly enough that what waited comes within the budget of a burst.
        await self._talk(client, other, room, 12, pause=0.5)
        self.assertEqual(client.take(LEFT) + other.take(LEFT), [])

    async def test_109_rebinding(self):
        """The source port changes every second, unknown to the client (statement 109)."""
        proxy = self.proxy()
        client, other, room = await self._two(proxy)

        async def move():
            while True:
                await asyncio.sleep(1.0)
                proxy.move()

        moving = asyncio.create_task(move())
        await self._talk(client, other, room, 25)
        moving.cancel()
        self.assertEqual(client.take(AUTH_OK) + other.take(LEFT) + other.take(JOINED), [])

    async def test_110_connection_migration(self):
        """The client moves to another port and address by itself, with another connection id (statement 110)."""
        client, other = await self.login(), await self.login()
        name = self.room()
        room = (await client.join(name))["room_id"]
        await other.join(name)
        for n, source in enumerate(["127.0.0.1", "127.0.0.2", "127.0.0.1"]):
            client.rebind(source)
            client.quic.change_connection_id()
            await client.say(room, f"from {source} {n}")
            await other.expect(MESSAGE, room_id=room, content=f"from {source} {n}")
        self.assertEqual(client.take(AUTH_OK) + other.take(LEFT), [])

    async def test_110_migration_amplification(self):
        """A new address is sent at most three times what it sent, until it has answered (statement 110)."""
        client, other = await self.login(), await self.login()
        name = self.room()
        room = (await client.join(name))["room_id"]
        await other.join(name)
        await client.expect(JOINED, room_id=room)
        await client.quiet()
        await asyncio.sleep(0.2)
        # The client's next datagram comes from a place that never answers.
        silent = self.silent("127.0.0.3")
        client.quic.send_ping(1)
        sent = 0
        for data, _ in client.quic.datagrams_to_send(time.monotonic()):
            silent.sendto(data, self.server.address)
            sent += len(data)
        received, deadline = 0, time.monotonic() + 2.0
        for n in range(8):
            other.chat(SEND, {"room_id": room, "content": "x" * 500})
        while time.monotonic() < deadline:
            try:
                received += len(silent.recv(65536))
            except BlockingIOError:
                await asyncio.sleep(0.01)
        self.assertGreater(received, 0, "it is asked whether it hears")
        self.assertLessEqual(received, 3 * sent)
        # The client itself, at its old address, goes on.
        await client.say(room, "still here")

    def silent(self, address):
        """A socket at another address, which nobody answers from."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, 0))
        made.setblocking(False)
        self.addCleanup(made.close)
        return made

    async def raw(self):
        """A client that sends what frames it likes."""
        client = Raw(self.server.address)
        self.clients.append(client)
        return await client.login(self.somebody())

    async def test_110_probes_of_paths(self):
        """Whoever asks from another address whether the server hears it there is answered with little."""
        client = await self.raw()
        silent = self.silent("127.0.0.4")
        sent = received = 0
        for _ in range(20):
            sent += silent.sendto(client.packet(b"\x1a" + os.urandom(8)), self.server.address)
            await asyncio.sleep(0.05)
        while True:
            try:
                received += len(silent.recv(65536))
            except BlockingIOError:
                break
        self.assertGreater(received, 0, "it is answered")
        self.assertLessEqual(received, 3 * sent)
        await client.quiet()

    async def test_a_client_with_small_packets_moves(self):
        """Another address that says little is believed soon: nobody hears of it, and everything goes on."""
        client, other = await self.login(), await self.login()
        name = self.room()
        room = (await client.join(name))["room_id"]
        await other.join(name)
        for n, source in enumerate(["127.0.0.6", "127.0.0.7", "127.0.0.1"]):
            client.rebind(source)
            begin = time.monotonic()
            client.quic.send_ping(100 + n)
            client.flush()
            await client.until(lambda: 100 + n in client.pongs, "answer at the new address")
            await client.say(room, source)
            await other.expect(MESSAGE, room_id=room, content=source)
            self.assertLess(time.monotonic() - begin, 2.0)
        self.assertEqual(client.take(AUTH_OK) + other.take(LEFT), [])


class Charges(Case):
    """Who is counted for which address, with two connections of an address in place of 64."""

    settings = {"quic.connections_per_address": 2}

    def moves(self):
        metrics = self.server.metrics()
        return sum(value for key, value in metrics.items() if key.split("{")[0] == "tutti_quic_moves_total")

    async def test_an_answer_that_is_made_up_moves_nobody(self):
        """A connection is not counted for an address that has not shown that it hears the server."""
        for n in range(2):
            client = Raw(self.server.address)
            self.clients.append(client)
            client.rebind(f"127.0.1.{n + 1}")
            await client.login(self.somebody())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
                victim.bind(("127.0.2.1", 0))
                for _ in range(5):
                    # PING, and the answer to a challenge that was never heard.
                    victim.sendto(client.packet(b"\x01\x1b" + os.urandom(8)), self.server.address)
                    await asyncio.sleep(0.05)
        self.assertEqual(await asyncio.to_thread(self.moves), 0)
        # The two places of that address are free.
        for _ in range(2):
            client = self.client()
            client.rebind("127.0.2.1")
            await client.login(self.somebody())

    async def test_who_has_moved_is_counted_there(self):
        for n in range(2):
            client = self.client()
            client.rebind(f"127.0.3.{n + 1}")
            await client.login(self.somebody())
            client.rebind("127.0.4.1")
            client.quic.change_connection_id()
            await client.quiet()
        client = self.client()
        deadline = time.monotonic() + 5.0
        while await asyncio.to_thread(self.moves) < 2:
            self.assertLess(time.monotonic(), deadline, "they have moved")
            await asyncio.sleep(0.05)
        client.rebind("127.0.4.1")
        client.connect()
        self.assertEqual(await client.closed(), 0x02, "CONNECTION_REFUSED")


class BadNetworksOneShard(BadNetworks):
    shards = 1


class BadNetworksFourShards(BadNetworks):
    shards = 4
