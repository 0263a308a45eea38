// The page and a bot of an existing library, in one room: each hears and sees the other, over text and over binary.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { Browser, has, heard, hears, pick, rename, say, Server, shows, skip, STAFF, WAIT_MS } from "./kit.mjs";

const Client = createRequire(import.meta.url)("mppclone-client");

describe("the page and mppclone-client", { skip }, () => {
  let server, browser, page, bot;
  const events = [];

  /** Waits for something that the bot is told. */
  async function told(name, fits) {
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await new Promise(resolve => setTimeout(resolve, 20))) {
      const found = events.find(([event, value]) => event === name && fits(value));
      if (found) return found[1];
    }
    throw new Error(`the bot was not told ${name}: ${JSON.stringify(events.slice(-20))}`);
  }

  before(async () => {
    server = await Server.start();
    browser = await Browser.open();
    page = await browser.join(`${server.origin}/Meeting`);
    bot = new Client(`ws://127.0.0.1:${server.port}/`);
    for (const name of ["a", "n", "m", "ch", "dm", "notification", "participant update", "participant added"]) {
      bot.on(name, value => events.push([name, structuredClone(value)]));
    }
    bot.setChannel("Meeting");
    bot.start();
    await told("ch", ({ ch }) => ch._id === "Meeting");
  });

  after(async () => {
    bot?.stop();
    await browser?.close();
    await server?.stop();
  });

  test("they see each other's names", async () => {
    await shows(page, "#people li", 2);
    bot.sendArray([{ m: "userset", set: { name: "Bot", color: "#ff00ff" } }]);
    await has(page, "#people", "Bot");
    await rename(page, "Mira");
    await told("participant update", ({ name }) => name === "Mira");
  });

  test("they talk, and answer", async () => {
    await say(page, "hello bot");
    const heardLine = await told("a", ({ a }) => a === "hello bot");
    bot.sendArray([{ m: "a", message: "hello @Mira", reply_to: heardLine.id }]);
    await has(page, "#chat-log .rings", "hello @Mira");
    await has(page, "#chat-log .quote", "hello bot");
    await pick(page, "Bot", "Write to");
    await say(page, "between us");
    await told("dm", ({ a }) => a === "between us");
    await page.click("#chat-about button");
  });

  for (const isBinary of [false, true]) {
    test(`they play and move, the page in ${isBinary ? "binary" : "text"}`, async () => {
      if (isBinary) {
        await page.click("#settings");
        await page.check("#preferences [name=binary]");
        await page.waitForFunction(() => [...document.querySelectorAll("#preferences output")].some(({ textContent }) => textContent === "in use"));
        await page.keyboard.press("Escape");
      }
      events.length = 0;
      await page.focus("#piano");
      await page.keyboard.press("KeyC");
      const { n, t } = await told("n", ({ n }) => n.length > 0);
      assert.deepEqual([n[0].n, n[0].v, n[0].s ?? 0], ["c2", 0.62, 0]);
      assert.ok(Math.abs(t - Date.now()) < 3000);
      const before = await heard(page);
      bot.startNote("e4", 0.8);
      bot.stopNote("e4");
      await hears(page, before, 55);
      await page.mouse.move(640, isBinary ? 200 : 400);
      const { x, y } = await told("m", ({ y }) => Math.abs(Number(y) - (isBinary ? 25 : 50)) < 0.1);
      assert.ok(Math.abs(Number(x) - 50) < 0.1, `${x} ${y}`);
      bot.sendArray([{ m: "m", x: "25.00", y: isBinary ? "50.00" : "75.00" }]);
      await page.waitForFunction(y => document.querySelector(".cursor")?.style.transform === `translate(320px, ${y}px)`, isBinary ? 400 : 600);
    });
  }

  test("bytes a note are measured in both dialects", async () => {
    const { encodeNotes } = await import("./modules.mjs").then(({ client }) => client("net/quick.js"));
    // A bar as people play it: chords and runs, starts and ends, in batches of 200 ms.
    const batch = Array.from({ length: 12 }, (_, n) => ({ n: ["c4", "ds4", "g4", "as3"][n % 4], ...(n % 2 ? { s: 1 } : { v: Math.round(618 + n * 7) / 1000 }), ...(n && { d: n * 16 }) }));
    const text = JSON.stringify([{ m: "n", t: 1700000000000, n: batch }]).length / batch.length;
    const binary = encodeNotes(1700000000000, batch).length / batch.length;
    console.log(`cost: a note takes ${text.toFixed(1)} bytes as text, ${binary.toFixed(1)} in the quick dialect`);
    assert.ok(text < 40 && binary < 40);
  });

  test("the crown goes to the bot and back", async () => {
    await pick(page, "Bot", "Give the crown");
    await told("ch", ({ ch, p }) => ch.crown?.participantId === p);
    await shows(page, "#people .me use[href='#i-crown']", 0);
    bot.sendArray([{ m: "chset", set: { color: "#123456" } }]);
    await page.waitForFunction(() => document.documentElement.style.getPropertyValue("--room") === "#123456");
  });

  test("tags and notices of the staff are shown, as text", async () => {
    // The quick dialect has no place for tags.
    await page.click("#settings");
    await page.uncheck("#preferences [name=binary]");
    await page.keyboard.press("Escape");
    const staff = msg => bot.sendArray([{ m: "admin message", password: STAFF, msg }]);
    const { _id } = Object.values(bot.ppl).find(({ name }) => name === "Mira");
    staff({ m: "tag", _id, tag: { text: "<b>VIP", color: "#ffcc00" } });
    await has(page, "#people .me .tag", "<b>VIP");
    staff({ m: "notification", targetChannel: "all", title: "Notice <i>", text: "Restart at noon", duration: 20_000 });
    await has(page, "#toasts", "Notice <i>");
    await shows(page, "#toasts i, .tag b", 0);
  });

  test("nothing was complained about on the console", () => assert.deepEqual(browser.complaints, []));
});
