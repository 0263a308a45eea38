// Things to show at some moment: one queue with one timer, however many there are a second.

/** More than anybody could see; the rest is only heard. */
const WAITING_MAX = 5000;
/** Frames are 16 ms apart: what is due before the next one is shown with it. */
const TOGETHER_MS = 8;

export class Schedule {
  /** @type {{ at: number, act: () => void }[]} the next one first */
  #waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {number} ms from now @param {() => void} act @returns {boolean} whether there was room for it */
  later(ms, act) {
    if (this.#waiting.length >= WAITING_MAX) return false;
    const at = performance.now() + ms;
    // Most come in their order.
    let place = this.#waiting.length;
    while (place > 0 && this.#waiting[place - 1].at > at) place--;
    this.#waiting.splice(place, 0, { at, act });
    if (place === 0) this.#arm();
    return true;
  }

  #arm() {
    clearTimeout(this.#timer);
    const next = this.#waiting[0];
    if (next) this.#timer = setTimeout(() => this.#run(), Math.max(0, next.at - performance.now()));
  }

  #run() {
    const due = performance.now() + TOGETHER_MS;
    let count = 0;
    while (count < this.#waiting.length && this.#waiting[count].at <= due) count++;
    for (const { act } of this.#waiting.splice(0, count)) act();
    this.#arm();
  }
}
