// A hostile server, and hostile people: whatever they say is text, and nothing that they send breaks the page.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Browser, has, say, Server, shoot, shows, skip } from "./kit.mjs";
import { person, room, stub } from "./stub.mjs";

const EVIL = "<img src=x onerror=globalThis.pwned=1><script>globalThis.pwned=1</script>\u202e\u0000\u0007&lt;b&gt;";

const greet = socket => {
  const send = (...messages) => socket.send(JSON.stringify(messages));
  send({ m: "hi", t: Date.now(), u: person("me"), motd: EVIL });
  send({ m: "ch", ch: room(), ppl: [person("me"), person("evil", { name: EVIL, color: "red;background:url(//x)", tag: { text: EVIL, color: EVIL } })], p: "me" },
    { m: "c", c: [] }, { m: "nq", allowance: 400, max: 1200, maxHistLen: 3 });
  return send;
};

describe("hostility", { skip }, () => {
  let browser;
  before(async () => { browser = await Browser.open(); });
  after(async () => { await browser?.close(); });

  test("a hostile server changes nothing but text", async () => {
    const server = await stub(socket => {
      const send = greet(socket);
      send({ m: "a", a: EVIL, p: person("evil", { name: EVIL }), t: 1e99, id: "\"]<x>", r: "\\" },
        { m: "dm", a: EVIL, sender: person("evil", { name: EVIL }), recipient: person("me"), t: "never" },
        { m: "notification", id: "x\"] , body", title: EVIL, text: EVIL, class: EVIL, target: "body", duration: -1 },
        { m: "notification", id: "html", html: `${EVIL}<b>bold</b><iframe src="//x"></iframe>`, duration: -1 },
        { m: "ls", c: true, u: [room({ _id: EVIL, count: 3 }), room({ _id: "javascript:alert(1)", count: 2 })] },
        { m: "m", id: "evil", x: "calc(1px)", y: "url(x)" });
      socket.on("message", () => {});
    });
    const page = await browser.page(server.url);
    await has(page, "#toasts", "bold");
    await page.click("#room");
    await has(page, "#rooms-list", "javascript:alert(1)");
    const found = await page.evaluate(() => ({
      pwned: "pwned" in globalThis,
      foreign: document.querySelectorAll("img:not(#logo), iframe, script:not([src]), b b, #people b, [onerror], [style*=url]").length,
      links: [...document.querySelectorAll("a[href]")].map(({ protocol }) => protocol).filter(protocol => !protocol.startsWith("http")),
      text: document.querySelector("#chat-log").textContent,
      controls: /[\u0000\u0007\u202e]/.test(document.body.textContent),
      color: document.querySelector(".person:not(.me)").style.getPropertyValue("--by"),
    }));
    assert.deepEqual({ ...found, text: "" }, { pwned: false, foreign: 0, links: [], text: "", controls: false, color: "#777777" });
    assert.match(found.text, /<img src=x onerror/);
    await shoot(page, "hostile");
    await page.close();
    server.close();
  });

  test("junk of every shape is passed over", async () => {
    const shapes = [null, true, 5, -1e308, "x", "", [], [null], {}, { m: 5 }, { length: 1e9 }];
    const names = ["hi", "ch", "p", "bye", "m", "n", "a", "c", "dm", "nq", "ls", "notification", "t", "custom", "b", "constructor", "__proto__", "toString"];
    const fields = ["u", "ch", "ppl", "p", "n", "t", "a", "c", "x", "y", "id", "_id", "settings", "crown", "e", "duration", "allowance", "motd", "token"];
    const server = await stub(socket => {
      const send = greet(socket);
      for (const text of ["", "{", "null", "5", "\"x\"", "[[[[", "[{\"m\":\"ch\"}]", "[1,null,{}]"]) socket.send(text);
      for (const m of names) {
        for (const shape of shapes) send({ m, ...Object.fromEntries(fields.map(field => [field, shape])) });
        for (const field of fields) for (const shape of shapes) send({ m, id: "q", [field]: shape });
      }
      for (const length of [0, 1, 4, 5, 40]) socket.send(Buffer.alloc(length, 7));
      send({ m: "n", t: Date.now(), p: "me", n: [{ n: "c4", v: { valueOf: 1 }, d: [] }] });
      send({ m: "ch", ch: room({ _id: "still here", crown: { time: 0 } }), ppl: [person("me")], p: "me" }, { m: "c", c: [] });
      send({ m: "a", a: "the end", p: person("me"), t: Date.now() });
    });
    const page = await browser.page(server.url);
    await has(page, "#chat-log", "the end");
    await has(page, "#room-name", "still here");
    await page.close();
    server.close();
  });

  test("who is banned, or here too often, or not let in, is told on a page of its own", async () => {
    for (const [code, words, name] of [[4008, "You are banned", "banned"], [4009, "too often", "too-many"], [4003, "cannot be reached", "full"]]) {
      let tries = 0;
      const server = await stub(socket => { tries++; socket.close(code, "no"); });
      // Waiting takes its time; the clock of the page is wound on.
      const page = await browser.page(server.url);
      if (name === "full") {
        await page.waitForSelector("#banner:not([hidden])");
        await page.click("#banner button");
      }
      await page.waitForSelector("#card:not([hidden])");
      await has(page, "#card", words);
      await shoot(page, name);
      const before = tries;
      await page.waitForTimeout(1500);
      if (name !== "full") assert.equal(tries, before, "it does not come back by itself");
      // Alone, everything still plays.
      await page.click("#card button:last-child");
      await page.focus("#piano");
      await page.keyboard.press("KeyC");
      await page.waitForFunction(() => document.documentElement.dataset.last === "27");
      await page.close();
      server.close();
    }
  });

  test("a person full of markup is text to others", async () => {
    const server = await Server.start();
    const [ann, eve] = [await browser.join(`${server.origin}/x`), await browser.join(`${server.origin}/x`)];
    await eve.click("#people .me");
    await eve.click("[role=menuitem] >> nth=0");
    await eve.fill("#my-name", "<b onclick=x>\u202eEve");
    await eve.press("#my-name", "Enter");
    await has(ann, "#people", "<b onclick=x>Eve");
    await say(eve, EVIL);
    await has(ann, "#chat-log", "<img src=x onerror");
    await shows(ann, "#people b, #chat-log img, #chat-log script", 0);
    assert.equal(await ann.evaluate(() => "pwned" in globalThis), false);
    await ann.close();
    await eve.close();
    await server.stop();
  });

  test("nothing was complained about on the console", () => {
    const own = browser.complaints.filter(text => !text.includes("WebSocket connection"));
    assert.deepEqual(own, []);
  });
});
