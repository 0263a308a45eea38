// What this person plays, wherever it comes from: keyboard, mouse, fingers, MIDI, a file. Decides when a note ends,
// what the quota allows, and tells the server, the loudspeaker and the screen.

import { Emitter } from "./events.js";
import { NAMES } from "./net/notes.js";

/**
 * Emits `on(key, velocity, source)`, `up(key)` (let go, ringing or not), `off(key)` (ends), `refused(why)` with `quota` or
 * `locked`, and `pedal(down)`.
 */
export class Performer extends Emitter {
  /** Whether notes ring on when keys are let go. */
  isSustained = true;
  /** @type {() => boolean} */
  mayPlay = () => true;
  #quota;
  #batch;
  /** @type {Map<number, Set<string>>} sources that hold a key down */
  #down = new Map();
  /** Keys that sound and that no source holds, and whether it is the lock that lets them ring. @type {Map<number, boolean>} */
  #ringing = new Map();
  /** @type {Set<string>} */
  #pedals = new Set();

  /** @param {import("./net/quota.js").Quota} quota @param {import("./net/batch.js").Batch} batch */
  constructor(quota, batch) {
    super();
    this.#quota = quota;
    this.#batch = batch;
  }

  get isPedalDown() { return this.#pedals.size > 0; }

  /**
   * @param {number} key @param {number} velocity 0 to 1 @param {string} source
   * @returns {boolean} whether it was played
   */
  press(key, velocity, source) {
    if (!this.mayPlay()) {
      this.emit("refused", "locked");
      return false;
    }
    if (!this.#quota.spend(1)) {
      this.emit("refused", "quota");
      return false;
    }
    let sources = this.#down.get(key);
    if (!sources) this.#down.set(key, sources = new Set());
    sources.add(source);
    this.#ringing.delete(key);
    this.#batch.push({ n: NAMES[key], v: Math.round(velocity * 1000) / 1000 });
    this.emit("on", key, velocity, source);
    return true;
  }

  /** @param {number} key @param {string} source */
  release(key, source) {
    const sources = this.#down.get(key);
    if (!sources?.delete(source) || sources.size > 0) return;
    this.#down.delete(key);
    this.emit("up", key);
    // Files and MIDI keyboards say themselves when a note ends, and have pedals.
    const isLocked = this.isSustained && !/^(midi|song):/.test(source);
    if (isLocked || this.isPedalDown) this.#ringing.set(key, isLocked);
    else this.#stop(key);
  }

  /** @param {boolean} down @param {string} source */
  pedal(down, source) {
    const before = this.isPedalDown;
    if (down) this.#pedals.add(source);
    else this.#pedals.delete(source);
    if (before === this.isPedalDown) return;
    if (!this.isPedalDown) this.#damp();
    this.emit("pedal", this.isPedalDown);
  }

  /** @param {boolean} on */
  sustain(on) {
    this.isSustained = on;
    if (!on && !this.isPedalDown) this.#damp();
  }

  /** Lets everything go, as when the room changes. */
  releaseAll() {
    for (const key of [...this.#down.keys()]) this.emit("up", key);
    for (const key of new Set([...this.#down.keys(), ...this.#ringing.keys()])) this.emit("off", key);
    this.#down.clear();
    this.#ringing.clear();
    this.#pedals.clear();
  }

  #damp() {
    for (const [key, isLocked] of this.#ringing) if (!isLocked || !this.isSustained) this.#stop(key);
  }

  /** @param {number} key */
  #stop(key) {
    this.#ringing.delete(key);
    this.emit("off", key);
    // Ends cost as notes do. Where they are not allowed, the others' piano dies away by itself.
    if (this.mayPlay() && this.#quota.spend(1)) this.#batch.push({ n: NAMES[key], s: 1 });
  }
}
