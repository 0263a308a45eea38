"""Uploads whose connection, server or disk fails."""

import asyncio
import hashlib
import os
import subprocess
import tempfile
import time
import unittest

from client import ERROR, JOIN, MESSAGE, SEND, UPLOAD_ACK, UPLOAD_CANCEL, UPLOAD_COMPLETE, frame
from test_files import FileCase, chunk
from test_messages import FAST
from test_private import Accounts


class Lost(FileCase, Accounts):
    """Uploads of people with accounts, who are the same people on their next connection."""

    arguments = FAST
    shards = 4

    def names(self):
        """What is in the folder of uploads."""
        return sorted(path.name for path in (self.server.folder / "data" / "uploads").iterdir())

    async def someone(self, account, room_name):
        client = await self.member(account)
        return client, (await client.done(JOIN, {"name": room_name}))["room_id"]

    async def part(self, client, room, data, sent):
        """Begins an upload and sends so many bytes of it, which have arrived."""
        stream, nonce = self.start(client, room, data)
        self.assertEqual((await client.expect(UPLOAD_ACK, nonce=nonce))["bytes_received"], 0)
        for at in range(0, sent, 65536):
            client.write(stream, chunk(data[at : min(at + 65536, sent)], at))
        while (await client.expect(UPLOAD_ACK, nonce=nonce))["bytes_received"] < sent - 65536:
            pass
        return stream

    async def lose(self, client):
        """Cuts a connection, as a cable would: nothing is said."""
        interrupted = self.server.metrics()["tutti_uploads_interrupted"]
        client.quic.close(0x77)
        client.flush()
        await self.eventually(lambda: self.server.metrics()["tutti_uploads_interrupted"] > interrupted)

    async def eventually(self, condition, patience=10.0):
        deadline = time.monotonic() + patience
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it does not come to that")
            await asyncio.sleep(0.02)

    async def finish(self, client, stream, nonce, data, at):
        for at in range(at, len(data), 100_000):
            client.write(stream, chunk(data[at : at + 100_000], at))
        client.write(stream, frame(UPLOAD_COMPLETE, {"upload_id": 0}), end=True)
        while True:
            ack = await client.expect(UPLOAD_ACK, nonce=nonce, patience=20.0)
            if ack.get("url"):
                return ack

    async def test_an_interrupted_upload_goes_on_over_a_new_connection(self):
        account, name, data = self.account(), self.room(), os.urandom(700_000)
        client, room = await self.someone(account, name)
        await self.part(client, room, data, 400_000)
        await self.lose(client)
        client, _ = await self.someone(account, name)
        received = self.server.metrics()["tutti_uploads_received_bytes_total"]
        stream, nonce = self.start(client, room, data)
        here = (await client.expect(UPLOAD_ACK, nonce=nonce))["bytes_received"]
        self.assertTrue(300_000 < here <= 400_000, here)
        ack = await self.finish(client, stream, nonce, data, here)
        self.assertEqual(ack["bytes_received"], len(data))
        received = self.server.metrics()["tutti_uploads_received_bytes_total"] - received
        self.assertEqual(received, len(data) - here, "the first part did not travel twice")
        await client.say(room, "whole", attachments=[ack["upload_id"]])
        _, back = await self.download(client, ack["upload_id"])
        self.assertEqual(hashlib.sha256(back).digest(), hashlib.sha256(data).digest())

    async def test_a_newer_connection_takes_over_from_one_that_was_cut_silently(self):
        """Long before the server knows that the older is gone; if it is not gone, it is told."""
        account, name, data = self.account(), self.room(), os.urandom(700_000)
        older, room = await self.someone(account, name)
        old_stream = await self.part(older, room, data, 400_000)
        interrupted = self.server.metrics()["tutti_uploads_interrupted"]
        newer, _ = await self.someone(account, name)
        stream, nonce = self.start(newer, room, data)
        here = (await newer.expect(UPLOAD_ACK, nonce=nonce))["bytes_received"]
        self.assertTrue(300_000 < here <= 400_000, here)
        self.assertEqual(self.server.metrics()["tutti_uploads_interrupted"], interrupted)
        cancelled = await older.expect(UPLOAD_CANCEL)
        await older.until(lambda: old_stream in older.stopped, "stop")
        self.assertEqual(older.stopped[old_stream], 0x10)
        ack = await self.finish(newer, stream, nonce, data, here)
        self.assertEqual(ack["upload_id"], cancelled["upload_id"])
        await newer.say(room, "whole", attachments=[ack["upload_id"]])
        _, back = await self.download(older, ack["upload_id"])
        self.assertEqual(hashlib.sha256(back).digest(), hashlib.sha256(data).digest())
        # What the older one still had on its way changed nothing, and its end gives nothing up.
        stream, nonce = self.start(newer, room, data[::-1])
        await newer.expect(UPLOAD_ACK, nonce=nonce)
        newer.write(stream, chunk(data[::-1][:200_000], 0))
        last, _ = await self.someone(account, name)
        new_stream, new_nonce = self.start(last, room, data[::-1])
        newer.write(stream, chunk(data[::-1][200_000:300_000], 200_000))
        await last.expect(UPLOAD_ACK, nonce=new_nonce)
        await newer.expect(UPLOAD_CANCEL)
        await self.lose_quietly(newer)
        await self.finish(last, new_stream, new_nonce, data[::-1], 0)

    async def lose_quietly(self, client):
        """Ends a connection that has no upload on its way."""
        sessions = self.server.metrics()["tutti_uploads_in_progress"]
        client.quic.close(0x77)
        client.flush()
        await asyncio.sleep(0.3)
        self.assertEqual(self.server.metrics()["tutti_uploads_in_progress"], sessions)

    async def test_one_who_does_not_know_of_the_first_part_sends_all_again(self):
        account, name, data = self.account(), self.room(), os.urandom(300_000)
        client, room = await self.someone(account, name)
        await self.part(client, room, data, 200_000)
        await self.lose(client)
        client, _ = await self.someone(account, name)
        ack = await self.upload(client, room, data)
        self.assertEqual(ack["bytes_received"], len(data))

    async def test_nobody_else_goes_on_with_it(self):
        account, other, name, data = self.account(), self.account(), self.room(), os.urandom(300_000)
        client, room = await self.someone(account, name)
        await self.part(client, room, data, 200_000)
        await self.lose(client)
        thief, _ = await self.someone(other, name)
        stream, nonce = self.start(thief, room, data)
        self.assertEqual((await thief.expect(UPLOAD_ACK, nonce=nonce))["bytes_received"], 0)
        thief.write(stream, chunk(data[200_000:], 200_000))
        await thief.expect(ERROR, nonce=nonce, code=1009)

    async def test_over_a_restart_it_begins_anew_and_says_so(self):
        """What was here of an incomplete upload is gone with the server; what was complete is not."""
        account, name, data = self.account(), self.room(), os.urandom(300_000)
        client, room = await self.someone(account, name)
        whole = (await self.upload(client, room, data))["upload_id"]
        await self.part(client, room, data[::-1], 200_000)
        self.server.child.kill()
        self.server.child.wait()
        before = self.names()
        self.assertTrue(any(one.endswith(".part") for one in before), before)
        self.server.start()
        client, room = await self.someone(account, name)
        self.assertEqual(self.names(), [one for one in before if not one.endswith(".part")])
        self.assertIn(f"{whole:016x}", self.names())
        stream, nonce = self.start(client, room, data[::-1])
        self.assertEqual((await client.expect(UPLOAD_ACK, nonce=nonce))["bytes_received"], 0)
        client.write(stream, chunk(data[::-1][200_000:], 200_000))
        error = await client.expect(ERROR, nonce=nonce, code=1009)
        self.assertIn("offset", error["message"])
        await self.upload(client, room, data[::-1])
        await client.say(room, "both", attachments=[whole])
        _, back = await self.download(client, whole)
        self.assertEqual(back, data)

    async def test_names_never_reach_the_folder(self):
        account, name = self.account(), self.room()
        client, room = await self.someone(account, name)
        before = self.names()
        ids = []
        for filename in ("con", "a b.txt", "%2e%2e%2fpasswd", "~", "$(id)", "x.part", "naïve – ü.txt", "-rf", "a:b*?|"):
            ack = await self.upload(client, room, filename.encode(), filename=filename)
            ids.append(ack["upload_id"])
        self.assertEqual(set(self.names()) - set(before), {f"{upload:016x}" for upload in ids})
        await client.say(room, "all", attachments=ids)
        shown = (await client.expect(MESSAGE, content="all"))["attachment_info"]
        self.assertEqual([one["filename"] for one in shown][:3], ["con", "a b.txt", "%2e%2e%2fpasswd"])
        for ours in ("0" * 16, f"{ids[0]:016x}", f"{ids[0]:016x}.part"):
            ack = await self.upload(client, room, ours.encode(), filename=ours)
            self.assertIn(f"{ack['upload_id']:016x}", self.names())


class FullDisk(FileCase):
    """Uploads in a folder on a small disk of its own."""

    SIZE = 2 << 20

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root can mount a small disk")
        cls.disk = tempfile.mkdtemp(prefix="tutti-disk-")
        mount = ["mount", "-t", "tmpfs", "-o", f"size={cls.SIZE}", "tmpfs", cls.disk]
        mounted = subprocess.run(mount, capture_output=True, text=True)
        if mounted.returncode != 0:
            os.rmdir(cls.disk)
            raise unittest.SkipTest(f"this root cannot mount a small disk: {mounted.stderr.strip()}")
        cls.settings = {"uploads.folder": f'"{cls.disk}/files"'}
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        subprocess.run(["umount", cls.disk], check=True)
        os.rmdir(cls.disk)

    def free(self):
        stat = os.statvfs(self.disk)
        return stat.f_bavail * stat.f_frsize

    async def test_a_full_disk(self):
        first, second, room = await self.two()
        kept = (await self.upload(first, room, os.urandom(500_000)))["upload_id"]
        left = self.free()
        data = os.urandom(self.SIZE)
        stream, nonce = self.start(first, room, data)
        for at in range(0, len(data), 100_000):
            first.write(stream, chunk(data[at : at + 100_000], at))
        error = await first.expect(ERROR, nonce=nonce, code=1009)
        self.assertEqual(error["message"], "the server's disk is full")
        await first.until(lambda: stream in first.stopped, "stop")
        self.assertEqual(first.stopped[stream], 0x12)
        self.assertEqual(self.free(), left, "what it took is given back")
        metrics = self.server.metrics()
        self.assertEqual(metrics['tutti_uploads_refused_total{reason="disk_full"}'], 1)
        self.assertEqual((metrics["tutti_uploads_files"], metrics["tutti_uploads_in_progress"]), (1, 0))
        # Serving goes on, for others and for the one who was refused.
        await second.say(room, "still here")
        await first.expect(MESSAGE, content="still here")
        smaller = os.urandom(600_000)
        upload = (await self.upload(first, room, smaller))["upload_id"]
        await first.say(room, "see", attachments=[kept, upload])
        _, back = await self.download(second, upload)
        self.assertEqual(back, smaller)

    async def test_two_that_fill_it_together(self):
        """Both are refused or one is; whoever is told that a file is kept gets it back."""
        first, second, room = await self.two()
        data = [os.urandom(600_000), os.urandom(600_000)]
        streams = [self.start(client, room, part) for client, part in zip((first, second), data)]
        for at in range(0, 600_000, 100_000):
            for client, (stream, _), part in zip((first, second), streams, data):
                if stream not in client.stopped:
                    client.write(stream, chunk(part[at : at + 100_000], at))
            await asyncio.sleep(0)
        ends = []
        for client, (stream, nonce), part in zip((first, second), streams, data):
            told = []
            if stream not in client.stopped:
                client.write(stream, frame(UPLOAD_COMPLETE, {"upload_id": 0}), end=True)

            def over():
                told.extend(client.take(UPLOAD_ACK, nonce=nonce) + client.take(ERROR, nonce=nonce))
                return any(got.kind == ERROR or got["url"] for got in told)

            await client.until(over, "end of the upload", 20.0)
            ends.append(told[-1])
            if told[-1].kind == ERROR:
                self.assertEqual(told[-1]["code"], 1009)
            else:
                await client.patiently(SEND, {"room_id": room, "content": "x", "attachments": [told[-1]["upload_id"]]})
                _, back = await self.download(client, told[-1]["upload_id"])
                self.assertEqual(back, part)
        self.assertTrue(any(end.kind == ERROR for end in ends), ends)
