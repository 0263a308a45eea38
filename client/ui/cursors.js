// Others' cursors, and a crown that lies. Each is moved to its newest place, and the browser glides it there by itself.

import { CROWN_LANDS_MS } from "../room.js";
import { t } from "../words.js";
import { inkOn } from "./colors.js";
import { byId, make, paint } from "./dom.js";

/** @typedef {import("../net/messages.js").Person} Person */

const SEND_MS = 50;

export class Cursors {
  #layer = byId("cursors");
  /** @type {Map<string, HTMLElement>} */
  #cursors = new Map();
  /** @type {Set<Person>} moved since the last frame */
  #moved = new Set();
  #frame = 0;
  #isOn = true;
  #room;

  /** @param {import("../room.js").Room} room */
  constructor(room) {
    this.#room = room;
    room.on("people", () => {
      this.#layer.replaceChildren();
      this.#cursors.clear();
      for (const person of room.people.values()) this.#move(person);
    });
    room.on("person", person => this.#dress(person));
    room.on("move", person => this.#move(person));
    room.on("leave", ({ id }) => {
      this.#cursors.get(id)?.remove();
      this.#cursors.delete(id);
    });
    addEventListener("resize", () => { for (const person of room.people.values()) this.#move(person); });
  }

  /** @param {boolean} on */
  set isOn(on) {
    this.#isOn = on;
    this.#layer.hidden = !on;
    for (const person of this.#room.people.values()) this.#move(person);
  }

  /** @param {Person} person */
  #move(person) {
    if (!this.#isOn) return;
    this.#moved.add(person);
    // However many moved, one look at them a frame; while the page is hidden, none.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      for (const moved of this.#moved) this.#place(moved);
      this.#moved.clear();
    });
  }

  /** @param {Person} person */
  #place(person) {
    const { id, x, y } = person;
    if (id === this.#room.self || !this.#room.people.has(id)) return;
    // People without a mouse stand outside of the window.
    const isHere = x >= 0 && x <= 100 && y >= 0 && y <= 100;
    let cursor = this.#cursors.get(id);
    if (!cursor) {
      if (!isHere) return;
      cursor = make("div", { class: "cursor" }, arrow(), make("span"));
      cursor.dataset.id = id;
      this.#cursors.set(id, cursor);
      this.#dress(person);
      this.#layer.append(cursor);
    }
    cursor.hidden = !isHere;
    cursor.style.transform = `translate(${(x * innerWidth / 100).toFixed(1)}px, ${(y * innerHeight / 100).toFixed(1)}px)`;
  }

  /** @param {Person} person */
  #dress({ id, name, color }) {
    const cursor = this.#cursors.get(id);
    if (!cursor) return;
    paint(cursor, { "--by": color, "--on-by": inkOn(color) });
    const label = cursor.querySelector("span");
    if (label) label.textContent = name;
  }
}

function arrow() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 15 19");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M1 1v14l4-3.5 2.5 5.5 2.5-1.2-2.5-5.3H13z");
  svg.append(path);
  return svg;
}

/**
 * Tells where our own pointer is, at most every 50 ms, and nothing while it rests.
 * @param {(x: number, y: number) => void} send percent of the window
 */
export function followPointer(send) {
  let [x, y, waits] = [0, 0, false];
  const flush = () => { waits = false; send(x, y); };
  addEventListener("pointermove", ({ clientX, clientY, pointerType }) => {
    if (pointerType === "touch") return;
    [x, y] = [100 * clientX / innerWidth, 100 * clientY / innerHeight];
    if (waits) return;
    waits = true;
    setTimeout(flush, SEND_MS);
  }, { passive: true });
}

/** The crown while nobody wears it. */
export class LyingCrown {
  #button = /** @type {HTMLButtonElement} */ (byId("crown"));
  #room;
  #now;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #shownTime = 0;

  /** @param {import("../room.js").Room} room @param {() => number} now the server's clock @param {() => void} take */
  constructor(room, now, take) {
    this.#room = room;
    this.#now = now;
    this.#button.addEventListener("click", take);
    for (const event of ["info", "leave", "people"]) room.on(event, () => this.#show());
    addEventListener("resize", () => { this.#shownTime = 0; this.#show(); });
  }

  #show() {
    clearTimeout(this.#timer);
    const lies = this.#room.self ? this.#room.crownLies(this.#now()) : null;
    this.#button.hidden = lies === null;
    if (!lies) {
      this.#shownTime = 0;
      return;
    }
    const { crown, freeAt, isFree } = lies;
    if (this.#shownTime !== crown.time) {
      this.#shownTime = crown.time;
      const landed = this.#now() - crown.time > CROWN_LANDS_MS;
      this.#at(landed ? crown.to : crown.from, false);
      // The way down begins once the start has been drawn.
      if (!landed) requestAnimationFrame(() => requestAnimationFrame(() => this.#at(crown.to, true)));
    }
    const left = Math.max(0, Math.ceil((freeAt - this.#now()) / 1000));
    const label = isFree ? t("crownTake") : t("crownWait", { n: left });
    this.#button.disabled = !isFree;
    this.#button.title = label;
    this.#button.setAttribute("aria-label", label);
    const words = this.#button.querySelector("span");
    if (words) words.textContent = isFree ? "" : String(left);
    if (!isFree) this.#timer = setTimeout(() => this.#show(), 250);
  }

  /** @param {{ x: number, y: number }} place percent of the window @param {boolean} glides */
  #at({ x, y }, glides) {
    this.#button.style.transition = glides ? "" : "none";
    this.#button.style.transform = `translate(${x * innerWidth / 100}px, ${y * innerHeight / 100}px)`;
  }
}
