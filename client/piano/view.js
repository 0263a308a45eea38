// The keyboard on the screen: one canvas, drawn only where and while something changes.
//
// The keys at rest are drawn once into a canvas that nobody sees. A key that sounds is drawn over in each frame
// until it has faded: its patch of the resting picture, the player's colour, and the blips of its latest notes.

import { isBlack, KEYS, NAMES, shownName } from "../net/notes.js";
import { Geometry, WHITES } from "./geometry.js";

const FADE_MS = 650;
const BLIP_MS = 1100;
const BLIPS_MAX = 5;
/** With more keys in motion than this, the whole resting picture is drawn at once. */
const PATCHES_MAX = 24;
/** A white key narrower than this is no target for a finger. */
const FINGER_PX = 30;

/** @typedef {{ color: string, at: number }} Blip */
/** @typedef {{ blips: Blip[], by: Map<string, string>, at: number, color: string }} KeyState */

export class PianoView {
  /** Told of each frame that is drawn, while something moves. @type {((now: number) => boolean)[]} */
  layers = [];
  /** @type {(geometry: Geometry) => void} */
  onLayout = () => {};

  #canvas;
  #context;
  #resting = new OffscreenCanvas(1, 1);
  /** What was drawn there: a picture that stays is cheaper to draw from than a canvas. @type {ImageBitmap | null} */
  #picture = null;
  /** @type {KeyState[]} */
  #keys = Array.from({ length: KEYS }, () => ({ blips: [], by: new Map(), at: -Infinity, color: "" }));
  /** @type {Set<number>} keys that are drawn in the next frame */
  #active = new Set();
  #frame = 0;
  #ratio = 1;
  #first = 0;
  /** @type {Map<number, string>} */
  #labels = new Map();
  #showsNames = false;
  #isLocked = false;
  #isStale = true;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.geometry = new Geometry(1, 1);
    new ResizeObserver(() => this.layout()).observe(canvas);
    // Another pixel density: a window on another screen, or zoom.
    const watch = () => matchMedia(`(resolution: ${devicePixelRatio}dppx)`)
      .addEventListener("change", () => { this.layout(); watch(); }, { once: true });
    watch();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redrawSoon());
  }

  /** How many white keys fit, and from which on. */
  get window() { return { first: this.geometry.first, whites: this.geometry.whites }; }

  /** Moves the view of a screen that does not fit all keys. @param {number} first leftmost white key, 0 to 51 */
  scrollTo(first) {
    const bound = Math.max(0, Math.min(WHITES - this.geometry.whites, first));
    if (Math.abs(bound - this.geometry.first) < 0.001) return;
    this.#first = bound;
    this.layout();
  }

  /** Moves the view so that a key can be seen, if it cannot. @param {number} key */
  reveal(key) {
    if (this.geometry.isInView(key)) return;
    const { x, width } = this.geometry.places[key];
    this.scrollTo(Math.round(this.geometry.first + (x + width / 2) / this.geometry.whiteWidth - this.geometry.whites / 2));
  }

  /** What the computer keyboard plays: a letter for each key. @param {Map<number, string>} labels */
  label(labels) {
    this.#labels = labels;
    this.#redrawSoon();
  }

  /** @param {boolean} shown whether each C says its name */
  set showsNames(shown) {
    this.#showsNames = shown;
    this.#redrawSoon();
  }

  /** @param {boolean} locked whether only the crown may play, and we have none */
  set isLocked(locked) {
    if (this.#isLocked === locked) return;
    this.#isLocked = locked;
    this.#redrawSoon();
  }

  /** Shows a note as played. @param {number} key @param {string} by @param {string} color */
  press(key, by, color) {
    const state = this.#keys[key];
    const now = performance.now();
    state.by.set(by, color);
    [state.color, state.at] = [color, now];
    state.blips.push({ color, at: now });
    if (state.blips.length > BLIPS_MAX) state.blips.shift();
    this.#touch(key);
  }

  /** @param {number} key @param {string} by */
  release(key, by) {
    if (this.#keys[key].by.delete(by)) this.#touch(key);
  }

  /** Asks for a frame; layers that move call this. */
  wake() {
    if (!this.#frame) this.#frame = requestAnimationFrame(now => this.#draw(now));
  }

  /** The page looks different now. */
  dress() { this.#redrawSoon(); }

  // Many things change how keys look, and often together: the picture is made once, before the next frame.
  #redrawSoon() {
    this.#isStale = true;
    this.wake();
  }

  layout() {
    this.#isStale = false;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (width === 0 || height === 0) return;
    this.#ratio = devicePixelRatio;
    const whites = Math.min(WHITES, Math.max(7, Math.floor(width / FINGER_PX)));
    // A mouse hits narrow keys too.
    const fitting = matchMedia("(pointer: fine)").matches && width >= 700 ? WHITES : width >= 1100 ? WHITES : whites;
    if (fitting === WHITES) this.#first = 0;
    else if (this.geometry.whites !== fitting && this.geometry.whites === WHITES) this.#first = 21;
    this.#first = Math.min(WHITES - fitting, this.#first);
    // Geometry in device pixels, so that edges are sharp at any density.
    const [w, h] = [Math.round(width * this.#ratio), Math.round(height * this.#ratio)];
    this.geometry = new Geometry(w, h, fitting, this.#first);
    for (const canvas of [this.#canvas, this.#resting]) {
      if (canvas.width !== w) canvas.width = w;
      if (canvas.height !== h) canvas.height = h;
    }
    this.#drawResting();
    this.#picture?.close();
    this.#picture = this.#resting.transferToImageBitmap();
    this.#context.drawImage(this.#picture, 0, 0);
    for (let key = 0; key < KEYS; key++) if (this.#isMoving(this.#keys[key], performance.now())) this.#active.add(key);
    this.wake();
    this.onLayout(this.geometry);
  }

  /** The key under a point of the page. @param {number} clientX @param {number} clientY */
  keyAt(clientX, clientY) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    return this.geometry.at((clientX - left) * this.#ratio, (clientY - top) * this.#ratio);
  }

  get ratio() { return this.#ratio; }

  // --- Drawing ---

  /** @param {number} key */
  #touch(key) {
    this.#active.add(key);
    this.wake();
  }

  /** @param {KeyState} state @param {number} now */
  #isMoving({ by, at, blips }, now) {
    return by.size > 0 || now - at < FADE_MS || blips.length > 0;
  }

  /** @param {number} now */
  #draw(now) {
    this.#frame = 0;
    if (this.#isStale) this.layout();
    let moves = false;
    for (const layer of this.layers) if (layer(now)) moves = true;
    const picture = this.#picture;
    if (!picture) return;
    const whites = [], blacks = new Set();
    const isCrowded = this.#active.size > PATCHES_MAX;
    for (const key of this.#active) {
      const state = this.#keys[key];
      while (state.blips.length && now - state.blips[0].at >= BLIP_MS) state.blips.shift();
      if (this.geometry.isInView(key)) {
        if (isBlack(key)) {
          blacks.add(key);
        } else {
          whites.push(key);
          // Their patches overlap.
          for (const near of [key - 1, key + 1]) if (NAMES[near] && isBlack(near)) blacks.add(near);
        }
      }
      if (!this.#isMoving(state, now)) this.#active.delete(key);
      // A key that is held and has faded in is as it will stay.
      else if (state.by.size === 0 || now - state.at < FADE_MS || state.blips.length) moves = true;
      else this.#active.delete(key);
    }
    if (isCrowded) {
      // Black keys that rest stand over white ones that do not.
      this.#context.drawImage(picture, 0, 0);
      for (const key of whites) this.#drawKey(key, now, null);
      for (const key of blacks) this.#drawKey(key, now, picture);
    } else {
      for (const key of [...whites, ...blacks]) this.#drawKey(key, now, picture);
    }
    if (moves || this.#active.size) this.wake();
  }

  /** @param {number} key @param {number} now @param {ImageBitmap | null} picture its patch of this is drawn first */
  #drawKey(key, now, picture) {
    const context = this.#context;
    const { x, width, height, isBlack: black } = this.geometry.places[key];
    const left = Math.max(0, x), visible = Math.min(this.geometry.width, x + width) - left;
    if (visible <= 0) return;
    if (picture) context.drawImage(picture, left, 0, visible, height, left, 0, visible, height);
    const state = this.#keys[key];
    const isDown = state.by.size > 0;
    const fade = isDown ? 1 : Math.max(0, 1 - (now - state.at) / FADE_MS);
    const edge = Math.max(1, Math.round(this.#ratio));
    if (fade > 0) {
      const color = isDown ? [...state.by.values()].at(-1) ?? state.color : state.color;
      context.globalAlpha = (black ? 0.85 : 0.62) * fade;
      context.fillStyle = color;
      context.fillRect(x + edge, 0, width - 2 * edge, height - edge * (isDown ? 1 : 3));
      if (isDown) {
        // A pressed key is in the shade of its neighbours.
        context.globalAlpha = black ? 0.35 : 0.18;
        context.fillStyle = "#000";
        context.fillRect(x + edge, 0, Math.round(width * 0.12), height - edge);
        context.fillRect(x + edge, 0, width - 2 * edge, Math.round(height * 0.035));
      }
      context.globalAlpha = 1;
    }
    this.#drawBlips(state, now, x, width, height, black);
  }

  /**
   * @param {KeyState} state @param {number} now
   * @param {number} x @param {number} width @param {number} height @param {boolean} black
   */
  #drawBlips({ blips }, now, x, width, height, black) {
    if (blips.length === 0) return;
    const context = this.#context;
    const inset = Math.round(width * (black ? 0.2 : 0.22));
    const size = Math.max(2, Math.round(height * 0.045));
    // Above the letters.
    let y = height - Math.round(height * 0.06 + (black ? 14 : 24) * this.#ratio) - size;
    for (let at = blips.length - 1; at >= 0; at--) {
      const age = (now - blips[at].at) / BLIP_MS;
      context.globalAlpha = Math.max(0, 1 - age * age);
      if (!black) {
        context.fillStyle = "#fff";
        context.fillRect(x + inset - 1, y - 1, width - 2 * inset + 2, size + 2);
      }
      context.fillStyle = blips[at].color;
      context.fillRect(x + inset, y, width - 2 * inset, size);
      y -= Math.round(size * 1.5);
    }
    context.globalAlpha = 1;
  }

  #drawResting() {
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (this.#resting.getContext("2d", { alpha: false }));
    const { width, height, blackHeight } = this.geometry;
    const px = this.#ratio;
    const style = getComputedStyle(this.#canvas);
    const get = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    context.fillStyle = get("--key-gap") || "#111";
    context.fillRect(0, 0, width, height);
    const [whiteTop, whiteEnd] = [get("--key-white-top") || "#e9e7e2", get("--key-white") || "#fbfaf7"];
    for (let key = 0; key < KEYS; key++) {
      const place = this.geometry.places[key];
      if (place.isBlack || !this.geometry.isInView(key)) continue;
      this.#drawWhite(context, place, whiteTop, whiteEnd, px);
      this.#drawLabel(context, key, place);
    }
    // The felt above the keys throws a shadow on them.
    const shade = context.createLinearGradient(0, 0, 0, height * 0.09);
    shade.addColorStop(0, "rgb(0 0 0 / 45%)");
    shade.addColorStop(1, "rgb(0 0 0 / 0%)");
    context.fillStyle = shade;
    context.fillRect(0, 0, width, height * 0.09);
    for (let key = 0; key < KEYS; key++) {
      const place = this.geometry.places[key];
      if (!place.isBlack || !this.geometry.isInView(key)) continue;
      this.#drawBlack(context, place, blackHeight, px);
      this.#drawLabel(context, key, place);
    }
    if (this.#isLocked) {
      context.fillStyle = get("--key-locked") || "rgb(20 20 30 / 45%)";
      context.fillRect(0, 0, width, height);
    }
  }

  /**
   * @param {OffscreenCanvasRenderingContext2D} context @param {import("./geometry.js").Place} place
   * @param {string} top @param {string} end @param {number} px
   */
  #drawWhite(context, { x, width, height }, top, end, px) {
    const gap = Math.max(1, Math.round(px * 0.8));
    const fill = context.createLinearGradient(0, 0, 0, height);
    fill.addColorStop(0, top);
    fill.addColorStop(0.35, end);
    fill.addColorStop(1, end);
    context.fillStyle = fill;
    const radius = Math.min(width * 0.14, 5 * px);
    context.beginPath();
    context.roundRect(x, -radius, width - gap, height + radius - Math.round(3 * px), radius);
    context.fill();
    // The front edge.
    context.fillStyle = "rgb(0 0 0 / 16%)";
    context.beginPath();
    context.roundRect(x, height - 7 * px, width - gap, 7 * px - gap, [0, 0, radius, radius]);
    context.fill();
  }

  /**
   * @param {OffscreenCanvasRenderingContext2D} context @param {import("./geometry.js").Place} place
   * @param {number} height @param {number} px
   */
  #drawBlack(context, { x, width }, height, px) {
    const radius = Math.min(width * 0.16, 3.5 * px);
    context.fillStyle = "rgb(0 0 0 / 28%)";
    context.beginPath();
    context.roundRect(x + 1.5 * px, -radius, width + px, height + radius + 2 * px, radius);
    context.fill();
    context.fillStyle = "#17181c";
    context.beginPath();
    context.roundRect(x, -radius, width, height + radius, radius);
    context.fill();
    const inset = Math.max(1, width * 0.14), end = height * 0.88;
    const sheen = context.createLinearGradient(0, 0, 0, end);
    sheen.addColorStop(0, "#24262c");
    sheen.addColorStop(0.85, "#3a3d46");
    sheen.addColorStop(1, "#4b4f5a");
    context.fillStyle = sheen;
    context.beginPath();
    context.roundRect(x + inset, -radius, width - 2 * inset, end + radius, radius);
    context.fill();
  }

  /** @param {OffscreenCanvasRenderingContext2D} context @param {number} key @param {import("./geometry.js").Place} place */
  #drawLabel(context, key, { x, width, height, isBlack: black }) {
    const letter = this.#labels.get(key);
    const isC = this.#showsNames && (key + 9) % 12 === 0;
    if (!letter && !isC) return;
    const size = Math.min(width * (black ? 0.62 : 0.5), 13 * this.#ratio);
    if (size < 6 * this.#ratio) return;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    let y = height - 13 * this.#ratio;
    if (isC) {
      context.font = `500 ${size * 0.85}px Inter, system-ui, sans-serif`;
      context.fillStyle = "rgb(40 44 60 / 55%)";
      context.fillText(shownName(key), x + width / 2, y);
      y -= size * 1.35;
    }
    if (letter) {
      context.font = `600 ${size}px Inter, system-ui, sans-serif`;
      context.fillStyle = black ? "rgb(255 255 255 / 72%)" : "rgb(40 44 60 / 62%)";
      context.fillText(letter, x + width / 2, y);
    }
  }
}
