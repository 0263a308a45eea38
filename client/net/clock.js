// The server's clock, and how far away it is.

const SAMPLES = 12;
/** What a sample of another clock is believed from: a laptop that slept, a server that was restarted. */
const JUMP_MS = 1000;

export class Clock {
  /** @type {{ trip: number, offset: number }[]} newest first */
  #samples = [];
  #offset = Date.now() - performance.now();

  /** Milliseconds since 1970 on the server. Local time is monotonic, so a corrected clock of ours hurts nobody. */
  now() { return performance.now() + this.#offset; }

  /** The usual round trip in ms: the middle one of the latest; `null` before the first. */
  get latency() {
    const trips = this.#samples.slice(0, 5).map(({ trip }) => trip).sort((a, b) => a - b);
    return trips[Math.floor((trips.length - 1) / 2)] ?? null;
  }

  /** How much round trips differ, in ms: the mean distance between one and the next. */
  get jitter() {
    const trips = this.#samples.map(({ trip }) => trip);
    if (trips.length < 2) return null;
    const sum = trips.slice(1).reduce((sum, trip, at) => sum + Math.abs(trip - trips[at]), 0);
    return sum / (trips.length - 1);
  }

  /** Begins anew, with a time that the server said just now. @param {number} serverTime */
  reset(serverTime) {
    this.#samples = [];
    this.#offset = serverTime - performance.now();
  }

  /** Learns from an answered ping. @param {number} sentAt `performance.now()` of the question @param {number} serverTime */
  learn(sentAt, serverTime) {
    const now = performance.now();
    const trip = Math.max(0, now - sentAt);
    const offset = serverTime - (now + sentAt) / 2;
    if (Math.abs(offset - this.#offset) > JUMP_MS + trip) this.#samples = [];
    this.#samples = [{ trip, offset }, ...this.#samples].slice(0, SAMPLES);
    // The shortest round trip has the least room for error.
    this.#offset = this.#samples.reduce((best, next) => (next.trip < best.trip ? next : best)).offset;
  }
}
