// Where a screen that does not fit all keys is on the keyboard, and the way to move it.

import { shownName } from "../net/notes.js";
import { whiteKey, WHITES } from "../piano/geometry.js";
import { byId } from "./dom.js";

/** @param {import("../piano/view.js").PianoView} view */
export function minimap(view) {
  const strip = byId("minimap"), thumb = /** @type {HTMLElement} */ (strip.firstElementChild);
  let grabbed = 0;
  const whiteAt = (/** @type {PointerEvent} */ { clientX }) => {
    const { left, width } = strip.getBoundingClientRect();
    return (clientX - left) / width * WHITES;
  };
  strip.addEventListener("pointerdown", event => {
    strip.setPointerCapture(event.pointerId);
    const at = whiteAt(event), { first, whites } = view.window;
    // The thumb is dragged by where it was taken; a touch beside it brings its middle there.
    grabbed = at >= first && at <= first + whites ? at - first : whites / 2;
    view.scrollTo(Math.round(at - grabbed));
  });
  strip.addEventListener("pointermove", event => {
    if (strip.hasPointerCapture(event.pointerId)) view.scrollTo(Math.round(whiteAt(event) - grabbed));
  });
  strip.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageDown: -7, PageUp: 7, Home: -WHITES, End: WHITES }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    view.scrollTo(view.window.first + by);
  });
  return () => {
    const { first, whites } = view.window;
    strip.hidden = whites >= WHITES;
    thumb.style.left = `${100 * first / WHITES}%`;
    thumb.style.width = `${100 * whites / WHITES}%`;
    strip.setAttribute("aria-valuemin", "0");
    strip.setAttribute("aria-valuemax", String(WHITES - whites));
    strip.setAttribute("aria-valuenow", String(first));
    const last = Math.min(WHITES - 1, first + whites - 1);
    strip.setAttribute("aria-valuetext", `${shownName(whiteKey(first))} – ${shownName(whiteKey(last))}`);
  };
}
