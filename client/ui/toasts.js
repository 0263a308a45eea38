// Notices that come and go: from the server, and from the page itself.

import { t } from "../words.js";
import { byId, icon, make, speak } from "./dom.js";

const TOASTS_MAX = 5;
/** The longest that a timer can wait. */
const WAIT_MAX_MS = 2 ** 31 - 1;
/** What takes each away, also before its time. @type {WeakMap<Element, () => void>} */
const closing = new WeakMap();

/** @param {import("../net/messages.js").Notice} notice */
export function toast({ id, title, text, duration }) {
  if (!title && !text) return;
  const place = byId("toasts");
  for (const other of place.children) if (id && /** @type {HTMLElement} */ (other).dataset.id === id) closing.get(other)?.();
  while (place.firstElementChild && place.childElementCount >= TOASTS_MAX) closing.get(place.firstElementChild)?.();
  const box = make("div", { class: "toast" });
  box.dataset.id = id;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const close = () => { clearTimeout(timer); box.remove(); };
  closing.set(box, close);
  box.append(title ? make("b", {}, title) : "", make("p", {}, text),
    make("button", { type: "button", class: "quiet", "aria-label": t("close"), onclick: close }, icon("close")));
  place.append(box);
  // Reading takes its time; what somebody points at stays.
  const leave = () => { if (box.matches(":hover, :focus-within")) timer = setTimeout(leave, 1000); else close(); };
  if (duration > 0) timer = setTimeout(leave, Math.min(WAIT_MAX_MS, duration));
}

/** A short word of the page's own. @param {string} text @param {string} [id] */
export function hint(text, id = "hint") {
  toast({ id, title: "", text, kind: "short", duration: 3500 });
  speak(text);
}
