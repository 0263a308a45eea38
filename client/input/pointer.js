// Mouse, pen and fingers on the keyboard: many at once, and each may slide from key to key.

import { isBlack } from "../net/notes.js";

export class Pointer {
  /** Whether lower on a key is louder. */
  byPosition = true;
  #view;
  #player;
  /** @type {Map<number, number | null>} the key under each pointer that is down */
  #down = new Map();

  /** @param {HTMLElement} element @param {import("../piano/view.js").PianoView} view @param {import("./keyboard.js").Player} player */
  constructor(element, view, player) {
    this.#view = view;
    this.#player = player;
    element.addEventListener("pointerdown", event => {
      if (event.pointerType === "mouse" && event.button !== 0) return;
      // Without this, moves would go on to the first element however far the finger slides.
      element.setPointerCapture(event.pointerId);
      this.#down.set(event.pointerId, null);
      this.#move(event);
    });
    element.addEventListener("pointermove", event => {
      if (!this.#down.has(event.pointerId)) return;
      // A fast slide skips no key: the browser has kept the points in between.
      const points = event.getCoalescedEvents?.() ?? [];
      for (const point of points.length ? points : [event]) this.#move(point);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      element.addEventListener(end, event => this.#lift(/** @type {PointerEvent} */ (event).pointerId));
    }
    element.addEventListener("contextmenu", event => event.preventDefault());
    // Long presses and double taps are music here.
    element.addEventListener("touchstart", event => event.preventDefault(), { passive: false });
    addEventListener("blur", () => { for (const id of [...this.#down.keys()]) this.#lift(id); });
  }

  /** @param {PointerEvent} event */
  #move({ pointerId, clientX, clientY, pressure, pointerType }) {
    const found = this.#view.keyAt(clientX, clientY);
    const before = this.#down.get(pointerId) ?? null;
    const key = found?.key ?? null;
    if (key === before) return;
    if (before !== null) this.#player.release(before, `pointer${pointerId}`);
    this.#down.set(pointerId, key);
    if (found === null || key === null) return;
    let velocity = 0.65;
    if (pointerType === "pen" && pressure > 0) velocity = 0.15 + 0.85 * pressure;
    else if (this.byPosition) velocity = 0.25 + 0.7 * Math.min(1, found.depth * (isBlack(key) ? 1.05 : 1.15));
    this.#player.press(key, Math.min(1, velocity), `pointer${pointerId}`);
  }

  /** @param {number} id */
  #lift(id) {
    const key = this.#down.get(id);
    this.#down.delete(id);
    if (key !== undefined && key !== null) this.#player.release(key, `pointer${id}`);
  }
}
