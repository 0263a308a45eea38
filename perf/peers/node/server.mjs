// A Multiplayer Piano server the way it is usually written for Node.js: `ws`, a set of sockets a room, a loop that sends.
//
//     node server.mjs --listen 127.0.0.1:9800
//
// It limits nothing: what a slow reader does not take gathers in this process.

import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { WebSocket, WebSocketServer } from "ws";

const SETTINGS = { lobby: true, visible: true, chat: true, crownsolo: false, color: "#73b3cc", color2: "#273546" };

const { values } = parseArgs({ options: { listen: { type: "string", default: "127.0.0.1:9800" } } });
const [, host, port] = values.listen.match(/^\[?([^\]]+)\]?:(\d+)$/) ?? [];
if (port === undefined) {
  console.error(`--listen wants ADDRESS:PORT, not ${values.listen}`);
  process.exit(2);
}

/** By name: the sockets in the room. */
const rooms = new Map();
/** Sockets that follow the list of rooms. */
const listeners = new Set();

const channelOf = (name) => ({ _id: name, id: name, count: rooms.get(name)?.size ?? 0, settings: SETTINGS });

function send(ws, message) {
  ws.send(JSON.stringify([message]));
}

/** Sends to all of `sockets` but `except`. */
function broadcast(sockets, message, except) {
  const text = JSON.stringify([message]);
  for (const ws of sockets) {
    if (ws !== except && ws.readyState === WebSocket.OPEN) ws.send(text);
  }
}

function join(ws, name) {
  if (ws.room !== name) {
    leave(ws);
    if (!rooms.has(name)) rooms.set(name, new Set());
    rooms.get(name).add(ws);
    ws.room = name;
    broadcast(rooms.get(name), { m: "p", ...ws.user }, ws);
    broadcast(listeners, { m: "ls", c: false, u: [channelOf(name)] });
  }
  const ppl = Array.from(rooms.get(name), (member) => member.user);
  send(ws, { m: "ch", p: ws.user.id, ch: channelOf(name), ppl });
}

function leave(ws) {
  const name = ws.room;
  const room = rooms.get(name);
  if (room === undefined) return;
  room.delete(ws);
  ws.room = null;
  if (room.size === 0) rooms.delete(name);
  broadcast(room, { m: "bye", p: ws.user.id });
  broadcast(listeners, { m: "ls", c: false, u: [channelOf(name)] });
}

function handle(ws, message) {
  const room = rooms.get(ws.room);
  switch (message?.m) {
    case "hi":
      return send(ws, { m: "hi", t: Date.now(), u: ws.user, permissions: {}, motd: "Welcome" });
    case "ch":
      if (typeof message._id === "string") join(ws, message._id);
      return;
    case "n":
      if (!room || typeof message.t !== "number" || !Array.isArray(message.n)) return;
      return broadcast(room, { m: "n", t: message.t, p: ws.user.id, n: message.n }, ws);
    case "a":
      if (!room || typeof message.message !== "string") return;
      return broadcast(room, { m: "a", t: Date.now(), a: message.message, p: ws.user });
    case "m":
      if (!room || message.x === undefined || message.y === undefined) return;
      ws.user.x = message.x;
      ws.user.y = message.y;
      return broadcast(room, { m: "m", id: ws.user.id, x: message.x, y: message.y }, ws);
    case "t":
      return send(ws, { m: "t", t: Date.now(), e: message.e });
    case "+ls":
      listeners.add(ws);
      return send(ws, { m: "ls", c: true, u: Array.from(rooms.keys(), channelOf) });
    case "-ls":
      listeners.delete(ws);
      return;
    case "bye":
      return ws.close();
  }
}

const server = new WebSocketServer({ host, port: Number(port) });
server.on("error", (error) => {
  console.error(`cannot listen at ${values.listen}: ${error.message}`);
  process.exit(1);
});
server.on("connection", (ws) => {
  const id = randomBytes(12).toString("hex");
  ws.user = { id, _id: id, name: "Anonymous", color: `#${id.slice(0, 6)}`, x: 200, y: 100 };
  ws.room = null;
  send(ws, { m: "b", code: "" });
  ws.on("message", (data, isBinary) => {
    if (isBinary) return;
    let messages;
    try {
      messages = JSON.parse(data);
    } catch {
      return;
    }
    if (!Array.isArray(messages)) return;
    for (const message of messages) handle(ws, message);
  });
  ws.on("close", () => {
    leave(ws);
    listeners.delete(ws);
  });
  // Without a listener an error of one socket would end the process; `close` follows it.
  ws.on("error", () => {});
});
