// Telling others without knowing them.

/** @typedef {(...args: any[]) => void} Listener */

export class Emitter {
  /** @type {Map<string, Listener[]>} */
  #listeners = new Map();

  /** @param {string} name @param {Listener} listener */
  on(name, listener) {
    const listeners = this.#listeners.get(name);
    if (listeners) listeners.push(listener);
    else this.#listeners.set(name, [listener]);
    return this;
  }

  /** @param {string} name @param {Listener} listener */
  off(name, listener) {
    const listeners = this.#listeners.get(name);
    // Another list: one that is just being told stays whole.
    if (listeners) this.#listeners.set(name, listeners.filter(other => other !== listener));
  }

  /** @param {string} name @param {any[]} args */
  emit(name, ...args) {
    for (const listener of this.#listeners.get(name) ?? []) listener(...args);
  }
}
