// The list of rooms, and the dialogs to open one and to set it up.

import { ROOM_MAX, shownRoom } from "../net/messages.js";
import { pathOfRoom } from "../room.js";
import { t } from "../words.js";
import { darker } from "./colors.js";
import { byId, icon, make, paint } from "./dom.js";
import { check, dialog, row } from "./popup.js";
import { hint } from "./toasts.js";

/** @typedef {import("../net/messages.js").RoomInfo} RoomInfo */

const SHOWN_MAX = 200;
const DRAW_MS = 150;
/** A finger's click comes a little after it was lifted. */
const PRESSED_MS = 50;

export class Rooms {
  #room;
  #enter;
  #change;
  /** @type {HTMLDialogElement | null} */
  #drawer = null;
  /** @type {HTMLInputElement | null} */
  #field = null;
  #isPressed = false;
  #list = make("ul", { id: "rooms-list" });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #soon;

  /**
   * @param {import("../room.js").Room} room
   * @param {(room: string, set?: Record<string, unknown>) => void} enter goes to a room, and sets it up if it is new
   * @param {(set: Record<string, unknown>) => void} change sets this room up
   */
  constructor(room, enter, change) {
    this.#room = room;
    this.#enter = enter;
    this.#change = change;
    byId("room").addEventListener("click", () => this.open());
    room.on("list", () => this.#drawSoon());
    room.on("info", info => this.#showCurrent(info));
    for (const event of ["person", "leave", "people"]) room.on(event, () => this.#showCount());
    byId("welcome-share").addEventListener("click", () => void this.#share());
    // An entry that is taken away between press and release is never clicked.
    this.#list.addEventListener("pointerdown", () => { this.#isPressed = true; });
    for (const end of ["pointerup", "pointercancel", "dragend"]) {
      addEventListener(end, () => setTimeout(() => { this.#isPressed = false; }, PRESSED_MS));
    }
    this.#list.addEventListener("click", event => {
      const link = /** @type {HTMLElement} */ (event.target).closest("a");
      // Another tab is the browser's business.
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      this.#go(link.dataset.room ?? "lobby");
    });
  }

  open() {
    if (this.#drawer) return;
    const { isCrowned, info } = this.#room;
    const field = this.#field = make("input", {
      type: "search", id: "room-search", maxLength: ROOM_MAX, placeholder: t("roomSearch"), "aria-label": t("roomSearch"),
      autocomplete: "off", oninput: () => this.#draw(),
    });
    const form = make("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      if (field.value.trim()) this.#go(field.value.trim());
    } }, field, make("button", { type: "submit", class: "main" }, t("roomGo")));
    const button = (/** @type {string} */ id, /** @type {string} */ text, /** @type {string} */ symbol, /** @type {() => void} */ act) =>
      make("button", { type: "button", id, onclick: () => { this.#drawer?.close(); act(); } }, icon(symbol), text);
    const alone = button("room-alone", t("roomAlone"), "hidden", () => this.#enter(aloneName(), { visible: false }));
    alone.title = t("roomAloneHint");
    this.#drawer = dialog(t("rooms"), [form, this.#list, make("div", { class: "actions" },
      button("room-new", t("roomNew"), "plus", () => this.#create()),
      alone,
      isCrowned && !info?.settings.lobby && button("room-set", t("roomSettings"), "gear", () => this.configure()),
      button("room-share", t("share"), "share", () => this.#share()))],
    { id: "rooms", onClose: () => { this.#drawer = this.#field = null; } });
    this.#draw();
    field.focus();
  }

  /** The settings of the room we rule. */
  configure() {
    const { info } = this.#room;
    if (!info) return;
    const { fields, read } = roomFields(info);
    this.#form(t("settingsOf", { room: shownRoom(info.id) }), t("save"), fields, () => {
      this.#change(read());
      return true;
    });
  }

  #create() {
    const name = make("input", { type: "text", maxLength: ROOM_MAX, id: "new-room-name", autocomplete: "off" });
    const { fields, read } = roomFields(null);
    this.#form(t("roomNew"), t("roomNew"), [make("label", { class: "wide" }, make("span", {}, t("roomName")), name), ...fields], () => {
      if (!name.value.trim()) {
        name.focus();
        return false;
      }
      this.#enter(name.value.trim(), read());
      return true;
    });
    name.focus();
  }

  /** @param {string} title @param {string} action @param {Node[]} fields @param {() => boolean} act */
  #form(title, action, fields, act) {
    const form = make("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      if (act()) box.close();
    } }, ...fields, make("div", { class: "actions" },
      make("button", { type: "button", onclick: () => box.close() }, t("cancel")),
      make("button", { type: "submit", class: "main" }, action)));
    const box = dialog(title, [form], { id: "room-form" });
  }

  async #share() {
    const url = location.origin + pathOfRoom(this.#room.info?.id ?? "lobby");
    if ("share" in navigator && matchMedia("(pointer: coarse)").matches) {
      // Whoever closes the phone's own dialog has decided.
      return void navigator.share({ url, title: document.title }).catch(() => {});
    }
    try {
      await navigator.clipboard.writeText(url);
      hint(t("shared"));
    } catch { hint(t("shareFailed", { url })); }
  }

  /** @param {string} room */
  #go(room) {
    this.#drawer?.close();
    this.#enter(room, {});
  }

  #drawSoon() {
    if (this.#drawer) this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      if (this.#isPressed) this.#drawSoon();
      else this.#draw();
    }, DRAW_MS);
  }

  #draw() {
    if (!this.#drawer) return;
    const wanted = (this.#field?.value ?? "").trim().toLowerCase();
    const rooms = [...this.#room.list.values()].filter(({ id }) => id.toLowerCase().includes(wanted))
      .sort((a, b) => b.count - a.count || (a.id < b.id ? -1 : 1)).slice(0, SHOWN_MAX);
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.room;
    this.#list.replaceChildren(...rooms.map(info => make("li", {}, this.#entry(info))));
    if (rooms.length === 0) this.#list.append(make("li", { class: "empty" }, t(wanted ? "roomNone" : "roomEmptyList")));
    if (focused !== undefined) {
      /** @type {HTMLElement | null} */ (this.#list.querySelector(`a[data-room="${CSS.escape(focused)}"]`))?.focus();
    }
  }

  /** @param {RoomInfo} info */
  #entry(info) {
    const { id, count, settings, banned } = info;
    const isFull = settings.limit !== null && count >= settings.limit;
    const link = make("a", { class: `room${isFull ? " full" : ""}`, href: pathOfRoom(id) },
      make("i"), make("span", { class: "name" }, shownRoom(id)),
      make("span", { class: "marks" }, ...marks(info), banned && icon("close", t("roomBanned"))),
      make("span", { class: "count" }, isFull ? `${count} · ${t("roomFull")}` : t("roomCount", { n: count })));
    link.dataset.room = id;
    paint(link, { "--room-1": settings.color, "--room-2": settings.color2 || darker(settings.color) });
    if (id === this.#room.info?.id) link.setAttribute("aria-current", "page");
    return link;
  }

  /** @param {RoomInfo} info */
  #showCurrent(info) {
    byId("room-name").textContent = shownRoom(info.id);
    byId("room-marks").replaceChildren(...marks(info));
    const [title, words] = byId("welcome").children;
    title.textContent = shownRoom(info.id);
    words.textContent = t(matchMedia("(hover: none)").matches ? "welcomeTouch" : "welcomeAlone");
    const { color, color2 } = info.settings;
    paint(document.documentElement, { "--room": color, "--room2": color2 || darker(color) });
    this.#showCount();
  }

  /** Somebody plays: the stage is theirs. */
  begin() {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#showCount();
  }

  #hasBegun = false;

  #showCount() {
    const n = this.#room.people.size;
    const welcome = byId("welcome");
    welcome.classList.toggle("gone", n !== 1 || this.#hasBegun);
    byId("room-count").textContent = n ? String(n) : "";
    byId("room").setAttribute("aria-label", `${t("room")}: ${shownRoom(this.#room.info?.id ?? "")}, ${t("roomCount", { n })}`);
  }
}

/** @param {RoomInfo} info */
function marks({ settings: { crownsolo, chat, visible } }) {
  return [
    crownsolo && icon("solo", t("roomSolo")),
    !chat && icon("nochat", t("roomNoChat")),
    !visible && icon("hidden", t("roomHidden")),
  ].filter(mark => mark !== false);
}

/** @param {RoomInfo | null} info a room, or none for a new one */
function roomFields(info) {
  const now = info?.settings;
  const color = make("input", { type: "color", name: "color", value: now?.color ?? "#3b5054" });
  const color2 = make("input", { type: "color", name: "color2", value: now?.color2 || darker(now?.color ?? "#3b5054") });
  /** @type {Record<string, unknown>} what was touched */
  const set = {};
  for (const field of [color, color2]) field.addEventListener("input", () => { set[field.name] = field.value; });
  // The outer colour follows, until it is chosen.
  color.addEventListener("input", () => { if (!("color2" in set)) color2.value = darker(color.value); });
  const limit = make("input", { type: "number", name: "limit", min: 1, max: 99, value: String(now?.limit ?? 50), oninput: () => {
    if (limit.validity.valid && limit.value) set.limit = Number(limit.value);
  } });
  const flag = (/** @type {string} */ name, /** @type {string} */ text, /** @type {boolean} */ checked) =>
    check(t(text), checked, on => { set[name] = on; }, name);
  return {
    fields: [
      row(t("roomColor"), color), row(t("roomColor2"), color2),
      flag("visible", "roomVisible", now?.visible ?? true),
      flag("chat", "roomChat", now?.chat ?? true),
      flag("crownsolo", "roomCrownsolo", now?.crownsolo ?? false),
      flag("no cussing", "roomNoCussing", now?.noCussing ?? false),
      row(t("roomLimit"), limit),
    ],
    read: () => ({ ...set }),
  };
}

function aloneName() {
  const letters = [...crypto.getRandomValues(new Uint8Array(8))].map(byte => "abcdefghjkmnpqrstuvwxyz23456789"[byte % 31]);
  return `${t("roomAlone")} ${letters.join("")}`;
}
