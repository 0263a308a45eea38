// Instruments that are plugged in, and songs in files: played, recorded, saved, read again.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { Browser, has, heard, hears, Server, shoot, skip } from "./kit.mjs";
import { client } from "./modules.mjs";

const { readSmf, writeSmf } = await client("midi/smf.js");

describe("MIDI", { skip }, () => {
  let server, browser, mira, ben;

  before(async () => {
    server = await Server.start();
    browser = await Browser.open();
    mira = await browser.join(`${server.origin}/Midi`, { init: mockMidi, acceptDownloads: true });
    ben = await browser.join(`${server.origin}/Midi`);
    await mira.click("#midi");
    await has(mira, "#midi-dialog", "Fake keyboard");
    await has(mira, "#midi-dialog", "Fake synth");
    await shoot(mira, "midi");
    await mira.keyboard.press("Escape");
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const play = (...messages) => mira.evaluate(messages => {
    for (const message of messages) globalThis.fake.play(message);
  }, messages);

  /** What others are sent from now on, in the order of their keys' times. */
  const listen = page => page.evaluate(() => {
    globalThis.caught = [];
    // The page's own reader of messages is asked, so this sees what it sees.
    if (globalThis.isCatching) return;
    globalThis.isCatching = true;
    const parse = JSON.parse;
    JSON.parse = (...args) => {
      const value = parse(...args);
      if (Array.isArray(value)) globalThis.caught.push(...value.filter(message => message?.m === "n").flatMap(({ n }) => n));
      return value;
    };
  });

  test("keys of a MIDI keyboard are played with their velocity, and end", async () => {
    await listen(ben);
    let before = await heard(ben);
    await play([0x90, 60, 127], [0x80, 60, 0]);
    await hears(ben, before, 39);
    await ben.waitForFunction(() => globalThis.caught.some(({ s }) => s));
    assert.deepEqual(await ben.evaluate(() => globalThis.caught.map(({ n, v, s }) => [n, v ?? null, s ?? 0])), [["c3", 1, 0], ["c3", null, 1]]);
  });

  test("its pedal holds notes, and its channel can be chosen", async () => {
    await listen(ben);
    await play([0xb0, 64, 127], [0x90, 62, 64], [0x80, 62, 0]);
    await ben.waitForFunction(() => globalThis.caught.length === 1);
    await play([0xb0, 64, 0]);
    await ben.waitForFunction(() => globalThis.caught.length === 2 && globalThis.caught[1].s === 1);
    await mira.click("#midi");
    await mira.selectOption("#midi-dialog select", "3");
    await mira.keyboard.press("Escape");
    await play([0x90, 64, 64], [0x80, 64, 0], [0x92, 65, 64], [0x82, 65, 0]);
    await ben.waitForFunction(() => globalThis.caught.length === 4);
    assert.equal(await ben.evaluate(() => globalThis.caught[2].n), "f3");
    await mira.click("#midi");
    await mira.selectOption("#midi-dialog select", "0");
    await mira.keyboard.press("Escape");
  });

  test("what is heard goes out to a synthesiser that is chosen", async () => {
    await mira.click("#midi");
    await mira.check("#midi-dialog [name=out1]");
    await mira.keyboard.press("Escape");
    await mira.evaluate(() => { globalThis.fake.sent.length = 0; });
    await ben.focus("#piano");
    await ben.keyboard.press("KeyC");
    await mira.waitForFunction(() => globalThis.fake.sent.length > 0);
    const [[status, key, velocity], at] = await mira.evaluate(() => globalThis.fake.sent[0]);
    assert.deepEqual([status, key], [0x90, 48]);
    assert.ok(velocity > 0 && at > 0);
  });

  test("a device that comes and goes is seen, and lets its keys go", async () => {
    await listen(ben);
    await mira.evaluate(() => globalThis.fake.plug("in2", "Second keyboard"));
    await has(mira, "#toasts", "Second keyboard is connected");
    await mira.evaluate(() => globalThis.fake.play([0x90, 67, 100], "in2"));
    await mira.evaluate(() => globalThis.fake.unplug("in2"));
    await has(mira, "#toasts", "Second keyboard was unplugged");
    await ben.waitForFunction(() => globalThis.caught.length === 2 && globalThis.caught[1].s === 1);
  });

  test("what is recorded is saved, and is what was played", async () => {
    await mira.click("#record");
    await mira.waitForFunction(() => document.getElementById("record-time").textContent !== "");
    for (const [key, wait] of [[60, 120], [64, 120], [67, 240]]) {
      await play([0x90, key, 80]);
      await mira.waitForTimeout(wait);
      await play([0x80, key, 0]);
    }
    // Another's note is heard a second later, and is recorded when it is heard.
    const before = await heard(mira);
    await ben.keyboard.press("KeyV");
    await hears(mira, before, 29);
    await mira.click("#record");
    await mira.waitForSelector("#files-dialog");
    await shoot(mira, "recorded");
    const waits = mira.waitForEvent("download");
    await mira.click("#save-recording");
    const download = await waits;
    assert.match(download.suggestedFilename(), /^tutti-.*\.mid$/);
    const bytes = await readFile(await download.path());
    const song = readSmf(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const starts = song.notes.filter(({ velocity }) => velocity > 0);
    assert.deepEqual(starts.map(({ key }) => key), [60, 64, 67, 50]);
    assert.equal(starts[0].at, 0);
    assert.equal(starts[0].velocity, 80);
    assert.ok(Math.abs(starts[1].at - 120) < 90, `the second came after ${starts[1].at} ms`);
    assert.deepEqual(new Set(starts.map(({ channel }) => channel)).size, 2, "a track for each player");
    await listen(ben);
    await mira.click("#play-recording");
    await ben.waitForFunction(() => globalThis.caught.filter(({ s }) => !s).length === 4);
    assert.deepEqual(await ben.evaluate(() => globalThis.caught.filter(({ s }) => !s).map(({ n }) => n).slice(0, 3)), ["c3", "e3", "g3"]);
  });

  test("a file is played into the room, shows how far it is, and is stopped", async () => {
    const notes = Array.from({ length: 60 }, (_, n) => [
      { at: n * 150, key: 60 + n % 12, velocity: 90 }, { at: n * 150 + 100, key: 60 + n % 12, velocity: 0 }]).flat();
    const before = await heard(ben);
    await mira.click("#files");
    await mira.setInputFiles("#midi-file", { name: "scale <i>.mid", mimeType: "audio/midi", buffer: Buffer.from(writeSmf([{ name: "x", notes }])) });
    await has(mira, "#song .name", "scale <i>.mid");
    await ben.waitForFunction(before => Number(document.documentElement.dataset.heard) >= before + 8, before);
    await shoot(mira, "song");
    const place = Number(await mira.inputValue("#song-place"));
    assert.ok(place > 0 && place < 1000);
    await mira.click("#song-pause");
    await mira.waitForTimeout(50);
    const paused = await mira.inputValue("#song-place");
    await mira.waitForTimeout(400);
    assert.equal(await mira.inputValue("#song-place"), paused);
    await mira.click("#song-pause");
    await mira.click("#song-stop");
    await mira.waitForSelector("#song", { state: "hidden" });
  });

  test("a song with more notes than the quota has is thinned, and never refused", async () => {

    await mira.evaluate(() => {
      globalThis.notices = [];
      new MutationObserver(() => globalThis.notices.push(document.getElementById("toasts").textContent))
        .observe(document.getElementById("toasts"), { childList: true });
    });
    // 3000 notes in four seconds, twice what a holder of the crown may play in all.
    const notes = Array.from({ length: 3000 }, (_, n) => [
      { at: n * 1.3, key: 30 + n % 60, velocity: 40 + n % 80 }, { at: n * 1.3 + 30, key: 30 + n % 60, velocity: 0 }]).flat();
    await mira.click("#files");
    await mira.setInputFiles("#midi-file", { name: "black.mid", mimeType: "audio/midi", buffer: Buffer.from(writeSmf([{ name: "x", notes }])) });
    await mira.waitForSelector("#song:not([hidden])");
    await mira.waitForFunction(() => Number(document.getElementById("quota").ariaValueNow) < 400);
    await shoot(mira, "quota-low");
    await mira.waitForSelector("#song", { state: "hidden" });
    const said = await mira.evaluate(() => globalThis.notices);
    assert.deepEqual(said.filter(text => /too fast/i.test(text)), []);
  });

  test("what is no MIDI file is refused in words", async () => {
    await mira.click("#files");
    await mira.setInputFiles("#midi-file", { name: "x.mid", mimeType: "audio/midi", buffer: Buffer.from("<html>") });
    await has(mira, "#toasts", "This is no MIDI file");
  });

  test("nothing was complained about on the console", () => assert.deepEqual(browser.complaints, []));
});

// Runs in the page before it: a browser with one keyboard and one synthesiser.
function mockMidi() {
  const access = new EventTarget();
  const port = (type, id, name) => ({
    type, id, name, manufacturer: "Fake", version: "1", state: "connected", onmidimessage: null,
    send: (bytes, at) => globalThis.fake.sent.push([[...bytes], at]),
  });
  access.inputs = new Map([["in1", port("input", "in1", "Fake keyboard")]]);
  access.outputs = new Map([["out1", port("output", "out1", "Fake synth")]]);
  const tell = changed => access.dispatchEvent(Object.assign(new Event("statechange"), { port: changed }));
  globalThis.fake = {
    sent: [],
    play: (message, id = "in1") => access.inputs.get(id)?.onmidimessage?.({ data: Uint8Array.from(message) }),
    plug(id, name) {
      const found = port("input", id, name);
      access.inputs.set(id, found);
      tell(found);
    },
    unplug(id) {
      const found = access.inputs.get(id);
      found.state = "disconnected";
      access.inputs.delete(id);
      tell(found);
    },
  };
  Object.defineProperty(navigator, "requestMIDIAccess", { value: async () => access });
}
