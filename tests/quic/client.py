"""A client of the QUIC door on aioquic, made from the protocol's page.

It does its own I/O on a plain UDP socket, so that a test can lose, move, corrupt or withhold what it likes.
"""

import asyncio
import json
import socket
import ssl
import time

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic import events as quic_events

HELLO, HELLO_ACK, AUTH, AUTH_OK, AUTH_FAILED, PING, PONG, THROTTLE, GOODBYE, SERVER_COMMAND, COMMAND_OK = range(0x0B)
SEND, EDIT, DELETE, REACT, UNREACT, JOIN, LEAVE, CREATE, KICK, BAN, UNBAN, SET_ROLE, MUTE = range(0x10, 0x1D)
UPDATE_ROOM, DELETE_ROOM, INVITE, OPEN_DIRECT, LIST_ROOMS, FETCH_HISTORY, SET_PROFILE = range(0x1D, 0x24)
MESSAGE, EDITED, DELETED, REACTED, UNREACTED, JOINED, LEFT, INIT, CLOSE, USER_UPDATED, ROOM_UPDATED = range(0x30, 0x3B)
HISTORY, ROOM_LIST, ROOM_INVITE = range(0x3B, 0x3E)
SHARDS, PROMOTED, DEMOTED, OPEN = range(0x50, 0x54)
DELIVERED, READ, ACK = range(0x60, 0x63)
UPLOAD_START, UPLOAD_CHUNK, UPLOAD_COMPLETE, UPLOAD_CANCEL, UPLOAD_ACK, FETCH_UPLOAD, UPLOAD_INFO = range(0x70, 0x77)
TYPING, STOP_TYPING, ONLINE, OFFLINE, AWAY = range(0x80, 0x85)
ERROR = 0xFF

CAPABILITIES = ("chat", "presence", "typing", "hot", "receipts", "uploads")
PATIENCE = 10.0


def frame(kind, payload=b""):
    """One frame; a payload that is not bytes is sent as JSON."""
    if not isinstance(payload, bytes):
        payload = json.dumps(payload, separators=(",", ":")).encode()
    return bytes([kind]) + len(payload).to_bytes(4, "big") + payload


class Frame(dict):
    """What a frame says, with its type and the stream that it came on (None is a datagram)."""

    def __init__(self, kind, stream, payload):
        self.kind, self.stream, self.raw, self.at = kind, stream, payload, time.monotonic()
        super().__init__(json.loads(payload or b"{}") if kind != UPLOAD_CHUNK else {})

    def __repr__(self):
        return f"<{self.kind:#04x} on {self.stream}: {dict(self)}>"


class Stream:
    """What came on one stream."""

    def __init__(self):
        self.buffer = b""
        self.kinds = []
        self.ended = False
        self.reset = None


class Closed(Exception):
    """The connection ended while something was awaited."""


class Client:
    """One connection. What comes is kept in `inbox`, in order of arrival, until a test takes it."""

    def __init__(self, address, **settings):
        self.address = address
        self.inbox = []
        self.streams = {}
        self.stopped = {}
        self.terminated = None
        self.handshake = None
        self.tickets = []
        self.pongs = []
        self.received = self.sent = self.datagrams_sent = 0
        self.answer_pings = True
        self._news = asyncio.Event()
        self._chat = None
        self._timer = None
        self._nonce = 0
        self.name = None
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.peer = address + (0, 0) if family == socket.AF_INET6 else address
        early = settings.pop("max_uni", None)
        configuration = QuicConfiguration(
            alpn_protocols=settings.pop("alpn", ["garou/1"]),
            max_datagram_frame_size=settings.pop("datagram_bytes", 65536),
            verify_mode=ssl.CERT_NONE,
            server_name="localhost",
            idle_timeout=settings.pop("idle_timeout", 120.0),
            **settings,
        )
        self.quic = QuicConnection(configuration=configuration, session_ticket_handler=self.tickets.append)
        if early is not None:
            self.quic._local_max_streams_uni.value = early
        self.socket = None
        self.bind(socket.socket(family, socket.SOCK_DGRAM))

    # --- sockets ---------------------------------------------------------------------------------------------------

    def bind(self, new, source=None):
        """Goes on over another socket, as after a change of the network."""
        loop = asyncio.get_running_loop()
        if self.socket is not None:
            loop.remove_reader(self.socket)
            self.socket.close()
        new.setblocking(False)
        new.bind((source or ("::" if new.family == socket.AF_INET6 else "0.0.0.0"), 0))
        # A burst of the server's must not be lost here, where nobody would look for it.
        new.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket = new
        loop.add_reader(new, self._readable)

    def rebind(self, source=None):
        """A new source port, and address; to QUIC, somebody else has moved it."""
        self.bind(socket.socket(self.socket.family, socket.SOCK_DGRAM), source)

    def _readable(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(65536)
            except (BlockingIOError, OSError):
                break
            self.received += len(data)
            self.quic.receive_datagram(data, self.peer, time.monotonic())
        self.flush()

    def flush(self):
        """Handles what has happened and sends what is to be sent."""
        while (event := self.quic.next_event()) is not None:
            self._event(event)
        for data, _ in self.quic.datagrams_to_send(time.monotonic()):
            self.sent += len(data)
            self.datagrams_sent += 1
            try:
                self.socket.sendto(data, self.peer)
            except OSError:
                pass
        at = self.quic.get_timer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            delay = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)
        self._news.set()

    def _timeout(self):
        self._timer = None
        self.quic.handle_timer(time.monotonic())
        self.flush()

    def _event(self, event):
        if isinstance(event, quic_events.StreamDataReceived):
            stream = self.streams.setdefault(event.stream_id, Stream())
            stream.buffer += event.data
            while len(stream.buffer) >= 5:
                length = int.from_bytes(stream.buffer[1:5], "big")
                if len(stream.buffer) < 5 + length:
                    break
                kind, payload = stream.buffer[0], stream.buffer[5 : 5 + length]
                stream.buffer = stream.buffer[5 + length :]
                stream.kinds.append(kind)
                self._frame(Frame(kind, event.stream_id, payload))
            stream.ended |= event.end_stream
        elif isinstance(event, quic_events.DatagramFrameReceived):
            self._frame(Frame(event.data[0], None, event.data[5:]))
        elif isinstance(event, quic_events.StreamReset):
            self.streams.setdefault(event.stream_id, Stream()).reset = event.error_code
        elif isinstance(event, quic_events.StopSendingReceived):
            self.stopped[event.stream_id] = event.error_code
        elif isinstance(event, quic_events.HandshakeCompleted):
            self.handshake = event
        elif isinstance(event, quic_events.PingAcknowledged):
            self.pongs.append(event.uid)
        elif isinstance(event, quic_events.ConnectionTerminated):
            self.terminated = event

    def _frame(self, got):
        if got.kind == PING and self.answer_pings:
            self.control(PONG, {"timestamp": got["timestamp"]})
        else:
            self.inbox.append(got)

    # --- waiting ---------------------------------------------------------------------------------------------------

    async def until(self, condition, what="something", patience=PATIENCE):
        """Waits until `condition()` gives something true, and gives that."""
        deadline = time.monotonic() + patience
        while True:
            found = condition()
            if found:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {what} in {patience} s; there is {self.inbox}, {self.terminated}")
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except asyncio.TimeoutError:
                pass

    async def expect(self, kind, /, patience=PATIENCE, **fields):
        """Takes the first frame of this type with these fields out of the inbox."""

        def find():
            for at, got in enumerate(self.inbox):
                if got.kind == kind and all(got.get(name) == value for name, value in fields.items()):
                    return [self.inbox.pop(at)]
            if self.terminated is not None:
                raise Closed(f"{self.terminated} while waiting for {kind:#04x} {fields}; {self.inbox}")
            return None

        return (await self.until(find, f"{kind:#04x} {fields}", patience))[0]

    async def closed(self, patience=PATIENCE):
        """Waits for the end of the connection, and gives its code."""
        await self.until(lambda: self.terminated, "close", patience)
        return self.terminated.error_code

    async def quiet(self):
        """Waits until all that the server had sent on control before is here: a ping and its pong."""
        self._nonce += 1
        self.control(PING, {"timestamp": self._nonce})
        await self.expect(PONG, timestamp=self._nonce)

    def take(self, kind, /, **fields):
        """All frames of this type that are here, out of the inbox."""
        found = [
            got
            for got in self.inbox
            if got.kind == kind and all(got.get(name) == value for name, value in fields.items())
        ]
        self.inbox = [got for got in self.inbox if not any(got is one for one in found)]
        return found

    # --- sending ---------------------------------------------------------------------------------------------------

    def write(self, stream, data, end=False):
        """Puts bytes on a stream and sends."""
        self.quic.send_stream_data(stream, data, end)
        self.flush()

    def control(self, kind, payload=b""):
        """A frame on control."""
        self.write(0, frame(kind, payload))

    def open(self):
        """The number of a new unidirectional stream, which is there with its first bytes."""
        stream = self.quic.get_next_available_stream_id(is_unidirectional=True)
        self.quic.send_stream_data(stream, b"")
        return stream

    def nonce(self):
        self._nonce += 1
        return f"n{id(self):x}-{self._nonce}"

    def chat(self, kind, payload):
        """A frame on the chat command stream; gives its nonce."""
        if self._chat is None:
            self._chat = self.open()
        if not isinstance(payload, bytes):
            payload = {"nonce": self.nonce()} | payload
        self.write(self._chat, frame(kind, payload))
        return None if isinstance(payload, bytes) else payload["nonce"]

    def datagram(self, data):
        self.quic.send_datagram_frame(data)
        self.flush()

    async def patiently(self, kind, payload):
        """Does a command, again after a while when it came too fast; gives its answer."""
        for _ in range(20):
            got = await self.answer(self.chat(kind, payload), refused=True)
            if got.kind != ERROR or got["code"] != 1006:
                return got
            await asyncio.sleep(got["retry_after_ms"] / 1000 + 0.02)
        raise AssertionError(f"still too fast: {got}")

    async def done(self, kind, payload):
        """Does a command that has to work; gives its `CommandOk` or `MessageAck`."""
        got = await self.patiently(kind, payload)
        assert got.kind != ERROR, f"refused: {got}"
        return got

    async def refused(self, kind, payload, code):
        """Does a command that has to be refused with `code`."""
        got = await self.patiently(kind, payload)
        assert got.kind == ERROR and got["code"] == code, f"not refused with {code}: {got}"
        return got

    async def answer(self, nonce, refused=False):
        def find():
            for at, got in enumerate(self.inbox):
                if got.kind in (COMMAND_OK, ACK, ERROR) and got.get("nonce") == nonce:
                    return [self.inbox.pop(at)]
            if self.terminated is not None:
                raise Closed(f"{self.terminated} while waiting for an answer; {self.inbox}")
            return None

        got = (await self.until(find, f"answer to {nonce}"))[0]
        assert refused or got.kind != ERROR, f"refused: {got}"
        return got

    async def join(self, name):
        """Enters a channel; gives its `RoomInit`."""
        ok = await self.done(JOIN, {"name": name})
        return await self.expect(INIT, room_id=ok["room_id"])

    async def say(self, room, content, **more):
        """Says something; gives the acknowledgement."""
        return await self.done(SEND, {"room_id": room, "content": content} | more)

    # --- beginning and end -----------------------------------------------------------------------------------------

    def connect(self):
        """Sends the first packets."""
        self.quic.connect(self.peer, time.monotonic())
        self.flush()

    def hello(self, capabilities=CAPABILITIES, **more):
        self.quic.get_next_available_stream_id()
        self.control(HELLO, {"version": 1, "capabilities": list(capabilities)} | more)

    def auth(self, name=None, token=None):
        self.name = name
        method, credentials = ("username", name) if token is None else ("token", token)
        self.control(AUTH, {"method": method, "credentials": credentials})

    async def login(self, name=None, token=None, capabilities=CAPABILITIES):
        """Connects and logs in; gives the client itself."""
        self.connect()
        self.hello(capabilities)
        self.auth(name, token)
        self.hello_ack = await self.expect(HELLO_ACK)
        self.auth_ok = await self.expect(AUTH_OK)
        self.user_id = self.auth_ok["user_id"]
        self.shards = await self.expect(SHARDS)
        if self.auth_ok["rooms"]:
            self.lobby = await self.expect(INIT, room_id=self.auth_ok["rooms"][0])
        return self

    async def goodbye(self):
        """Says goodbye and waits for the server's close."""
        if self.terminated is None:
            self.quic.send_stream_data(0, frame(GOODBYE, {"reason": "bye"}), True)
            self.flush()
            code = await self.closed()
            assert code == 0, f"closed with {code:#x}"
        self.end()

    def end(self):
        """Lets go without a word."""
        if self._timer is not None:
            self._timer.cancel()
        if self.socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.socket)
            self.socket.close()


class Order:
    """Puts the frames of rooms in order (R5, R7 and R8 of section 12.3), and knows what is missing."""

    def __init__(self):
        self.rooms = {}

    def take(self, frames):
        """Gives those frames that can be delivered now."""
        out = []
        for got in frames:
            room = self.rooms.setdefault(got["room_id"], {"next": 0, "held": {}, "inside": False, "membership": 0})
            if got.kind == INIT:
                if got["membership"] < room["membership"]:
                    continue
                if got["membership"] == room["membership"] and not room["inside"]:
                    continue
                room.update(membership=got["membership"], inside=True, next=max(room["next"], got["seq"] + 1))
                out.append(got)
            elif got.kind == CLOSE:
                if got["membership"] >= room["membership"]:
                    room.update(membership=got["membership"], inside=False)
                    out.append(got)
            elif got["seq"] >= room["next"]:
                assert got["seq"] not in room["held"], f"twice: {got}"
                room["held"][got["seq"]] = got
            while room["inside"] and room["next"] in room["held"]:
                out.append(room["held"].pop(room["next"]))
                room["next"] += 1
        return out
