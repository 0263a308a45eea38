// How many notes may be played: the server's reckoning, with the numbers that it announces.
//
// As there, what is *used* is kept rather than what is left, so that passing the crown refills nothing. The server
// grants one allowance more, because its ticks come at other moments than ours; so whoever keeps to this is never
// refused.

export const TICK_MS = 2000;
const HISTORY_MAX = 16;

export class Quota {
  #allowance = 400;
  #max = 1200;
  #used = 0;
  #history = [0, 0, 0];
  #tick = 0;
  #now;

  /** @param {() => number} now monotonic milliseconds */
  constructor(now = () => performance.now()) {
    this.#now = now;
    this.#tick = this.#tickNow();
  }

  get max() { return this.#max; }

  get allowance() { return this.#allowance; }

  /** Notes that may be played now. */
  get left() {
    this.#catchUp();
    return Math.max(0, this.#max - this.#used);
  }

  /** What is left, 0 to 1. */
  get share() { return this.left / this.#max; }

  /** Whether each note costs a whole allowance, after several ticks without anything left. */
  get isExhausted() {
    this.#catchUp();
    return this.#history.reduce((sum, used) => sum + this.#max - used, 0) <= 0;
  }

  /** Takes over what `nq` announces; what is missing or 0 stays. @param {Record<string, unknown>} announced */
  configure({ allowance, max, maxHistLen }) {
    this.#catchUp();
    if (isCount(allowance)) this.#allowance = allowance;
    if (isCount(max)) this.#max = max;
    if (isCount(maxHistLen)) {
      const length = Math.min(HISTORY_MAX, maxHistLen);
      this.#history = Array.from({ length }, (_, at) => this.#history[at] ?? 0);
    }
  }

  /** Spends `notes` if that many are left; otherwise nothing. @param {number} notes */
  spend(notes) {
    const price = this.isExhausted ? notes * this.#allowance : notes;
    if (this.#used + price > this.#max) return false;
    this.#used += price;
    return true;
  }

  #tickNow() { return Math.floor(this.#now() / TICK_MS); }

  #catchUp() {
    const tick = this.#tickNow();
    // After so many ticks nothing is used any more, and the history says so.
    const enough = Math.ceil(this.#used / this.#allowance) + this.#history.length + 1;
    for (let passed = Math.min(tick - this.#tick, enough); passed > 0; passed--) {
      this.#history.pop();
      this.#history.unshift(this.#used);
      this.#used = Math.max(0, this.#used - this.#allowance);
    }
    this.#tick = tick;
  }
}

/** @param {unknown} value @returns {value is number} */
const isCount = value => typeof value === "number" && value >= 1 && Number.isFinite(value);
