// The keys on the screen and what plays them: mouse, touch and the computer keyboard.

import { NAMES } from "./notes.js";

// Semitones from left to right: the bottom rows start at a C, the top rows at the C above.
const BOTTOM = "KeyZ KeyS KeyX KeyD KeyC KeyV KeyG KeyB KeyH KeyN KeyJ KeyM Comma KeyL Period Semicolon Slash";
const TOP = "KeyQ Digit2 KeyW Digit3 KeyE KeyR Digit5 KeyT Digit6 KeyY Digit7 KeyU KeyI Digit9 KeyO Digit0 KeyP";
const STEPS = new Map([
  ...BOTTOM.split(" ").map((code, step) => [code, step]),
  ...TOP.split(" ").map((code, step) => [code, step + 12]),
]);
const SIGNS = { Comma: ",", Period: ".", Semicolon: ";", Slash: "/" };

// First and last key of each row of keys, the highest row first. A row may only end where no black key is cut.
const WIDE = [[0, 87]];
const FIVE_OCTAVES = [[15, 75]];
const FIVE_OCTAVES_FOLDED = [[44, 75], [15, 43]];

const isBlack = key => NAMES[key].includes("s");

export class Piano {
  #element; #onPress; #onRelease;
  #keys = []; #pointers = new Map(); #held = new Map(); #glow = [];
  #octave = 2; #layout = null;

  // `onPress(key, velocity)` and `onRelease(key)` are told what this person plays.
  constructor(element, onPress, onRelease) {
    [this.#element, this.#onPress, this.#onRelease] = [element, onPress, onRelease];
    const [narrow, small] = [matchMedia("(max-width: 599px)"), matchMedia("(max-width: 999px)")];
    const arrange = () => this.#arrange(narrow.matches ? FIVE_OCTAVES_FOLDED : small.matches ? FIVE_OCTAVES : WIDE);
    for (const query of [narrow, small]) query.addEventListener("change", arrange);
    arrange();
    element.addEventListener("pointerdown", event => this.#pointer(event));
    element.addEventListener("pointermove", event => this.#pointers.has(event.pointerId) && this.#pointer(event));
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, event => this.#lift(event.pointerId));
    element.addEventListener("contextmenu", event => event.preventDefault());
    addEventListener("blur", () => this.#releaseAll());
    addEventListener("keydown", event => this.#keyDown(event));
    addEventListener("keyup", ({ code }) => this.#release(code));
    navigator.keyboard?.getLayoutMap?.().then(map => this.#label(map), () => {});
  }

  get octave() { return this.#octave; }

  shiftOctave(by) {
    this.#releaseAll();
    this.#octave = Math.min(5, Math.max(0, this.#octave + by));
    this.#label();
  }

  // Shows a key as played in the player's colour: until it is dimmed, or for a moment.
  light(key, color, briefly) {
    const element = this.#keys[key];
    if (!element) return;
    element.style.setProperty("--by", color);
    element.classList.add("on");
    clearTimeout(this.#glow[key]);
    if (briefly) this.#glow[key] = setTimeout(() => this.dim(key), 400);
  }

  dim(key) { this.#keys[key]?.classList.remove("on"); }

  #arrange(rows) {
    this.#releaseAll();
    this.#keys = [];
    this.#element.replaceChildren(...rows.map(([first, last]) => {
      const row = document.createElement("div");
      row.className = "row";
      const whites = NAMES.slice(first, last + 1).filter(name => !name.includes("s")).length;
      let whitesBefore = 0;
      for (let key = first; key <= last; key++) {
        const element = document.createElement("div");
        element.dataset.key = key;
        element.dataset.note = NAMES[key];
        element.className = isBlack(key) ? "black" : "white";
        element.style.left = `${100 * (isBlack(key) ? whitesBefore - 0.3 : whitesBefore) / whites}%`;
        element.style.width = `${100 * (isBlack(key) ? 0.6 : 1) / whites}%`;
        if (!isBlack(key)) whitesBefore++;
        this.#keys[key] = element;
        row.append(element);
      }
      return row;
    }));
    this.#label();
  }

  // Writes on the keys what plays them; `layout` says what is printed on this computer's keyboard.
  #label(layout = this.#layout) {
    this.#layout = layout;
    for (const element of this.#keys) if (element) element.dataset.label = "";
    for (const [code, step] of STEPS) {
      const element = this.#keys[3 + 12 * this.#octave + step];
      // The rows overlap; the top one is nearer to its keys.
      if (element) element.dataset.label = layout?.get(code) ?? SIGNS[code] ?? code.at(-1).toLowerCase();
    }
  }

  #press(source, key, velocity) {
    if (this.#held.get(source) === key) return;
    this.#release(source);
    this.#held.set(source, key);
    this.#onPress(key, velocity);
  }

  #release(source) {
    const key = this.#held.get(source);
    if (key === undefined) return;
    this.#held.delete(source);
    // A key that another finger still holds keeps sounding.
    if (![...this.#held.values()].includes(key)) this.#onRelease(key);
  }

  #releaseAll() { for (const source of [...this.#held.keys()]) this.#release(source); }

  #pointer(event) {
    if (event.type === "pointerdown" && event.button !== 0) return;
    this.#pointers.set(event.pointerId, true);
    const element = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-key]");
    if (!element) return this.#release(event.pointerId);
    const { top, height } = element.getBoundingClientRect();
    this.#press(event.pointerId, Number(element.dataset.key), 0.35 + 0.55 * (event.clientY - top) / height);
  }

  #lift(id) {
    this.#pointers.delete(id);
    this.#release(id);
  }

  #keyDown(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
    const step = STEPS.get(event.code);
    if (step === undefined) return;
    event.preventDefault();
    const key = 3 + 12 * this.#octave + step;
    if (!event.repeat && key < NAMES.length) this.#press(event.code, key, event.shiftKey ? 0.9 : 0.6);
  }
}

// Whether keys pressed there are meant as text.
export function isTyping(target) {
  return target instanceof HTMLInputElement && !["range", "color", "checkbox"].includes(target.type);
}
