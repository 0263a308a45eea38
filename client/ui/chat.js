// What is said in the room.

import { CHAT_MAX } from "../net/messages.js";
import { Emitter } from "../events.js";
import { t } from "../words.js";
import { readable } from "./colors.js";
import { byId, icon, make, paint } from "./dom.js";
import { emojiPanel, withEmoji } from "./emoji.js";
import { mentions, parts } from "./links.js";

/** @typedef {import("../net/messages.js").ChatLine} ChatLine @typedef {import("../net/messages.js").Person} Person */

const LINES_MAX = 300;
/** Lines of one person within this time stand together. */
const TOGETHER_MS = 120_000;
/** From how many units left the count is shown. */
const COUNT_FROM = 80;

/** Made once: making it takes longer than all the rest of a line. */
const hourAndMinute = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });

/** Emits `send(text, replyTo, to)`, `mention(line)` when this person is meant, `unread(count, rings)`, `person(person, element)`. */
export class Chat extends Emitter {
  #log = byId("chat-log");
  #form = byId("chat-form");
  #field = /** @type {HTMLInputElement} */ (byId("chat-field"));
  #left = byId("chat-left");
  #about = byId("chat-about");
  #newer = byId("chat-newer");
  /** @type {Map<string, ChatLine>} by message id */
  #lines = new Map();
  /** @type {ChatLine | null} */
  #last = null;
  /** @type {ChatLine | null} the message that is replied to */
  #replyTo = null;
  /** @type {Person | null} whom the message is for alone */
  #direct = null;
  #atEnd = true;
  #below = 0;
  #unread = 0;
  #rings = false;
  #isOpen = true;
  #room;
  #mutes;

  /** @param {import("../room.js").Room} room @param {import("./mutes.js").Mutes} mutes */
  constructor(room, mutes) {
    super();
    this.#room = room;
    this.#mutes = mutes;
    const log = this.#log;
    log.dataset.empty = t("chatEmpty");
    // Who reads older lines is not torn away from them; who reads the newest still does when the window shrinks.
    log.addEventListener("scroll", () => {
      this.#atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      if (this.#atEnd) this.#showNewer(0);
    });
    new ResizeObserver(() => this.#follow()).observe(log);
    this.#newer.addEventListener("click", () => { this.#atEnd = true; this.#follow(); });
    this.#form.addEventListener("submit", event => { event.preventDefault(); this.#submit(); });
    this.#field.addEventListener("input", () => this.#count());
    this.#field.addEventListener("keydown", event => this.#keys(event));
    this.#about.querySelector("button")?.addEventListener("click", () => this.#aim(null, null));
    emojiPanel(byId("chat-emoji"), emoji => {
      const { selectionStart, selectionEnd } = this.#field;
      this.#field.setRangeText(emoji, selectionStart ?? 0, selectionEnd ?? 0, "end");
      this.#count();
      this.#field.focus();
    });
    document.addEventListener("visibilitychange", () => this.#read());
    mutes.on("change", userId => {
      for (const line of log.querySelectorAll(".line")) {
        const { user } = /** @type {HTMLElement} */ (line).dataset;
        if (user === userId) /** @type {HTMLElement} */ (line).hidden = mutes.of(userId).chat;
      }
    });
    room.on("leave", ({ id }) => { if (id === this.#direct?.id) this.#aim(null, null); });
  }

  /** @param {boolean} open */
  set isOpen(open) {
    this.#isOpen = open;
    if (open) this.#follow();
    this.#read();
  }

  /** @param {boolean} on @param {string} why what stands in the field */
  allow(on, why) {
    this.#field.disabled = !on;
    this.#field.placeholder = why;
    this.#field.setAttribute("aria-label", why);
    for (const id of ["chat-send", "chat-emoji"]) /** @type {HTMLButtonElement} */ (byId(id)).disabled = !on;
  }

  focus() { this.#field.focus(); }

  /** Puts words at the end of what is being written. @param {string} words */
  insert(words) {
    const { value } = this.#field;
    this.#field.value = value && !value.endsWith(" ") ? `${value} ${words}` : value + words;
    this.#count();
    this.#field.focus();
  }

  /** What is written next is for one person alone. @param {Person} person */
  direct(person) { this.#aim(null, person); }

  /** The history of a room. @param {ChatLine[]} lines */
  reset(lines) {
    this.#log.replaceChildren();
    this.#lines.clear();
    this.#last = null;
    this.#atEnd = true;
    this.#aim(null, null, false);
    this.#showNewer(0);
    for (const line of lines) this.#append(line);
    this.#follow();
  }

  /** @param {ChatLine} line */
  add(line) {
    const { me } = this.#room;
    const isMine = line.from.id === this.#room.self;
    const isMuted = this.#mutes.of(line.from._id).chat;
    this.#append(line);
    if (isMuted) return;
    const rings = !isMine && (this.#isForMe(line) || line.to?.id === this.#room.self);
    if (!isMine && (document.hidden || !this.#isOpen)) {
      this.#unread++;
      this.#rings ||= rings;
      this.emit("unread", this.#unread, this.#rings);
    }
    if (rings && me) this.emit("mention", line);
    if (isMine) this.#atEnd = true;
    if (!this.#atEnd) this.#showNewer(this.#below + 1);
    this.#follow();
  }

  /** A word that nobody said. @param {string} text */
  note(text) {
    const line = make("div", { class: "line note" });
    this.#fill(line, text);
    this.#push(line);
    this.#last = null;
    this.#follow();
  }

  // --- Showing ---

  /** @param {ChatLine} line */
  #isForMe({ text, replyTo, from }) {
    const { me, self } = this.#room;
    return me !== undefined && from.id !== self && (mentions(text, me) || this.#lines.get(replyTo)?.from.id === self);
  }

  /** @param {ChatLine} line */
  #append(line) {
    const { id, from, to, time, replyTo, text } = line;
    if (id) this.#lines.set(id, line);
    const last = this.#last;
    const isFirst = !last || last.from._id !== from._id || last.from.name !== from.name || time - last.time > TOGETHER_MS
      || Boolean(to || last.to || replyTo);
    this.#last = line;
    const when = new Date(time);
    const rings = this.#isForMe(line);
    const item = make("div", { class: `line${isFirst ? " first" : ""}${rings ? " rings" : ""}` });
    item.dataset.id = id;
    item.dataset.user = from._id;
    item.hidden = this.#mutes.of(from._id).chat;
    paint(item, { "--name": readable(from.color, groundColor(rings)) });
    if (replyTo) item.append(this.#quote(replyTo));
    if (to) item.append(make("span", { class: "only" }, t("chatDirectFrom", { from: from.name, to: to.name })));
    if (isFirst) {
      const who = make("button", { type: "button", class: "who", onclick: () => this.emit("person", from, who) }, from.name);
      item.append(who);
    }
    item.append(make("time", { dateTime: when.toISOString() }, hourAndMinute.format(when)));
    const words = make("span", { class: "text" });
    this.#fill(words, text);
    item.append(words);
    if (id) {
      item.append(make("button", {
        type: "button", class: "answer", "aria-label": t("chatReplyTo", { name: from.name }), title: t("chatReply"),
        onclick: () => this.#aim(line, null),
      }, icon("reply")));
    }
    this.#push(item);
  }

  /** @param {string} replyTo */
  #quote(replyTo) {
    const of = this.#lines.get(replyTo);
    return make("button", { type: "button", class: "quote", onclick: () => {
      const found = this.#find(replyTo);
      found?.scrollIntoView({ block: "center" });
      found?.animate({ backgroundColor: ["color-mix(in oklab, var(--accent) 35%, transparent)", "transparent"] }, 1200);
    } }, of ? `${of.from.name}: ${of.text}` : t("chatGone"));
  }

  /** @param {string} id @returns {HTMLElement | null} */
  #find(id) { return this.#log.querySelector(`[data-id="${CSS.escape(id)}"]`); }

  /** @param {HTMLElement} place @param {string} text */
  #fill(place, text) {
    for (const part of parts(text)) {
      if (part.kind === "link") {
        const { href, text } = part;
        place.append(make("a", { href, title: href, target: "_blank", rel: "noopener noreferrer nofollow ugc" }, text));
      } else if (part.kind === "mention") {
        const person = [...this.#room.people.values()].find(({ _id }) => _id === part.id);
        place.append(person ? make("span", { class: "at" }, `@${person.name}`) : part.text);
      } else {
        place.append(withEmoji(part.text));
      }
    }
  }

  /** @param {HTMLElement} line */
  #push(line) {
    this.#log.append(line);
    while (this.#log.childElementCount > LINES_MAX) {
      const first = /** @type {HTMLElement} */ (this.#log.firstElementChild);
      this.#lines.delete(first.dataset.id ?? "");
      first.remove();
    }
  }

  #follow() {
    if (!this.#atEnd) return;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#showNewer(0);
  }

  /** @param {number} count */
  #showNewer(count) {
    this.#below = count;
    this.#newer.hidden = count === 0;
    this.#newer.textContent = t("chatNewer", { n: count });
  }

  #read() {
    if (document.hidden || !this.#isOpen || this.#unread === 0) return;
    this.#unread = 0;
    this.#rings = false;
    this.emit("unread", 0, false);
  }

  // --- Writing ---

  #submit() {
    const text = withEmoji(this.#field.value).trim();
    if (!text || text.length > CHAT_MAX) return;
    // Whoever may not send now keeps what was written.
    let isSent = false;
    this.emit("send", text, this.#replyTo?.id ?? "", this.#direct, () => { isSent = true; });
    if (!isSent) return;
    this.#field.value = "";
    this.#choose(null);
    if (this.#replyTo) this.#aim(null, this.#direct);
    this.#count();
  }

  // As the server counts: in UTF-16 units, of what will be sent.
  #count() {
    const left = CHAT_MAX - withEmoji(this.#field.value).trim().length;
    this.#left.classList.toggle("bad", left < 0);
    this.#left.textContent = left < 0 ? t("chatTooLong", { n: -left }) : left < COUNT_FROM ? t("chatLeft", { n: left }) : "";
    this.#field.setAttribute("aria-invalid", String(left < 0));
  }

  /** @param {ChatLine | null} line @param {Person | null} person */
  #aim(line, person, focuses = true) {
    // An answer to a direct message is one.
    if (line?.to) person = line.from.id === this.#room.self ? line.to : line.from;
    this.#replyTo = line;
    this.#direct = person;
    this.#about.hidden = !line && !person;
    const words = person ? t("chatDirect", { name: person.name }) : line ? t("chatReplyTitle", { name: line.from.name }) : "";
    const place = this.#about.querySelector("span");
    if (place) place.textContent = words;
    this.#field.setAttribute("aria-description", words);
    if (focuses && !this.#field.disabled) this.#field.focus();
  }

  /** @param {KeyboardEvent} event */
  #keys(event) {
    if (event.isComposing) return;
    const chosen = this.#log.querySelector(".chosen");
    if (event.key === "Escape") {
      if (chosen || this.#replyTo || this.#direct) {
        event.stopPropagation();
        this.#choose(null);
        this.#aim(null, null);
      }
    } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && this.#field.value === "") {
      event.preventDefault();
      const lines = [.../** @type {NodeListOf<HTMLElement>} */ (this.#log.querySelectorAll(".line[data-id]:not([hidden])"))]
        .filter(({ dataset }) => dataset.id);
      const at = lines.findIndex(line => line === chosen);
      const next = event.key === "ArrowUp" ? (at < 0 ? lines.length - 1 : Math.max(0, at - 1)) : at < 0 ? -1 : at + 1;
      this.#choose(lines[next] ?? null);
    } else if (event.key === "Enter" && chosen && this.#field.value === "") {
      event.preventDefault();
      const line = this.#lines.get(/** @type {HTMLElement} */ (chosen).dataset.id ?? "");
      this.#choose(null);
      if (line) this.#aim(line, null);
    }
  }

  /** @param {HTMLElement | null} line */
  #choose(line) {
    this.#log.querySelector(".chosen")?.classList.remove("chosen");
    line?.classList.add("chosen");
    line?.scrollIntoView({ block: "nearest" });
    if (line) byId("spoken").textContent = line.textContent;
  }
}

/** What a line stands on, as the styles have it. @param {boolean} rings */
function groundColor(rings) {
  const isLight = document.documentElement.dataset.theme === "light";
  if (rings) return isLight ? "#e3d9c3" : "#43392a";
  return isLight ? "#f4f6f9" : "#161a21";
}
