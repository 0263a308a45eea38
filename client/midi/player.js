// Plays a song into the room, as if by hand, and never more than the quota allows.

import { Emitter } from "../events.js";
import { KEYS, MIDI_LOWEST } from "../net/notes.js";

/** How often it looks what is due. Notes are played up to this late, which nobody hears. */
const LOOK_MS = 15;
/** Share of the quota that is left to the person who plays along. */
const RESERVED = 0.04;

/** Emits `progress(share, ms)` some times a second and `end()`. */
export class SongPlayer extends Emitter {
  name = "";
  /** Notes that the quota had no room for. */
  thinned = 0;
  /** @type {import("./smf.js").Song | null} */
  #song = null;
  #next = 0;
  #nextPedal = 0;
  #position = 0;
  #lookedAt = 0;
  #saidAt = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {Set<string>} */
  #held = new Set();
  #performer;
  #quota;

  /** @param {import("../performer.js").Performer} performer @param {import("../net/quota.js").Quota} quota */
  constructor(performer, quota) {
    super();
    this.#performer = performer;
    this.#quota = quota;
  }

  get isPlaying() { return this.#timer !== undefined; }

  get isLoaded() { return this.#song !== null; }

  get ms() { return this.#song?.ms ?? 0; }

  /** @param {import("./smf.js").Song} song @param {string} name */
  play(song, name) {
    this.stop();
    this.#song = song;
    this.name = name;
    this.thinned = 0;
    this.#next = 0;
    this.#nextPedal = 0;
    this.#position = 0;
    this.resume();
  }

  pause() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#releaseAll();
  }

  resume() {
    if (!this.#song || this.isPlaying) return;
    this.#lookedAt = performance.now();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** @param {number} share 0 to 1 */
  seek(share) {
    if (!this.#song) return;
    this.#releaseAll();
    this.#position = share * this.#song.ms;
    const after = (/** @type {{ at: number }} */ { at }) => at >= this.#position;
    const [next, pedal] = [this.#song.notes.findIndex(after), this.#song.pedals.findIndex(after)];
    this.#next = next < 0 ? this.#song.notes.length : next;
    this.#nextPedal = pedal < 0 ? this.#song.pedals.length : pedal;
    this.emit("progress", share, this.#position);
  }

  stop() {
    if (!this.#song) return;
    this.pause();
    this.#song = null;
    this.emit("end");
  }

  #look() {
    const song = /** @type {import("./smf.js").Song} */ (this.#song);
    const now = performance.now();
    // A tab that was asleep goes on where it was; it does not play a minute at once.
    this.#position += Math.min(1500, now - this.#lookedAt);
    this.#lookedAt = now;
    for (; song.pedals[this.#nextPedal]?.at <= this.#position; this.#nextPedal++) {
      this.#performer.pedal(song.pedals[this.#nextPedal].down, "song");
    }
    for (; song.notes[this.#next]?.at <= this.#position; this.#next++) this.#play(song.notes[this.#next]);
    if (now - this.#saidAt > 200) {
      this.#saidAt = now;
      this.emit("progress", song.ms ? Math.min(1, this.#position / song.ms) : 1, this.#position);
    }
    if (this.#next >= song.notes.length) this.stop();
  }

  /** @param {import("./smf.js").Note} note */
  #play({ key: midi, velocity, channel }) {
    const key = midi - MIDI_LOWEST;
    if (key < 0 || key >= KEYS) return;
    const source = `song:${channel}:${key}`;
    if (velocity === 0) {
      if (this.#held.delete(source)) this.#performer.release(key, source);
      return;
    }
    // A note costs its end too. Quiet ones go first when there is little left.
    const share = this.#quota.share - RESERVED;
    if (this.#quota.left < 2 || share <= 0 || (share < 0.15 && velocity / 127 < 0.5 - 3 * share)) {
      this.thinned++;
      return;
    }
    if (this.#held.has(source)) this.#performer.release(key, source);
    if (this.#performer.press(key, velocity / 127, source)) this.#held.add(source);
  }

  #releaseAll() {
    for (const source of this.#held) this.#performer.release(Number(source.split(":").at(-1)), source);
    this.#held.clear();
    this.#performer.pedal(false, "song");
  }
}
