// Others' notes over a network that delivers them late and unevenly: their rhythm is as it was played.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Browser, skip } from "./kit.mjs";
import { person, room, stub } from "./stub.mjs";

const BEAT_MS = 120;
const BEATS = 24;
/** How late a message comes at most. */
const LATE_MS = 450;

describe("rhythm", { skip }, () => {
  let browser;
  before(async () => { browser = await Browser.open(); });
  after(async () => { await browser?.close(); });

  test("notes begin at even distances, however unevenly they come", async () => {
    // This server's clock is some hours off, which is no reason to be out of time.
    const clock = () => Date.now() + 12_345_678;
    let begin;
    const server = await stub(socket => {
      const send = (...messages) => socket.send(JSON.stringify(messages));
      send({ m: "hi", t: clock(), u: person("me") });
      send({ m: "ch", ch: room(), ppl: [person("me"), person("drummer")], p: "me" }, { m: "c", c: [] });
      socket.on("message", data => {
        for (const { m, e } of JSON.parse(data)) if (m === "t") send({ m: "t", t: clock(), e });
      });
      begin = () => {
        const from = clock() + 100;
        let seed = 5;
        for (let beat = 0; beat < BEATS; beat++) {
          seed = seed * 1103515245 + 12345 & 0x7fffffff;
          const at = from + beat * BEAT_MS;
          setTimeout(() => send({ m: "n", t: at, p: "drummer", n: [{ n: "c3", v: 0.5 }] }), at - clock() + (seed >> 8) % LATE_MS);
        }
      };
    });
    const page = await browser.page(server.url, { init: () => {
      globalThis.starts = [];
      const { start } = AudioBufferSourceNode.prototype;
      AudioBufferSourceNode.prototype.start = function (when, ...more) {
        globalThis.starts.push([when, performance.now()]);
        return start.call(this, when, ...more);
      };
    } });
    await page.waitForFunction(() => document.documentElement.dataset.state === "joined");
    await page.click("#stage", { position: { x: 10, y: 300 } });
    await page.waitForFunction(() => document.documentElement.dataset.sound === "complete");
    await page.waitForTimeout(1500);
    begin();
    await page.waitForFunction(beats => globalThis.starts.length >= beats, BEATS);
    const starts = await page.evaluate(() => globalThis.starts);
    // Late messages overtake none: what counts is when each note sounds, not when it came.
    const whens = starts.map(([when]) => when).sort((a, b) => a - b);
    const off = whens.map((when, beat) => 1000 * (when - whens[0]) - beat * BEAT_MS);
    const worst = off.reduce((most, ms) => Math.max(most, Math.abs(ms)), 0);
    const gaps = starts.slice(1).map(([, at], n) => at - starts[n][1]);
    console.log(`rhythm: messages came ${Math.min(...gaps).toFixed(0)} to ${Math.max(...gaps).toFixed(0)} ms apart, notes are at most ${worst.toFixed(1)} ms off the beat`);
    assert.ok(Math.max(...gaps) > BEAT_MS + 60, "the network was as bad as it was meant to be");
    assert.ok(worst < 20, off.map(ms => ms.toFixed(1)).join(" "));
    await page.close();
    server.close();
  });

  test("nothing was complained about on the console", () => assert.deepEqual(browser.complaints, []));
});
