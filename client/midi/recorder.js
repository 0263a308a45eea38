// Records what is heard, of everybody, until it is stopped.

import { MIDI_LOWEST } from "../net/notes.js";

/** @typedef {{ name: string, notes: { at: number, key: number, velocity: number }[] }} Part */

const EVENTS_MAX = 400_000;

export class Recorder {
  startedAt = 0;
  count = 0;
  /** Starts and ends. */
  #events = 0;
  /** @type {Map<string, Part>} by player */
  #parts = new Map();

  get isOn() { return this.startedAt > 0; }

  start() {
    this.startedAt = performance.now();
    this.count = this.#events = 0;
    this.#parts.clear();
  }

  stop() { this.startedAt = 0; }

  /**
   * @param {string} id of the player @param {string} name @param {number} key @param {number} velocity 0 ends it
   * @param {number} delay ms until it is heard
   */
  note(id, name, key, velocity, delay) {
    if (!this.isOn || this.#events >= EVENTS_MAX) return;
    let part = this.#parts.get(id);
    if (!part) this.#parts.set(id, part = { name, notes: [] });
    part.name = name;
    const at = performance.now() + delay - this.startedAt;
    this.#events++;
    part.notes.push({ at, key: key + MIDI_LOWEST, velocity: velocity > 0 ? Math.max(1, Math.round(velocity * 127)) : 0 });
    if (velocity > 0) this.count++;
  }

  /** What was recorded, from its first note on. @returns {Part[]} */
  get parts() {
    const parts = [...this.#parts.values()].filter(({ notes }) => notes.some(({ velocity }) => velocity > 0));
    const first = Math.min(...parts.map(({ notes }) => notes.reduce((least, { at }) => Math.min(least, at), Infinity)));
    return parts.map(({ name, notes }) => ({ name, notes: whole(notes.map(note => ({ ...note, at: note.at - first }))) }));
  }
}

/** How long a note rings that nobody ended. */
const RINGS_MS = 1500;

/**
 * Notes that all end: those under a pedal are never said to, and would sound for ever in other programs.
 * @param {{ at: number, key: number, velocity: number }[]} notes
 */
function whole(notes) {
  const sorted = [...notes].sort((a, b) => a.at - b.at);
  const found = [];
  /** @type {Map<number, number>} when each key that is down was struck */
  const down = new Map();
  for (const note of sorted) {
    const struck = down.get(note.key);
    if (struck !== undefined && note.velocity > 0) {
      found.push({ at: Math.min(note.at, struck + RINGS_MS), key: note.key, velocity: 0 });
    }
    if (note.velocity > 0) down.set(note.key, note.at);
    else if (struck === undefined) continue;
    else down.delete(note.key);
    found.push(note);
  }
  for (const [key, at] of down) found.push({ at: at + RINGS_MS, key, velocity: 0 });
  return found.sort((a, b) => a.at - b.at);
}
