// The notes of an instrument as buffers: rendered in a worker, or loaded from the server's sample packs.
//
// Every few keys one is made, and its neighbours play it a little faster or slower. They are made from coarse to fine,
// so that after the first handful every key sounds, and what is played meanwhile gets better as they come.

import { KEYS, KEY_OF } from "../net/notes.js";
import { INSTRUMENTS } from "./models.js";

/** @typedef {{ buffer: AudioBuffer, rate: number }} Found `rate`: how fast to play it */
/** @typedef {{ key: number, layer: number, buffer: AudioBuffer, stretch: number }} Tone */

/** How many notes are asked for before the first comes: enough that the worker never waits. */
const AHEAD = 3;

export class Bank {
  /** @type {(Tone | undefined)[][]} by layer and key */
  #tones = [];
  /** @type {number[]} */
  #layers;
  /** @type {Promise<void>} when all are there */
  complete;
  /** @type {Promise<void>} when every key sounds somehow */
  playable;
  isClosed = false;

  /** @param {number[]} layers hardness of each */
  constructor(layers) {
    this.#layers = layers;
    this.#tones = layers.map(() => Array(KEYS).fill(undefined));
    this.complete = this.playable = Promise.resolve();
  }

  /**
   * Renders an instrument.
   * @param {string} name @param {number} rate of the audio context
   * @param {(job: Omit<import("./worker.js").Job, "id">) => Promise<{ samples: Float32Array<ArrayBuffer>, stretch: number }>} ask
   * @param {boolean} small whether memory is scarce
   * @param {Promise<void>} begun when somebody is there to hear: until then only a handful is rendered
   */
  static rendered(name, rate, ask, small, begun) {
    const { layers, isRoot } = INSTRUMENTS[name];
    const bank = new Bank(layers);
    const { jobs, handful } = order(layers.length, key => isRoot(key) && (!small || key % 3 === 1 || key >= 84));
    /** @type {() => void} */
    let playable = () => {};
    bank.playable = new Promise(resolve => { playable = resolve; });
    const first = Math.min(jobs.length, 3);
    let [next, done] = [0, 0];
    const work = async () => {
      while (next < jobs.length && !bank.isClosed) {
        if (next >= handful) await begun;
        if (next >= jobs.length) return;
        const { key, layer } = jobs[next++];
        const { samples, stretch } = await ask({ instrument: name, key, layer, rate });
        const buffer = new AudioBuffer({ length: samples.length, sampleRate: rate });
        buffer.copyToChannel(samples, 0);
        bank.#tones[layer][key] = { key, layer, buffer, stretch };
        if (++done === first) playable();
      }
    };
    bank.complete = Promise.all(Array.from({ length: AHEAD }, work)).then(() => playable());
    return bank;
  }

  /**
   * Loads a sample pack; files that cannot be read are left out.
   * @param {Record<string, string>} files addresses by the keys' names @param {BaseAudioContext} context
   */
  static loaded(files, context) {
    const bank = new Bank([0.7]);
    const found = Object.entries(files).map(([name, url]) => ({ key: KEY_OF.get(name), url }))
      .filter(file => file.key !== undefined && typeof file.url === "string" && file.url.startsWith("/sounds/"));
    // The middle first.
    found.sort((a, b) => Math.abs(Number(a.key) - 39) - Math.abs(Number(b.key) - 39));
    let next = 0;
    const work = async () => {
      while (next < found.length && !bank.isClosed) {
        const { key, url } = found[next++];
        try {
          const answer = await fetch(url);
          if (!answer.ok) continue;
          const buffer = await context.decodeAudioData(await answer.arrayBuffer());
          bank.#tones[0][Number(key)] = { key: Number(key), layer: 0, buffer, stretch: 1 };
        } catch { /* The others still sound. */ }
      }
    };
    bank.complete = bank.playable = Promise.all(Array.from({ length: 4 }, work)).then(() => {});
    return bank;
  }

  /**
   * The best there is for a stroke; `null` as long as there is nothing.
   * @param {number} key @param {number} velocity 0 to 1
   * @returns {Found | null}
   */
  find(key, velocity) {
    const byLikeness = this.#layers.map((hardness, layer) => ({ layer, off: Math.abs(hardness - velocity) }))
      .sort((a, b) => a.off - b.off);
    /** @type {Tone | null} */
    let best = null;
    let distance = Infinity;
    for (const [rank, { layer }] of byLikeness.entries()) {
      const tone = this.#nearest(layer, key);
      // Another layer is better than a tone from far away.
      const off = tone ? Math.abs(tone.key - key) + 2.5 * rank : Infinity;
      if (off < distance) [best, distance] = [tone, off];
    }
    if (!best) return null;
    return { buffer: best.buffer, rate: best.stretch * 2 ** ((key - best.key) / 12) };
  }

  /** @param {number} layer @param {number} key */
  #nearest(layer, key) {
    const tones = this.#tones[layer];
    for (let off = 0; off < KEYS; off++) {
      const found = tones[key - off] ?? tones[key + off];
      if (found) return found;
    }
    return null;
  }
}

/**
 * All tones, coarse to fine, the middle of the keyboard and the middle layer first.
 * @param {number} layers @param {(key: number) => boolean} isRoot
 */
function order(layers, isRoot) {
  const roots = Array.from({ length: KEYS }, (_, key) => key).filter(isRoot);
  const middle = Math.min(1, layers - 1);
  const others = Array.from({ length: layers }, (_, layer) => layer).filter(layer => layer !== middle);
  const near = (/** @type {number} */ a, /** @type {number} */ b) => Math.abs(a - 42) - Math.abs(b - 42);
  const coarse = roots.filter((_, at) => at % 4 === 2).sort(near);
  const fine = roots.filter((_, at) => at % 4 !== 2).sort(near);
  const jobs = [
    ...[...coarse, ...fine].map(key => ({ key, layer: middle })),
    ...others.flatMap(layer => coarse.map(key => ({ key, layer }))),
    ...others.flatMap(layer => fine.map(key => ({ key, layer }))),
  ];
  return { jobs, handful: coarse.length };
}
