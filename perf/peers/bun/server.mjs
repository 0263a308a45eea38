// A Multiplayer Piano server the way it is usually written for Bun: `Bun.serve`, a topic a room, `publish`.
//
//     node_modules/.bin/bun server.mjs --listen 127.0.0.1:9800
//
// Bun's sockets are uWebSockets'; what is published in a turn leaves in batches. Nothing is limited beyond its defaults.

import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";

const SETTINGS = { lobby: true, visible: true, chat: true, crownsolo: false, color: "#73b3cc", color2: "#273546" };
const LIST = "list";

const { values } = parseArgs({ options: { listen: { type: "string", default: "127.0.0.1:9800" } } });
const [, hostname, port] = values.listen.match(/^\[?([^\]]+)\]?:(\d+)$/) ?? [];
if (port === undefined) {
  console.error(`--listen wants ADDRESS:PORT, not ${values.listen}`);
  process.exit(2);
}

/** By name: the users in the room. */
const rooms = new Map();

const topicOf = (name) => `room ${name}`;
const channelOf = (name) => ({ _id: name, id: name, count: rooms.get(name)?.size ?? 0, settings: SETTINGS });
const encode = (message) => JSON.stringify([message]);

function join(ws, name) {
  const { data } = ws;
  if (data.room !== name) {
    leave(ws);
    if (!rooms.has(name)) rooms.set(name, new Set());
    rooms.get(name).add(data.user);
    data.room = name;
    ws.subscribe(topicOf(name));
    ws.publish(topicOf(name), encode({ m: "p", ...data.user }));
    server.publish(LIST, encode({ m: "ls", c: false, u: [channelOf(name)] }));
  }
  ws.send(encode({ m: "ch", p: data.user.id, ch: channelOf(name), ppl: [...rooms.get(name)] }));
}

function leave(ws) {
  const { user, room: name } = ws.data;
  const room = rooms.get(name);
  if (room === undefined) return;
  room.delete(user);
  ws.data.room = null;
  if (room.size === 0) rooms.delete(name);
  ws.unsubscribe(topicOf(name));
  server.publish(topicOf(name), encode({ m: "bye", p: user.id }));
  server.publish(LIST, encode({ m: "ls", c: false, u: [channelOf(name)] }));
}

function handle(ws, message) {
  const { user, room } = ws.data;
  switch (message?.m) {
    case "hi":
      return ws.send(encode({ m: "hi", t: Date.now(), u: user, permissions: {}, motd: "Welcome" }));
    case "ch":
      if (typeof message._id === "string") join(ws, message._id);
      return;
    case "n":
      if (room === null || typeof message.t !== "number" || !Array.isArray(message.n)) return;
      return ws.publish(topicOf(room), encode({ m: "n", t: message.t, p: user.id, n: message.n }));
    case "a":
      if (room === null || typeof message.message !== "string") return;
      return server.publish(topicOf(room), encode({ m: "a", t: Date.now(), a: message.message, p: user }));
    case "m":
      if (room === null || message.x === undefined || message.y === undefined) return;
      user.x = message.x;
      user.y = message.y;
      return ws.publish(topicOf(room), encode({ m: "m", id: user.id, x: message.x, y: message.y }));
    case "t":
      return ws.send(encode({ m: "t", t: Date.now(), e: message.e }));
    case "+ls":
      ws.subscribe(LIST);
      return ws.send(encode({ m: "ls", c: true, u: Array.from(rooms.keys(), channelOf) }));
    case "-ls":
      return ws.unsubscribe(LIST);
    case "bye":
      return ws.close();
  }
}

const server = Bun.serve({
  hostname,
  port: Number(port),
  fetch(request, server) {
    const id = randomBytes(12).toString("hex");
    const user = { id, _id: id, name: "Anonymous", color: `#${id.slice(0, 6)}`, x: 200, y: 100 };
    if (server.upgrade(request, { data: { user, room: null } })) return;
    return new Response("This is a WebSocket server.\n", { status: 426, headers: { Upgrade: "websocket" } });
  },
  websocket: {
    open(ws) {
      ws.send(encode({ m: "b", code: "" }));
    },
    message(ws, data) {
      if (typeof data !== "string") return;
      let messages;
      try {
        messages = JSON.parse(data);
      } catch {
        return;
      }
      if (!Array.isArray(messages)) return;
      for (const message of messages) {
        // A `bye` in the middle closes at once, and nothing may follow it.
        if (ws.readyState !== WebSocket.OPEN) return;
        handle(ws, message);
      }
    },
    close(ws) {
      leave(ws);
    },
  },
});
