// What people do quickly, twice, or by accident, and what servers do late: the page does what was meant.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Browser, has, joined, shows, skip } from "./kit.mjs";
import { person, room, stub } from "./stub.mjs";

/** A server that lets everybody into every room after `late` ms, and keeps what it was told. */
async function host({ late = 0, time = () => Date.now() } = {}) {
  const told = [], sockets = new Set();
  const server = await stub(socket => {
    sockets.add(socket);
    const send = (...messages) => socket.send(JSON.stringify(messages).replaceAll('"ENDLESS"', "1e999"));
    socket.on("message", data => {
      for (const message of JSON.parse(data)) {
        told.push(message);
        const { m, _id, e } = message;
        if (m === "hi") send({ m: "hi", t: time(), u: person("me", { name: "Ann" }) });
        if (m === "t") send({ m: "t", t: time(), e });
        if (m !== "ch") continue;
        setTimeout(() => send({ m: "ch", ch: room({ _id, id: _id }), ppl: [person("me", { name: "Ann" }), person("bob")], p: "me" },
          { m: "c", c: [] }, { m: "nq", allowance: 400, max: 1200, maxHistLen: 3 }), late);
      }
    });
  });
  const say = (...messages) => { for (const socket of sockets) socket.send(JSON.stringify(messages)); };
  return { ...server, told, say };
}

describe("haste", { skip }, () => {
  let browser;
  before(async () => { browser = await Browser.open(); });
  after(async () => {
    await browser?.close();
    for (const server of servers) server.close();
  });

  const servers = [];
  async function open(about, options) {
    const server = await host(about);
    servers.push(server);
    const page = await browser.page(server.url, options);
    await joined(page, "lobby");
    return { server, page, end: async () => { await page.close(); server.close(); } };
  }

  test("who turns back before a room has opened stays", async () => {
    const { server, page, end } = await open({ late: 400 });
    await page.evaluate(async () => {
      for (const name of ["elsewhere", "lobby"]) {
        document.querySelector("#room").click();
        document.querySelector("#room-search").value = name;
        document.querySelector("#rooms form").requestSubmit();
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    });
    await page.waitForTimeout(900);
    assert.deepEqual(server.told.filter(({ m }) => m === "ch").map(({ _id }) => _id), ["lobby", "elsewhere", "lobby"]);
    await joined(page, "lobby");
    assert.equal(new URL(page.url()).pathname, "/");
    await end();
  });

  test("a # in the address enters nothing again", async () => {
    const { server, page, end } = await open();
    await page.evaluate(() => { location.hash = "piano"; });
    await page.waitForTimeout(300);
    assert.equal(server.told.filter(({ m }) => m === "ch").length, 1);
    await end();
  });

  test("a list of rooms that never rests can be clicked", async () => {
    const { server, page, end } = await open();
    let count = 0;
    const busy = setInterval(() => server.say({ m: "ls", c: false, u: [room({ _id: "Busy", id: "Busy", count: 1 + count++ % 9 })] }), 40);
    await page.click("#room");
    await has(page, "#rooms-list", "Busy");
    const { x, y } = await page.locator("#rooms-list a").first().boundingBox();
    await page.mouse.move(x + 60, y + 10);
    await page.mouse.down();
    await page.waitForTimeout(450);
    await page.mouse.up();
    await joined(page, "Busy");
    clearInterval(busy);
    await end();
  });

  test("a finger beside a dialog closes it, and presses nothing below", async () => {
    const { page, end } = await open({}, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await page.tap("#settings");
    await page.waitForSelector("#preferences");
    const { x, y, width, height } = await page.locator("#people .me").boundingBox();
    await page.touchscreen.tap(x + width / 2, y + height / 2);
    await shows(page, "dialog", 0);
    await page.waitForTimeout(400);
    await shows(page, "[role=menu]", 0);
    await end();
  });

  test("the button that opened the emoji closes them", async () => {
    const { page, end } = await open();
    for (const opens of [true, false, true]) {
      await page.click("#chat-emoji");
      assert.equal(await page.locator(".emoji").evaluate(panel => panel.matches(":popover-open")), opens);
    }
    await end();
  });

  test("a mention rings also after the sound has rested", async () => {
    const { server, page, end } = await open({}, { init: () => {
      // What rests after 20 s rests after a moment here.
      const { setTimeout } = globalThis;
      globalThis.setTimeout = (act, ms, ...more) => setTimeout(act, ms === 20_000 ? 200 : ms, ...more);
      globalThis.started = 0;
      const { start } = AudioBufferSourceNode.prototype;
      AudioBufferSourceNode.prototype.start = function(...args) { globalThis.started++; return start.apply(this, args); };
      const { suspend } = AudioContext.prototype;
      AudioContext.prototype.suspend = function() { globalThis.rested = true; return suspend.call(this); };
    } });
    await page.waitForFunction(() => document.documentElement.dataset.sound !== undefined);
    await page.click("#stage", { position: { x: 10, y: 300 } });
    await page.waitForFunction(() => globalThis.rested);
    server.say({ m: "a", a: "@Ann hello", p: person("bob"), t: Date.now(), id: "1" });
    await page.waitForFunction(() => globalThis.started === 2);
    await end();
  });

  test("a notice for ever stays, and none leaves a timer behind", async () => {
    const { server, page, end } = await open({}, { init: () => {
      globalThis.timers = new Set();
      const { setTimeout, clearTimeout } = globalThis;
      globalThis.setTimeout = (act, ms, ...more) => {
        const timer = setTimeout(act, ms, ...more);
        if (ms > 50_000) globalThis.timers.add(timer);
        return timer;
      };
      globalThis.clearTimeout = timer => { globalThis.timers.delete(timer); clearTimeout(timer); };
    } });
    for (let n = 0; n < 40; n++) server.say({ m: "notification", id: `n${n}`, text: `Number ${n}.`, duration: n % 2 ? 1e12 : 100_000 });
    await has(page, "#toasts", "Number 39.");
    await page.waitForTimeout(200);
    assert.equal(await page.locator(".toast").count(), 5);
    assert.equal(await page.evaluate(() => globalThis.timers.size), 5);
    await end();
  });

  test("a server whose clock says what is no time breaks no clock", async () => {
    // JSON can say 1e999, which is Infinity when it is read.
    const { server, page, end } = await open({ time: () => "ENDLESS" });
    await page.waitForTimeout(400);
    await page.focus("#piano");
    await page.keyboard.press("KeyC");
    await page.waitForTimeout(500);
    const [{ t }] = server.told.filter(({ m }) => m === "n");
    assert.ok(Math.abs(t - Date.now()) < 60_000, `${t}`);
    await end();
  });

  test("nothing was complained about on the console", () => assert.deepEqual(browser.complaints, []));
});
