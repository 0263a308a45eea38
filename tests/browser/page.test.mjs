// The built-in page in a real browser: people meet, talk, play, rule their room, and survive a restart.
//
//   npm ci && TUTTI_BIN=../../target/debug/tutti npm test
//
// TUTTI_BIN names the server, CHROMIUM another browser than /usr/bin/chromium. Without a browser all is skipped.
// Pictures of the main states are kept in out/.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  Browser, has, heard, hears, joined, pick, pointOf, rename, say, Server, shoot, shows, skip,
} from "./kit.mjs";

describe("the built-in page", { skip }, () => {
  let server, browser, mira, ben, kit;
  const den = path => `${server.origin}${path ?? "/The%20den"}`;

  before(async () => {
    server = await Server.start();
    browser = await Browser.open();
    mira = await browser.join(den());
    ben = await browser.join(den(), { colorScheme: "light", viewport: { width: 1024, height: 768 } });
    kit = await browser.join(den(), { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  test("its headers let it load only itself", async () => {
    const { headers } = await fetch(den());
    assert.match(headers.get("content-security-policy"), /^default-src 'none';/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "same-origin");
    const etag = headers.get("etag");
    const again = await fetch(den("/app.js"));
    assert.match(again.headers.get("content-type"), /^text\/javascript/);
    const unchanged = await fetch(den(), { headers: { "If-None-Match": etag } });
    assert.equal(unchanged.status, 304);
  });

  test("people see each other, and who has the crown", async () => {
    for (const page of [mira, ben, kit]) {
      await shows(page, "#people li", 3);
      await shows(page, "#people li use[href='#i-crown']", 1);
      await has(page, "#room-count", "3");
    }
    await shows(mira, "#people .me use[href='#i-crown']", 1);
  });

  test("a new name is seen by all, and only as text", async () => {
    await rename(mira, "Mira <i>", "#57a8e8");
    await rename(ben, "Ben", "#f08a3c");
    await rename(kit, "Kit", "#9bc53d");
    for (const page of [mira, ben, kit]) {
      for (const name of ["Mira <i>", "Ben", "Kit"]) await has(page, "#people", name);
      await shows(page, "#people i", 0);
    }
    assert.equal(await ben.evaluate(() => getComputedStyle(document.querySelector("#people .person:not(.me)")).backgroundColor), "rgb(87, 168, 232)");
  });

  test("chat goes both ways, only as text, with links, replies and mentions", async () => {
    await say(mira, "hello <img src=x> @Ben https://example.org/x, read it");
    for (const page of [mira, ben]) {
      await has(page, "#chat-log", "hello <img src=x> @Ben https://example.org/x, read it");
      await shows(page, "#chat-log img", 0);
    }
    const link = ben.locator("#chat-log a");
    assert.equal(await link.getAttribute("href"), "https://example.org/x");
    assert.match(await link.getAttribute("rel"), /noopener/);
    await shows(ben, "#chat-log .rings", 1);
    await shows(mira, "#chat-log .rings", 0);
    // By keyboard alone: the last message is chosen, answered, and the answer rings.
    await ben.focus("#chat-field");
    await ben.keyboard.press("ArrowUp");
    await shows(ben, "#chat-log .chosen", 1);
    await ben.keyboard.press("Enter");
    await has(ben, "#chat-about", "Mira");
    await ben.keyboard.type("hello yourself :fire:");
    await ben.keyboard.press("Enter");
    await has(mira, "#chat-log .rings", "hello yourself 🔥");
    await has(mira, "#chat-log .rings .quote", "hello <img");
    await shoot(mira, "chat-dark");
    await shoot(ben, "chat-light");
  });

  test("chat is counted in UTF-16 units, and what is too long is kept back", async () => {
    await ben.fill("#chat-field", "🎹".repeat(256));
    await has(ben, "#chat-left", "0 left");
    await ben.fill("#chat-field", "🎹".repeat(256) + "x");
    await has(ben, "#chat-left", "1 too many");
    const lines = await ben.locator("#chat-log .line").count();
    await ben.press("#chat-field", "Enter");
    assert.equal(await ben.inputValue("#chat-field"), "🎹".repeat(256) + "x");
    assert.equal(await ben.locator("#chat-log .line").count(), lines);
    await ben.fill("#chat-field", "🎹".repeat(256));
    await ben.press("#chat-field", "Enter");
    await has(mira, "#chat-log", "🎹".repeat(256));
  });

  test("a direct message reaches one person only", async () => {
    await pick(mira, "Ben", "Write to");
    await say(mira, "psst");
    await has(ben, "#chat-log", "psst");
    await has(mira, "#chat-log", "psst");
    await has(ben, "#chat-log .only", "Mira <i> to Ben");
    assert.doesNotMatch(await kit.textContent("#chat-log"), /psst/);
    await mira.click("#chat-about button");
  });

  test("what is typed plays nothing", async () => {
    await mira.focus("#chat-field");
    const before = await heard(ben);
    await mira.keyboard.type("zxcv");
    assert.equal(await mira.inputValue("#chat-field"), "zxcv");
    await mira.fill("#chat-field", "");
    await mira.keyboard.press("Escape");
    await mira.keyboard.press("KeyC");
    await hears(ben, before, 27);
    assert.equal(await heard(ben), before + 1);
  });

  test("notes of keyboard, mouse and touch arrive, and a slide plays each key", async () => {
    await mira.focus("#piano");
    let before = await heard(ben);
    await mira.keyboard.press("KeyQ");
    await hears(ben, before, 36);
    before = await heard(ben);
    const gs4 = await pointOf(mira, 59);
    await mira.mouse.click(gs4.x, gs4.y);
    await hears(ben, before, 59);
    before = await heard(mira);
    await kit.click("#chat-toggle");
    await kit.locator("#piano").tap({ position: { x: 14, y: 150 } });
    await mira.waitForFunction(before => Number(document.documentElement.dataset.heard) > before, before);
    before = await heard(ben);
    const [from, to] = [await pointOf(mira, 39), await pointOf(mira, 51)];
    await mira.mouse.move(from.x, from.y);
    await mira.mouse.down();
    await mira.mouse.move(to.x, to.y, { steps: 30 });
    await mira.mouse.up();
    await ben.waitForFunction(before => Number(document.documentElement.dataset.heard) >= before + 8, before);
    await shoot(ben, "playing-light");
    await shoot(mira, "playing-dark");
    await shoot(kit, "phone-piano");
  });

  test("two fingers play two keys", async () => {
    const before = await heard(mira);
    const { x, y } = await kit.locator("#piano").boundingBox();
    const touch = await kit.context().newCDPSession(kit);
    const points = [{ x: x + 20, y: y + 150, id: 1 }, { x: x + 200, y: y + 150, id: 2 }];
    await touch.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: points });
    await touch.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: [points[0], { ...points[1], x: points[1].x + 45 }] });
    await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    await mira.waitForFunction(before => Number(document.documentElement.dataset.heard) >= before + 3, before);
  });

  test("the phone moves along the keyboard", async () => {
    const seen = () => kit.getAttribute("#minimap", "aria-valuenow");
    assert.equal(await kit.isVisible("#minimap"), true);
    const before = await seen();
    await kit.focus("#minimap");
    await kit.keyboard.press("PageUp");
    assert.equal(Number(await seen()), Number(before) + 7);
    await kit.locator("#minimap").tap({ position: { x: 5, y: 8 } });
    assert.equal(await seen(), "0");
    assert.equal(await mira.isVisible("#minimap"), false);
  });

  test("layouts, octaves and sustain follow the keys", async () => {
    await mira.focus("#piano");
    await mira.keyboard.press("ArrowRight");
    await has(mira, "#octave output", "C4");
    let before = await heard(ben);
    await mira.keyboard.press("KeyC");
    await hears(ben, before, 39);
    await mira.keyboard.press("ArrowLeft");
    await mira.click("#settings");
    await mira.selectOption("#preferences select >> nth=0", "fromC");
    await mira.keyboard.press("Escape");
    await mira.focus("#piano");
    before = await heard(ben);
    await mira.keyboard.press("KeyZ");
    await hears(ben, before, 27);
    // A QWERTZ keyboard sends the same code for the key at that place, whatever is printed there.
    before = await heard(ben);
    await mira.evaluate(() => {
      for (const type of ["keydown", "keyup"]) document.body.dispatchEvent(new KeyboardEvent(type, { code: "KeyZ", key: "y", bubbles: true }));
    });
    await hears(ben, before, 27);
    await mira.keyboard.press("Backspace");
    assert.equal(await mira.getAttribute("#sustain", "aria-pressed"), "false");
    await mira.keyboard.press("Backspace");
    assert.equal(await mira.getAttribute("#sustain", "aria-pressed"), "true");
    // A button that was clicked does not take the pedal away.
    await mira.click("#sustain");
    await mira.keyboard.down("Space");
    await shows(mira, "#sustain[data-pedal]", 1);
    await mira.keyboard.up("Space");
    assert.equal(await mira.getAttribute("#sustain", "aria-pressed"), "false");
    await mira.click("#sustain");
  });

  test("what is set is kept, and how far the server is can be read", async () => {
    assert.match(await mira.getAttribute("#status", "aria-label"), /^Connected\. \d+ ms away, [\d.]+ ms of jitter\.$/);
    await kit.click("#settings");
    await kit.selectOption("#preferences select >> nth=1", "light");
    await kit.check("#preferences [name=names]");
    await kit.keyboard.press("Escape");
    await shows(kit, "[data-theme=light]", 1);
    await kit.reload();
    await joined(kit, "The den");
    await shows(kit, "[data-theme=light]", 1);
    await has(kit, "#people .me", "Kit");
    await shoot(kit, "phone-light");
    await kit.click("#settings");
    await kit.click("#preferences .danger");
    await shows(kit, "[data-theme=dark]", 1);
    // A reload on a phone begins with the chat as it was at first.
    await kit.evaluate(() => { if (document.documentElement.dataset.chat === "open") document.getElementById("chat-toggle").click(); });
  });

  test("the cursor of another is shown where it is", async () => {
    await mira.mouse.move(640, 200);
    await mira.mouse.move(640, 400, { steps: 4 });
    await ben.waitForFunction(() => [...document.querySelectorAll(".cursor:not([hidden])")]
      .some(({ style, textContent }) => textContent === "Mira <i>" && style.transform === "translate(512px, 384px)"));
  });

  test("who is muted is not heard and not read", async () => {
    await pick(ben, "Mira", "Mute notes");
    await pick(ben, "Mira", "Mute chat");
    await shows(ben, "#people .muted", 1);
    const before = await heard(ben);
    await mira.focus("#piano");
    await mira.keyboard.press("KeyZ");
    await say(mira, "can anybody hear me");
    await has(ben, "#chat-log .line:last-child", "can anybody hear me");
    assert.equal(await ben.isHidden("#chat-log .line:last-child"), true);
    await say(ben, "I do not");
    await has(mira, "#chat-log", "I do not");
    assert.equal(await heard(ben), before);
    await pick(ben, "Mira", "Mute notes");
    await pick(ben, "Mira", "Mute chat");
    assert.equal(await ben.isVisible("#chat-log .line:nth-last-child(2)"), true);
  });

  test("the quota bar counts each note, and refills", async () => {
    const left = () => mira.getAttribute("#quota", "aria-valuenow").then(Number);
    await mira.waitForFunction(() => {
      const bar = document.getElementById("quota");
      return bar.ariaValueNow === "1800" && bar.ariaValueMax === "1800";
    });
    await mira.focus("#piano");
    for (let n = 0; n < 5; n++) await mira.keyboard.press("KeyQ");
    assert.equal(await left(), 1795);
    await mira.waitForFunction(() => document.getElementById("quota").ariaValueNow === "1800");
  });

  test("settings of the room reach everybody", async () => {
    await mira.click("#room");
    await mira.click("#room-set");
    await mira.fill("#room-form [name=color]", "#204060");
    await mira.check("#room-form [name=crownsolo]");
    await mira.uncheck("#room-form [name=chat]");
    await shoot(mira, "room-settings");
    await mira.click("#room-form [type=submit]");
    await ben.waitForFunction(() => document.documentElement.style.getPropertyValue("--room") === "#204060");
    await shows(ben, "#room-marks svg", 2);
    assert.equal(await ben.isDisabled("#chat-field"), true);
    // Only the crown plays now.
    const before = await heard(mira);
    await ben.focus("#piano");
    await ben.keyboard.press("KeyQ");
    await has(ben, "#toasts", "Only who has the crown");
    assert.equal(await heard(mira), before);
    await shoot(ben, "crown-solo");
    await mira.click("#room");
    await mira.click("#room-set");
    await mira.uncheck("#room-form [name=crownsolo]");
    await mira.check("#room-form [name=chat]");
    await mira.click("#room-form [type=submit]");
    await ben.waitForFunction(() => !document.getElementById("chat-field").disabled);
  });

  test("the crown is given, laid down, and taken by its last holder", async () => {
    await pick(mira, "Ben", "Give the crown");
    await shows(ben, "#people .me use[href='#i-crown']", 1);
    await has(ben, "#toasts", "You have the crown");
    await ben.click("#people .me");
    await ben.click("[role=menu] button:has-text('Lay the crown down')");
    await mira.waitForSelector("#crown:not([hidden])");
    assert.equal(await mira.isDisabled("#crown"), true, "for others it is free after 15 s");
    assert.match(await mira.textContent("#crown"), /\d/);
    await mira.waitForTimeout(2100);
    await shoot(mira, "crown-lies");
    // The way down is animated; it is there to be clicked all the time.
    await ben.dispatchEvent("#crown", "click");
    await shows(ben, "#people .me use[href='#i-crown']", 1);
    await mira.waitForSelector("#crown", { state: "hidden" });
    await pick(ben, "Mira", "Give the crown");
    await shows(mira, "#people .me use[href='#i-crown']", 1);
  });

  test("rooms are listed, searched, opened and switched, also by the history", async () => {
    await ben.click("#room");
    await has(ben, "#rooms-list", "The den");
    await ben.fill("#room-search", "den");
    await shows(ben, "#rooms-list a", 1);
    await shoot(ben, "rooms-light");
    await ben.fill("#room-search", "test/other");
    await ben.press("#room-search", "Enter");
    await joined(ben, "test/other");
    assert.equal(new URL(ben.url()).pathname, "/test%2Fother");
    await shows(mira, "#people li", 2);
    await shows(ben, "#people li", 1);
    await mira.click("#room");
    await has(mira, "#rooms-list", "test/other");
    await has(mira, "#rooms-list a[aria-current]", "The den");
    await shoot(mira, "rooms-dark");
    // The open list follows.
    await has(mira, "#rooms-list a[aria-current] .count", "2 people");
    await ben.goBack();
    await joined(ben, "The den");
    await has(mira, "#rooms-list a[aria-current] .count", "3 people");
    await mira.click("#room-share");
    await has(mira, "#toasts", "ink");
    assert.match(await mira.textContent("#toasts"), /Link copied|Copy this link: http.*\/The%20den/);
    await shows(mira, "#people li", 3);
    await has(ben, "#chat-log", "I do not");
    await ben.goForward();
    await joined(ben, "test/other");
    await ben.click("#room");
    await ben.click("#room-alone");
    await ben.waitForFunction(() => document.documentElement.dataset.room.startsWith("Play alone "));
    await shows(ben, "#room-marks svg", 1);
    await shoot(ben, "alone-light");
    await ben.click("#room");
    await ben.click("#room-new");
    await ben.fill("#new-room-name", "Blue hour");
    await ben.fill("#room-form [name=color]", "#3050a0");
    await ben.fill("#room-form [name=limit]", "7");
    await ben.click("#room-form [type=submit]");
    await joined(ben, "Blue hour");
    assert.equal(await ben.evaluate(() => document.documentElement.style.getPropertyValue("--room")), "#3050a0");
    await ben.goto(den());
    await joined(ben, "The den");
  });

  test("unread messages are counted in the title", async () => {
    await kit.waitForSelector("#chat", { state: "hidden" });
    const title = await kit.title();
    await say(mira, "one, @Kit");
    await kit.waitForFunction(() => /^\(\d+\) The den/.test(document.title));
    await shows(kit, "#unread.rings", 1);
    await kit.click("#chat-toggle");
    await has(kit, "#chat-log", "one, @Kit");
    await say(kit, "here I am");
    await has(mira, "#chat-log", "here I am");
    await kit.waitForFunction(() => document.title.startsWith("The den"));
    await shoot(kit, "phone-chat");
    assert.match(title, /The den/);
  });

  test("who is kicked is told, and cannot come back yet", async () => {
    await pick(mira, "Kit", "Kick and ban");
    await shoot(mira, "kick");
    await mira.selectOption("#kick-minutes", "1");
    await mira.click("#kick [type=submit]");
    await joined(kit, "test/awkward");
    await kit.waitForSelector("#toasts .toast");
    await shoot(kit, "phone-kicked");
    await shows(mira, "#people li", 2);
    await kit.goto(den());
    await joined(kit, "test/awkward");
    // Who is gone is reached by what they said.
    await mira.click("#chat-log .who:has-text('Kit')");
    await mira.click("[role=menu] button:has-text('Lift the ban')");
    await mira.waitForSelector("#toasts .toast");
    await kit.goto(den());
    await joined(kit, "The den");
    await kit.close();
    await shows(mira, "#people li", 2);
  });

  test("after a restart all are back in their room, with their names, and play", async () => {
    const complaintsBefore = browser.complaints.length;
    await server.stop();
    for (const page of [mira, ben]) {
      await page.waitForSelector("#banner:not([hidden])");
      await has(page, "#banner", "Trying again in");
      await shows(page, "#people li", 0);
    }
    await shoot(mira, "reconnecting");
    // Alone it goes on sounding.
    await mira.focus("#piano");
    await mira.keyboard.press("KeyQ");
    await mira.waitForFunction(() => document.documentElement.dataset.last !== undefined);
    await server.launch();
    for (const page of [mira, ben]) {
      // It may be back before it is asked to.
      await page.click("#banner button", { timeout: 300 }).catch(() => {});
      await joined(page, "The den");
      await page.waitForSelector("#banner", { state: "hidden" });
      await has(page, "#people", "Mira <i>");
      await has(page, "#people", "Ben");
    }
    await say(ben, "back again");
    await has(mira, "#chat-log", "back again");
    const before = await heard(ben);
    await mira.focus("#piano");
    await mira.keyboard.press("KeyZ");
    await hears(ben, before, 27);
    // Browsers themselves report each attempt to reach a server that is not there.
    const others = browser.complaints.splice(complaintsBefore).filter(text => !text.includes("net::ERR_CONNECTION_"));
    assert.deepEqual(others, []);
  });

  test("nothing was complained about on the console", () => assert.deepEqual(browser.complaints, []));
});
