// What the instruments are made of. Every note is a sum of modes, which are sines that die away, as strings, tines and
// bars have them; so no sample is loaded from anywhere, and every pitch is exact.
//
// The piano: the partials of a stiff string are stretched; the hammer's place on the string and the time that its felt
// touches it say how loud each begins, so that a hard stroke is brighter and not only louder; each partial dies in two
// stages, because a string swings in two directions and has neighbours that are not quite in tune; the soundboard
// answers with a knock.

import { frequencyOf } from "../net/notes.js";

/**
 * @typedef {object} Mode
 * @property {number} f Hz @property {number} a amplitude @property {number} t60 seconds to a thousandth
 * @property {number} [phase] radians
 */
/**
 * @typedef {object} Model
 * @property {Mode[]} modes
 * @property {number} seconds how much of it is kept
 * @property {number} level RMS of its first quarter of a second
 * @property {number} [attack] seconds to fade in
 * @property {number} [knock] amplitude of a short noise at the start
 * @property {number} [bend] how far a pickup bends the wave: 0 not at all
 * @property {number} [cycles] set for sounds that go on: how many periods are repeated
 */
/**
 * @typedef {object} Instrument
 * @property {number[]} layers hardness of the strokes that are rendered, 0 to 1
 * @property {(key: number) => boolean} isRoot whether a key is rendered itself
 * @property {number} release seconds in which a note that is let go dies to a thousandth; on high keys less
 * @property {boolean} [goesOn] whether it sounds until it is let go
 * @property {boolean} [undamped] whether letting go changes nothing
 * @property {(key: number, hardness: number) => Model} model
 */

/** The same numbers for the same key each time, so that a key always sounds like itself. @param {number} seed */
function dice(seed) {
  let state = (seed + 1) * 0x9e3779b9 | 0;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}

const HIGHEST_HZ = 11_000;

/** @param {number} key @param {number} hardness @returns {Model} */
function piano(key, hardness) {
  const roll = dice(key);
  const f0 = frequencyOf(key);
  const stiffness = 2.5e-4 * Math.exp(-key / 7) + 4e-5 * Math.exp(0.068 * key);
  const felt = 2.8e-3 * Math.exp(-key / 52) * (1.75 - 1.2 * hardness);
  const strike = key < 50 ? 0.122 : 0.122 - 0.0012 * (key - 50);
  const t60 = 9.5 * Math.exp(-key / 42);
  const modes = [];
  for (let k = 1; k <= 80; k++) {
    // Stretched from the first partial, which is the pitch.
    const f = k * f0 * Math.sqrt((1 + stiffness * k * k) / (1 + stiffness));
    if (f > HIGHEST_HZ) break;
    const struck = 0.06 + Math.abs(Math.sin(Math.PI * k * strike));
    const softened = 1 / (1 + (2.2 * f * felt) ** 2) ** (1.05 - 0.12 * hardness);
    // A soundboard is too small for the lowest tones, and too heavy for the highest.
    const radiated = f * f / (f * f + 85 * 85) / (1 + (f / 5200) ** 2);
    const a = struck * softened * radiated * (0.8 + 0.4 * roll());
    const dies = t60 / (1 + 0.55 * (f / 1000) ** 1.25) * (0.8 + 0.4 * roll());
    const detuned = 2 ** ((0.25 + 0.6 * roll()) * (roll() < 0.5 ? -1 : 1) / 1200);
    modes.push({ f, a, t60: dies }, { f: f * detuned, a: a * (0.16 + 0.12 * roll()), t60: dies * 2.8 });
  }
  const loudest = modes.reduce((most, { a }) => Math.max(most, a), 0);
  const knock = loudest * (0.05 + 0.13 * hardness) * (0.45 + key / 60);
  for (let mode = 0; mode < 11; mode++) {
    const f = 72 * 1.34 ** mode * (0.93 + 0.14 * roll());
    modes.push({ f, a: knock * (0.4 + 0.6 * roll()) / (1 + mode / 5), t60: 0.28 / (1 + f / 420), phase: 6.28 * roll() });
  }
  return {
    modes,
    seconds: Math.max(1.1, Math.min(6.5, t60 * 1.1)),
    level: 0.13 * (1 - 0.0022 * key),
    knock: knock * 0.35,
    attack: 0.0006,
  };
}

/** @param {number} key @param {number} hardness @returns {Model} */
function electric(key, hardness) {
  const f = frequencyOf(key);
  const t60 = 7 * Math.exp(-key / 45);
  const bell = (0.05 + 0.5 * hardness ** 2) * Math.exp(-key / 60);
  return {
    modes: [
      { f, a: 1, t60, phase: 0.5 },
      { f: 2 * f * 1.0008, a: 0.06, t60: t60 * 0.6 },
      { f: f * 7.11, a: bell, t60: 0.45 },
      { f: f * 19.9, a: bell * 0.3, t60: 0.12 },
      { f: f * 0.503, a: 0.05 * hardness, t60: 0.09 },
    ].filter(mode => mode.f < HIGHEST_HZ),
    seconds: Math.max(1, Math.min(6, t60 * 0.9)),
    level: 0.12,
    attack: 0.0012,
    knock: 0.02 * hardness,
    bend: 0.15 + 0.75 * hardness,
  };
}

/**
 * @param {number} key @param {number} hardness
 * @param {{ place: number, slope: number, t60: number, damping: number, body: number[], level: number }} string
 * @returns {Model}
 */
function plucked(key, hardness, { place, slope, t60, damping, body, level }) {
  const roll = dice(key + 200);
  const f0 = frequencyOf(key);
  const sounding = t60 * Math.exp(-key / 48);
  const modes = [];
  for (let k = 1; k <= 40; k++) {
    const f = k * f0 * Math.sqrt((1 + 3e-5 * k * k) / (1 + 3e-5));
    if (f > HIGHEST_HZ) break;
    const a = (0.04 + Math.abs(Math.sin(Math.PI * k * place))) / k ** (slope - 0.8 * hardness) * (0.85 + 0.3 * roll());
    const dies = sounding / (1 + damping * (f / 1000) ** 1.1);
    modes.push({ f, a, t60: dies }, { f: f * 1.0004, a: a * 0.2, t60: dies * 1.9 });
  }
  for (const f of body) modes.push({ f, a: 0.1 + 0.12 * hardness, t60: 0.16, phase: 6.28 * roll() });
  return {
    modes,
    seconds: Math.max(0.9, Math.min(5, sounding * 1.1)),
    level,
    attack: 0.001,
    knock: 0.05 * hardness,
  };
}

/** @param {number} key @param {number} hardness @returns {Model} */
function musicBox(key, hardness) {
  const f = frequencyOf(key);
  const t60 = 3.6 * Math.exp(-key / 60);
  return {
    modes: [
      { f, a: 1, t60 },
      { f: f * 1.0006, a: 0.3, t60: t60 * 1.6 },
      { f: f * 6.27, a: 0.12 + 0.3 * hardness, t60: t60 * 0.22 },
      { f: f * 2.997, a: 0.09, t60: t60 * 0.4 },
      { f: 1650, a: 0.05 * hardness, t60: 0.03 },
    ].filter(mode => mode.f < HIGHEST_HZ),
    seconds: Math.max(0.8, Math.min(4, t60)),
    level: 0.1,
    attack: 0.0008,
    knock: 0.03 * hardness,
  };
}

const SPEAKS_S = 0.0025;
/** Drawbars as multiples of the pitch. @type {[number, number][]} */
const DRAWBARS = [[0.5, 0.55], [1, 1], [1.5, 0.25], [2, 0.62], [3, 0.32], [4, 0.28], [6, 0.1], [8, 0.12]];

/** @param {number} key @returns {Model} */
function organ(key) {
  const f0 = frequencyOf(key);
  const modes = DRAWBARS.filter(([times]) => times * f0 < HIGHEST_HZ)
    // Higher pipes sing softer. All come to their peak together, just after the start: left to themselves, the lowest
    // would take a hundredth of a second to speak.
    .map(([times, a]) => {
      const f = times * f0;
      return { f, a: a / (1 + f / 2600), t60: Infinity, phase: Math.PI / 2 - 2 * Math.PI * f * SPEAKS_S };
    });
  // An even number, because the lowest drawbar is an octave below.
  return { modes, seconds: 0, level: 0.1, cycles: 2 * Math.max(4, Math.round(f0 * 0.35)) };
}

/** @param {number} step */
const every = step => (/** @type {number} */ key) => key % step === 1;

/** @type {Record<string, Instrument>} */
export const INSTRUMENTS = {
  piano: {
    layers: [0.18, 0.52, 0.92],
    // High tones hold frequencies that playing them at another speed would blur; and they are short.
    isRoot: key => (key < 48 ? key % 3 === 1 : key % 2 === 1),
    release: 0.38,
    model: piano,
  },
  electric: { layers: [0.2, 0.6, 0.95], isRoot: every(3), release: 0.3, model: electric },
  harp: {
    layers: [0.3, 0.8],
    isRoot: every(3),
    release: 1.4,
    model: (key, hardness) => plucked(key, hardness, {
      place: 0.41, slope: 2.3, t60: 6.5, damping: 0.5, body: [118, 232, 390], level: 0.11,
    }),
  },
  guitar: {
    layers: [0.3, 0.8],
    isRoot: every(3),
    release: 0.22,
    model: (key, hardness) => plucked(key, hardness, {
      place: 0.17, slope: 1.75, t60: 5, damping: 0.9, body: [104, 196, 288, 420], level: 0.12,
    }),
  },
  musicbox: { layers: [0.3, 0.8], isRoot: every(4), release: 2, undamped: true, model: musicBox },
  organ: { layers: [0.5], isRoot: every(3), release: 0.12, goesOn: true, model: organ },
};
