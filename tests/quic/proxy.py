"""A UDP proxy between a client and the server that loses, delays, corrupts, withholds and moves datagrams."""

import asyncio
import random
import socket


class Proxy:
    """Everything that comes from one client goes to the server from a port of the proxy's own, and back."""

    def __init__(self, server, seed=1):
        self.server = server if ":" not in server[0] else server + (0, 0)
        self.random = random.Random(seed)
        #: Of 1: what is lost, and what has a bit changed.
        self.loss = self.corruption = 0.0
        #: Seconds; each datagram of that direction comes later by this, and by up to this.
        self.delay_down = self.delay_up = self.jitter = 0.0
        #: Nothing passes.
        self.blackhole = False
        #: A test's own judgement of datagrams from the server: False drops.
        self.judge_down = lambda data: True
        self.judge_up = lambda data: True
        self.dropped = self.passed = 0
        self.up = self.down = 0
        self._client = None
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.family = family
        self.inner = self._socket(("::1" if family == socket.AF_INET6 else "127.0.0.1"), self._from_client)
        self.outer = None
        self.move()
        self.address = self.inner.getsockname()[:2]

    def _socket(self, address, readable):
        made = socket.socket(self.family, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind((address, 0))
        asyncio.get_running_loop().add_reader(made, readable)
        return made

    def move(self, source=None):
        """From now on the server sees another source port, and address if one is given."""
        old = self.outer
        default = "::1" if self.family == socket.AF_INET6 else "127.0.0.1"
        self.outer = self._socket(source or default, self._from_server)
        if old is not None:
            asyncio.get_running_loop().remove_reader(old)
            old.close()

    def close(self):
        for one in (self.inner, self.outer):
            asyncio.get_running_loop().remove_reader(one)
            one.close()

    def _from_client(self):
        for data, peer in self._read(self.inner):
            self._client = peer
            self.up += len(data)
            if self.judge_up(data):
                self._pass(data, self.delay_up, lambda d: self._send(self.outer, d, self.server))
            else:
                self.dropped += 1

    def _from_server(self):
        for data, _ in self._read(self.outer):
            self.down += len(data)
            if self.judge_down(data):
                self._pass(data, self.delay_down, lambda d: self._send(self.inner, d, self._client))
            else:
                self.dropped += 1

    def _read(self, one):
        while True:
            try:
                yield one.recvfrom(65536)
            except OSError:
                return

    def _pass(self, data, delay, send):
        if self.blackhole or self.random.random() < self.loss:
            self.dropped += 1
            return
        if self.random.random() < self.corruption:
            at = self.random.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ (1 << self.random.randrange(8))]) + data[at + 1 :]
        self.passed += 1
        wait = delay + self.random.random() * self.jitter
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, send, data)
        else:
            send(data)

    def _send(self, one, data, peer):
        try:
            one.sendto(data, peer)
        except OSError:
            pass
