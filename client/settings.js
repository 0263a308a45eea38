// What this person prefers, kept in the browser.

import { Emitter } from "./events.js";
import { storedJson, storeJson } from "./store.js";

const DEFAULTS = {
  volume: 70,
  isMuted: false,
  instrument: "piano",
  reverb: 22,
  polyphony: 96,
  delay: 1000,
  layout: "classic",
  octave: 2,
  letters: true,
  names: false,
  velocityByPosition: true,
  sustain: true,
  theme: "auto",
  trails: true,
  cursors: true,
  roomColors: true,
  ring: true,
  binary: false,
  midiChannel: 0,
  chatOpen: true,
};

/** @typedef {typeof DEFAULTS} Values */

/** What numbers may be. @type {Partial<Record<keyof Values, [least: number, most: number]>>} */
const RANGES = {
  volume: [0, 100], reverb: [0, 100], polyphony: [16, 256], delay: [250, 2000], octave: [0, 5], midiChannel: [0, 16],
};

/** Emits the name of each value that changes, with the value. */
export class Settings extends Emitter {
  /** @type {Values} */
  values;

  constructor() {
    super();
    this.values = { ...DEFAULTS };
    for (const [name, value] of Object.entries(storedJson("settings", {}))) this.#take(name, value);
  }

  /** @template {keyof Values} K @param {K} name @param {Values[K]} value */
  set(name, value) {
    if (this.values[name] === value) return;
    this.#take(name, value);
    const changed = Object.entries(this.values).filter(([key, value]) => value !== DEFAULTS[/** @type {K} */ (key)]);
    storeJson("settings", Object.fromEntries(changed));
    this.emit(name, this.values[name]);
  }

  /** Calls back now and at each change. @template {keyof Values} K @param {K} name @param {(value: Values[K]) => void} listener */
  follow(name, listener) {
    this.on(name, listener);
    listener(this.values[name]);
  }

  reset() {
    for (const [name, value] of Object.entries(DEFAULTS)) this.set(/** @type {keyof Values} */ (name), value);
  }

  // What is stored may be of another version, or of somebody who played with it.
  /** @param {string} name @param {unknown} value */
  #take(name, value) {
    const key = /** @type {keyof Values} */ (name);
    if (typeof value !== typeof DEFAULTS[key]) return;
    const range = RANGES[key];
    const kept = range ? Math.min(range[1], Math.max(range[0], Number(value))) : value;
    Object.assign(this.values, { [key]: kept });
  }
}
