"""Statements 71 to 77: uploads and downloads."""

import asyncio
import hashlib
import json
import os
import time

from client import (
    DELETE, ERROR, FETCH_UPLOAD, LEAVE, MESSAGE, MUTE, SEND, SET_ROLE, UPDATE_ROOM, UPLOAD_ACK, UPLOAD_CANCEL,
    UPLOAD_CHUNK, UPLOAD_COMPLETE, UPLOAD_INFO, UPLOAD_START, frame,
)
from server import Case
from test_messages import FAST


def chunk(data, offset, upload=0, size=None):
    meta = json.dumps({"upload_id": upload, "offset": offset, "size": len(data) if size is None else size}).encode()
    return frame(UPLOAD_CHUNK, len(meta).to_bytes(2, "big") + meta + data)


def data_of(raw):
    length = int.from_bytes(raw[:2], "big")
    return json.loads(raw[2 : 2 + length]), raw[2 + length :]


class FileCase(Case):
    """What tests of files have in common."""

    arguments = FAST
    shards = 4

    def start(self, client, room, data, **more):
        """Begins an upload on a stream of its own; gives the stream and the nonce."""
        stream, nonce = client.open(), client.nonce()
        start = {"room_id": room, "filename": "a.txt", "mime_type": "text/plain", "size": len(data),
                 "checksum": hashlib.sha256(data).hexdigest(), "nonce": nonce} | more
        client.write(stream, frame(UPLOAD_START, start))
        return stream, nonce

    async def upload(self, client, room, data, step=100_000, **more):
        """A whole upload; gives its last acknowledgement."""
        stream, nonce = self.start(client, room, data, **more)
        for at in range(0, len(data), step):
            client.write(stream, chunk(data[at : at + step], at))
        client.write(stream, frame(UPLOAD_COMPLETE, {"upload_id": 0}), end=True)
        while True:
            ack = await client.expect(UPLOAD_ACK, nonce=nonce, patience=20.0)
            if ack.get("url"):
                return ack

    async def download(self, client, upload_id, offset=None):
        """What comes back; or the code of a reset."""
        stream = client.quic.get_next_available_stream_id()
        asked = {"upload_id": upload_id} | ({} if offset is None else {"offset": offset})
        client.write(stream, frame(FETCH_UPLOAD, asked), end=True)

        def over():
            got = client.streams.get(stream)
            return got is not None and (got.ended or got.reset is not None)

        await client.until(over, "download", 20.0)
        if client.streams[stream].reset is not None:
            return client.streams[stream].reset, b""
        info = await client.expect(UPLOAD_INFO, upload_id=upload_id)
        data, at = b"", offset or 0
        for got in client.take(UPLOAD_CHUNK):
            meta, piece = data_of(got.raw)
            self.assertEqual((meta["offset"], meta["size"]), (at, len(piece)))
            at += len(piece)
            data += piece
        return info, data

    async def two(self):
        first, second = await self.login(), await self.login()
        name = self.room()
        room = (await first.join(name))["room_id"]
        await second.join(name)
        return first, second, room


class Files(FileCase):
    async def test_071_good_and_bad(self):
        first, second, room = await self.two()
        data = os.urandom(300_000)
        ack = await self.upload(first, room, data)
        self.assertEqual(ack["bytes_received"], len(data))
        for more, sent in (
            ({"checksum": "0" * 64}, data),
            ({"size": len(data) + 1}, data),
            ({"size": len(data) - 1}, data),
        ):
            stream, nonce = self.start(first, room, data, **more)
            for at in range(0, len(sent), 100_000):
                first.write(stream, chunk(sent[at : at + 100_000], at))
            first.write(stream, frame(UPLOAD_COMPLETE, {"upload_id": 0}), end=True)
            await first.expect(ERROR, code=1009)
        stream, nonce = self.start(first, room, data)
        first.write(stream, chunk(data[:10], 5))
        await first.expect(ERROR, code=1009)

    async def test_048_who_may_send_files(self):
        """A file is taken from whoever may post in its room at that moment, and shown if they may then."""
        owner, member, room = await self.two()
        about = {"room_id": room, "user_id": member.user_id}

        async def refused(code):
            for stream, nonce in [self.start(member, room, b"no") for _ in range(2)]:
                error = await member.expect(ERROR, nonce=nonce, code=code)
                self.assertEqual((error["command"], error["room_id"]), (UPLOAD_START, room))
                await member.until(lambda: stream in member.stopped, "stop")
                self.assertEqual(member.stopped[stream], 0x12)

        await owner.done(SET_ROLE, about | {"role": "guest"})
        await refused(1004)
        await owner.done(SET_ROLE, about | {"role": "member"})
        await owner.done(UPDATE_ROOM, {"room_id": room, "post_role": "moderator"})
        await refused(1004)
        await owner.done(SET_ROLE, about | {"role": "moderator"})
        upload = (await self.upload(member, room, b"shown late"))["upload_id"]
        await owner.done(MUTE, about | {"duration_ms": 60_000})
        await refused(1015)
        await member.refused(SEND, {"room_id": room, "content": "x", "attachments": [upload]}, 1015)
        await owner.done(MUTE, about | {"duration_ms": 0})
        await member.say(room, "x", attachments=[upload])
        await owner.expect(MESSAGE, content="x")
        await member.done(LEAVE, {"room_id": room})
        stream, nonce = self.start(member, room, b"no")
        await member.expect(ERROR, nonce=nonce, code=1005)

    async def test_names_with_tricks(self):
        first, second, room = await self.two()
        for name in ("../x", "a/b", "a\\b", ".hidden", "", "x" * 129, "a\u0000b", ".."):
            stream, nonce = self.start(first, room, b"x", filename=name)
            error = await first.expect(ERROR)
            self.assertIn(error["code"], (1007, 1009, 1016), error)
            first.quic.reset_stream(stream, 0x10)
        await self.upload(first, room, b"x", filename="good name.txt")

    async def test_072_two_at_once(self):
        first, second, room = await self.two()
        one, two = self.start(first, room, b"a" * 100), self.start(first, room, b"b" * 100)
        ids = [(await first.expect(UPLOAD_ACK, nonce=nonce))["upload_id"] for _, nonce in (one, two)]
        self.assertEqual(len(set(ids)), 2)
        stream, nonce = self.start(first, room, b"c")
        await first.expect(ERROR, nonce=nonce)
        await first.until(lambda: stream in first.stopped, "stop")
        self.assertEqual(first.stopped[stream], 0x12)
        # 74: a reset frees its place at once.
        first.quic.reset_stream(one[0], 0x10)
        first.flush()
        await first.quiet()
        await self.upload(first, room, b"again")

    async def test_073_too_large(self):
        first, second, room = await self.two()
        stream, nonce = self.start(first, room, b"x", size=(25 << 20) + 1)
        error = await first.expect(ERROR, nonce=nonce)
        self.assertIn(error["code"], (1009, 1016))

    async def test_075_076_who_sees_it(self):
        first, second, room = await self.two()
        outsider = await self.login()
        data = os.urandom(600_000)
        upload = (await self.upload(first, room, data))["upload_id"]
        await second.quiet()
        self.assertEqual(second.take(MESSAGE), [])
        code, _ = await self.download(second, upload)
        self.assertEqual(code, 0x12, "it is not shown yet")
        await first.refused(SEND, {"room_id": room, "content": "x", "attachments": [upload + 1]}, 1005)
        await second.refused(SEND, {"room_id": room, "content": "x", "attachments": [upload]}, 1005)
        await first.say(room, "see", attachments=[upload])
        got = await second.expect(MESSAGE, room_id=room, content="see")
        info = got["attachment_info"][0]
        self.assertEqual((info["upload_id"], info["filename"], info["size"]), (upload, "a.txt", len(data)))
        self.assertEqual(got["attachments"], [info["url"]])
        described, back = await self.download(second, upload)
        self.assertEqual(described["checksum"], hashlib.sha256(data).hexdigest())
        self.assertEqual(back, data)
        _, rest = await self.download(second, upload, offset=500_000)
        self.assertEqual(rest, data[500_000:])
        code, _ = await self.download(outsider, upload)
        self.assertEqual(code, 0x12)

    async def test_077_chat_goes_on_meanwhile(self):
        first, second, room = await self.two()
        data = os.urandom(8 << 20)
        uploading = asyncio.create_task(self.upload(first, room, data, step=200_000))
        worst = 0.0
        for n in range(10):
            begin = time.monotonic()
            await first.say(room, str(n))
            worst = max(worst, time.monotonic() - begin)
            await asyncio.sleep(0.05)
        await uploading
        self.assertLess(worst, 1.5)


class Stalled(Case):
    #: About so long.
    seconds = 35

    async def test_074_a_stall(self):
        """Half a minute without a byte."""
        client = await self.login()
        room = client.lobby["room_id"]
        stream, nonce = client.open(), client.nonce()
        start = {"room_id": room, "filename": "a.txt", "mime_type": "text/plain", "size": 100, "checksum": "0" * 64,
                 "nonce": nonce}
        client.write(stream, frame(UPLOAD_START, start))
        upload = (await client.expect(UPLOAD_ACK, nonce=nonce))["upload_id"]
        await client.expect(UPLOAD_CANCEL, upload_id=upload, patience=40.0)
        await client.until(lambda: stream in client.stopped, "stop")
        self.assertEqual(client.stopped[stream], 0x10)


class Counted(FileCase):
    """With a server whose files are this test's alone."""

    async def test_metrics(self):
        first, second, room = await self.two()
        before = self.server.metrics()
        change = lambda name: (  # noqa: E731
            self.server.metrics()[f"tutti_uploads_{name}"] - before[f"tutti_uploads_{name}"]
        )
        data = os.urandom(10_000)
        upload = (await self.upload(first, room, data))["upload_id"]
        self.assertEqual([change(name) for name in ("files", "unattached", "bytes", "completed_total")],
                         [1, 1, 10_000, 1])
        self.assertEqual(change("received_bytes_total"), len(data))
        stream, nonce = self.start(first, room, data)
        await first.expect(UPLOAD_ACK, nonce=nonce)
        self.assertEqual([change(name) for name in ("in_progress", "bytes", "queue")], [1, 20_000, 0])
        first.write(stream, chunk(data, 7))
        await first.expect(ERROR, nonce=nonce, code=1009)
        self.assertEqual([change(name) for name in ("in_progress", "bytes", 'refused_total{reason="offset"}')],
                         [0, 10_000, 1])
        message = (await first.say(room, "see", attachments=[upload]))["message_id"]
        await second.expect(MESSAGE, content="see")
        await self.download(second, upload)
        self.assertEqual([change(name) for name in ("unattached", "sent_bytes_total")], [0, len(data)])
        await first.done(DELETE, {"room_id": room, "message_id": message})
        code, _ = await self.download(second, upload)
        self.assertEqual((code, change("files"), change("bytes")), (0x12, 0, 0))
