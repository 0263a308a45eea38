// Where the keys are: a strip of some or all of the 88 keys, in pixels.

import { isBlack, KEYS } from "../net/notes.js";

/** @typedef {{ x: number, width: number, height: number, isBlack: boolean }} Place */

/** Width of a black key, in white ones. */
const BLACK_WIDTH = 0.58;
const BLACK_HEIGHT = 0.63;
/** How far black keys are from the middle between their neighbours, as on a real piano; by semitone above C. */
const BLACK_SHIFT = new Map([[1, -0.1], [3, 0.1], [6, -0.13], [8, 0], [10, 0.13]]);

/** White keys left of each key. */
const WHITES_BEFORE = Array.from({ length: KEYS }, (_, key) =>
  Array.from({ length: key }, (_, before) => before).filter(before => !isBlack(before)).length);

export const WHITES = 52;

/** The white key with this number, 0 to 51, as a key. @param {number} white */
export const whiteKey = white => WHITES_BEFORE.findIndex((before, key) => before === white && !isBlack(key));

export class Geometry {
  /** @type {Place[]} of all 88 keys; those out of view are left or right of it */
  places = [];

  /**
   * @param {number} width of the view in px @param {number} height
   * @param {number} whites how many white keys are in view @param {number} first the leftmost of them, 0 to 51
   */
  constructor(width, height, whites = WHITES, first = 0) {
    this.width = width;
    this.height = height;
    this.whites = whites;
    this.first = first;
    this.whiteWidth = width / whites;
    this.blackHeight = Math.round(height * BLACK_HEIGHT);
    for (let key = 0; key < KEYS; key++) {
      const before = WHITES_BEFORE[key] - first;
      if (isBlack(key)) {
        const shift = BLACK_SHIFT.get((key + 9) % 12) ?? 0;
        const x = (before + shift - BLACK_WIDTH / 2) * this.whiteWidth;
        const black = Math.round(BLACK_WIDTH * this.whiteWidth);
        this.places.push({ x: Math.round(x), width: black, height: this.blackHeight, isBlack: true });
      } else {
        // Edges on whole pixels, so that every gap is equally sharp.
        const [left, right] = [Math.round(before * this.whiteWidth), Math.round((before + 1) * this.whiteWidth)];
        this.places.push({ x: left, width: right - left, height, isBlack: false });
      }
    }
  }

  /** @param {number} key */
  isInView(key) {
    const { x, width } = this.places[key];
    return x + width > 0 && x < this.width;
  }

  /**
   * The key at a point, and how far down it was touched, 0 to 1.
   * @param {number} x @param {number} y
   * @returns {{ key: number, depth: number } | null}
   */
  at(x, y) {
    if (x < 0 || x >= this.width || y < 0 || y >= this.height) return null;
    const white = Math.min(WHITES - 1, Math.floor(x / this.whiteWidth) + this.first);
    const key = whiteKey(white);
    if (y < this.blackHeight) {
      for (const near of [key - 1, key + 1]) {
        const place = this.places[near];
        if (place?.isBlack && x >= place.x && x < place.x + place.width) {
          return { key: near, depth: y / this.blackHeight };
        }
      }
    }
    const place = this.places[key];
    // Rounded edges: the neighbour's first pixel belongs to it.
    if (x < place.x && key > 0) return { key: whiteKey(white - 1), depth: y / this.height };
    return { key, depth: y / this.height };
  }
}
