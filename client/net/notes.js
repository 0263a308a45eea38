// The 88 keys and what they are called on the wire.

const LETTERS = ["c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b"];
const SHOWN = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];

export const KEYS = 88;
/** What MIDI calls key 0. */
export const MIDI_LOWEST = 21;

/** Names on the wire: `a-1` to `c7`. */
export const NAMES = Array.from({ length: KEYS }, (_, key) => LETTERS[(key + 9) % 12] + (Math.floor((key + 9) / 12) - 1));

/** @type {Map<string, number>} key 0 to 87 by its name */
export const KEY_OF = new Map(NAMES.map((name, key) => [name, key]));

/** @param {number} key */
export const isBlack = key => NAMES[key].includes("s");

/** What people call a key: `A0` to `C8`. @param {number} key */
export const shownName = key => SHOWN[(key + 9) % 12] + Math.floor((key + 9) / 12);

/** Concert pitch in Hz, equal temperament. @param {number} key */
export const frequencyOf = key => 27.5 * 2 ** (key / 12);

/** A velocity from the wire: 0 to 1; 0.5 when it says none. @param {unknown} value */
export function velocityOf(value) {
  const velocity = typeof value === "number" ? value : parseFloat(String(value ?? 0.5));
  return Number.isFinite(velocity) ? Math.min(1, Math.max(0, velocity)) : 0.5;
}
