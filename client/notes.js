// Notes on the wire: the names of the keys, the quota that client and server reckon alike, and the batches.

const LETTERS = ["c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b"];
export const NAMES = Array.from({ length: 88 }, (_, key) => LETTERS[(key + 9) % 12] + (Math.floor((key + 9) / 12) - 1));
export const KEYS = new Map(NAMES.map((name, key) => [name, key]));

const QUOTA_TICK_MS = 2000;
const FLUSH_MS = 200;

// How many notes may be played. Refills every tick; who is in debt for long gets a dearer note.
export class Quota {
  #allowance = 200; #max = 600; #history_max = 3;
  #points = 600; #history = [600, 600, 600];

  constructor() { setInterval(() => this.#tick(), QUOTA_TICK_MS); }

  get share() { return this.#points / this.#max; }

  configure({ allowance, max, maxHistLen }) {
    const next = [allowance || this.#allowance, max || this.#max, maxHistLen || this.#history_max];
    if (next.join() === [this.#allowance, this.#max, this.#history_max].join()) return;
    [this.#allowance, this.#max, this.#history_max] = next;
    this.#points = this.#max;
    this.#history = Array(this.#history_max).fill(this.#max);
  }

  spend(notes) {
    const tired = this.#history.reduce((sum, points) => sum + points, 0) <= 0;
    const price = tired ? notes * this.#allowance : notes;
    if (this.#points < price) return false;
    this.#points -= price;
    return true;
  }

  #tick() {
    this.#history = [this.#points, ...this.#history].slice(0, this.#history_max);
    this.#points = Math.max(this.#points, Math.min(this.#max, this.#points + this.#allowance));
  }
}

// Gathers what is played and sends it every 200 ms, each note with its distance from the first.
export class Batch {
  #connection; #notes = []; #startedAt = 0;

  constructor(connection) {
    this.#connection = connection;
    setInterval(() => this.#flush(), FLUSH_MS);
  }

  push(note) {
    if (!this.#connection.open) return;
    const now = this.#connection.serverTime();
    if (this.#notes.length === 0) this.#startedAt = now;
    const after = Math.max(0, Math.round(now - this.#startedAt));
    this.#notes.push(after > 0 ? { ...note, d: after } : note);
  }

  #flush() {
    if (this.#notes.length === 0) return;
    this.#connection.send({ m: "n", t: Math.round(this.#startedAt), n: this.#notes });
    this.#notes = [];
  }
}
