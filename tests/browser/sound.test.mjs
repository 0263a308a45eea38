// What the instruments sound like: rendered in the browser, without a loudspeaker, and measured.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Browser, Server, skip } from "./kit.mjs";
import { client } from "./modules.mjs";

const { frequencyOf } = await client("net/notes.js");

const RATE = 44_100;

/** A second of a sine as a WAV file. */
function wave(frequency) {
  const bytes = Buffer.alloc(44 + 2 * RATE);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write("WAVEfmt ", 8);
  for (const [at, value] of [[16, 16], [24, RATE], [28, 2 * RATE], [40, 2 * RATE]]) bytes.writeUInt32LE(value, at);
  for (const [at, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) bytes.writeUInt16LE(value, at);
  bytes.write("data", 36);
  for (let n = 0; n < RATE; n++) bytes.writeInt16LE(Math.round(12_000 * Math.sin(2 * Math.PI * frequency * n / RATE)), 44 + 2 * n);
  return bytes;
}

describe("the sound", { skip }, () => {
  let server, browser, page;

  before(async () => {
    server = await Server.start();
    browser = await Browser.open();
    page = await browser.page(`${server.origin}/test%2Fsound`);
    await page.evaluate(lab);
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  for (const [name, layers] of [["piano", 3], ["electric", 3], ["harp", 2], ["guitar", 2], ["musicbox", 2], ["organ", 1]]) {
    test(`every key of the ${name} is in tune within 3 cents`, async () => {
      // Every key as it is played, from the tone that its bank would choose.
      const cents = await page.evaluate(([name, rate]) => globalThis.lab.tuning(name, rate), [name, RATE]);
      assert.equal(cents.length, 88 * layers);
      const worst = cents.reduce((most, found) => (Math.abs(found.cents) > Math.abs(most.cents) ? found : most));
      console.log(`sound: ${name} is at most ${worst.cents.toFixed(2)} cents off, on key ${worst.key}`);
      assert.ok(Math.abs(worst.cents) < 3, JSON.stringify(worst));
    });
  }

  test("60 voices at full strength do not clip", async () => {
    const { peak, rms, clipped } = await page.evaluate(rate => globalThis.lab.crowd(rate), RATE);
    console.log(`sound: 60 voices peak at ${peak.toFixed(3)}, ${(20 * Math.log10(rms)).toFixed(1)} dB RMS`);
    assert.ok(peak < 1 && peak > 0.3, String(peak));
    assert.equal(clipped, 0);
  });

  test("every key answers within 5 ms", async () => {
    const attacks = await page.evaluate(rate => globalThis.lab.attacks(rate), RATE);
    const slowest = attacks.reduce((most, found) => (found.ms > most.ms ? found : most));
    console.log(`sound: the slowest attack is ${slowest.ms.toFixed(2)} ms, of ${slowest.name} ${slowest.key}`);
    assert.ok(slowest.ms < 5, JSON.stringify(slowest));
  });

  test("a key that is let go falls silent", async () => {
    const levels = await page.evaluate(rate => globalThis.lab.releases(rate), RATE);
    for (const { name, key, before, after } of levels) {
      assert.ok(before > 1e-3, `${name} ${key} sounds before: ${before}`);
      assert.ok(after < before / 1000 && after < 1e-4, `${name} ${key} is silent after: ${after} of ${before}`);
    }
  });

  test("a harder stroke is louder and brighter", async () => {
    const [soft, hard] = await page.evaluate(rate => globalThis.lab.strokes(rate), RATE);
    assert.ok(hard.rms > 4 * soft.rms, `${soft.rms} ${hard.rms}`);
    assert.ok(hard.center > 1.3 * soft.center, `${soft.center} ${hard.center}`);
  });

  test("more notes than the limit end the oldest, without a click", async () => {
    const { voices, jump } = await page.evaluate(rate => globalThis.lab.limit(rate), RATE);
    assert.equal(voices, 8);
    assert.ok(jump < 0.25, `a step of ${jump}`);
  });

  test("a sample pack of the server is offered, loaded and played, its gaps filled", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tutti-sounds-"));
    await mkdir(join(folder, "Old <upright>"));
    await writeFile(join(folder, "Old <upright>", "c3.wav"), wave(frequencyOf(39)));
    await writeFile(join(folder, "Old <upright>", "c5.wav"), wave(frequencyOf(63)));
    await writeFile(join(folder, "Old <upright>", "c4.wav"), "no sound at all");
    const other = await Server.start("--sounds", folder);
    const player = await browser.join(`${other.origin}/test%2Fpacks`);
    const option = player.locator("#instrument option", { hasText: "Old <upright> (samples)" });
    await option.waitFor({ state: "attached" });
    const loads = Promise.all(["c3", "c5"].map(name => player.waitForResponse(answer => answer.url().endsWith(`${name}.wav`))));
    await player.selectOption("#instrument", "pack:Old <upright>");
    for (const answer of await loads) assert.equal(answer.headers()["content-type"], "audio/wav");
    const found = await player.evaluate(async () => {
      const { packs: [{ files }] } = await (await fetch("/sounds/index.json")).json();
      const { Bank } = await import("/sound/bank.js");
      const bank = Bank.loaded(files, new OfflineAudioContext(1, 1, 44100));
      await bank.complete;
      return [39, 45, 60].map(key => bank.find(key, 0.5).rate);
    });
    assert.deepEqual(found.map(rate => Math.round(12 * Math.log2(rate))), [0, 6, -3]);
    await player.focus("#piano");
    await player.keyboard.press("KeyC");
    await player.reload();
    await player.waitForFunction(() => document.getElementById("instrument").value === "pack:Old <upright>");
    // The others are there too, and each of them sounds.
    for (const name of ["organ", "harp", "guitar", "musicbox", "electric", "piano"]) {
      await player.evaluate(() => { document.documentElement.dataset.last = ""; });
      await player.selectOption("#instrument", name);
      await player.focus("#piano");
      await player.keyboard.press("KeyC");
      await player.waitForFunction(() => document.documentElement.dataset.last === "27");
    }
    await player.close();
    await other.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test("the page itself is playable before anybody has touched it", async () => {
    await page.waitForFunction(() => ["playable", "complete"].includes(document.documentElement.dataset.sound));
    assert.deepEqual(browser.complaints, []);
  });
});

// Runs in the page.
async function lab() {
  const { INSTRUMENTS } = await import("/sound/models.js");
  const { render } = await import("/sound/render.js");
  const { Bank } = await import("/sound/bank.js");
  const { Graph } = await import("/sound/graph.js");
  const { Voices } = await import("/sound/voices.js");
  const { frequencyOf } = await import("/net/notes.js");

  /** An instrument, all of it, rendered here. */
  const banks = {};
  const bankOf = async (name, rate) => {
    banks[name] ??= Bank.rendered(name, rate, async ({ instrument, key, layer }) => {
      const { layers, model } = INSTRUMENTS[instrument];
      return render(model(key, layers[layer]), rate);
    }, false, Promise.resolve());
    await banks[name].complete;
    return banks[name];
  };

  /** Plays notes through everything that notes go through in the page; mono. */
  async function play(name, notes, seconds, rate, { max = 96, setUp = () => {} } = {}) {
    const bank = await bankOf(name, rate);
    const context = new OfflineAudioContext(2, Math.ceil(seconds * rate), rate);
    const graph = new Graph(context);
    graph.output.connect(context.destination);
    graph.setVolume(1, 0);
    const voices = new Voices(context, graph);
    voices.max = max;
    setUp(voices);
    for (const { key, velocity, at, stop } of notes) {
      voices.start(bank.find(key, velocity), name, "me", key, velocity, at);
      if (stop !== undefined) voices.stop(name, "me", key, stop);
    }
    const count = voices.sounding(0.1).length;
    const sound = await context.startRendering();
    const [left, right] = [sound.getChannelData(0), sound.getChannelData(1)];
    return { left, right, mono: left.map((value, n) => (value + right[n]) / 2), count };
  }

  /** The exact frequency near a guess: the phase of the tone, in two windows, says how far it is off. */
  function frequencyNear(samples, guess, rate) {
    const length = Math.min(samples.length / 2, Math.round(rate * Math.min(0.9, Math.max(0.12, 60 / guess))));
    const phase = from => {
      let [re, im] = [0, 0];
      for (let n = 0; n < length; n++) {
        const x = n / (length - 1);
        // A window whose side lobes are 90 dB down, so that the other partials do not count.
        const window = 0.35875 - 0.48829 * Math.cos(2 * Math.PI * x) + 0.14128 * Math.cos(4 * Math.PI * x) - 0.01168 * Math.cos(6 * Math.PI * x);
        const angle = 2 * Math.PI * guess * (from + n) / rate;
        re += window * samples[from + n] * Math.cos(angle);
        im -= window * samples[from + n] * Math.sin(angle);
      }
      return Math.atan2(im, re);
    };
    const hop = Math.min(Math.round(length / 2), Math.round(rate / guess * 6), samples.length - length - 1);
    let turn = phase(hop) - phase(0);
    turn -= 2 * Math.PI * Math.round(turn / (2 * Math.PI));
    return guess + turn * rate / (2 * Math.PI * hop);
  }

  const rms = (samples, from, to) => Math.sqrt(samples.subarray(from, to).reduce((sum, value) => sum + value * value, 0) / (to - from));

  globalThis.lab = {
    async tuning(name, rate) {
      const bank = await bankOf(name, rate);
      const found = [];
      for (const hardness of INSTRUMENTS[name].layers) {
        for (let key = 0; key < 88; key++) {
          const { buffer, rate: speed } = bank.find(key, hardness);
          let samples = buffer.getChannelData(0);
          if (INSTRUMENTS[name].goesOn) {
            const once = samples;
            samples = Float32Array.from({ length: 2 * rate }, (_, n) => once[n % once.length]);
          }
          const wanted = frequencyOf(key);
          found.push({ key, hardness, cents: 1200 * Math.log2(frequencyNear(samples, wanted / speed, rate) * speed / wanted) });
        }
      }
      return found;
    },
    async crowd(rate) {
      const notes = Array.from({ length: 60 }, (_, n) => ({ key: 12 + n, velocity: 1, at: 0.01 }));
      const { left, right } = await play("piano", notes, 2, rate);
      const all = [...left, ...right];
      const peak = all.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      return { peak, rms: rms(left, 0, rate), clipped: all.filter(value => Math.abs(value) >= 1).length };
    },
    // From the stroke until half of the loudest moment of the first 30 ms, as a voice plays it. What comes after the
    // voices delays everything alike: the compressor looks 6 ms ahead.
    async attacks(rate) {
      const found = [];
      for (const name of Object.keys(INSTRUMENTS)) {
        const bank = await bankOf(name, rate);
        for (const velocity of [0.15, 0.6, 1]) {
          for (let key = 0; key < 88; key++) {
            const context = new OfflineAudioContext(1, Math.round(0.03 * rate), rate);
            const voices = new Voices(context, { input: () => context.destination });
            voices.start(bank.find(key, velocity), name, "me", key, velocity, 0);
            const samples = (await context.startRendering()).getChannelData(0);
            const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
            found.push({ name, key, velocity, ms: 1000 * samples.findIndex(value => Math.abs(value) >= peak / 2) / rate });
          }
        }
      }
      return found;
    },
    async releases(rate) {
      const found = [];
      for (const [name, { undamped }] of Object.entries(INSTRUMENTS)) {
        if (undamped) continue;
        for (const key of [3, 39, 80]) {
          const { left } = await play(name, [{ key, velocity: 0.8, at: 0, stop: 0.2 }], 4, rate);
          found.push({ name, key, before: rms(left, Math.round(0.1 * rate), Math.round(0.2 * rate)), after: rms(left, 3.5 * rate, 4 * rate) });
        }
      }
      return found;
    },
    async strokes(rate) {
      const found = [];
      for (const velocity of [0.2, 1]) {
        const { left } = await play("piano", [{ key: 39, velocity, at: 0 }], 0.5, rate);
        // Where the middle of the spectrum is: the size of the change from sample to sample against that of the sound.
        const change = left.map((value, n) => value - (left[n - 1] ?? 0));
        found.push({ rms: rms(left, 0, left.length), center: rms(change, 0, left.length) / rms(left, 0, left.length) });
      }
      return found;
    },
    async limit(rate) {
      const notes = Array.from({ length: 30 }, (_, n) => ({ key: 20 + n, velocity: 0.5, at: 0.05 }));
      const { left, count } = await play("piano", notes, 1, rate, { max: 8 });
      const jump = left.reduce((most, value, n) => Math.max(most, n ? Math.abs(value - left[n - 1]) : 0), 0);
      return { voices: count, jump };
    },
  };
}
