"""The built server as a child process, and the case that all tests are of.

`TUTTI_BIN` names the binary. `QUIC_TEST_ADDRESS=ADDRESS:PORT` tests a server that runs already instead; what needs one
of its own is skipped then.
"""

import asyncio
import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from client import Client
from doors import Piano, Terminal
from proxy import Proxy

START = 20.0
STOP = 20.0


def environment():
    """What programs are started with: nothing that an operator has set for a server of theirs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TUTTI_")}


def free_port(kind=socket.SOCK_DGRAM, address="127.0.0.1"):
    """A port below those that the system hands out by itself."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket(family, kind) as one:
            try:
                one.bind((address, port))
            except OSError:
                continue
            return port


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Server:
    """A running server with its own ports and data folder."""

    def __init__(self, shards=2, address="127.0.0.1", mode="development", settings=None, arguments=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tutti-quic-"))
        self.shards, self.host, self.mode = shards, address, mode
        self.settings, self.arguments = dict(settings or {}), list(arguments)
        self.quic_port = free_port(address=address)
        self.http_port = free_port(socket.SOCK_STREAM)
        self.admin_port = free_port(socket.SOCK_STREAM)
        self.child = None
        self.start()

    @property
    def address(self):
        return (self.host, self.quic_port)

    def start(self):
        """Starts it, and waits until it accepts."""
        self.told = False
        config = self.folder / "tutti.toml"
        config.write_text("".join(f"{key} = {value}\n" for key, value in self.settings.items()))
        host = f"[{self.host}]" if ":" in self.host else self.host
        command = [
            os.environ["TUTTI_BIN"], "serve", "--config", config, "--data", self.folder / "data",
            "--listen", f"127.0.0.1:{self.http_port}", "--quic", f"{host}:{self.quic_port}",
            "--admin", f"127.0.0.1:{self.admin_port}", "--shards", str(self.shards), "--mode", self.mode,
            *self.arguments,
        ]
        with open(self.folder / "log", "ab") as log:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment(), preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + START
        while True:
            if self.child.poll() is not None:
                raise AssertionError(f"the server ended with {self.child.returncode} at start\n{self.log()}")
            # Before it is ready the kernel may take connections for it already, but no datagrams.
            if self.is_ready():
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"the server does not get ready\n{self.log()}")
            time.sleep(0.02)

    def is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.admin_port), 1) as one:
                one.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                return one.recv(64).split()[1:2] == [b"200"]
        except OSError:
            return False

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def signal(self, number):
        # A second SIGTERM would end it at once.
        self.told |= number == signal.SIGTERM
        self.child.send_signal(number)

    def stop(self):
        """Stops it; it has to end well."""
        if self.child is None:
            return
        if not self.told:
            self.signal(signal.SIGTERM)
        try:
            status = self.child.wait(STOP)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"the server does not stop\n{self.log()}") from None
        self.child = None
        assert status == 0, f"the server ended with {status}\n{self.log()}"
        assert "panicked" not in self.log(), self.log()

    def remove(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def metrics(self):
        """The counters and gauges by name with labels."""
        with socket.create_connection(("127.0.0.1", self.admin_port), 5) as one:
            one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: one.recv(65536), b"")).decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("tutti_"))
        return {name: float(value) for name, value in lines}


class Elsewhere:
    """A server that runs already."""

    def __init__(self, text):
        host, port = text.rsplit(":", 1)
        self.address = (host, int(port))

    def remove(self):
        pass


class Case(unittest.IsolatedAsyncioTestCase):
    """Tests against one server a class, whose settings are the class's."""

    shards = 2
    settings = {}
    arguments = ()
    mode = "development"
    #: Whether a server that runs already will do.
    anywhere = False

    @classmethod
    def setUpClass(cls):
        elsewhere = os.environ.get("QUIC_TEST_ADDRESS")
        if elsewhere and not cls.anywhere:
            raise unittest.SkipTest("needs a server of its own")
        cls.server = (
            Elsewhere(elsewhere) if elsewhere
            else Server(shards=cls.shards, mode=cls.mode, settings=cls.settings, arguments=cls.arguments)
        )

    @classmethod
    def tearDownClass(cls):
        cls.server.remove()

    _people = 0

    async def asyncSetUp(self):
        self.clients, self.proxies, self.servers = [], [], []

    async def asyncTearDown(self):
        for client in self.clients:
            if client.terminated is None:
                client.quic.close(0)
                client.flush()
            client.end()
        for proxy in self.proxies:
            proxy.close()
        for server in self.servers:
            await asyncio.to_thread(server.remove)

    def somebody(self):
        """A name that nobody else has."""
        Case._people += 1
        return f"p{os.getpid() % 1000}-{Case._people}"

    def room(self):
        """A room's name that nobody else uses."""
        return f"room {self.somebody()}"

    def client(self, address=None, **settings):
        """A client that has not connected yet."""
        made = Client(address or self.server.address, **settings)
        self.clients.append(made)
        return made

    async def login(self, address=None, name=None, token=None, capabilities=None, **settings):
        """A client that is logged in."""
        more = {} if capabilities is None else {"capabilities": capabilities}
        name = None if token else name or self.somebody()
        return await self.client(address, **settings).login(name, token, **more)

    async def own_server(self, **how):
        """A server for this test alone."""
        made = await asyncio.to_thread(lambda: Server(**how))
        self.servers.append(made)
        return made

    def proxy(self, address=None, seed=1):
        made = Proxy(address or self.server.address, seed)
        self.proxies.append(made)
        return made


class OtherDoors:
    """For test classes: the server has the line door as well, at `line_port`, and `people` leave behind each test."""

    @classmethod
    def setUpClass(cls):
        cls.line_port = free_port(socket.SOCK_STREAM)
        cls.settings = cls.settings | {"line.listen": f'"127.0.0.1:{cls.line_port}"'}
        super().setUpClass()

    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.people = []

    async def asyncTearDown(self):
        for person in self.people:
            person.close()
        await super().asyncTearDown()

    async def piano(self, room):
        made = Piano()
        self.people.append(made)
        made.room = await made.connect(self.server.http_port, room)
        return made

    async def terminal(self, room=None, nick=None):
        made = Terminal()
        self.people.append(made)
        made.nick = nick or self.somebody()
        await made.connect(self.line_port, made.nick, room)
        return made
