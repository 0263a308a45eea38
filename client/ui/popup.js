// Dialogs and menus.

import { t } from "../words.js";
import { byId, icon, make } from "./dom.js";

let titles = 0;

/**
 * Opens a dialog that is gone once it is closed.
 * @param {string} title @param {import("./dom.js").Child[]} content
 * @param {{ id?: string, onClose?: () => void }} [about]
 */
export function dialog(title, content, { id, onClose } = {}) {
  const titleId = `dialog-title-${++titles}`;
  const close = make("button", { type: "button", class: "quiet", "aria-label": t("close"), onclick: () => box.close() }, icon("close"));
  const box = make("dialog", { "aria-labelledby": titleId, ...(id && { id }) },
    make("header", {}, make("h2", { id: titleId }, title), close), ...content);
  box.addEventListener("close", () => { box.remove(); onClose?.(); });
  // A click beside it closes it; one that only ends there, as after selecting text, does not. It closes at the end of
  // the click: a finger would otherwise go on to press what was below.
  let beganBeside = false;
  box.addEventListener("pointerdown", event => { beganBeside = event.target === box; });
  box.addEventListener("click", event => { if (beganBeside && event.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

/**
 * @typedef {object} Item
 * @property {string} text @property {() => void} act @property {boolean} [checked] for what is on or off
 * @property {boolean} [danger]
 */

/**
 * Opens a menu beside an element; arrow keys move in it.
 * @param {HTMLElement} beside @param {import("./dom.js").Child[]} head @param {string} label @param {Item[]} items
 */
export function menu(beside, head, label, items) {
  const list = make("div", { role: "menu", "aria-label": label });
  const box = make("div", { class: "menu", popover: "auto" }, ...head, list);
  for (const { text, act, checked, danger } of items) {
    list.append(make("button", {
      type: "button", class: danger ? "danger" : "", role: checked === undefined ? "menuitem" : "menuitemcheckbox",
      "aria-checked": checked === undefined ? undefined : String(checked), tabIndex: -1,
      onclick: () => { box.hidePopover(); act(); },
    }, text));
  }
  const buttons = [...box.querySelectorAll("button")];
  box.addEventListener("keydown", ({ key }) => {
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[key];
    if (next !== undefined) buttons.at(next % buttons.length)?.focus();
    if (key === "Tab") box.hidePopover();
  });
  box.addEventListener("toggle", event => {
    if (/** @type {ToggleEvent} */ (event).newState === "closed") box.remove();
  });
  byId("stage").append(box);
  box.showPopover();
  const { left, bottom, top } = beside.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(left, innerWidth - box.offsetWidth - 8))}px`;
  const below = bottom + 6;
  box.style.top = `${Math.max(8, below + box.offsetHeight > innerHeight - 8 ? top - box.offsetHeight - 6 : below)}px`;
  buttons[0]?.focus();
  return box;
}

/** A line of a dialog with something to set. @param {string} text @param {import("./dom.js").Child[]} control */
export const row = (text, ...control) => make("label", { class: "row" }, make("span", {}, text), ...control);

/** @param {string} text @param {boolean} checked @param {(on: boolean) => void} onChange @param {string} [name] */
export const check = (text, checked, onChange, name = "") => row(text, make("input", {
  type: "checkbox", checked, name,
  onchange: (/** @type {Event} */ event) => onChange(/** @type {HTMLInputElement} */ (event.target).checked),
}));

/**
 * @param {string} text @param {{ value: number, min: number, max: number, step?: number, show?: (value: number) => string }} range
 * @param {(value: number) => void} onInput
 */
export function slider(text, { value, min, max, step = 1, show = String }, onInput) {
  const shown = make("output", {}, show(value));
  const input = make("input", { type: "range", min, max, step, oninput: () => {
    shown.textContent = show(Number(input.value));
    onInput(Number(input.value));
  } });
  input.value = String(value);
  return row(text, input, shown);
}

/**
 * @param {string} text @param {[value: string, shown: string][]} options @param {string} chosen
 * @param {(value: string) => void} onChange
 */
export function choice(text, options, chosen, onChange) {
  const select = make("select", { onchange: () => onChange(select.value) },
    ...options.map(([value, shown]) => make("option", { value, selected: value === chosen }, shown)));
  return row(text, select);
}
