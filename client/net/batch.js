// Gathers what is played and sends it a few times a second, each note with its distance from the first.

const FLUSH_MS = 200;
/** Most notes of a message, so that one burst is no message that a server finds too long. */
const NOTES_MAX = 500;

/** @typedef {{ n: string, v?: number, d?: number, s?: 1 }} WireNote */

export class Batch {
  /** @type {WireNote[]} */
  #notes = [];
  #startedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #now;
  #send;

  /** @param {() => number} now the server's clock in ms @param {(t: number, notes: WireNote[]) => void} send */
  constructor(now, send) {
    this.#now = now;
    this.#send = send;
  }

  /** @param {WireNote} note */
  push(note) {
    const now = this.#now();
    if (this.#notes.length === 0) {
      this.#startedAt = now;
      // The timer runs only while somebody plays.
      this.#timer = setTimeout(() => this.flush(), FLUSH_MS);
    }
    const after = Math.max(0, Math.round(now - this.#startedAt));
    this.#notes.push(after > 0 ? { ...note, d: after } : note);
    if (this.#notes.length >= NOTES_MAX) this.flush();
  }

  flush() {
    clearTimeout(this.#timer);
    const notes = this.#notes;
    this.#notes = [];
    if (notes.length > 0) this.#send(Math.round(this.#startedAt), notes);
  }

  /** Forgets what was not sent yet. */
  drop() {
    clearTimeout(this.#timer);
    this.#notes = [];
  }
}
