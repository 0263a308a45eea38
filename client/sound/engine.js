// Sound: the browser's audio, the instrument that was chosen, and notes at the moments they are meant for.

import { Bank } from "./bank.js";
import { Graph } from "./graph.js";
import { Voices } from "./voices.js";
import { INSTRUMENTS } from "./models.js";

/** After so long without a note the audio thread rests; waking it takes some hundredths of a second. */
const REST_MS = 20_000;
/** How fast what is known of the audio's clock becomes old, in seconds a second: more than clocks drift. */
const DRIFT = 0.0002;
/** Notes that would sound later than this are of some broken clock. */
const AHEAD_MAX_S = 10;

export class Engine {
  instrument = "piano";
  /** Whether somebody has clicked or typed, before which browsers let no sound out. */
  hasGesture = false;
  /** @type {() => void} */
  #begin = () => {};
  /** @type {Promise<void>} */
  #begun = new Promise(resolve => { this.#begin = resolve; });
  #context;
  #graph;
  #voices;
  /** @type {Map<string, Bank>} */
  #banks = new Map();
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, (made: { samples: Float32Array<ArrayBuffer>, stretch: number }) => void>} */
  #waiting = new Map();
  #nextJob = 0;
  /** How far the audio's clock is ahead of the page's, in seconds, and when that was read. */
  #ahead = -Infinity;
  #readAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #rest;
  /** @type {Record<string, Record<string, string>>} files of the server's sample packs */
  #packs = {};

  constructor() {
    this.#context = new AudioContext({ latencyHint: "interactive" });
    this.#graph = new Graph(this.#context);
    this.#graph.output.connect(this.#context.destination);
    this.#voices = new Voices(this.#context, this.#graph);
    this.choose("piano");
  }

  /** Whether the browser lets sound out. */
  get isAwake() { return this.#context.state === "running"; }

  get voices() { return this.#voices.count; }

  /** Own notes are heard this long after they are played, as far as the browser knows; in ms. */
  get outputLatency() { return 1000 * (this.#context.baseLatency + (this.#context.outputLatency || 0)); }

  /** When every key sounds, and when all are as good as they get. */
  get playable() { return this.#bank.playable; }

  get complete() { return this.#bank.complete; }

  /** Browsers allow sound only after a gesture, so this is called from one. */
  wake() {
    this.hasGesture = true;
    this.#begin();
    if (this.#context.state !== "running") void this.#context.resume();
    this.#stayAwake();
  }

  /** @param {string} name of an instrument, or `pack:` and the name of a sample pack */
  choose(name) {
    const isPack = name.startsWith("pack:") && this.#packs[name.slice(5)];
    if (!isPack && !INSTRUMENTS[name]) name = "piano";
    this.instrument = name;
    if (this.#banks.has(name)) return;
    // One instrument is kept beside the piano: each takes some 20 to 80 MB.
    for (const [other, bank] of this.#banks) {
      if (other === "piano") continue;
      bank.isClosed = true;
      this.#banks.delete(other);
    }
    this.#banks.set(name, isPack ? Bank.loaded(isPack, this.#context)
      : Bank.rendered(name, this.#context.sampleRate, job => this.#ask(job), hasLittleMemory(), this.#begun));
  }

  /** Learns which sample packs the server has. @returns {Promise<string[]>} their names */
  async findPacks() {
    try {
      const answer = await fetch("/sounds/index.json");
      if (!answer.ok || !answer.headers.get("content-type")?.includes("json")) return [];
      const { packs } = await answer.json();
      for (const { name, files } of packs) {
        if (typeof name === "string" && files && typeof files === "object") this.#packs[name] = files;
      }
    } catch { /* Then there are none. */ }
    return Object.keys(this.#packs);
  }

  /**
   * @param {string} by who plays @param {number} key 0 to 87 @param {number} velocity 0 to 1
   * @param {number} delay in seconds
   */
  start(by, key, velocity, delay) {
    if (velocity <= 0 || !this.hasGesture || delay > AHEAD_MAX_S) return;
    if (!this.isAwake) void this.#context.resume();
    this.#stayAwake();
    const found = this.#bank.find(key, velocity);
    if (!found) return;
    const when = this.#timeAfter(delay);
    this.#voices.restrike(by, key, when);
    this.#voices.start(found, this.#kind, by, key, velocity, when);
  }

  /** @param {string} by @param {number} key @param {number} delay in seconds */
  stop(by, key, delay) {
    this.#voices.stop(this.#kind, by, key, this.#timeAfter(delay));
  }

  /** Ends what people play, also what is yet to come. @param {(by: string) => boolean} isMeant */
  silence(isMeant) { this.#voices.silence(isMeant); }

  /** @param {number} volume 0 to 1 */
  set volume(volume) { this.#graph.setVolume(volume ** 1.6, this.#context.currentTime); }

  /** @param {number} share 0 to 1 */
  set room(share) { this.#graph.setRoom(share, this.#context.currentTime); }

  /** @param {number} voices */
  set polyphony(voices) { this.#voices.max = voices; }

  /**
   * The audio's clock stands still between two of its buffers, which are up to some hundredths of a second long: too
   * coarse for a rhythm. So it is read as how far it is ahead of the page's own clock, at most, lately.
   * @param {number} delay in seconds
   */
  #timeAfter(delay) {
    const { currentTime } = this.#context;
    if (delay <= 0) return currentTime;
    const now = performance.now() / 1000;
    const ahead = currentTime - now;
    // The two clocks may drift apart a little; and while the audio rests, its clock does not run.
    this.#ahead -= DRIFT * (now - this.#readAt);
    this.#readAt = now;
    if (ahead > this.#ahead || this.#ahead - ahead > 0.2) this.#ahead = ahead;
    return now + this.#ahead + delay;
  }

  get #bank() { return /** @type {Bank} */ (this.#banks.get(this.instrument) ?? this.#banks.get("piano")); }

  /** What damps like it. */
  get #kind() { return this.instrument.startsWith("pack:") ? "piano" : this.instrument; }

  #stayAwake() {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      if (this.#voices.count === 0) void this.#context.suspend();
      else this.#stayAwake();
    }, REST_MS);
  }

  /** @param {Omit<import("./worker.js").Job, "id">} job */
  #ask(job) {
    if (!this.#worker) {
      this.#worker = new Worker(workerUrl(), { type: "module" });
      this.#worker.onmessage = ({ data: { id, ...made } }) => {
        this.#waiting.get(id)?.(made);
        this.#waiting.delete(id);
      };
    }
    const id = this.#nextJob++;
    this.#worker.postMessage({ id, ...job });
    return new Promise(resolve => { this.#waiting.set(id, resolve); });
  }
}

/** @typedef {{ createScriptURL: (url: string) => string }} Policy */
/** @typedef {{ createPolicy: (name: string, rules: Policy) => Policy }} TrustedTypes */

// The page's policy lets scripts be named in this one place only.
function workerUrl() {
  const url = new URL("./worker.js", import.meta.url).href;
  const { trustedTypes } = /** @type {{ trustedTypes?: TrustedTypes }} */ (/** @type {unknown} */ (globalThis));
  return trustedTypes ? trustedTypes.createPolicy("tutti", { createScriptURL: url => url }).createScriptURL(url) : url;
}

function hasLittleMemory() {
  const gigabytes = /** @type {{ deviceMemory?: number }} */ (navigator).deviceMemory ?? 8;
  return gigabytes <= 2 || matchMedia("(pointer: coarse) and (max-width: 700px)").matches;
}
