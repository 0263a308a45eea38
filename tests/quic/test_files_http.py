"""Files that QUIC people share, fetched over HTTP by whoever has their address (section 10 of the protocol's page)."""

import asyncio
import hashlib
import os
import re
import socket
import time
import urllib.parse

from client import DELETE, MESSAGE
from server import OtherDoors
from test_files import FileCase

BASE = "https://files.example:8443"


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            assert name.lower() not in self.headers, lines
            self.headers[name.lower()] = value.strip()


async def ask(server, path, method="GET", ends=False, **headers):
    """What is answered to a request on a connection of its own, which the server closes; if it `ends`, nothing more is
    said behind the request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: files.example\r\n{lines}\r\n".encode())
    if ends:
        writer.write_eof()
    answer = Answer(await asyncio.wait_for(reader.read(), 60))
    writer.close()
    return answer


class Addresses(OtherDoors, FileCase):
    settings = {"uploads.public_url": f'"{BASE}/"', "uploads.stall_ms": "1000", "limits.last_bytes_ms": "100",
                "admin.password": '"hush"'}

    async def ask(self, path, *arguments, **more):
        return await ask(self.server, path, *arguments, **more)

    async def shared(self, data, **more):
        """A file that a message shows: who shows it, the room, its acknowledgement and its path."""
        client = await self.login()
        room = (await client.join(self.room()))["room_id"]
        ack = await self.upload(client, room, data, **more)
        self.assertTrue(ack["url"].startswith(BASE + "/u/"), ack)
        path = ack["url"].removeprefix(BASE)
        self.assertEqual((await self.ask(path)).status, 404, "an upload alone is shown to nobody")
        ack["message"] = (await client.say(room, "see", attachments=[ack["upload_id"]]))["message_id"]
        await client.expect(MESSAGE, content="see")
        return client, room, ack, path

    async def test_its_bytes_and_what_goes_with_them(self):
        data = os.urandom(1_000_000)
        client, _, ack, path = await self.shared(data, filename="n\u00f6ten & mehr.html", mime_type="text/html")
        self.assertRegex(path, rf"^/u/{ack['upload_id']}-[0-9a-f]{{32}}/n%C3%B6ten%20%26%20mehr.html$")
        metrics = self.server.metrics()
        answer = await self.ask(path)
        self.assertEqual((answer.status, answer.body == data), (200, True))
        headers = answer.headers
        self.assertEqual(headers["content-length"], str(len(data)))
        self.assertEqual(headers["content-type"], "application/octet-stream", "nothing that a browser runs")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["content-security-policy"], "sandbox; default-src 'none'")
        self.assertEqual(headers["content-disposition"],
                         'attachment; filename="n_ten & mehr.html"; '
                         "filename*=UTF-8''n%C3%B6ten%20%26%20mehr.html")
        self.assertEqual(headers["etag"], f'"{hashlib.sha256(data).hexdigest()}"')
        after = self.server.metrics()
        self.assertEqual(after["tutti_uploads_links_opened_total"] - metrics["tutti_uploads_links_opened_total"], 1)
        self.assertEqual(after["tutti_uploads_sent_bytes_total"] - metrics["tutti_uploads_sent_bytes_total"], len(data))
        # Over QUIC it is what it was.
        _, back = await self.download(client, ack["upload_id"])
        self.assertEqual(back, data)
        # Without a body.
        only = await self.ask(path, "HEAD")
        self.assertEqual((only.status, only.body), (200, b""))
        self.assertEqual(only.headers, headers)
        self.assertEqual((await self.ask(path, "POST")).status, 405)

    async def test_parts_and_conditions(self):
        data = os.urandom(300_000)
        _, _, _, path = await self.shared(data)
        tag = f'"{hashlib.sha256(data).hexdigest()}"'
        for asked, first, last in (("0-0", 0, 0), ("65530-65540", 65530, 65540), ("299999-", 299_999, 299_999),
                                   ("-131073", 168_927, 299_999), ("100-999999999", 100, 299_999)):
            answer = await self.ask(path, Range=f"bytes={asked}")
            self.assertEqual((answer.status, answer.headers["content-range"]),
                             (206, f"bytes {first}-{last}/300000"))
            self.assertEqual(answer.headers["content-length"], str(last - first + 1))
            self.assertTrue(answer.body == data[first : last + 1], asked)
        answer = await self.ask(path, Range="bytes=300000-")
        self.assertEqual((answer.status, answer.headers["content-range"], answer.body), (416, "bytes */300000", b""))
        for asked in ("bytes=0-1,5-6", "bytes=2-1", "lines=1-2"):
            answer = await self.ask(path, Range=asked)
            self.assertEqual((answer.status, answer.body == data), (200, True))
        answer = await self.ask(path, Range="bytes=1-2", If_Range='"another"')
        self.assertEqual((answer.status, answer.body == data), (200, True))
        answer = await self.ask(path, Range="bytes=1-2", If_Range=tag)
        self.assertEqual((answer.status, answer.body), (206, data[1:3]))
        answer = await self.ask(path, If_None_Match=f'"another", {tag}')
        self.assertEqual((answer.status, answer.body, answer.headers["etag"]), (304, b"", tag))

    async def test_wrong_addresses(self):
        client, room, ack, path = await self.shared(b"mine")
        _, _, other, other_path = await self.shared(b"another")
        secret = path.split("-")[1].split("/")[0]
        wrong = self.server.metrics()["tutti_uploads_links_wrong_total"]
        flipped = f"{int(secret, 16) ^ 1:032x}"
        for id_, given, status in (
            (ack["upload_id"], secret, 200), (ack["upload_id"], flipped, 404), (ack["upload_id"], "0" * 32, 404),
            (ack["upload_id"] + 1_000_000, secret, 404), (other["upload_id"], secret, 404),
            (ack["upload_id"], secret.upper() if secret.upper() != secret else "G" * 32, 404),
            (ack["upload_id"], secret[:-1], 404), (ack["upload_id"], secret + "0", 404), (0, secret, 404),
        ):
            answer = await self.ask(f"/u/{id_}-{given}/a.txt")
            self.assertEqual(answer.status, status, (id_, given))
            if status == 404:
                self.assertNotIn(b"mine", answer.body)
        self.assertGreaterEqual(self.server.metrics()["tutti_uploads_links_wrong_total"] - wrong, 4)
        # With its message it goes.
        await client.done(DELETE, {"room_id": room, "message_id": ack["message"]})
        deadline = time.monotonic() + 10
        while (await self.ask(path)).status != 404:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual((await self.ask(other_path)).status, 200)

    async def test_over_a_restart(self):
        server = await self.own_server(shards=2, settings=self.settings, mode="development")
        client = await self.login(address=server.address)
        room = (await client.join(self.room()))["room_id"]
        ack = await self.upload(client, room, b"kept")
        await client.say(room, "see", attachments=[ack["upload_id"]])
        await client.expect(MESSAGE, content="see")
        await asyncio.sleep(0.5)
        server.child.kill()
        server.child.wait()
        await asyncio.to_thread(server.start)
        answer = await ask(server, ack["url"].removeprefix(BASE))
        self.assertEqual((answer.status, answer.body), (200, b"kept"))

    async def test_the_other_doors_are_shown_it(self):
        client = await self.login()
        name = self.somebody()
        room = (await client.join(name))["room_id"]
        piano, terminal = await self.piano(name), await self.terminal(name)
        ack = await self.upload(client, room, b"do re mi", filename="song 1.txt")
        await client.say(room, "listen", attachments=[ack["upload_id"]])
        line = await terminal.until(lambda line: "[file] song 1.txt" in line and line, "file")
        url = re.search(r"https://\S+", line).group()
        await piano.expect("a", a=f"listen [file] song 1.txt {url}")
        got = await client.expect(MESSAGE, content="listen")
        self.assertEqual((got["attachments"], got["attachment_info"][0]["url"], url), ([url], url, ack["url"]))
        answer = await self.ask(urllib.parse.urlsplit(url).path)
        self.assertEqual((answer.status, answer.body), (200, b"do re mi"))
        self.assertEqual(answer.headers["content-type"], "text/plain; charset=utf-8")

    async def test_one_who_says_nothing_more_gets_all_of_it(self):
        data = os.urandom(3 << 20)
        _, _, _, path = await self.shared(data)
        for asked in (path, "/"):
            answer = await self.ask(asked, ends=True)
            self.assertEqual((answer.status, str(len(answer.body))), (200, answer.headers["content-length"]))

    async def test_they_go_with_a_chat_that_is_cleared(self):
        """Also those of messages that are in the storage alone."""
        client = await self.login()
        name = self.somebody()
        room = (await client.join(name))["room_id"]
        paths = []
        for said in range(0, 240, 120):
            ack = await self.upload(client, room, b"old")
            paths.append(ack["url"].removeprefix(BASE))
            await client.say(room, "see", attachments=[ack["upload_id"]])
            for n in range(said, said + 120):
                await client.say(room, f"word {n}")
        for path in paths:
            self.assertEqual((await self.ask(path)).status, 200)
        staff = await self.piano(name)
        staff.send({"m": "admin message", "password": "hush", "msg": {"m": "clear_chat"}})
        deadline = time.monotonic() + 10
        while {(await self.ask(path)).status for path in paths} != {404}:
            self.assertLess(time.monotonic(), deadline)

    def late(self):
        """How many were hung up on because they did not go on reading a file."""
        metrics = self.server.metrics()
        return sum(value for name, value in metrics.items() if 'limit="stall_ms"' in name)

    async def test_one_who_does_not_read_is_hung_up_on_and_one_who_reads_slowly_is_not(self):
        data = os.urandom(10 << 20)
        _, _, _, path = await self.shared(data)
        before = self.late()
        made = []
        for _ in range(2):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            one.setblocking(False)
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self.server.http_port))
            await asyncio.get_running_loop().sock_sendall(one, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            made.append(one)
        silent, slow = made
        raw, began = b"", time.monotonic()
        while more := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(slow, 1 << 20), 10):
            raw += more
            # Some 5 s for all of it: five times as long as one piece may take.
            await asyncio.sleep(max(0, began + 5 * len(raw) / len(data) - time.monotonic()))
        self.assertGreater(time.monotonic() - began, 4)
        self.assertTrue(Answer(raw).body == data)
        self.assertGreaterEqual(self.late(), before + 1)
        with self.assertRaises((ConnectionError, AssertionError)):
            rest = b""
            while more := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(silent, 1 << 20), 10):
                rest += more
            self.assertEqual(len(Answer(rest).body), len(data))
        for one in made:
            one.close()

    async def test_a_download_does_not_hold_anybody_up(self):
        data = os.urandom(3 << 20)
        client, room, _, path = await self.shared(data)
        asked = [asyncio.create_task(self.ask(path)) for _ in range(8)]
        worst = 0
        for n in range(20):
            began = time.monotonic()
            await client.say(room, f"meanwhile {n}")
            worst = max(worst, time.monotonic() - began)
        for one in asked:
            answer = await one
            self.assertTrue(answer.status == 200 and answer.body == data)
        self.assertLess(worst, 2)


class Off(FileCase):
    """Without `uploads.public_url` the paths are those of rooms, like all others."""

    async def test_there_are_no_addresses(self):
        first, second, room = await self.two()
        ack = await self.upload(first, room, b"x")
        self.assertEqual(ack["url"], f"garou:u/{ack['upload_id']}")
        await first.say(room, "see", attachments=[ack["upload_id"]])
        self.assertEqual((await second.expect(MESSAGE, content="see"))["attachments"], [ack["url"]])
        answer = await ask(self.server, f"/u/{ack['upload_id']}-{'0' * 32}/a.txt")
        self.assertIn("text/html", answer.headers["content-type"])
