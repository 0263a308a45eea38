// One connection to the server that mends itself: JSON arrays over a WebSocket, the server's clock, and retries that
// get rarer while the server does not want us.

import { Clock } from "./clock.js";
import { Emitter } from "../events.js";
import { store, stored } from "../store.js";
import * as quick from "./quick.js";

const PING_MS = 20_000;
/** How soon after a greeting the clock is asked, so that it is right before the first notes. */
const PINGS_FIRST_MS = [0, 300, 700, 1500, 3000];
const RETRY_FIRST_MS = 1000;
const RETRY_MAX_MS = 60_000;
/** A connection that lived this long was a success, so the next loss starts with a short wait again. */
const SETTLED_MS = 10_000;
const PROBE_MS = 4000;
/** How long a server may take to greet. */
const HELLO_MS = 15_000;

/** Close codes after which coming back by itself would be rude. */
const REFUSALS = new Map([[4008, "banned"], [4009, "tooMany"]]);
/** Close codes after which coming back should take its time. */
const OVER_LIMIT = new Set([4002, 4003, 4007]);

/**
 * @typedef {object} State
 * @property {"connecting" | "open" | "waiting" | "refused"} now
 * @property {string} why `lost`, `restarting`, `unreachable`, `limited`, `banned`, `tooMany`, or empty
 * @property {number} retryAt when it is tried again while waiting, in `performance.now()` time
 */

/** Emits `state` with a {@link State}, `message` with each object received, `clock` when it has learned. */
export class Connection extends Emitter {
  clock = new Clock();
  /** @type {State} */
  state = { now: "connecting", why: "", retryAt: 0 };
  /** Bytes of notes and how many, as sent, by dialect: a measurement. */
  sent = { text: { bytes: 0, notes: 0 }, quick: { bytes: 0, notes: 0 } };

  #url;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout>[]} */
  #timers = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  #failures = 0;
  #openedAt = 0;
  #pingedAt = 0;
  #wantsQuick = false;
  #speaksQuick = false;

  /** @param {string} url */
  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => { if (this.state.now === "waiting") this.retryNow(); });
    // What a sleeping computer holds for an open connection may be long gone.
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.isOpen) this.#ping(); });
  }

  get isOpen() { return this.#socket?.readyState === WebSocket.OPEN; }

  /** Whether notes and moves go out in the quick dialect: it is wanted, and the server has answered in it. */
  get isQuick() { return this.#wantsQuick && this.#speaksQuick; }

  /** @param {boolean} wanted */
  set quick(wanted) {
    this.#wantsQuick = wanted;
    this.#speaksQuick = false;
    if (wanted && this.isOpen) this.#probe();
    // The server answers in whatever it heard last.
    else if (this.isOpen) this.#ping();
  }

  /** Sends messages, together. @param {Record<string, unknown>[]} messages */
  send(...messages) {
    if (this.isOpen) this.#socket?.send(JSON.stringify(messages));
  }

  /** @param {number} t server time of the first @param {import("./batch.js").WireNote[]} notes */
  sendNotes(t, notes) {
    if (!this.isOpen) return;
    const frame = this.isQuick ? quick.encodeNotes(t, notes) : JSON.stringify([{ m: "n", t, n: notes }]);
    const counted = this.isQuick ? this.sent.quick : this.sent.text;
    counted.bytes += frame.length;
    counted.notes += notes.length;
    this.#socket?.send(frame);
  }

  /** @param {number} x @param {number} y percent of the window */
  sendMove(x, y) {
    if (this.isQuick) this.#socket?.send(quick.encodeMove(Math.round(x * 100) / 100, Math.round(y * 100) / 100));
    else this.send({ m: "m", x: x.toFixed(2), y: y.toFixed(2) });
  }

  retryNow() {
    clearTimeout(this.#retry);
    if (this.#socket) return;
    this.#say({ now: "connecting", why: "", retryAt: 0 });
    const socket = this.#socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    // A path that swallows everything would let the browser wait for minutes, and nobody could try again meanwhile.
    this.#timers.push(setTimeout(() => this.#drop(), HELLO_MS));
    socket.onopen = () => {
      this.#openedAt = performance.now();
      this.#say({ now: "open", why: "", retryAt: 0 });
      const token = stored("token");
      this.send(token ? { m: "hi", token } : { m: "hi" });
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#closed(code);
  }

  /** @param {State} state */
  #say(state) {
    this.state = state;
    this.emit("state", state);
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    let messages;
    if (typeof data === "string") {
      try { messages = JSON.parse(data); } catch { return; }
    } else {
      messages = quick.decode(data);
      this.#speaksQuick ||= messages.length > 0;
    }
    if (!Array.isArray(messages)) return;
    for (const message of messages) {
      if (message === null || typeof message !== "object" || typeof message.m !== "string") continue;
      if (message.m === "hi") this.#greeted(message);
      if (message.m === "t") this.#learn(message);
      this.emit("message", message);
    }
  }

  /** @param {Record<string, unknown>} hi */
  #greeted({ token, t }) {
    if (typeof token === "string" && token.length < 1000) store("token", token);
    // JSON can say 1e999, which is Infinity here.
    if (Number.isFinite(t)) this.clock.reset(/** @type {number} */ (t));
    this.#stopTimers();
    this.#pingedAt = 0;
    for (const after of PINGS_FIRST_MS) this.#timers.push(setTimeout(() => this.#ping(), after));
    this.#timers.push(setInterval(() => this.#checkAndPing(), PING_MS));
    this.#speaksQuick = false;
    if (this.#wantsQuick) this.#probe();
  }

  #ping() {
    const e = performance.now();
    this.#pingedAt ||= e;
    if (this.isQuick) this.#socket?.send(quick.encodePing(e));
    else this.send({ m: "t", e });
  }

  // A server that does not speak the dialect answers nothing, and text goes on.
  #probe() {
    const socket = this.#socket;
    socket?.send(quick.encodePing(performance.now()));
    this.#timers.push(setTimeout(() => {
      if (socket === this.#socket && !this.#speaksQuick) this.#ping();
    }, PROBE_MS));
  }

  // A path that swallows everything never closes the socket, so an unanswered ping does.
  #checkAndPing() {
    if (this.#pingedAt && performance.now() - this.#pingedAt > PING_MS / 2) this.#drop();
    else this.#ping();
  }

  // Closing politely would wait for an answer that does not come.
  #drop() {
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#closed(1006);
  }

  /** @param {Record<string, unknown>} answer */
  #learn({ t, e }) {
    this.#pingedAt = 0;
    if (!Number.isFinite(e) || !Number.isFinite(t) || Number(e) > performance.now()) return;
    this.clock.learn(Number(e), Number(t));
    this.emit("clock");
  }

  #stopTimers() {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
  }

  /** @param {number} code */
  #closed(code) {
    this.#stopTimers();
    this.#socket = null;
    const opened = this.#openedAt > 0;
    const lived = opened ? performance.now() - this.#openedAt : 0;
    this.#openedAt = 0;
    this.#speaksQuick = false;
    const refusal = REFUSALS.get(code);
    if (refusal) return this.#say({ now: "refused", why: refusal, retryAt: 0 });
    this.#failures = lived > SETTLED_MS ? 0 : this.#failures + 1;
    const limited = OVER_LIMIT.has(code);
    let wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(this.#failures, 10));
    if (limited) wait = Math.max(wait, 15_000);
    // A whole room comes back after a restart: spread it.
    wait *= 0.5 + Math.random() / 2;
    const why = limited ? "limited" : code === 4000 ? "restarting" : opened ? "lost" : "unreachable";
    this.#retry = setTimeout(() => this.retryNow(), wait);
    this.#say({ now: "waiting", why, retryAt: performance.now() + wait });
  }
}
