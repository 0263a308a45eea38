// Notices that come and go: from the server, and from the page itself.

import { t } from "../words.js";
import { byId, icon, make, speak } from "./dom.js";

const TOASTS_MAX = 5;

/** @param {import("../net/messages.js").Notice} notice */
export function toast({ id, title, text, duration }) {
  if (!title && !text) return;
  const place = byId("toasts");
  for (const other of place.children) if (id && /** @type {HTMLElement} */ (other).dataset.id === id) other.remove();
  while (place.childElementCount >= TOASTS_MAX) place.firstElementChild?.remove();
  const box = make("div", { class: "toast" });
  box.dataset.id = id;
  const close = () => box.remove();
  box.append(title ? make("b", {}, title) : "", make("p", {}, text),
    make("button", { type: "button", class: "quiet", "aria-label": t("close"), onclick: close }, icon("close")));
  place.append(box);
  // Reading takes its time; what somebody points at stays.
  const leave = () => { if (box.matches(":hover, :focus-within")) setTimeout(leave, 1000); else close(); };
  if (duration > 0) setTimeout(leave, duration);
}

/** A short word of the page's own. @param {string} text @param {string} [id] */
export function hint(text, id = "hint") {
  toast({ id, title: "", text, kind: "short", duration: 3500 });
  speak(text);
}
