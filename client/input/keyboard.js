// The computer keyboard as a piano. Keys are told by where they are (`code`), not by what is printed on them, so the
// same fingers play the same notes on QWERTY, QWERTZ and AZERTY keyboards.

import { KEYS } from "../net/notes.js";

/** Consecutive semitones. @param {number} first @param {string} codes @returns {[string, number][]} */
const run = (first, codes) => codes.split(" ").map((code, at) => [code, first + at]);

/** Semitones above the C of the octave that is set, by the key's place. @type {Record<string, Map<string, number>>} */
export const LAYOUTS = {
  // The one that people of this kind of piano know: both rows begin with an A.
  classic: new Map([
    ...run(-4, "KeyA KeyZ KeyS KeyX KeyC KeyF KeyV KeyG KeyB KeyN KeyJ KeyM KeyK Comma KeyL Period Slash Quote"),
    ...run(8, "Digit1 KeyQ Digit2 KeyW KeyE Digit4 KeyR Digit5 KeyT KeyY Digit7 KeyU Digit8 KeyI Digit9 KeyO KeyP"),
    ...run(25, "Minus BracketLeft Equal BracketRight"),
  ]),
  // Both rows begin with a C, as in music programs.
  fromC: new Map([
    ...run(0, "KeyZ KeyS KeyX KeyD KeyC KeyV KeyG KeyB KeyH KeyN KeyJ KeyM Comma KeyL Period Semicolon Slash"),
    ...run(12, "KeyQ Digit2 KeyW Digit3 KeyE KeyR Digit5 KeyT Digit6 KeyY Digit7 KeyU KeyI Digit9 KeyO Digit0 KeyP"),
    ...run(29, "BracketLeft Equal BracketRight"),
  ]),
  // White keys on one row, black ones above.
  one: new Map(run(0, "KeyA KeyW KeyS KeyE KeyD KeyF KeyT KeyG KeyY KeyH KeyU KeyJ KeyK KeyO KeyL KeyP Semicolon Quote")),
};

/** Where C of octave 0 lies. */
const LOWEST_C = 3;
export const OCTAVES = 6;

/** What is printed on keys without a letter, on a keyboard that the browser says nothing about. @type {Record<string, string>} */
const SIGNS = {
  Comma: ",", Period: ".", Semicolon: ";", Slash: "/", Quote: "'", BracketLeft: "[", BracketRight: "]", Equal: "=",
  Minus: "-",
};

/** @param {string} code */
const plainSign = code => SIGNS[code] ?? code.at(-1) ?? "";

/**
 * @typedef {object} Player what is told of keys
 * @property {(key: number, velocity: number, source: string) => void} press
 * @property {(key: number, source: string) => void} release
 * @property {(down: boolean, source: string) => void} pedal
 */

export class Keyboard {
  octave = 2;
  layout = "classic";
  /** @type {(code: string) => boolean} told of keys that play nothing; true when they did something */
  onCommand = () => false;
  /** Told when the browser has said what is printed on the keys. */
  onPrinted = () => {};
  #player;
  /** @type {Map<string, number>} keys by the code that holds them */
  #held = new Map();
  /** @type {Map<string, string> | null} what is printed on this keyboard */
  #printed = null;

  /** @param {Player} player */
  constructor(player) {
    this.#player = player;
    addEventListener("keydown", event => this.#down(event));
    addEventListener("keyup", ({ code }) => this.#up(code));
    addEventListener("blur", () => this.releaseAll());
    const keyboard = /** @type {{ keyboard?: { getLayoutMap?: () => Promise<Map<string, string>> } }} */ (navigator).keyboard;
    keyboard?.getLayoutMap?.().then(map => { this.#printed = map; this.onPrinted(); }, () => {});
  }

  /** What each key of the piano is played with, as printed. @returns {Map<number, string>} */
  labels() {
    const labels = new Map();
    for (const [code, step] of LAYOUTS[this.layout]) {
      const key = this.#keyOf(step);
      // Where rows overlap, the upper one is nearer to its keys.
      if (key !== null) labels.set(key, (this.#printed?.get(code) ?? plainSign(code)).toUpperCase());
    }
    return labels;
  }

  /** @param {number} by octaves */
  shift(by) {
    this.releaseAll();
    this.octave = Math.min(OCTAVES - 1, Math.max(0, this.octave + by));
  }

  releaseAll() {
    for (const code of [...this.#held.keys()]) this.#up(code);
    this.#player.pedal(false, "space");
  }

  /** @param {number} step @returns {number | null} */
  #keyOf(step) {
    const key = LOWEST_C + 12 * this.octave + step;
    return key >= 0 && key < KEYS ? key : null;
  }

  /** @param {KeyboardEvent} event */
  #down(event) {
    const { code, ctrlKey, altKey, metaKey, shiftKey, repeat, target } = event;
    if (ctrlKey || altKey || metaKey || event.isComposing || takesKeys(target, code)) return;
    const step = LAYOUTS[this.layout].get(code);
    if (step !== undefined) {
      event.preventDefault();
      const key = this.#keyOf(step);
      if (repeat || key === null || this.#held.has(code)) return;
      this.#held.set(code, key);
      this.#player.press(key, shiftKey ? 0.95 : 0.62, code);
    } else if (code === "Space") {
      event.preventDefault();
      if (!repeat) this.#player.pedal(true, "space");
    } else if (!repeat && this.onCommand(code)) {
      event.preventDefault();
    }
  }

  /** @param {string} code */
  #up(code) {
    if (code === "Space") this.#player.pedal(false, "space");
    const key = this.#held.get(code);
    if (key === undefined) return;
    this.#held.delete(code);
    this.#player.release(key, code);
  }
}

/** Whether a key pressed there is meant for that. @param {EventTarget | null} target @param {string} code */
export function takesKeys(target, code) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog[open], [role=menu], [contenteditable]")) return true;
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  if (target instanceof HTMLInputElement) {
    if (!["range", "checkbox", "radio", "color", "button"].includes(target.type)) return true;
    return ["Space", "Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(code);
  }
  if (target.closest("button, a[href], summary")) return ["Space", "Enter"].includes(code);
  return target.closest("[data-own-keys]") !== null && code.startsWith("Arrow");
}
