// Instruments that are plugged in: notes, pedal and velocity in, what is heard out.

import { Emitter } from "../events.js";
import { KEYS, MIDI_LOWEST } from "../net/notes.js";
import { storedJson, storeJson } from "../store.js";

const SUSTAIN_PEDAL = 64;
const ALL_SOUND_OFF = 120;
const ALL_NOTES_OFF = 123;

/** Emits `devices` when some came or went, with a text key and a name when it was one that was plugged in or out. */
export class Midi extends Emitter {
  /** @type {"unasked" | "asking" | "open" | "denied" | "unsupported"} */
  state = "requestMIDIAccess" in navigator ? "unasked" : "unsupported";
  /** Only this channel is listened to, 1 to 16; 0 is all. */
  channel = 0;
  #player;
  /** @type {MIDIAccess | null} */
  #access = null;
  /** @type {Record<string, boolean>} by direction and id; inputs are used unless switched off, outputs when switched on */
  #chosen = storedJson("midi", {});
  /** @type {Set<string>} */
  #held = new Set();

  /** @param {import("./keyboard.js").Player} player */
  constructor(player) {
    super();
    this.#player = player;
  }

  /** Asks the browser; it may ask the person. */
  async open() {
    if (this.state !== "unasked" && this.state !== "denied") return;
    this.state = "asking";
    try {
      this.#access = await navigator.requestMIDIAccess();
      this.state = "open";
    } catch {
      this.state = "denied";
      this.emit("devices");
      return;
    }
    this.#access.addEventListener("statechange", event => this.#changed(/** @type {MIDIConnectionEvent} */ (event).port));
    for (const input of this.#access.inputs.values()) this.#listen(input);
    this.emit("devices");
  }

  /** Opens by itself where that was allowed before. */
  async openIfAllowed() {
    try {
      const answer = await navigator.permissions.query({ name: /** @type {PermissionName} */ ("midi") });
      if (answer.state === "granted") await this.open();
    } catch { /* Then it is asked for. */ }
  }

  get inputs() { return [...this.#access?.inputs.values() ?? []].filter(({ state }) => state !== "disconnected"); }

  get outputs() { return [...this.#access?.outputs.values() ?? []].filter(({ state }) => state !== "disconnected"); }

  /** @param {MIDIPort} port */
  isOn(port) { return this.#chosen[`${port.type}:${port.id}`] ?? port.type === "input"; }

  /** @param {MIDIPort} port @param {boolean} on */
  choose(port, on) {
    this.#chosen[`${port.type}:${port.id}`] = on;
    storeJson("midi", this.#chosen);
    if (!on) this.#releaseAll(port.id);
  }

  /** Sends a note to the outputs. @param {number} key @param {number} velocity 0 lets it go @param {number} delay in ms */
  send(key, velocity, delay) {
    if (!this.#access) return;
    const bytes = [velocity > 0 ? 0x90 : 0x80, key + MIDI_LOWEST, Math.max(velocity > 0 ? 1 : 0, Math.round(velocity * 127))];
    for (const output of this.outputs) {
      if (this.isOn(output)) output.send(bytes, performance.now() + Math.max(0, delay));
    }
  }

  /** What the server is told about devices (`devices`). */
  describe() {
    return [...this.inputs, ...this.outputs].slice(0, 20).map(port => ({
      type: port.type, manufacturer: port.manufacturer ?? "", name: port.name ?? "", version: port.version ?? "",
      enabled: this.isOn(port), volume: 1,
    }));
  }

  /** @param {MIDIPort | null} port */
  #changed(port) {
    if (port?.type === "input" && port.state === "connected") this.#listen(/** @type {MIDIInput} */ (port));
    if (port?.state === "disconnected") this.#releaseAll(port.id);
    this.emit("devices", port?.state === "disconnected" ? "midiGone" : "midiConnected", port?.name ?? "");
  }

  /** @param {MIDIInput} input */
  #listen(input) {
    input.onmidimessage = ({ data }) => { if (data && this.isOn(input)) this.#receive(input.id, data); };
  }

  /** @param {string} id @param {Uint8Array} data */
  #receive(id, [status, first, second = 0]) {
    const kind = status & 0xf0;
    if (this.channel !== 0 && (status & 0x0f) + 1 !== this.channel) return;
    const key = first - MIDI_LOWEST;
    const source = `midi:${id}:${status & 0x0f}:${key}`;
    if (kind === 0x90 && second > 0) {
      if (key < 0 || key >= KEYS) return;
      this.#held.add(source);
      this.#player.press(key, second / 127, source);
    } else if (kind === 0x80 || kind === 0x90) {
      if (this.#held.delete(source)) this.#player.release(key, source);
    } else if (kind === 0xb0 && first === SUSTAIN_PEDAL) {
      this.#player.pedal(second >= 64, `midi:${id}`);
    } else if (kind === 0xb0 && (first === ALL_NOTES_OFF || first === ALL_SOUND_OFF)) {
      this.#releaseAll(id);
    }
  }

  // A cable that is pulled lets every key go.
  /** @param {string} id */
  #releaseAll(id) {
    for (const source of [...this.#held]) {
      if (!source.startsWith(`midi:${id}:`)) continue;
      this.#held.delete(source);
      this.#player.release(Number(source.split(":").at(-1)), source);
    }
    this.#player.pedal(false, `midi:${id}`);
  }
}
