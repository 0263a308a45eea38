"""People of the other doors: a piano page (MPP over WebSocket) and a terminal (lines over TCP), as little as is needed."""

import asyncio
import base64
import json
import os

PATIENCE = 10.0


class Person:
    """What both have: what was heard, and waiting for it."""

    def __init__(self):
        self.heard = []
        self._news = asyncio.Event()

    def _hear(self, what):
        self.heard.append(what)
        self._news.set()

    async def until(self, find, what):
        """The first thing heard for which `find` gives something; it and all before it are forgotten."""

        async def wait():
            while True:
                for at, one in enumerate(self.heard):
                    if found := find(one):
                        del self.heard[: at + 1]
                        return found
                self._news.clear()
                await self._news.wait()

        try:
            return await asyncio.wait_for(wait(), PATIENCE)
        except asyncio.TimeoutError:
            raise AssertionError(f"{what} was not heard; there is {self.heard}") from None

    def close(self):
        self._reading.cancel()
        self._writer.close()


class Piano(Person):
    """One piano page."""

    async def connect(self, port, room):
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        self._writer.write(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0], head
        self._reading = asyncio.create_task(self._read())
        self.send({"m": "hi"})
        self.me = await self.until(lambda m: m["m"] == "hi" and m["u"], "hi")
        return await self.enter(room)

    async def enter(self, room):
        """Enters a room; gives its `ch`."""
        self.send({"m": "ch", "_id": room})
        return await self.until(lambda m: m["m"] == "ch" and m["ch"]["_id"] == room and m, "ch")

    def send(self, *messages):
        data = json.dumps(messages).encode()
        mask = os.urandom(4)
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        body = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        self._writer.write(b"\x81" + length + mask + body)

    async def _read(self):
        while True:
            first, length = await self._reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self._reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self._reader.readexactly(8), "big")
            data = await self._reader.readexactly(length)
            if first & 0x0F == 1:
                for message in json.loads(data):
                    self._hear(message)

    async def expect(self, m, **fields):
        """The next message of this sort with these fields."""
        return await self.until(
            lambda got: got["m"] == m and all(got.get(k) == v for k, v in fields.items()) and got, f"{m} {fields}")


class Terminal(Person):
    """One terminal."""

    async def connect(self, port, nick, room=None):
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._reading = asyncio.create_task(self._read())
        self.send(nick)
        await self.line(f"Welcome {nick}! You are in #lobby")
        if room is not None:
            self.send(f"/join {room}")
            await self.line(f"You joined #{room}")

    def send(self, line):
        self._writer.write(line.encode() + b"\n")

    async def _read(self):
        while line := await self._reader.readline():
            self._hear(line.decode().rstrip("\r\n").removeprefix("Enter your nickname: "))

    async def line(self, end):
        """The next line that ends so."""
        return await self.until(lambda line: line.endswith(end) and line, end)
