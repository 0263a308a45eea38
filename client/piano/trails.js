// Notes that rise from the keys and fade, above the keyboard: a layer of the piano's view.

const RISE_PX_PER_S = 70;
const TRAILS_MAX = 500;
/** With more of them than this they are drawn in every other frame, and without round corners. */
const CROWD = 120;
const MIN_PX = 5;

/** @typedef {{ key: number, by: string, color: string, from: number, to: number, velocity: number }} Trail */

export class Trails {
  #canvas;
  #context;
  #view;
  /** @type {Trail[]} oldest first */
  #trails = [];
  #isOn = true;
  #drawn = false;
  #isOdd = false;

  /** @param {HTMLCanvasElement} canvas @param {import("./view.js").PianoView} view */
  constructor(canvas, view) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#view = view;
    view.layers.push(now => this.#draw(now));
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** @param {boolean} on */
  set isOn(on) {
    this.#isOn = on;
    this.#trails = [];
    this.#view.wake();
  }

  /** @param {number} key @param {string} by @param {string} color @param {number} velocity */
  start(key, by, color, velocity) {
    if (!this.#isOn || document.hidden) return;
    this.stop(key, by);
    // A held pedal never says when a note ends: it is drawn for a while.
    const now = performance.now();
    this.#trails.push({ key, by, color, from: now, to: now + 260 + 500 * velocity, velocity });
    if (this.#trails.length > TRAILS_MAX) this.#trails.shift();
    this.#view.wake();
  }

  /** @param {number} key @param {string} by */
  stop(key, by) {
    const now = performance.now();
    for (let at = this.#trails.length - 1; at >= 0; at--) {
      const trail = this.#trails[at];
      if (trail.key === key && trail.by === by) {
        trail.to = Math.min(trail.to, now);
        return;
      }
    }
  }

  #resize() {
    this.#canvas.width = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * devicePixelRatio);
    this.#view.wake();
  }

  /** @param {number} now @returns {boolean} whether anything still moves */
  #draw(now) {
    const { width, height } = this.#canvas;
    const isCrowded = this.#trails.length > CROWD;
    this.#isOdd = !this.#isOdd;
    if (isCrowded && this.#isOdd) return true;
    if (this.#drawn) this.#context.clearRect(0, 0, width, height);
    this.#drawn = false;
    if (this.#trails.length === 0 || height === 0) return false;
    const speed = RISE_PX_PER_S * this.#view.ratio / 1000;
    const { geometry } = this.#view;
    // Old ones have left at the top.
    while (this.#trails.length && (now - this.#trails[0].to) * speed > height) this.#trails.shift();
    const context = this.#context;
    for (const { key, color, from, to, velocity } of this.#trails) {
      const { x, width: wide, isBlack } = geometry.places[key];
      if (!geometry.isInView(key)) continue;
      const bottom = height - Math.max(0, now - to) * speed;
      const top = Math.min(bottom - MIN_PX, height - (now - from) * speed);
      if (bottom <= 0) continue;
      const inset = isBlack ? 0 : wide * 0.18;
      const fade = Math.max(0, bottom / height);
      context.globalAlpha = fade * fade * (0.35 + 0.6 * velocity);
      context.fillStyle = color;
      if (isCrowded) {
        context.fillRect(x + inset, top, wide - 2 * inset, bottom - top);
      } else {
        context.beginPath();
        context.roundRect(x + inset, top, wide - 2 * inset, bottom - top, Math.min(3 * this.#view.ratio, wide / 4));
        context.fill();
      }
      this.#drawn = true;
    }
    context.globalAlpha = 1;
    return this.#trails.length > 0;
  }
}
