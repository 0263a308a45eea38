"""Floods from outside: the server's memory stays bounded, and whoever talks meanwhile notices little.

Those who flood are processes of their own (`flood.py`), at lower priority, because they would have machines of their
own.
"""

import asyncio
import json
import os
import pathlib
import sys
import time

from client import MESSAGE, PING, PONG, SEND
from server import Case, environment

FLOOD = pathlib.Path(__file__).with_name("flood.py")
MIB = 1 << 20
#: How long each flood takes, twice.
SECONDS = 2.5
#: What honest users wait at most for their messages and pongs, 99 times of 100.
LATENCY = 0.5
#: When connections that nobody is behind are gone at the latest.
FORGOTTEN = 20.0
#: What the second flood may add to what the first one took. What grows with time grows here.
GROWTH = 12 * MIB


class Honest:
    """Two who talk, and how long they wait."""

    def __init__(self, talker, listener, room):
        self.talker, self.listener, self.room = talker, listener, room
        self.waits = []
        self.said = 0
        self.over = False

    async def talk(self):
        """Says something, below the rates, and pings; until it is over. Waiting with a timeout may miss that it was
        cancelled."""
        while not self.over:
            begin = time.monotonic()
            self.said += 1
            self.talker.chat(SEND, {"room_id": self.room, "content": f"m{self.said}"})
            await self.listener.expect(MESSAGE, room_id=self.room, content=f"m{self.said}")
            self.waits.append(time.monotonic() - begin)
            self.talker.inbox.clear()
            for one in (self.talker, self.listener):
                begin = time.monotonic()
                one.control(PING, {"timestamp": self.said})
                await one.expect(PONG, timestamp=self.said)
                self.waits.append(time.monotonic() - begin)
            await asyncio.sleep(max(0.0, 0.25 - (time.monotonic() - begin)))


class Floods(Case):
    shards = 2
    #: About so long.
    seconds = 140
    #: So that those who flood and vanish are soon forgotten, and the second flood finds what the first one did; and so
    #: few handshakes without Retry that a flood is far beyond.
    settings = {"quic.ping_ms": 1000, "quic.dead_ms": 3000, "quic.handshake_ms": 2000, "quic.retry_above": 200}

    def resident(self):
        """Bytes of memory that the server has now."""
        text = pathlib.Path(f"/proc/{self.server.child.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Rss:")) << 10

    def connections(self):
        metrics = self.server.metrics()
        return sum(value for key, value in metrics.items() if key.split("{")[0] == "tutti_quic_connections")

    async def flood(self, kind, seed):
        """Floods; gives what the flood has counted and the most memory that the server had."""
        host, port = self.server.address
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(FLOOD), kind, host, str(port), str(SECONDS), str(seed),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment() | {"PYTHONPATH": ""},
            cwd=FLOOD.parent, preexec_fn=lambda: os.nice(5),
        )
        ended = asyncio.create_task(child.communicate())
        most = 0
        while not ended.done():
            most = max(most, self.resident())
            await asyncio.wait([ended], timeout=0.1)
        out, err = ended.result()
        self.assertEqual(child.returncode, 0, err.decode()[-2000:])
        return json.loads(out), most

    async def withstand(self, kind, memory, sent, closes=()):
        """Floods twice; the server may have `memory` bytes more in a flood than before, and end the connections of
        those who flood with `closes`. Less than `sent` was no flood."""
        talker, listener = await self.login(), await self.login()
        name = self.room()
        room = (await talker.join(name))["room_id"]
        await listener.join(name)
        honest = Honest(talker, listener, room)
        talk = asyncio.create_task(honest.talk())
        rest, most, late, heard, ended = self.resident(), [], [], [], {}
        try:
            for turn in range(2):
                honest.waits.clear()
                counted, peak = await self.flood(kind, 2 * self._floods() + turn)
                most.append(peak)
                heard.append(len(honest.waits))
                late.append(sorted(honest.waits)[int(len(honest.waits) * 0.99)] if honest.waits else FORGOTTEN)
                ended |= counted["closes"]
                self.assertGreater(counted["sent"], sent, counted)
                self.assertFalse(talk.done(), talk)
                # Those who vanished are noticed, and what they had is given back.
                deadline = time.monotonic() + FORGOTTEN
                while await asyncio.to_thread(self.connections) > 2:
                    self.assertLess(time.monotonic(), deadline, "those who vanished are kept")
                    await asyncio.sleep(0.1)
        finally:
            honest.over = True
            talk.cancel()
            await asyncio.wait([talk])
        memory_told = f"{rest >> 20} MiB before, {[peak >> 20 for peak in most]} in the floods"
        told = f"{kind}: {counted}; {memory_told}; {[int(1000 * one) for one in late]} ms"
        # A machine that had something else to do is so in one of the two; a server that does not withstand in both.
        self.assertGreater(max(heard), 15, told)
        self.assertLess(min(late), LATENCY, told)
        self.assertLess(most[0] - rest, memory, told)
        self.assertLess(most[1] - max(most[0], rest), GROWTH, told)
        self.assertLessEqual({int(code) for code in ended}, set(closes), told)
        # Nobody was let down: the two are still there, and others come in.
        await talker.quiet()
        begin = time.monotonic()
        third = await self.login()
        await third.join(name)
        self.assertLess(time.monotonic() - begin, 3.0)
        for one in (talker, listener, third):
            await one.goodbye()

    _number = 0

    @classmethod
    def _floods(cls):
        cls._number += 1
        return cls._number

    async def test_streams_that_are_left(self):
        await self.withstand("streams", 24 * MIB, 100, closes=[0x09])

    async def test_storms_of_resets(self):
        await self.withstand("resets", 24 * MIB, 200, closes=[0x05, 0x09])

    async def test_datagrams(self):
        await self.withstand("datagrams", 24 * MIB, 200)

    async def test_half_open_handshakes(self):
        await self.withstand("handshakes", 32 * MIB, 400)

    async def test_gaps_that_are_never_filled(self):
        await self.withstand("gaps", 96 * MIB, 500)

    async def test_holes_between_single_bytes(self):
        await self.withstand("holes", 48 * MIB, 200, closes=[0x01])

    async def test_replays_of_early_data(self):
        await self.withstand("replays", 32 * MIB, 100)

    async def test_limits_that_are_broken(self):
        await self.withstand("limits", 24 * MIB, 100, closes=range(0x01, 0x10))

    async def test_acknowledgements_of_many_ranges(self):
        await self.withstand("acks", 24 * MIB, 200)
