// A server that says what a test tells it to.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { CLIENT } from "./kit.mjs";

const { WebSocketServer } = createRequire(import.meta.url)("ws");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** Serves the page, and says to each who connects what it is told to. */
export async function stub(talk) {
  const http = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const bytes = await readFile(join(CLIENT, path)).catch(() => readFile(join(CLIENT, "index.html")));
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "text/html");
    response.end(bytes);
  });
  const sockets = new WebSocketServer({ server: http });
  sockets.on("connection", socket => talk(socket));
  await new Promise(resolve => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${http.address().port}/`,
    close: () => { for (const socket of sockets.clients) socket.terminate(); http.close(); http.closeAllConnections(); },
  };
}

export const person = (id, more = {}) => ({ id, _id: id, name: "Somebody", color: "#123456", x: 50, y: 50, ...more });
export const room = (more = {}) => ({ _id: "x", id: "x", count: 1, settings: { color: "#204060" }, ...more });
