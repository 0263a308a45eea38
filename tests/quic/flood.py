"""Those who flood the server, each kind by its name, in a process of their own so that they slow nobody else's loop.

    flood.py KIND HOST PORT SECONDS SEED

Prints as JSON what was sent and how the server ended connections: `{"sent": N, "closes": {"CODE": N}}`.
"""

import asyncio
import collections
import json
import os
import random
import socket
import sys
import time

from aioquic.buffer import Buffer
from aioquic.quic.connection import QuicConnectionId
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.tls import Epoch

from client import AUTH, HELLO, JOIN, SEND, TYPING, Client, Closed, frame


def varint(number):
    buffer = Buffer(capacity=8)
    buffer.push_uint_var(number)
    return buffer.data


def stream_frame(stream, offset, data, end=False):
    """A STREAM frame with its offset and length."""
    return bytes([0x0E | end]) + varint(stream) + varint(offset) + varint(len(data)) + data


def datagram_frame(data):
    return b"\x31" + varint(len(data)) + data


class Raw(Client):
    """A client that sends what frames it likes, and cares for no answer but the end."""

    #: Numbers of packets that have come.
    seen = ()

    def packet(self, frames, skip=0):
        """One packet of these frames, `skip` numbers after the last."""
        quic = self.quic
        builder = QuicPacketBuilder(
            host_cid=quic.host_cid, is_client=True, max_datagram_size=1400, peer_cid=quic._peer_cid.cid,
            packet_number=quic._packet_number + skip, version=quic._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[Epoch.ONE_RTT])
        builder._buffer.push_bytes(frames)
        datagrams, _ = builder.flush()
        quic._packet_number = builder.packet_number
        return datagrams[0]

    def raw(self, frames, skip=0):
        if not self.quic._cryptos[Epoch.ONE_RTT].send.is_valid():
            return 0
        try:
            self.socket.send(self.packet(frames, skip))
            return 1
        except OSError:
            # The kernel has no room: as if the network had lost it.
            return 0

    def packed(self, frames):
        """Sends frames, as many as fit into each packet."""
        sent, waiting = 0, b""
        for one in frames:
            if len(waiting) + len(one) > 1150:
                sent, waiting = sent + self.raw(waiting), b""
            waiting += one
        return sent + (self.raw(waiting) if waiting else 0)


class Flood:
    def __init__(self, address, seconds, seed):
        self.address, self.random = address, random.Random(seed)
        self.seed = seed
        self.until = time.monotonic() + seconds
        self.sent = 0
        self.closes = collections.Counter()
        self.names = 0
        self.clients = []

    def goes_on(self):
        return time.monotonic() < self.until

    def somebody(self):
        self.names += 1
        return f"f{self.seed}-{self.names}"

    def source(self, n):
        """Addresses of the attacker: none is the honest users'."""
        return f"127.0.{1 + self.seed % 200}.{1 + n % 250}"

    def made(self, n=0, **settings):
        client = Raw(self.address, **settings)
        client.bind(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), self.source(n))
        client.socket.connect(self.address)
        self.clients.append(client)
        return client

    async def login(self, n=0, **settings):
        client = self.made(n, **settings)
        try:
            return await client.login(self.somebody(), capabilities=("chat", "typing"))
        except (Closed, AssertionError):
            self.over(client)
            raise

    def over(self, client):
        """Counts how a connection ended, and forgets it without a word."""
        if client in self.clients:
            self.clients.remove(client)
            if client.terminated is not None:
                self.closes[client.terminated.error_code] += 1
            client.end()

    async def ended(self, client):
        """Whether the server has ended a connection."""
        await asyncio.sleep(0)
        if client.terminated is None:
            return False
        self.over(client)
        return True

    async def crowd(self, count, act):
        """So many clients at once, each doing `act` until the end of its connection, then anew."""

        async def one(n):
            while self.goes_on():
                try:
                    client = await self.login(n)
                except (Closed, AssertionError):
                    await asyncio.sleep(0.2)
                    continue
                while self.goes_on() and not await self.ended(client):
                    await act(client)
                self.over(client)

        await asyncio.gather(*(one(n) for n in range(count)))

    # --- kinds -----------------------------------------------------------------------------------------------------

    async def streams(self):
        """Streams that are opened, given half a frame, and reset, ended or left; at the end all is left."""

        async def act(client):
            quic = client.quic
            for _ in range(8):
                stream = quic.get_next_available_stream_id(is_unidirectional=self.random.random() < 0.6)
                most = quic._remote_max_streams_uni if stream & 2 else quic._remote_max_streams_bidi
                if stream // 4 >= most:
                    break
                kind = self.random.choice([SEND, 0x60, 0x70, 0x75, 0x0F, 0xEE])
                half = bytes([kind]) + (60).to_bytes(4, "big") + b"{"
                quic.send_stream_data(stream, half, self.random.random() < 0.3)
                client.flush()
                if self.random.random() < 0.8 and not quic._streams[stream].sender.is_finished:
                    try:
                        quic.reset_stream(stream, 7)
                    except (RuntimeError, AssertionError, ValueError):
                        pass
                if not stream & 2 and self.random.random() < 0.5:
                    quic.stop_stream(stream, 9)
                self.sent += 1
            client.flush()
            client.inbox.clear()
            await asyncio.sleep(0.001)

        await self.crowd(12, act)

    async def resets(self):
        """The same stream numbers ended, reset and stopped over and over, beyond what aioquic would send."""

        async def act(client):
            room = 16
            for first in range(0, room):
                stream = 2 + 4 * first
                frames = [
                    stream_frame(stream, 0, b"\x10"), b"\x04" + varint(stream) + varint(7) + varint(1),
                    b"\x05" + varint(0) + varint(9) if self.random.random() < 0.001 else b"",
                    stream_frame(stream, 0, b"\x10", True) if self.random.random() < 0.5 else b"",
                ]
                self.sent += client.packed(frames * 20)
            await asyncio.sleep(0.002)

        await self.crowd(6, act)

    async def datagrams(self):
        """Datagrams of the protocol, of unknown types, empty, too long, of two frames, of nonsense."""

        async def act(client):
            room = client.lobby["room_id"]
            choices = [
                frame(TYPING, {"room_id": room}), frame(TYPING, {"room_id": 1 << 50}), frame(0x8F, b"{}"), b"",
                frame(0x82, {"status": "x" * 900, "pseq": 1}), frame(TYPING, {"room_id": room}) * 2,
                frame(SEND, {"room_id": room, "content": "no"}), b"\x80\xff\xff\xff\xff", bytes(1100),
                frame(TYPING, b'{"room_id":' + b"[" * 500 + b"}"),
            ]
            self.sent += client.packed(datagram_frame(self.random.choice(choices)) for _ in range(60))
            await asyncio.sleep(0.002)

        await self.crowd(6, act)

    async def handshakes(self):
        """First flights from many addresses and ports, none of which is ever gone on with; and nonsense like them."""
        client = self.made()
        quic = client.quic
        quic.connect(client.peer, time.monotonic())
        hello = bytes(quic._crypto_streams[Epoch.INITIAL].sender._buffer)
        templates = []
        while self.goes_on():
            ours = os.urandom(8)
            builder = QuicPacketBuilder(
                host_cid=quic.host_cid, is_client=True, max_datagram_size=1200, peer_cid=ours, version=quic._version,
            )
            seal = CryptoPair()
            seal.setup_initial(cid=ours, is_client=True, version=quic._version)
            builder.start_packet(QuicPacketType.INITIAL, seal)
            builder.start_frame(0x06).push_bytes(varint(0) + varint(len(hello)) + hello)
            whole = builder.flush()[0][0]
            templates = [*templates[-50:], whole]
            # The same with other ids, which no longer fit the seal, and cut or changed.
            changed = bytearray(self.random.choice(templates))
            how = self.random.randrange(4)
            if how == 0:
                changed[6:14] = os.urandom(8)
            elif how == 1:
                changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
            elif how == 2:
                del changed[self.random.randrange(1, len(changed)) :]
            else:
                changed[1:5] = os.urandom(4)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind((self.source(self.sent), 0))
                for data in (whole, bytes(changed)):
                    try:
                        one.sendto(data, self.address)
                    except OSError:
                        pass
            self.sent += 1

    async def gaps(self):
        """On all streams that may be open: pieces with a hole behind each, up to the whole window of the connection."""
        piece, stride = 40, 64

        async def act(client):
            streams = [2 + 4 * n for n in range(16)] + [4 + 4 * n for n in range(7)]
            each = min(1000, ((1 << 20) - 4096) // stride // len(streams))
            for stream in streams:
                frames = (stream_frame(stream, 1 + n * stride, bytes(piece)) for n in range(each))
                self.sent += client.packed(frames)
                await asyncio.sleep(0.005)
                if client.terminated is not None or not self.goes_on():
                    return
            # All of it once more, and kept from then on.
            for _ in range(20):
                if client.terminated is not None or not self.goes_on():
                    return
                self.sent += client.raw(stream_frame(2, 1, bytes(piece)) + b"\x01")
                await asyncio.sleep(0.1)

        await self.crowd(24, act)

    async def holes(self):
        """Single bytes with a hole behind each, as many as there can be; the server may end such a connection."""

        async def act(client):
            for stream in (2, 6, 10, 14):
                frames = (stream_frame(stream, 1 + 2 * n, b"x") for n in range(20_000))
                self.sent += client.packed(frames)
                await asyncio.sleep(0.01)
                if client.terminated is not None:
                    return

        await self.crowd(4, act)

    async def replays(self):
        """One client's flight of early data from many places."""
        first = await self.login()
        await first.until(lambda: first.tickets, "ticket")
        await first.goodbye()
        self.clients.remove(first)
        client = self.made(0, session_ticket=first.tickets[0])
        client.quic.connect(client.peer, time.monotonic())
        client.quic.get_next_available_stream_id()
        control = frame(HELLO, {"version": 1, "capabilities": ["chat"]})
        control += frame(AUTH, {"method": "username", "credentials": self.somebody()})
        client.quic.send_stream_data(0, control)
        data = frame(JOIN, {"name": "replayed"}) + frame(SEND, {"room_id": 1, "content": "replayed", "nonce": "r"})
        client.quic.send_stream_data(client.open(), data * 10)
        flight = [data for data, _ in client.quic.datagrams_to_send(time.monotonic())]
        while self.goes_on():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind((self.source(self.sent), 0))
                for data in flight:
                    one.sendto(data, self.address)
            self.sent += 1
            await asyncio.sleep(0.001)

    async def limits(self):
        """Frames that offer or take more than there is: some break QUIC, which ends the connection."""

        async def act(client):
            fine = [
                b"\x10" + varint(1 << 40), b"\x12" + varint(1 << 40), b"\x13" + varint(1 << 40), b"\x01",
                b"\x14" + varint(1 << 30), b"\x16" + varint(1 << 20), b"\x17" + varint(1 << 20),
                b"\x1a" + os.urandom(8), b"\x1b" + os.urandom(8), b"\x11" + varint(0) + varint(1 << 40),
            ]
            for _ in range(10):
                self.sent += client.packed(self.random.choices(fine, k=200))
                await asyncio.sleep(0.002)
            # Ids of ours, each retiring all that came before; aioquic is to know them, for the end to be heard.
            for _ in range(100 if self.random.random() < 0.2 else 0):
                number, own = client.quic._host_cid_seq, os.urandom(8)
                client.quic._host_cid_seq += 1
                client.quic._host_cids.append(QuicConnectionId(own, number, os.urandom(16), True))
                ids = b"\x18" + varint(number) + varint(number) + b"\x08" + own + os.urandom(16)
                self.sent += client.raw(ids)
            await asyncio.sleep(0.01)
            bad = [
                # A stream beyond those allowed.
                stream_frame(2 + 4 * (1 << 20), 0, b"x"),
                # Bytes beyond the stream's window, and a stream's end that moves.
                stream_frame(2, 1 << 30, b"x"), stream_frame(2, 3, b"", True) + stream_frame(2, 9, b"x"),
                # More streams than there can be; a stream of the server's; an unknown frame; handshakes without end.
                b"\x12" + varint((1 << 60) + 1), stream_frame(3, 0, b"x"), b"\x21\x21",
                b"\x06" + varint(1 << 20) + varint(4) + b"xxxx",
                # The acknowledgement of what was never sent.
                b"\x02" + varint(1 << 30) + b"\x00\x00\x00",
            ]
            if self.random.random() < 0.2:
                self.sent += client.raw(self.random.choice(bad))
                await asyncio.sleep(0.1)

        await self.crowd(6, act)

    async def acks(self):
        """Acknowledgements of as many ranges as there can be, and packets with other numbers left out between."""

        async def act(client):
            queue = client.quic._spaces[Epoch.ONE_RTT].ack_queue
            client.seen = sorted({n for one in queue for n in one} | set(client.seen))[-800:]
            # The odd ones, so that each is a range of its own.
            numbers = [n for n in reversed(client.seen) if n % 2]
            if numbers:
                ack = b"\x02" + varint(numbers[0]) + varint(0) + varint(len(numbers) - 1) + b"\x00"
                ack += b"".join(varint(one - other - 2) + b"\x00" for one, other in zip(numbers, numbers[1:]))
                for _ in range(30):
                    self.sent += client.raw(b"\x01" + ack[:1150], skip=self.random.choice([1, 2, 1000]))
            await asyncio.sleep(0.002)

        await self.crowd(6, act)


async def main():
    kind, host, port, seconds, seed = sys.argv[1:]
    flood = Flood((host, int(port)), float(seconds), int(seed))
    await getattr(flood, kind)()
    for client in flood.clients[:]:
        flood.over(client)
    print(json.dumps({"sent": flood.sent, "closes": flood.closes}))


if __name__ == "__main__":
    asyncio.run(main())
