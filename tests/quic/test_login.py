"""Statements 19 to 35: handshake and authentication."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

from client import (
    ACK, AUTH, AUTH_FAILED, AUTH_OK, CREATE, ERROR, GOODBYE, HELLO, HELLO_ACK, INIT, JOIN, JOINED, MESSAGE, OPEN, PING,
    PONG, SEND, SHARDS, TYPING, frame,
)
from server import Case

SECRET = "a secret of the tests that is long enough to be one"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(sub="4711", username="Tok", expires_in=3600, secret=SECRET, algorithm="HS256", **more):
    """A JWT; a claim that is None is left out."""
    claims = {"sub": sub, "username": username, "exp": int(time.time()) + expires_in} | more
    claims = {name: value for name, value in claims.items() if value is not None}
    head = encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    body = f"{head}.{encode(json.dumps(claims).encode())}"
    signature = b"" if algorithm == "none" else hmac.digest(secret.encode(), body.encode(), hashlib.sha256)
    return f"{body}.{encode(signature)}"


class Login(Case):
    async def test_019_the_order(self):
        client = await self.login()
        self.assertEqual(client.streams[0].kinds[:3], [HELLO_ACK, AUTH_OK, SHARDS])

    async def test_019_nothing_but_the_login_on_control_before_it(self):
        client = self.client()
        client.connect()
        client.hello()
        await client.expect(HELLO_ACK)
        client.control(TYPING, {"room_id": 1})
        await client.expect(ERROR, code=1002)
        client.auth(self.somebody())
        await client.expect(AUTH_OK)

    async def test_020_without_waiting(self):
        client = self.client()
        client.connect()
        client.quic.get_next_available_stream_id()
        both = frame(HELLO, {"version": 1, "capabilities": ["chat"]})
        both += frame(AUTH, {"method": "username", "credentials": self.somebody()})
        client.write(0, both)
        await client.expect(AUTH_OK)

    async def test_021_what_the_server_says_of_itself(self):
        ack = (await self.login()).hello_ack
        self.assertEqual((ack["version"], ack["num_shards"], ack["encoding"]), (1, 8, "json"))
        self.assertIn("username", ack["auth_methods"])
        limits = ack["limits"]
        expected = {"message_chars": 512, "rooms": 64, "ping_interval_ms": 25000, "idle_timeout_ms": 300_000,
                    "messages_per_s": 5, "datagrams": True}
        self.assertEqual({name: limits[name] for name in expected}, expected)
        self.assertLess(abs(ack["server_time"] - time.time() * 1000), 5000)
        self.assertRegex(ack["session_id"], r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    async def test_021_limits_of_uploads(self):
        limits = (await self.login()).hello_ack["limits"]
        self.assertEqual((limits["upload_bytes"], limits["upload_chunk"]), (25 << 20, 256 << 10))

    async def test_022_023_lanes(self):
        client = await self.login()
        lanes = client.shards["shard_streams"]
        self.assertEqual(sorted(lane["shard_id"] for lane in lanes), list(range(8)))
        for lane in lanes:
            opened = await client.expect(OPEN, kind="shard", shard_id=lane["shard_id"])
            self.assertEqual(opened.stream, lane["stream_id"])
            self.assertEqual(client.streams[opened.stream].kinds[0], OPEN)

    async def test_024_the_lobby_comes_by_itself(self):
        client = await self.login()
        self.assertEqual(client.auth_ok["rooms"], [1])
        lane = {one["shard_id"]: one["stream_id"] for one in client.shards["shard_streams"]}[1]
        self.assertEqual((client.lobby["room_id"], client.lobby.stream), (1, lane))
        self.assertEqual((client.lobby["name"], client.lobby["room_type"]), ("lobby", "channel"))

    async def test_027_the_third_failure(self):
        client = self.client()
        client.connect()
        client.hello()
        for n in range(3):
            client.auth(token="nonsense")
            await client.expect(AUTH_FAILED)
        await client.expect(GOODBYE)
        self.assertEqual(await client.closed(), 0x03)

    async def test_027_another_try_may_work(self):
        client = self.client()
        client.connect()
        client.hello()
        client.auth(token="nonsense")
        await client.expect(AUTH_FAILED)
        client.auth(self.somebody())
        await client.expect(AUTH_OK)

    async def test_030_a_name_in_use(self):
        first = await self.login()
        second = self.client()
        second.connect()
        second.hello()
        second.auth(first.name)
        await second.expect(AUTH_FAILED, code=1012)

    async def test_031_commands_before_the_login(self):
        client = self.client()
        client.connect()
        client.hello()
        name = self.room()
        join = client.chat(JOIN, {"name": name})
        await client.expect(HELLO_ACK)
        await asyncio.sleep(0.2)
        self.assertEqual(client.inbox, [])
        client.auth(self.somebody())
        room = (await client.answer(join))["room_id"]
        await client.expect(INIT, room_id=room)

    async def test_032_commands_before_a_failed_login(self):
        name = self.room()
        watcher = await self.login()
        room = (await watcher.join(name))["room_id"]
        client = self.client()
        client.connect()
        client.hello()
        client.chat(JOIN, {"name": name})
        for _ in range(3):
            client.auth(token="nonsense")
        await client.closed()
        await watcher.quiet()
        self.assertEqual(watcher.take(JOINED, room_id=room), [])

    async def test_033_versions(self):
        client = self.client()
        client.connect()
        client.quic.get_next_available_stream_id()
        client.control(HELLO, {"version": 7, "capabilities": []})
        self.assertEqual((await client.expect(HELLO_ACK))["version"], 1)
        client = self.client()
        client.connect()
        client.quic.get_next_available_stream_id()
        client.control(HELLO, {"version": 0, "capabilities": []})
        await client.expect(ERROR, code=1013)
        self.assertEqual(await client.closed(), 0x02)

    async def test_a_second_hello(self):
        client = await self.login()
        client.control(HELLO, {"version": 1, "capabilities": []})
        await client.expect(ERROR, code=1001)

    async def test_control_before_the_login(self):
        client = self.client()
        client.connect()
        client.hello()
        await client.expect(HELLO_ACK)
        client.control(PING, {"timestamp": 3})
        await client.expect(PONG, timestamp=3)

    async def test_names_are_cleaned_and_short(self):
        client = self.client()
        client.connect()
        client.hello()
        client.auth("x" * 41)
        await client.expect(AUTH_FAILED)
        name = self.somebody()
        client.auth(f" {name[:2]}\u0007\u202e{name[2:]} ")
        self.assertEqual((await client.expect(AUTH_OK))["username"], name)

    async def test_user_ids_of_names_are_above_those_of_tokens(self):
        client = await self.login()
        self.assertGreaterEqual(client.user_id, 2**52)
        self.assertLess(client.user_id, 2**53)


class Slow(Case):
    settings = {"quic.auth_ms": 700}

    async def test_028_no_login_in_time(self):
        client = self.client()
        client.connect()
        client.hello()
        self.assertEqual(await client.closed(), 0x04)

    async def test_028_not_a_byte_in_time(self):
        client = self.client()
        client.connect()
        self.assertEqual(await client.closed(), 0x04)


class Tokens(Case):
    #: More logins fail here than may from one address in a minute, which is set higher therefore.
    settings = {"quic.token_secret": f'"{SECRET}"', "quic.names": "true", "quic.login_failures": 1000}

    async def refused(self, text):
        client = self.client()
        client.connect()
        client.hello()
        client.auth(token=text)
        await client.expect(AUTH_FAILED)

    async def test_025_a_good_token(self):
        client = await self.login(token=token(sub="4712"))
        self.assertEqual((client.auth_ok["user_id"], client.auth_ok["username"]), (4712, "Tok"))

    async def test_025_a_token_whose_end_is_no_whole_number(self):
        client = await self.login(token=token(sub="4713", exp=time.time() + 3600.5))
        self.assertEqual(client.user_id, 4713)

    async def test_026_bad_tokens(self):
        for text in (
            token(expires_in=-120),
            token(secret=SECRET + "x"),
            token(algorithm="none"),
            token(exp=None),
            token(sub="ann"),
            token(sub="0"),
            token(sub=str(2**48)),
            token(nbf=int(time.time()) + 3600),
            token()[:-2],
        ):
            with self.subTest(text=text):
                await self.refused(text)

    async def test_035_two_connections_of_one_user(self):
        first = await self.login(token=token(sub="77"))
        second = await self.login(token=token(sub="77"))
        self.assertEqual(first.user_id, second.user_id)
        name = self.room()
        room = (await first.join(name))["room_id"]
        await second.join(name)
        await first.say(room, "hello")
        for client in (first, second):
            await client.expect(MESSAGE, room_id=room, content="hello")

    async def test_034_a_token_that_is_renewed(self):
        """The leeway of a token is a minute, so this takes one and a half."""
        client = await self.login(token=token(sub="90", expires_in=-50))
        other = await self.login(token=token(sub="91", expires_in=-50))
        client.auth(token=token(sub="90"))
        self.assertEqual((await client.expect(AUTH_OK))["user_id"], 90)
        await other.expect(GOODBYE, patience=30.0)
        self.assertEqual(await other.closed(), 0x0B)
        await client.quiet()

    async def test_034_only_the_same_user_may_renew(self):
        client = await self.login(token=token(sub="92"))
        client.auth(token=token(sub="93"))
        await client.expect(AUTH_FAILED)
        await client.quiet()


class Production(Case):
    mode = "production"
    settings = {"quic.token_secret": f'"{SECRET}"'}

    async def test_029_names_are_for_development(self):
        client = self.client()
        client.connect()
        client.hello()
        self.assertEqual((await client.expect(HELLO_ACK))["auth_methods"], ["token"])
        client.auth(self.somebody())
        await client.expect(AUTH_FAILED)
        client.auth(token=token())
        await client.expect(AUTH_OK)


class Guessing(Case):
    settings = {"quic.login_failures": 4, "quic.login_window_ms": 30_000, "quic.login_lockout_ms": 1_500}

    async def test_027_failed_logins_of_one_address(self):
        """Section 5.1, with 4 failures in place of 10, and a second and a half in place of a minute."""
        for _ in range(2):
            client = self.client()
            client.connect()
            client.hello()
            for _ in range(2):
                client.auth(token="none")
                self.assertEqual((await client.expect(AUTH_FAILED))["code"], 1003)
        client.auth(self.somebody())
        self.assertEqual((await client.expect(AUTH_FAILED))["code"], 1006)
        self.assertEqual(await client.closed(), 0x03)
        await asyncio.sleep(1.6)
        await self.login()
