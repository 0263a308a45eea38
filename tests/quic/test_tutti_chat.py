"""The client `tutti-chat` against the server. `TUTTI_CHAT_BIN` names it."""

import asyncio
import json
import os
import pathlib
import signal
import tempfile
import unittest

from client import JOINED, LEFT, MESSAGE
from server import Case


@unittest.skipUnless(os.environ.get("TUTTI_CHAT_BIN"), "TUTTI_CHAT_BIN is not set")
class WithProgram(Case):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    async def start(self, *arguments, name=None, address=None):
        host, port = address or self.server.address
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TUTTI_")}
        return await asyncio.create_subprocess_exec(
            os.environ["TUTTI_CHAT_BIN"], "--server", f"{host}:{port}", "--name", name or self.somebody(), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment | {"XDG_CONFIG_HOME": str(self.folder)}, cwd=self.folder,
        )

    async def run_program(self, *arguments, status=0):
        """What it prints; on standard error if it has to fail."""
        child = await self.start(*arguments)
        out, errors = await asyncio.wait_for(child.communicate(), 30)
        self.assertEqual(child.returncode, status, errors.decode())
        return (errors if status else out).decode()


class Program(WithProgram):
    async def test_send_and_tail(self):
        client = await self.login()
        name = self.room()
        room = (await client.join(name))["room_id"]
        tail = await self.start("tail", name, "--json", "--count", "2")
        await client.expect(0x35, room_id=room)
        ack = json.loads(await self.run_program("send", f"#{name}", "hello", "--json"))
        got = await client.expect(MESSAGE, room_id=room, content="hello")
        self.assertEqual(ack["message_id"], got["message_id"])
        await client.say(room, "answer")
        out, errors = await asyncio.wait_for(tail.communicate(), 30)
        self.assertEqual(tail.returncode, 0, errors)
        events = [json.loads(line) for line in out.decode().splitlines()]
        said = [event["data"]["content"] for event in events if event["event"] == "message"]
        self.assertEqual(said, ["hello", "answer"])
        history = await self.run_program("tail", name, "--count", "0")
        self.assertEqual([line.split(": ", 1)[1] for line in history.splitlines()], ["hello", "answer"])

    async def test_rooms_and_people(self):
        client = await self.login()
        name = self.room()
        await client.join(name)
        for _ in range(20):
            listed = await self.run_program("rooms", name)
            if listed:
                break
        self.assertEqual(listed, f"#{name} (1 user)\n")
        who = await self.run_program("who", name)
        self.assertIn(client.name, who)
        self.assertIn("(you", who)

    async def test_refusals(self):
        self.assertIn("1005", await self.run_program("send", "id:123456789", "x", status=1))

    async def test_files(self):
        client = await self.login()
        name = self.room()
        await client.join(name)
        data = os.urandom(400_000)
        (self.folder / "song.bin").write_bytes(data)
        url = (await self.run_program("upload", name, "song.bin")).strip()
        await self.run_program("download", name, url, "-o", "copy.bin")
        self.assertEqual((self.folder / "copy.bin").read_bytes(), data)


class Adversity(WithProgram):
    """Networks that fail: what is said comes once and in order all the same."""

    #: The server notices early that nobody is there any more.
    settings = {"quic.ping_ms": 500, "quic.dead_ms": 2000}

    async def said(self, tail, count):
        """The texts of the next messages that a `tail` of lines prints."""
        found = []
        while len(found) < count:
            try:
                line = await asyncio.wait_for(tail.stdout.readline(), 30)
            except asyncio.TimeoutError:
                tail.kill()
                _, errors = await tail.communicate()
                self.fail(f"no more than {found} of {count}: {errors.decode()}")
            if not line:
                self.fail(f"it ended: {(await tail.communicate())[1].decode()}")
            found.append(line.decode().rstrip("\n").split(": ", 1)[1])
        return found

    async def nothing_more(self, tail):
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(tail.stdout.readline(), 1.0)
        tail.send_signal(signal.SIGINT)
        await asyncio.wait_for(tail.communicate(), 10)

    async def test_tail_over_restarts(self):
        server = await self.own_server()
        name = self.room()
        talker = await self.login(server.address)
        room = (await talker.join(name))["room_id"]
        tail = await self.start("tail", name, address=server.address)
        await talker.expect(JOINED, room_id=room)
        await talker.say(room, "first")
        self.assertEqual(await self.said(tail, 1), ["first"])
        # What is on the disk survives; the last moment may not.
        await asyncio.sleep(0.5)
        for turn in range(2):
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            # At once, so that some is said before the other is back.
            talker = await self.login(server.address)
            init = await talker.join(name)
            self.assertIn("first", [one["content"] for one in init["recent_messages"]])
            for n in range(3):
                await talker.say(room, f"{turn}.{n}")
            self.assertEqual(await self.said(tail, 3), [f"{turn}.{n}" for n in range(3)])
            await asyncio.sleep(0.5)
        await talker.say(room, "last")
        self.assertEqual(await self.said(tail, 1), ["last"])
        await self.nothing_more(tail)

    async def test_tail_over_a_lost_connection(self):
        name = self.room()
        talker = await self.login()
        room = (await talker.join(name))["room_id"]
        proxy = self.proxy()
        tail = await self.start("tail", name, address=proxy.address)
        await talker.expect(JOINED, room_id=room)
        await talker.say(room, "before")
        proxy.blackhole = True
        await talker.say(room, "lost on the way")
        # The server gives it up.
        left = await talker.expect(LEFT, room_id=room)
        self.assertEqual(left["reason"], "disconnected")
        await talker.say(room, "said to nobody")
        proxy.blackhole = False
        self.assertEqual(await self.said(tail, 3), ["before", "lost on the way", "said to nobody"])
        await talker.expect(JOINED, room_id=room)
        await talker.say(room, "after")
        self.assertEqual(await self.said(tail, 1), ["after"])
        await self.nothing_more(tail)

    async def test_tail_over_a_bad_network(self):
        name = self.room()
        talker = await self.login()
        room = (await talker.join(name))["room_id"]
        proxy = self.proxy(seed=5)
        proxy.loss, proxy.jitter, proxy.corruption = 0.1, 0.02, 0.02
        tail = await self.start("tail", name, address=proxy.address)
        await talker.expect(JOINED, room_id=room, patience=30.0)
        # What was said before it knew of the room is old for it, and its first connection may get lost before.
        first = asyncio.create_task(tail.stdout.readline())
        told = 0
        while not first.done():
            await talker.say(room, f"are you there {told}")
            told += 1
            await asyncio.wait([first], timeout=1.0)
        heard = int(first.result().split()[-1])
        for n in range(20):
            await talker.say(room, f"m{n}")
            await asyncio.sleep(0.1)
        asked = [f"are you there {n}" for n in range(heard + 1, told)]
        self.assertEqual(await self.said(tail, len(asked) + 20), asked + [f"m{n}" for n in range(20)])
        await self.nothing_more(tail)

    async def test_send_over_a_bad_network_says_it_once(self):
        name = self.room()
        listener = await self.login()
        room = (await listener.join(name))["room_id"]
        proxy = self.proxy(seed=7)
        proxy.loss, proxy.jitter = 0.2, 0.02
        for n in range(3):
            child = await self.start("send", f"#{name}", f"m{n}", address=proxy.address)
            out, errors = await asyncio.wait_for(child.communicate(), 60)
            self.assertEqual(child.returncode, 0, errors)
        await listener.quiet()
        self.assertEqual([got["content"] for got in listener.take(MESSAGE, room_id=room)], ["m0", "m1", "m2"])
