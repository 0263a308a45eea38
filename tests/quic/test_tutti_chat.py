"""The client `tutti-chat` against the server. `TUTTI_CHAT_BIN` names it."""

import asyncio
import json
import os
import pathlib
import tempfile
import unittest

from client import MESSAGE
from server import Case, not_yet


@unittest.skipUnless(os.environ.get("TUTTI_CHAT_BIN"), "TUTTI_CHAT_BIN is not set")
class Program(Case):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    async def start(self, *arguments, name=None):
        host, port = self.server.address
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
