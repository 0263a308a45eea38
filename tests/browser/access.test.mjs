// The page for those who hear it, or who have no mouse: the rules of axe, the order of focus, less motion.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { Browser, has, rename, say, Server, shoot, shows, skip } from "./kit.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe("access", { skip }, () => {
  let server, browser;
  before(async () => {
    server = await Server.start();
    browser = await Browser.open();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Fails with what axe finds against WCAG 2.2 A and AA. */
  async function check(page, where) {
    const session = await page.context().newCDPSession(page);
    await session.send("Runtime.evaluate", { expression: axe });
    const found = await page.evaluate(async () => {
      // What is still fading in has other colours than those it will have.
      await Promise.all(document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime < 3000).map(({ finished }) => finished.catch(() => {})));
      const { violations } = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ""}`).slice(0, 3).join(" | ")}`);
    });
    assert.deepEqual(found, [], where);
  }

  for (const scheme of ["dark", "light"]) {
    test(`nothing is wrong by the rules, ${scheme}`, async () => {
      const page = await browser.join(`${server.origin}/Rules ${scheme}`, { colorScheme: scheme });
      const other = await browser.join(`${server.origin}/Rules ${scheme}`, { colorScheme: scheme });
      await rename(page, "Mira", "#57a8e8");
      await rename(other, "Ben", "#334455");
      await say(page, "hello @Ben, https://example.org/");
      await has(other, "#chat-log", "hello");
      await say(other, "hello @Mira");
      await has(page, "#chat-log .rings", "hello");
      await check(page, "the room");
      for (const [open, dialog] of [["#room", "#rooms"], ["#settings", "#preferences"], ["#help", "#help-dialog"], ["#files", "#files-dialog"], ["#midi", "#midi-dialog"]]) {
        await page.click(open);
        await page.waitForSelector(dialog);
        await check(page, dialog);
        await page.keyboard.press("Escape");
        await shows(page, dialog, 0);
      }
      for (const button of ["#room-new", "#room-set"]) {
        await page.click("#room");
        await page.click(button);
        await check(page, button);
        await page.keyboard.press("Escape");
      }
      await page.click("#people .me");
      await check(page, "the menu");
      await page.keyboard.press("Enter");
      await check(page, "the profile");
      await page.keyboard.press("Escape");
      await page.close();
      await other.close();
    });
  }

  test("focus goes through the page in its order, is seen, and comes back from dialogs", async () => {
    const page = await browser.join(`${server.origin}/Focus`);
    await page.evaluate(() => document.activeElement.blur());
    const order = [];
    for (let n = 0; n < 24; n++) {
      await page.keyboard.press("Tab");
      order.push(await page.evaluate(() => {
        const { id, className, parentElement, matches } = document.activeElement;
        if (id !== "piano" && !document.activeElement.matches(":focus-visible")) return `${id} unseen`;
        return id || parentElement.id || String(className) || String(matches);
      }));
      if (order.at(-1) === "piano") break;
    }
    const wanted = ["skip", "room", "person me", "status", "chat-toggle", "help", "settings", "chat-log", "chat-emoji", "chat-field", "chat-send", "instrument", "sustain", "octave", "mute", "volume", "record", "files", "midi", "piano"];
    const seen = order.map(name => (name.includes("person") ? "person me" : name)).filter(name => wanted.includes(name));
    assert.deepEqual([...new Set(seen)], wanted, order.join(" "));
    await page.focus("#settings");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#preferences");
    assert.equal(await page.evaluate(() => document.getElementById("preferences").contains(document.activeElement)), true);
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.id), "settings");
    // A menu by arrow keys.
    await page.focus("#people .me");
    await page.keyboard.press("Enter");
    await page.waitForSelector("[role=menu]");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#profile");
    await page.keyboard.press("Escape");
    await page.close();
  });

  test("chat by the keyboard alone, and back to the piano", async () => {
    const page = await browser.join(`${server.origin}/Keys`);
    await page.focus("#piano");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "chat-field");
    await page.keyboard.type("typed");
    await page.keyboard.press("Enter");
    await has(page, "#chat-log", "typed");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.id), "piano");
    await page.close();
  });

  test("with less motion nothing rises or glides", async () => {
    const page = await browser.join(`${server.origin}/Calm`, { reducedMotion: "reduce" });
    await page.focus("#piano");
    await page.keyboard.press("KeyC");
    await page.waitForTimeout(100);
    const drawn = await page.evaluate(() => {
      const canvas = document.getElementById("trails");
      return new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer).some(Boolean);
    });
    assert.equal(drawn, false);
    await page.close();
  });

  for (const [name, options] of Object.entries({
    "phone-portrait": { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true, deviceScaleFactor: 3 },
    "phone-landscape": { viewport: { width: 740, height: 360 }, hasTouch: true, isMobile: true, deviceScaleFactor: 3 },
    tablet: { viewport: { width: 820, height: 1180 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
    desktop: { viewport: { width: 1920, height: 1080 } },
    zoomed: { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 },
  })) {
    test(`everything fits: ${name}`, async () => {
      const page = await browser.join(`${server.origin}/Fits`, options);
      const found = await page.evaluate(() => {
        const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.documentElement;
        const piano = document.getElementById("piano").getBoundingClientRect();
        const outside = [...document.querySelectorAll("#top button, #bar button, #bar select")].filter(element => {
          if (!element.checkVisibility() || element.closest("#people")) return false;
          const { left, right, top, bottom } = element.getBoundingClientRect();
          return left < 0 || right > innerWidth + 1 || top < 0 || bottom > innerHeight + 1;
        }).map(({ id }) => id);
        return { sideways: scrollWidth > clientWidth, downwards: scrollHeight > clientHeight, outside, piano: Math.round(piano.bottom) <= innerHeight && piano.height >= 100 };
      });
      assert.deepEqual(found, { sideways: false, downwards: false, outside: [], piano: true });
      await shoot(page, `fits-${name}`);
      await page.close();
    });
  }

  test("nothing was complained about on the console", () => assert.deepEqual(browser.complaints, []));
});
