// What is known about the room we are in: its people, its settings and its crown. Knows nothing of pages.

import { Emitter } from "./events.js";
import * as read from "./net/messages.js";

/** @typedef {import("./net/messages.js").Person} Person */

/** More than any room or server has. */
const PEOPLE_MAX = 5000;
const ROOMS_MAX = 20_000;
/** A crown that lies lands after this long, and is anybody's after the second. */
export const CROWN_LANDS_MS = 2000;
export const CROWN_FREE_MS = 15_000;

/**
 * Emits
 * - `enter(info)` when another room was joined, `info(info)` when its settings or crown may have changed,
 * - `person(person, isNew)`, `leave(person)`, `move(person)`, `people()` when the whole list is another,
 * - `list()` when the list of rooms has changed.
 */
export class Room extends Emitter {
  /** @type {Map<string, Person>} by participant id */
  people = new Map();
  /** Our participant id. @type {string} */
  self = "";
  /** @type {import("./net/messages.js").RoomInfo | null} */
  info = null;
  /** @type {Map<string, import("./net/messages.js").RoomInfo>} the rooms that the server lists */
  list = new Map();

  get me() { return this.people.get(this.self); }

  get isCrowned() { return this.info?.crown?.holder === this.self && this.self !== ""; }

  /** Whether our notes would be passed on. */
  get mayPlay() { return !this.info?.settings.crownsolo || this.isCrowned; }

  /** Whether the crown lies, and whether it is ours to take at `now` (server time): last holders may at once. */
  crownLies(now = 0) {
    const crown = this.info?.crown;
    if (!crown || (crown.holder !== null && this.people.has(crown.holder))) return null;
    const freeAt = crown.userId === this.me?._id ? crown.time : crown.time + CROWN_FREE_MS;
    return { crown, freeAt, isFree: now >= freeAt };
  }

  /** Takes a message if it is about a room. @param {Record<string, any>} message */
  apply(message) {
    switch (message.m) {
      case "ch": return this.#entered(message);
      case "p": return this.#person(message);
      case "bye": return this.#left(String(message.p));
      case "m": return this.#moved(message);
      case "ls": return this.#listed(message);
    }
  }

  /** Nobody is known while there is no connection; the room itself stays, to come back to. */
  lose() {
    this.people.clear();
    this.list.clear();
    this.self = "";
    this.emit("people");
    this.emit("list");
  }

  /** @param {Record<string, any>} message */
  #entered({ ch, ppl, p }) {
    const info = read.roomInfo(ch);
    if (!info) return;
    const isOther = info.id !== this.info?.id || this.self === "";
    this.info = info;
    if (typeof p === "string") this.self = p;
    const found = read.people(ppl);
    if (isOther) {
      this.people = new Map(found.map(person => [person.id, person]));
      this.emit("people");
      this.emit("enter", info);
    } else {
      // The same people, mostly: what has not changed is left alone, and cursors stay where they glide.
      const ids = new Set(found.map(({ id }) => id));
      for (const id of [...this.people.keys()]) if (!ids.has(id)) this.#left(id);
      for (const person of found) this.#set(person, false);
    }
    this.emit("info", info);
  }

  /** @param {Record<string, any>} message */
  #person(message) {
    const person = read.person(message);
    if (!person) return;
    if (message.isPartial) person.tag = this.people.get(person.id)?.tag ?? null;
    this.#set(person, true);
  }

  /** @param {Person} person @param {boolean} moves whether its position counts */
  #set(person, moves) {
    const known = this.people.get(person.id);
    if (known) {
      if (!moves) [person.x, person.y] = [known.x, known.y];
      if (JSON.stringify(known) === JSON.stringify(person)) return;
      Object.assign(known, person);
    } else {
      if (this.people.size >= PEOPLE_MAX) return;
      this.people.set(person.id, person);
    }
    this.emit("person", this.people.get(person.id), !known);
  }

  /** @param {string} id */
  #left(id) {
    const person = this.people.get(id);
    if (!person) return;
    this.people.delete(id);
    this.emit("leave", person);
  }

  /** @param {Record<string, any>} message */
  #moved({ id, x, y }) {
    const person = this.people.get(id);
    if (!person) return;
    person.x = read.number(x, person.x);
    person.y = read.number(y, person.y);
    this.emit("move", person);
  }

  /** @param {Record<string, any>} message */
  #listed({ c, u }) {
    if (c) this.list.clear();
    for (const entry of read.array(u)) {
      const info = read.roomInfo(entry);
      if (!info) continue;
      if (info.count === 0 && info.id !== "lobby") this.list.delete(info.id);
      else if (this.list.size < ROOMS_MAX || this.list.has(info.id)) this.list.set(info.id, info);
    }
    this.emit("list");
  }
}

/** The room that a path names. @param {string} path */
export function roomOfPath(path) {
  try { return decodeURIComponent(path.slice(1)) || "lobby"; } catch { return "lobby"; }
}

/** @param {string} room */
export const pathOfRoom = room => (room === "lobby" ? "/" : `/${encodeURIComponent(room.toWellFormed())}`);
