// What the browser tests share: a server of their own, a browser, and pages that join a room.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
  + "--disable-component-update --disable-sync --mute-audio --autoplay-policy=user-gesture-required";
/** The staff password of the servers. */
export const STAFF = "only-for-these-tests";
export const WAIT_MS = 20_000;
export const CLIENT = fileURLToPath(new URL("../../client/", import.meta.url));
const SHOTS = fileURLToPath(new URL("out/", import.meta.url));

/** Whether there is a browser; said aloud when there is none, so that nobody takes it for a success. */
export const hasBrowser = existsSync(CHROMIUM);
if (!hasBrowser) console.log(`SKIPPED: no browser at ${CHROMIUM}`);
export const skip = hasBrowser ? false : `no browser at ${CHROMIUM}`;

export async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise(resolve => listener.once("listening", resolve));
  const { port } = listener.address();
  await new Promise(resolve => listener.close(resolve));
  return port;
}

/** The server that TUTTI_BIN names, on a port that stays when it is started again. */
export class Server {
  #child;
  #args;

  static async start(...args) {
    const server = new Server();
    server.port = await freePort();
    server.#args = args;
    await server.launch();
    return server;
  }

  get origin() { return `http://127.0.0.1:${this.port}`; }

  async launch() {
    assert.ok(process.env.TUTTI_BIN, "TUTTI_BIN names the server binary");
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--admin", "off", "--quic", "off"];
    args.push("--data", "memory", ...this.#args);
    // The server takes every TUTTI_ variable for a setting.
    const env = Object.fromEntries(Object.entries(process.env)
      .filter(([name]) => !name.startsWith("TUTTI_") && !["NODE_ENV", "WS_PORT", "SALT1", "SALT2"].includes(name)));
    // A person keeps their token, so that a reload makes nobody a stranger.
    env.TUTTI_TOKENS = "true";
    env.TUTTI_ADMIN_PASSWORD = STAFF;
    const child = this.#child = spawn(process.env.TUTTI_BIN, args, { stdio: ["ignore", "ignore", "pipe"], env });
    let said = "";
    child.stderr.on("data", data => { said = (said + data).slice(-4000); });
    child.on("error", error => { said += error; });
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline;) {
      if (await fetch(this.origin).then(() => true, () => false)) return;
      if (child.exitCode !== null) break;
      await new Promise(resolve => setTimeout(resolve, 30));
    }
    child.kill("SIGKILL");
    throw new Error(`the server did not start: ${said}`);
  }

  async stop() {
    const child = this.#child;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise(resolve => child.once("exit", resolve));
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), WAIT_MS);
    await gone;
    clearTimeout(late);
  }
}

/** A browser, its pages, and what they complained about. */
export class Browser {
  complaints = [];
  #browser;
  #profile;

  static async open(more = []) {
    const { chromium } = await import("playwright-core");
    const browser = new Browser();
    browser.#profile = await mkdtemp(join(tmpdir(), "tutti-browser-"));
    const env = { ...process.env, HOME: browser.#profile, XDG_CONFIG_HOME: browser.#profile, XDG_CACHE_HOME: browser.#profile };
    browser.#browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS.split(" "), ...more], env });
    return browser;
  }

  /** A page of another person. `init` runs in it before anything of its own. */
  async page(url, { init, ...options } = {}) {
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "dark", ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on("console", message => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("pageerror", error => this.complaints.push(String(error.stack ?? error)));
    if (init) await page.addInitScript(init);
    await page.goto(url);
    return page;
  }

  /** A page that has joined the room of its address. */
  async join(url, options) {
    const page = await this.page(url, options);
    await joined(page, decodeURIComponent(new URL(url).pathname.slice(1)) || "lobby");
    return page;
  }

  newBrowserCDPSession() { return this.#browser.newBrowserCDPSession(); }

  async close() {
    await this.#browser?.close();
    if (this.#profile) await rm(this.#profile, { recursive: true, force: true });
  }
}

/** Keeps a picture of a page to look at. */
export async function shoot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

export const joined = (page, room) => page.waitForFunction(room => {
  const { state, room: now } = document.documentElement.dataset;
  return state === "joined" && now === room;
}, room);

/** How many notes of others a page has shown. */
export const heard = page => page.evaluate(() => Number(document.documentElement.dataset.heard ?? 0));

/** Waits for another note of somebody else, on a key. */
export const hears = (page, before, key) => page.waitForFunction(([before, key]) => {
  const { heard, last } = document.documentElement.dataset;
  return Number(heard ?? 0) > before && last === String(key);
}, [before, key]);

export const shows = (page, selector, count) => page.waitForFunction(
  ([selector, count]) => document.querySelectorAll(selector).length === count, [selector, count]);

export const has = (page, selector, text) => page.waitForFunction(
  ([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text]);

export async function rename(page, name, color) {
  await page.click("#people .me");
  await page.click("[role=menuitem] >> nth=0");
  await page.fill("#my-name", name);
  if (color) await page.fill("#my-color", color);
  await page.press("#my-name", "Enter");
  await has(page, "#people .me", name);
}

export async function say(page, text) {
  await page.fill("#chat-field", text);
  await page.press("#chat-field", "Enter");
}

/** Opens the menu of a person by name, and picks an entry. */
export async function pick(page, name, entry) {
  await page.click(`#people .person:has-text("${name}")`);
  await page.click(`[role=menu] button:has-text("${entry}")`);
}

/** Where a key is on the page, low on it, from the page's own drawing. */
export async function pointOf(page, key) {
  const { x, y, width, height } = await page.locator("#piano").boundingBox();
  const { left, isBlack } = await page.evaluate(([key, width, height]) => import("/piano/geometry.js").then(({ Geometry }) => {
    const place = new Geometry(width, height).places[key];
    return { left: place.x + place.width / 2, isBlack: place.isBlack };
  }), [key, width, height]);
  return { x: x + left, y: y + height * (isBlack ? 0.4 : 0.85) };
}
