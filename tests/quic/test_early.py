"""Statements 101 to 115: 0-RTT, TLS, many shards."""

import asyncio
import datetime
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client import AUTH, AUTH_OK, HELLO, JOIN, JOINED, MESSAGE, SEND, frame
from server import Case, environment, free_port


#: Of linux/udp.h: the size of datagrams that one system call sends many of.
UDP_SEGMENT = 103


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


    def make_certificate(self, folder, serial):
        """Writes a certificate of that serial number, and its key, over what is there."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.timezone.utc)
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(serial)
            .public_key(key.public_key()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=9))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(key, hashes.SHA256())
        )
        (folder / "chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    async def serial(self, server):
        """The serial number of the certificate that a new client is shown."""
        client = await self.login(server.address)
        number = client.quic.tls._peer_certificate.serial_number
        await client.goodbye()
        return number

    async def test_107_a_new_certificate(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name)
        self.make_certificate(path, 1001)
        files = {"quic.certificate": f'"{path}/chain.pem"', "quic.key": f'"{path}/key.pem"'}
        server = await self.own_server(settings=files)
        old = await self.login(server.address)
        self.assertEqual(await self.serial(server), 1001)
        self.make_certificate(path, 1002)
        server.signal(signal.SIGHUP)
        deadline = time.monotonic() + 10.0
        while await self.serial(server) != 1002:
            self.assertLess(time.monotonic(), deadline, "the new certificate is not served")
            await asyncio.sleep(0.05)
        await old.quiet()
        # A broken one changes nothing.
        (path / "chain.pem").write_text("nonsense")
        server.signal(signal.SIGHUP)
        while "no usable certificate" not in server.log():
            self.assertLess(time.monotonic(), deadline, "the broken file is not said")
            await asyncio.sleep(0.05)
        self.assertEqual(await self.serial(server), 1002)
        await old.quiet()


class Retry(Case):
    settings = {"quic.retry_above": 0}
    shards = 4

    async def test_113_after_a_retry(self):
        for _ in range(10):
            client = await self.login()
            self.assertTrue(client.quic._retry_source_connection_id)
            await client.quiet()


class Admission(Case):
    """Five connections in place of 10,000, three of an address in place of 64."""

    settings = {"quic.connections": 5, "quic.connections_per_address": 3}

    async def refused(self, source):
        client = self.client()
        client.rebind(source)
        client.connect()
        self.assertEqual(await client.closed(), 0x02, "CONNECTION_REFUSED")

    async def come(self, source):
        client = self.client()
        client.rebind(source)
        return await client.login(self.somebody())

    async def test_100_too_many_connections(self):
        first = [await self.come("127.0.0.1") for _ in range(3)]
        await self.refused("127.0.0.1")
        second = [await self.come("127.0.0.2") for _ in range(2)]
        await self.refused("127.0.0.3")
        for client in first + second:
            await client.quiet()
        # A place that is given back is taken by the next, once QUIC has forgotten the old connection.
        await first[0].goodbye()
        await asyncio.sleep(3.5)
        await self.come("127.0.0.3")


class Forwarding(Case):
    shards = 4

    def counter(self, name):
        metrics = self.server.metrics()
        return sum(value for key, value in metrics.items() if key.split("{")[0] == f"tutti_quic_{name}_total")

    async def counts(self):
        return [await asyncio.to_thread(self.counter, name) for name in
                ("forwards_out", "forwards_in", "forwards_dropped")]

    async def test_111_forwarded_once(self):
        """From ever new ports; the kernel gives three of four datagrams to a shard that has not the connection."""
        proxy = self.proxy()
        client, other = await self.login(proxy.address), await self.login()
        name = self.room()
        room = (await client.join(name))["room_id"]
        await other.join(name)
        before = await self.counts()
        for n in range(8):
            proxy.move()
            await client.say(room, f"m{n}")
            await other.expect(MESSAGE, room_id=room, content=f"m{n}")
            await client.expect(MESSAGE, room_id=room, content=f"m{n}")
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)
        out, came, dropped = [now - then for now, then in zip(await self.counts(), before)]
        self.assertGreater(out, 0, "some were forwarded")
        self.assertEqual(out, came, "each came where it was sent, and was not sent on")
        self.assertEqual(dropped, 0)
        self.assertEqual(client.take(AUTH_OK) + other.take(JOINED), [])

    async def test_114_more_than_the_queue(self):
        client = await self.login()
        room = (await client.join(self.room()))["room_id"]
        cid = client.quic._peer_cid.cid
        before = await self.counts()
        # Many datagrams of one system call arrive as one (GSO and GRO), so that a shard has more to forward in a turn
        # than the queue to another takes.
        one = b"\x40" + cid + bytes(16)

        def flood():
            for _ in range(40):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
                    source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(one))
                    for _ in range(150):
                        source.sendto(one * 60, self.server.address)

        await asyncio.to_thread(flood)
        out, _, dropped = [now - then for now, then in zip(await self.counts(), before)]
        self.assertGreater(out, 0)
        self.assertGreater(dropped, 0)
        await client.say(room, "still here")
        await client.expect(MESSAGE, room_id=room, content="still here")
