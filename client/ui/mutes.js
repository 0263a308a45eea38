// Whose notes and whose chat this person does not want to hear.

import { Emitter } from "../events.js";
import { storedJson, storeJson } from "../store.js";

/** More than anybody would mute by hand; the oldest are forgotten. */
const MUTES_MAX = 500;

/** Emits `change(userId)`. */
export class Mutes extends Emitter {
  /** @type {Map<string, { notes: boolean, chat: boolean }>} by user id */
  #muted = new Map(Object.entries(storedJson("mutes", {})));

  /** @param {string} userId */
  of(userId) {
    const { notes = false, chat = false } = this.#muted.get(userId) ?? {};
    return { notes: notes === true, chat: chat === true, any: notes || chat };
  }

  /** @param {string} userId @param {{ notes?: boolean, chat?: boolean }} change */
  set(userId, change) {
    const { notes, chat } = { ...this.of(userId), ...change };
    this.#muted.delete(userId);
    if (notes || chat) this.#muted.set(userId, { notes, chat });
    if (this.#muted.size > MUTES_MAX) this.#muted.delete(String(this.#muted.keys().next().value));
    storeJson("mutes", Object.fromEntries(this.#muted));
    this.emit("change", userId);
  }
}
