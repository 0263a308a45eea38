// The built-in page in a real browser: two people meet, talk, play, rename, move, and survive a restart.
//
//   npm install && TUTTI_BIN=../../target/release/tutti npm test
//
// TUTTI_BIN names the server, CHROMIUM another browser than /usr/bin/chromium. Without a browser all is skipped.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
  + "--disable-component-update --disable-sync --mute-audio";
const WAIT_MS = 15_000;

if (existsSync(CHROMIUM)) {
  await describePage();
} else {
  console.log(`SKIPPED: no browser at ${CHROMIUM}`);
  test("the built-in page", { skip: `no browser at ${CHROMIUM}` }, () => {});
}

async function describePage() {
  const { chromium } = await import("playwright-core");
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const complaints = [];
  let server, browser, profile, mira, ben;

  before(async () => {
    assert.ok(process.env.TUTTI_BIN, "TUTTI_BIN names the server binary");
    server = await start(port);
    profile = await mkdtemp(join(tmpdir(), "tutti-browser-"));
    const env = { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile };
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS.split(" "), env });
    mira = await visit("/The%20den", { viewport: { width: 1280, height: 800 } });
    ben = await visit("/The%20den", { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true });
  });

  after(async () => {
    await browser?.close();
    await stop(server);
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  async function visit(path, options) {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on("console", message => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", error => complaints.push(String(error)));
    await page.goto(origin + path);
    await joined(page, decodeURIComponent(path.slice(1)));
    return page;
  }

  test("its headers let it load only itself", async () => {
    const { headers } = await fetch(`${origin}/The%20den`);
    assert.match(headers.get("content-security-policy"), /^default-src 'self';/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "same-origin");
  });

  test("people see each other, and who has the crown", async () => {
    for (const page of [mira, ben]) {
      await shows(page, "#people li", 2);
      await shows(page, "#people li.crown", 1);
      await has(page, "#room-count", "2");
    }
    await has(mira, "#people li.crown", "you");
  });

  test("a new name is seen by both, and only as text", async () => {
    await rename(mira, "Mira <i>");
    await rename(ben, "Ben");
    for (const page of [mira, ben]) {
      await has(page, "#people", "Mira <i>");
      await has(page, "#people", "Ben");
    }
    assert.equal(await mira.inputValue("#name"), "Mira <i>");
  });

  test("chat goes both ways, and only as text", async () => {
    await say(mira, "hello <img src=x>");
    await say(ben, "hello yourself");
    for (const page of [mira, ben]) {
      await has(page, "#chat ol", "hello <img src=x>");
      await has(page, "#chat ol", "hello yourself");
      await shows(page, "#chat ol img", 0);
    }
  });

  test("what is typed plays nothing", async () => {
    await mira.locator("#chat form input").pressSequentially("zxcv");
    assert.equal(await mira.inputValue("#chat form input"), "zxcv");
    await shows(mira, "#piano .on", 0);
    await mira.fill("#chat form input", "");
    await mira.keyboard.press("Escape");
  });

  test("notes of keyboard, mouse and touch arrive", async () => {
    await mira.keyboard.down("q");
    await shows(mira, "#piano [data-note=c3].on", 1);
    await mira.keyboard.up("q");
    await heard(ben, 1, "c3");
    const { x, y, width, height } = await mira.locator("[data-note=gs4]").boundingBox();
    await mira.mouse.click(x + width / 2, y + height / 2);
    await heard(ben, 2, "gs4");
    await ben.locator("[data-note=e2]").tap({ position: { x: 5, y: 90 } });
    await heard(mira, 1, "e2");
    assert.equal(await ben.getAttribute("#piano", "data-heard"), "2", "nobody hears their own notes twice");
  });

  test("without sustain a key that is let go is silenced for others", async () => {
    await mira.click("#sustain");
    const stops = ben.evaluate(() => new Promise(resolve => {
      const key = document.querySelector("[data-note=d3]");
      const lit = [];
      new MutationObserver(() => {
        lit.push(key.classList.contains("on"));
        if (lit.includes(true) && !lit.at(-1)) resolve(true);
      }).observe(key, { attributeFilter: ["class"] });
    }));
    await mira.locator("#piano").press("w");
    assert.equal(await stops, true);
    await mira.click("#sustain");
  });

  test("the cursor of another is shown where it is", async () => {
    await mira.mouse.move(640, 200);
    await mira.mouse.move(640, 400, { steps: 4 });
    await ben.waitForFunction(() => {
      const { left, top } = document.querySelector(".cursor:not([hidden])")?.style ?? {};
      return left === "50%" && top === "50%";
    });
    await has(ben, ".cursor", "Mira <i>");
  });

  test("rooms are listed and switched, also by the history", async () => {
    await ben.click("#room");
    await ben.fill("#room-new", "test/other");
    await ben.click("#rooms button");
    await joined(ben, "test/other");
    assert.equal(new URL(ben.url()).pathname, "/test%2Fother");
    await shows(mira, "#people li", 1);
    await shows(ben, "#people li", 1);
    await shows(mira, "#rooms a[data-room='test/other']", 1);
    await has(mira, "#rooms a[aria-current=page]", "The den");
    await ben.goBack();
    await joined(ben, "The den");
    await shows(mira, "#people li", 2);
    await has(ben, "#chat ol", "hello yourself");
    await ben.click("#room");
    await ben.click("#rooms a[data-room=lobby]");
    await joined(ben, "lobby");
    assert.equal(new URL(ben.url()).pathname, "/");
    await ben.goBack();
    await joined(ben, "The den");
  });

  test("after a restart all are back in their room, with their names", async () => {
    const complaintsBefore = complaints.length;
    await stop(server);
    for (const page of [mira, ben]) {
      await page.waitForSelector("#banner:not([hidden])");
      await shows(page, "#people li", 0);
    }
    server = await start(port);
    for (const page of [mira, ben]) {
      await joined(page, "The den");
      await page.waitForSelector("#banner", { state: "hidden" });
      await has(page, "#people", "Mira <i>");
      await has(page, "#people", "Ben");
    }
    await say(ben, "back again");
    await has(mira, "#chat ol", "back again");
    // Browsers themselves report each attempt to reach a server that is not there.
    const others = complaints.splice(complaintsBefore).filter(text => !text.includes("net::ERR_CONNECTION_"));
    assert.deepEqual(others, []);
  });

  test("nothing was complained about on the console", () => assert.deepEqual(complaints, []));
}

const joined = (page, room) => page.waitForFunction(room => {
  const { state, room: now } = document.documentElement.dataset;
  return state === "joined" && now === room;
}, room);

const heard = (page, count, last) => page.waitForFunction(([count, last]) => {
  const { heard, last: note } = document.getElementById("piano").dataset;
  return Number(heard) === count && note === last;
}, [count, last]);

const shows = (page, selector, count) => page.waitForFunction(
  ([selector, count]) => document.querySelectorAll(selector).length === count, [selector, count]);

const has = (page, selector, text) => page.waitForFunction(
  ([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text]);

async function rename(page, name) {
  await page.fill("#name", name);
  await page.press("#name", "Enter");
}

async function say(page, text) {
  await page.fill("#chat form input", text);
  await page.press("#chat form input", "Enter");
}

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise(resolve => listener.once("listening", resolve));
  const { port } = listener.address();
  await new Promise(resolve => listener.close(resolve));
  return port;
}

async function start(port) {
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--admin", "off", "--data", "memory"];
  // The server takes every TUTTI_ variable for a setting.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TUTTI_")));
  const server = spawn(process.env.TUTTI_BIN, args, { stdio: ["ignore", "ignore", "pipe"], env });
  let said = "";
  server.stderr.on("data", data => { said = (said + data).slice(-4000); });
  server.on("error", error => { said += error; });
  for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline;) {
    if (await fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false)) return server;
    if (server.exitCode !== null) break;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  server.kill("SIGKILL");
  throw new Error(`the server did not start: ${said}`);
}

async function stop(server) {
  if (!server || server.exitCode !== null) return;
  const gone = new Promise(resolve => server.once("exit", resolve));
  server.kill("SIGTERM");
  const late = setTimeout(() => server.kill("SIGKILL"), WAIT_MS);
  await gone;
  clearTimeout(late);
}
