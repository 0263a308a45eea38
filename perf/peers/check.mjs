// Does a server do what a comparison needs? Two clients in a room, then bad input, then a crowd. A peer over QUIC is
// checked by tutti-loadgen instead: a room whose every delivery arrives, and logins.
//
//     node perf/peers/check.mjs                        all of peers.toml: builds, starts and checks each
//     node perf/peers/check.mjs bun tokio              only these
//     node perf/peers/check.mjs ws://127.0.0.1:8080/   a server that runs already
//
// `--crowd N` is how many connections come and go at the end (default 1000). Needs `npm ci --prefix perf/peers`.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { parse } from "smol-toml";
import { WebSocket } from "ws";

const ROOT = new URL("../../", import.meta.url);
/** Longest wait for a message, and for a server to start. */
const WITHIN_MS = 10_000;
/** How long nothing may come before it counts as nothing. */
const QUIET_MS = 150;

/** A connection that remembers what it was sent. */
class Client {
  static async open(url) {
    const client = new Client();
    client.ws = new WebSocket(url);
    client.heard = [];
    client.ws.on("message", (data) => client.heard.push(...JSON.parse(data)));
    await once(client.ws, "open");
    return client;
  }

  static async join(url, room) {
    const client = await Client.open(url);
    client.send({ m: "hi" });
    client.hi = await client.hears("hi");
    client.send({ m: "ch", _id: room });
    client.ch = await client.hears("ch");
    client.id = client.ch.p;
    return client;
  }

  send(...messages) {
    this.ws.send(JSON.stringify(messages));
  }

  /** The first message of kind `m` for which `fits`; it is forgotten, as is all before it. */
  async hears(m, fits = () => true) {
    for (const end = Date.now() + WITHIN_MS; Date.now() < end; await sleep(5)) {
      const at = this.heard.findIndex((message) => message.m === m && fits(message));
      if (at >= 0) return this.heard.splice(0, at + 1).at(-1);
      assert.equal(this.ws.readyState, WebSocket.OPEN, `the server closed the connection before its \`${m}\``);
    }
    assert.fail(`no \`${m}\` within ${WITHIN_MS} ms; heard: ${JSON.stringify(this.heard)}`);
  }

  /** Fails when a message of kind `m` comes within a moment. */
  async hearsNo(m) {
    await sleep(QUIET_MS);
    const message = this.heard.find((message) => message.m === m);
    assert.equal(message, undefined, `a \`${m}\` that was not meant for it`);
  }

  async close() {
    if (this.ws.readyState === WebSocket.CLOSED) return;
    const closed = once(this.ws, "close");
    this.ws.close();
    await closed;
  }
}

/** In this order; each goes on where the last one ended. */
const CHECKS = {
  async "greets, says who one is, and seats"({ url, room, clients }) {
    const ann = await Client.join(url, room);
    assert.equal(typeof ann.hi.t, "number");
    assert.match(ann.hi.u._id, /^[0-9a-f]{24}$/);
    assert.match(ann.hi.u.color, /^#[0-9a-f]{6}$/);
    assert.equal(ann.ch.ch._id, room);
    assert.deepEqual(ann.ch.ppl.map((person) => person.id), [ann.id]);
    clients.ann = ann;
  },
  async "tells others of a join, and on any path"({ url, room, clients }) {
    const ben = await Client.join(new URL("/any%20path", url).href, room);
    assert.deepEqual(ben.ch.ppl.map((person) => person.id).sort(), [clients.ann.id, ben.id].sort());
    assert.equal(ben.ch.ch.count, 2);
    const person = await clients.ann.hears("p");
    assert.equal(person.id, ben.id);
    assert.equal(typeof person.name, "string");
    clients.ben = ben;
  },
  async "relays notes to the others with their time"({ clients: { ann, ben } }) {
    // All three decimals of the time survive, because a load generator counts by them.
    const t = Math.floor(Date.now()) + 0.123;
    const n = [{ n: "c4", v: 0.62 }, { n: "c4", d: 90, s: 1 }];
    ann.send({ m: "n", t, n });
    assert.deepEqual(await ben.hears("n"), { m: "n", t, p: ann.id, n });
    await ann.hearsNo("n");
  },
  async "keeps the order of what one client sends"({ clients: { ann, ben } }) {
    const start = Date.now();
    for (let i = 0; i < 200; i++) ann.send({ m: "n", t: start + i, n: [{ n: "a3", v: 0.5 }] });
    for (let i = 0; i < 200; i++) assert.equal((await ben.hears("n")).t, start + i);
  },
  async "brings chat to everybody"({ clients: { ann, ben } }) {
    ben.send({ m: "a", message: "hello \u{1f3b9}" });
    for (const client of [ann, ben]) {
      const chat = await client.hears("a");
      assert.equal(chat.a, "hello \u{1f3b9}");
      assert.equal(chat.p.id, ben.id);
    }
  },
  async "brings cursors to the others"({ clients: { ann, ben } }) {
    ann.send({ m: "m", x: "41.20", y: "73.05" });
    const { id, x, y } = await ben.hears("m");
    assert.deepEqual({ id, x: Number(x), y: Number(y) }, { id: ann.id, x: 41.2, y: 73.05 });
    await ann.hearsNo("m");
  },
  async "tells the time"({ clients: { ann } }) {
    ann.send({ m: "t", e: 42 });
    const { t, e } = await ann.hears("t");
    assert.equal(e, 42);
    assert.ok(Math.abs(t - Date.now()) < 60_000);
  },
  async "lists the rooms and their changes"({ url, room, clients: { ann } }) {
    const counts = (n) => (list) => list.u.some((channel) => channel._id === room && channel.count === n);
    ann.send({ m: "+ls" });
    assert.equal((await ann.hears("ls", counts(2))).c, true);
    const cid = await Client.join(url, room);
    assert.equal((await ann.hears("ls", counts(3))).c, false);
    ann.send({ m: "-ls" });
    await cid.close();
    await ann.hears("bye", ({ p }) => p === cid.id);
  },
  async "takes people from room to room"({ room, clients: { ann, ben } }) {
    ben.send({ m: "ch", _id: `${room} 2` });
    assert.equal((await ben.hears("ch")).ch._id, `${room} 2`);
    assert.equal((await ann.hears("bye")).p, ben.id);
    ann.send({ m: "n", t: Date.now(), n: [{ n: "c4", v: 1 }] });
    await ben.hearsNo("n");
    ben.send({ m: "ch", _id: room });
    await ben.hears("ch");
    await ann.hears("p", ({ id }) => id === ben.id);
  },
  async "survives what is no message"({ url, room, clients: { ann, ben } }) {
    const eve = await Client.open(url);
    const junk = ["", "[", "null", "{}", "[null]", "[[]]", "[1,\"n\"]", "[{}]", '[{"m":7}]', '[{"m":"__proto__"}]'];
    const wrong = ["ch", "n", "a", "m", "t", "-ls"].map((m) => `[{"m":"${m}"},{"m":"${m}","_id":{},"t":[],"n":"","e":{}}]`);
    for (const text of [...junk, ...wrong]) eve.ws.send(text);
    eve.ws.send(Buffer.from([0, 255, 1]));
    eve.send({ m: "hi" });
    eve.send(null, { m: "nothing" }, { m: "ch", _id: room });
    eve.id = (await eve.hears("ch")).p;
    await ben.hears("p", ({ id }) => id === eve.id);
    // A socket that breaks off without a goodbye.
    eve.ws.terminate();
    await ben.hears("bye", ({ p }) => p === eve.id);
    await ann.hears("bye", ({ p }) => p === eve.id);
    // Bytes that are no WebSocket frame.
    const fay = await Client.open(url);
    fay.ws.on("error", () => {});
    fay.ws._socket.write(Buffer.alloc(64, 0xff));
    if (fay.ws.readyState !== WebSocket.CLOSED) await once(fay.ws, "close");
  },
  async "survives a crowd that comes and goes"({ url, room, crowd, clients: { ann, ben } }) {
    const open = [];
    while (open.length < crowd) {
      const some = Math.min(50, crowd - open.length);
      const join = () => Client.join(url, `${room} ${open.length % 10}`);
      open.push(...(await Promise.all(Array.from({ length: some }, join))));
    }
    // Half of them say goodbye; the others break off.
    await Promise.all(open.map((client, i) => (i % 2 === 0 ? client.close() : client.ws.terminate())));
    ann.send({ m: "a", message: "still here" });
    await ben.hears("a", ({ a }) => a === "still here");
    ann.send({ m: "+ls" });
    // `count` is 0, or the room is gone.
    const gone = ({ c, u }) => c && !u.some(({ _id, count }) => _id.startsWith(`${room} `) && count > 0);
    const end = Date.now() + WITHIN_MS;
    while (!gone(await ann.hears("ls"))) {
      assert.ok(Date.now() < end, "people of the crowd are still listed");
      await sleep(100);
      ann.send({ m: "+ls" });
    }
  },
  async "tells others of a leave"({ clients: { ann, ben } }) {
    await ann.close();
    assert.equal((await ben.hears("bye")).p, ann.id);
    await ben.close();
  },
};

/** Runs all checks; the first that fails throws. */
async function check(url, crowd) {
  const room = `test/check ${process.pid} ${Date.now()}`;
  const world = { url, room, crowd, clients: {} };
  for (const [name, run] of Object.entries(CHECKS)) {
    const start = performance.now();
    try {
      await run(world);
    } catch (error) {
      console.error(`  FAILED  ${name}`);
      throw error;
    }
    console.log(`  ok  ${name} (${Math.round(performance.now() - start)} ms)`);
  }
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** Lets tutti-loadgen judge a server over QUIC; it waits until the server listens. */
function checkByLoad(url) {
  const cargo = ["run", "--release", "--quiet", "--locked", "-p", "tutti-loadgen", "--"];
  for (const scenario of ["quic-room", "quic-handshakes"]) {
    const run = [scenario, "--url", url, "--seconds", "2", "--quiet", "--assert", "faults=0"];
    execFileSync("cargo", [...cargo, ...run], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
    console.log(`  ok  ${scenario}`);
  }
}

/** Builds, starts and checks one entry of peers.toml, and ends it. */
async function checkPeer({ name, build, start, speaks }, crowd) {
  console.log(`${name}: ${build}`);
  execFileSync("sh", ["-c", build], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  const port = await freePort();
  const command = start.replaceAll("{port}", port).replaceAll("{cpu}", 0);
  console.log(`${name}: ${command}`);
  const server = spawn("sh", ["-c", `exec ${command}`], { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  const ended = once(server, "exit");
  try {
    if (speaks === "quic") {
      checkByLoad(`quic://127.0.0.1:${port}`);
      return;
    }
    const url = `ws://127.0.0.1:${port}/`;
    for (const end = Date.now() + WITHIN_MS; ; await sleep(50)) {
      assert.ok(server.exitCode === null && server.signalCode === null, `${name} ended before it listened`);
      try {
        await (await Client.open(url)).close();
        break;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
    await check(url, crowd);
    assert.ok(server.exitCode === null && server.signalCode === null, `${name} ended by itself`);
  } finally {
    server.kill();
    await ended;
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { crowd: { type: "string", default: "1000" } },
});
const crowd = Number(values.crowd);
const { peer: peers } = parse(readFileSync(new URL("peers.toml", import.meta.url), "utf8"));
const targets = positionals.length > 0 ? positionals : peers.map(({ name }) => name);
for (const target of targets) {
  if (target.includes("://")) {
    console.log(target);
    await check(target, crowd);
    continue;
  }
  const peer = peers.find(({ name }) => name === target);
  if (peer === undefined) {
    console.error(`no peer ${target} in peers.toml; there are: ${peers.map(({ name }) => name).join(" ")}`);
    process.exit(2);
  }
  await checkPeer(peer, crowd);
}
console.log(`${targets.length} checked`);
