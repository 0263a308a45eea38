// How well we are connected, and what is shown when we are not.

import { t } from "../words.js";
import { byId, make } from "./dom.js";

const SLOW_MS = 150;
const VERY_SLOW_MS = 400;
/** Failures before the first greeting after which the page says that the server may be full. */
const CARD_AFTER = 2;

export class Status {
  #connection;
  #banner = byId("banner");
  #card = byId("card");
  #wasOpen = false;
  #failures = 0;
  #isDismissed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #countdown;

  /** @param {import("../net/connection.js").Connection} connection */
  constructor(connection) {
    this.#connection = connection;
    connection.on("state", state => this.#show(state));
    connection.on("clock", () => this.#showClock());
    this.#banner.querySelector("button")?.addEventListener("click", () => connection.retryNow());
  }

  /** A greeting came: whatever stood in the way is gone. */
  greeted() {
    this.#wasOpen = true;
    this.#failures = 0;
    this.#banner.hidden = this.#card.hidden = true;
    this.#showClock();
  }

  /** @param {import("../net/connection.js").State} state */
  #show(state) {
    clearTimeout(this.#countdown);
    document.documentElement.dataset.state = state.now;
    if (state.now === "waiting") this.#failures++;
    if (state.now === "refused") {
      this.#banner.hidden = true;
      this.#showCard(`${state.why}Title`, `${state.why}Text`, state.why !== "banned");
    } else if (state.now === "waiting") {
      this.#countDown();
      const isShut = !this.#wasOpen && this.#failures >= CARD_AFTER;
      if (isShut && this.#card.hidden && !this.#isDismissed) this.#showCard("fullTitle", "fullText", true);
    } else if (state.now === "connecting" && !this.#banner.hidden) {
      this.#say(t("tryingNow"));
    }
    this.#showClock();
  }

  #countDown() {
    const { state } = this.#connection;
    if (state.now !== "waiting") return;
    const n = Math.max(0, Math.ceil((state.retryAt - performance.now()) / 1000));
    const why = t(`why${state.why[0].toUpperCase()}${state.why.slice(1)}`);
    this.#say(`${why} ${t("youCanPlay")}`, t("nextTry", { n }));
    this.#countdown = setTimeout(() => this.#countDown(), 1000);
  }

  /** @param {string} words said once @param {string} [countdown] shown only: nobody wants to hear it every second */
  #say(words, countdown = "") {
    this.#banner.hidden = false;
    const [spoken, shown] = this.#banner.querySelectorAll("span");
    if (spoken.textContent !== words) spoken.textContent = words;
    shown.textContent = countdown;
  }

  /** @param {string} title @param {string} text @param {boolean} mayRetry */
  #showCard(title, text, mayRetry) {
    const close = () => { this.#card.hidden = true; this.#isDismissed = true; };
    const retry = () => { this.#card.hidden = true; this.#connection.retryNow(); };
    this.#card.replaceChildren(
      make("h2", {}, t(title)), make("p", {}, t(text)),
      make("div", {},
        mayRetry && make("button", { type: "button", class: "main", onclick: retry }, t("tryAgain")),
        make("button", { type: "button", onclick: close }, t("playAlone"))));
    this.#card.hidden = false;
  }

  #showClock() {
    const { clock, isOpen } = this.#connection;
    const { latency, jitter } = clock;
    const element = byId("status");
    const trip = latency ?? 0;
    element.dataset.quality = !isOpen ? "0" : trip + 2 * (jitter ?? 0) < SLOW_MS ? "3" : trip < VERY_SLOW_MS ? "2" : "1";
    const label = !isOpen ? t("offline") : latency === null ? t("connectedNow")
      : t("connected", { latency: Math.round(latency), jitter: (jitter ?? 0).toFixed(1) });
    element.setAttribute("aria-label", label);
    element.title = label;
    byId("ping").textContent = isOpen && latency !== null ? t("latency", { n: Math.round(latency) }) : "";
  }
}
