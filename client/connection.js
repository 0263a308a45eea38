// One connection to the server that mends itself: JSON arrays over a WebSocket, the server's clock, and retries
// that get rarer while the server does not want us.

const PING_MS = 20_000;
const RETRY_FIRST_MS = 1000;
const RETRY_MAX_MS = 60_000;
// A connection that lived this long was a success, so the next loss starts with a short wait again.
const SETTLED_MS = 10_000;

// Close codes after which coming back by itself would be rude, and those after which it should take its time.
const REFUSALS = new Map([
  [4008, "You are banned from this server."],
  [4009, "You have too many connections to this server."],
]);
const OVER_LIMIT = new Map([
  [4002, "This page sent too much."],
  [4003, "This page could not keep up."],
  [4007, "This page sent too many messages."],
]);

export class Connection {
  #url; #onMessage; #onState;
  #socket = null;
  #retry = 0; #failures = 0; #openedAt = 0;
  #pings = 0; #pingPending = false;
  #offset = 0; #samples = [];

  // `onMessage(message)` is called for each object received; `onState(state, words, retryAt)` with "connecting",
  // "open", "waiting" (until `retryAt`, in `performance.now()` time) or "refused".
  constructor(url, onMessage, onState) {
    [this.#url, this.#onMessage, this.#onState] = [url, onMessage, onState];
    addEventListener("online", () => this.retryNow());
  }

  get open() { return this.#socket?.readyState === WebSocket.OPEN; }

  // The server's clock, in milliseconds since 1970. Local time is monotonic, so that a corrected clock hurts nobody.
  serverTime() { return performance.now() + this.#offset; }

  send(message) {
    if (this.open) this.#socket.send(JSON.stringify([message]));
  }

  retryNow() {
    clearTimeout(this.#retry);
    if (this.#socket) return;
    this.#onState("connecting");
    const socket = this.#socket = new WebSocket(this.#url);
    socket.onopen = () => {
      this.#openedAt = performance.now();
      this.#onState("open");
      this.send({ m: "hi", token: stored("token") ?? undefined });
    };
    socket.onmessage = ({ data }) => { if (typeof data === "string") this.#receive(data); };
    socket.onclose = ({ code }) => this.#closed(code);
  }

  #receive(text) {
    for (const message of JSON.parse(text)) {
      if (message.m === "hi") {
        if (typeof message.token === "string") store("token", message.token);
        this.#samples = [];
        this.#offset = message.t - performance.now();
        // A few soon, so that the clock is right before the first notes.
        for (const after of [0, 700, 1500]) setTimeout(() => this.#ping(), after);
        clearInterval(this.#pings);
        this.#pingPending = false;
        this.#pings = setInterval(() => this.#checkAndPing(), PING_MS);
      } else if (message.m === "t") {
        this.#pingPending = false;
        this.#learnTime(message);
      }
      this.#onMessage(message);
    }
  }

  #ping() { this.send({ m: "t", e: performance.now() }); }

  // A path that swallows everything never closes the socket, so an unanswered ping does.
  #checkAndPing() {
    if (this.#pingPending) return this.#socket?.close();
    this.#pingPending = true;
    this.#ping();
  }

  // The sample with the shortest round trip is the truest, unless the clock itself has jumped (a laptop that slept).
  #learnTime({ t, e }) {
    if (typeof e !== "number") return;
    const now = performance.now();
    const sample = { trip: now - e, offset: t - (now + e) / 2 };
    if (Math.abs(sample.offset - this.#offset) > 1000 + sample.trip) this.#samples = [];
    this.#samples = [sample, ...this.#samples].slice(0, 6);
    this.#offset = this.#samples.reduce((best, next) => (next.trip < best.trip ? next : best)).offset;
  }

  #closed(code) {
    clearInterval(this.#pings);
    this.#socket = null;
    const lived = this.#openedAt && performance.now() - this.#openedAt;
    const opened = this.#openedAt > 0;
    this.#openedAt = 0;
    if (REFUSALS.has(code)) return this.#onState("refused", REFUSALS.get(code));
    this.#failures = lived > SETTLED_MS ? 0 : this.#failures + 1;
    let wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(this.#failures, 10));
    if (OVER_LIMIT.has(code)) wait = Math.max(wait, 15_000);
    // A whole room comes back after a restart: spread it.
    wait *= 0.5 + Math.random() / 2;
    const words = OVER_LIMIT.get(code) ?? (code === 4000 ? "The server is restarting."
      : opened ? "The connection was lost." : "The server cannot be reached, or does not let you in.");
    this.#retry = setTimeout(() => this.retryNow(), wait);
    this.#onState("waiting", words, performance.now() + wait);
  }
}

// What the browser remembers for us; a browser that forbids it merely forgets.
export function stored(key) {
  try { return localStorage.getItem(`tutti.${key}`); } catch { return null; }
}

export function store(key, value) {
  try { localStorage.setItem(`tutti.${key}`, value); } catch { /* Remembering is a comfort only. */ }
}
