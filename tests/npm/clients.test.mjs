// Real npm clients against the built server: join, chat, play, move, rename, and come back after a restart.
//
//     npm ci && TUTTI_BIN=../../target/debug/tutti node --test
//
// Every pair of packages shares a room, so each one hears what each other one sends.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { createConnection, createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const require = createRequire(import.meta.url);
const CLIENTS = {
  "mppclone-client": require("mppclone-client"),
  "mpp-client-xt": require("mpp-client-xt"),
  "mpp-client-net": require("mpp-client-net").Client,
};

// Longer than the packages wait between two attempts to reconnect (up to 2950 ms after a first failure).
const WITHIN_MS = 20_000;

/** A port of 127.0.0.1 that nobody listens on, below the range of outgoing connections. */
async function freePort() {
  for (let i = 0; i < 100; i++) {
    const port = 30_000 + Math.floor(Math.random() * 2_000);
    const probe = createServer();
    const free = await new Promise((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(true));
    });
    if (free) {
      await new Promise((resolve) => probe.close(resolve));
      return port;
    }
  }
  throw new Error("no free port");
}

class Server {
  static async start(shards) {
    const server = new Server();
    server.shards = shards;
    server.port = await freePort();
    server.log = "";
    await server.launch();
    return server;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/`;
  }

  async launch() {
    const bin = process.env.TUTTI_BIN;
    assert.ok(bin, "TUTTI_BIN names the server binary");
    const env = Object.fromEntries(
      Object.entries(process.env).filter(
        ([key]) => !key.startsWith("TUTTI_") && !["NODE_ENV", "WS_PORT", "SALT1", "SALT2"].includes(key),
      ),
    );
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--shards", String(this.shards)];
    args.push("--data", "memory", "--admin", "off", "--quic", "off", "--mode", "development");
    this.child = spawn(bin, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.log += text));
    }
    const deadline = Date.now() + WITHIN_MS;
    for (;;) {
      assert.equal(this.child.exitCode, null, `the server ended\n${this.log}`);
      const socket = createConnection({ port: this.port, host: "127.0.0.1" });
      const up = await new Promise((resolve) => {
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      });
      socket.destroy();
      if (up) return;
      assert.ok(Date.now() < deadline, `the server does not accept\n${this.log}`);
      await sleep(10);
    }
  }

  async stop() {
    if (this.child.exitCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const [code] = await ended;
    assert.equal(code, 0, this.log);
  }

  async restart() {
    await this.stop();
    await this.launch();
  }
}

/** The first event of this name that fits, as a promise made before whatever causes it. */
function heard(client, name, fits = () => true) {
  // Made here, so that its stack names who waited.
  const late = new Error(`no fitting \`${name}\` within ${WITHIN_MS} ms`);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      client.off(name, listener);
      reject(late);
    }, WITHIN_MS);
    const listener = (message) => {
      if (!fits(message)) return;
      clearTimeout(timer);
      client.off(name, listener);
      resolve(message);
    };
    client.on(name, listener);
  });
}

function connect(kind, server) {
  const client = new CLIENTS[kind](server.url);
  // Some packages report failed attempts to connect as "error", which ends the process when nobody listens.
  client.on("error", () => {});
  return client;
}

async function join(client, room) {
  const joined = heard(client, "ch", (ch) => ch.ch._id === room);
  const hello = heard(client, "hi");
  client.setChannel(room);
  client.start();
  await Promise.all([hello, joined]);
}

async function chats(from, to, text) {
  const both = [from, to].map((client) => heard(client, "a", (a) => a.a === text));
  from.sendArray([{ m: "a", message: text }]);
  for (const a of await Promise.all(both)) {
    assert.equal(a.p._id, from.getOwnParticipant()._id);
    assert.ok(Math.abs(a.t - Date.now()) < 10_000);
  }
}

async function plays(from, to) {
  const started = heard(to, "n", (n) => n.n.some((note) => note.n === "a4" && !note.s));
  const stopped = heard(to, "n", (n) => n.n.some((note) => note.n === "a4" && note.s === 1));
  from.startNote("a4", 0.5);
  await sleep(30);
  from.stopNote("a4");
  const n = await started;
  await stopped;
  assert.equal(n.p, from.participantId);
  assert.equal(n.n[0].v, 0.5);
  assert.ok(Math.abs(n.t - Date.now()) < 10_000);
}

async function moves(from, to) {
  const id = from.participantId;
  const moved = heard(to, "m", (m) => m.id === id);
  from.sendArray([{ m: "m", x: "12.50", y: "0.00" }]);
  await moved;
  assert.equal(Number(to.ppl[id].x), 12.5);
  assert.equal(Number(to.ppl[id].y), 0);
}

async function renames(from, to, name) {
  const id = from.participantId;
  const both = [from, to].map((client) => heard(client, "p", (p) => p.id === id && p.name === name));
  from.sendArray([{ m: "userset", set: { name, color: "#3fa9c4" } }]);
  await Promise.all(both);
  assert.equal(to.ppl[id].name, name);
  assert.equal(to.ppl[id].color, "#3fa9c4");
  assert.equal(from.getOwnParticipant().name, name);
}

for (const shards of [1, 2, 5]) {
  for (const kind of Object.keys(CLIENTS)) {
    test(`${kind} with every other, ${shards} shards`, async (t) => {
      const server = await Server.start(shards);
      const clients = [];
      t.after(async () => {
        for (const client of clients) client.stop();
        await server.stop();
      });
      const one = connect(kind, server);
      clients.push(one);
      const room = `The ${kind} room`;
      await join(one, room);
      assert.equal(one.channel.crown.participantId, one.participantId);
      assert.ok(one.isOwner?.() ?? true);
      const others = [];
      for (const other of Object.keys(CLIENTS)) {
        const two = connect(other, server);
        clients.push(two);
        const added = heard(one, "participant added");
        await join(two, room);
        assert.equal((await added).id, two.participantId);
        others.push(two);
        assert.equal(two.countParticipants(), others.length + 1);
        await chats(one, two, `hello ${other}`);
        await chats(two, one, `hello ${kind}`);
        await plays(one, two);
        await plays(two, one);
        await moves(one, two);
        await moves(two, one);
        await renames(two, one, `Mira of ${other}`);
      }
      await renames(one, others[0], `Ben of ${kind}`);
      // One of them goes elsewhere and is gone here.
      const removed = heard(one, "participant removed");
      const leaver = others.pop();
      const elsewhere = heard(leaver, "ch", (ch) => ch.ch._id === "elsewhere");
      leaver.setChannel("elsewhere", {});
      await elsewhere;
      await removed;
      assert.equal(one.countParticipants(), others.length + 1);
      assert.equal(leaver.countParticipants(), 1);

      // Behind its `hi`: while the old server stops, those who are left are still told who has the crown now.
      const back = clients.map((client) => heard(client, "hi").then(() => heard(client, "ch")));
      await server.restart();
      await Promise.all(back);
      assert.equal(one.channel._id, room);
      assert.equal(leaver.channel._id, "elsewhere");
      for (const other of others) {
        await chats(one, other, "we are back");
        await plays(other, one);
      }
    });
  }
}
