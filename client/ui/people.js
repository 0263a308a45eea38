// The people of the room along the top, and what can be done with each.

import { NAME_MAX } from "../net/messages.js";
import { t } from "../words.js";
import { inkOn } from "./colors.js";
import { byId, icon, make } from "./dom.js";
import { dialog, menu, row } from "./popup.js";

/** @typedef {import("../net/messages.js").Person} Person */

const COLORS = "#e85d5d #f08a3c #f2c14e #9bc53d #46b97a #3fb8af #57a8e8 #5b72e8 #9067e0 #cf62c4 #ee6c9c #8a93a3".split(" ");
const MOVE_EVERY_MS = 500;
const KICK_MINUTES = [0, 1, 5, 15, 30, 60];

/**
 * @typedef {object} Acts what the menu asks for
 * @property {(set: { name?: string, color?: string }) => void} rename
 * @property {(person: Person) => void} mention @property {(person: Person) => void} direct
 * @property {(person: Person | null) => void} crown `null` lays it down
 * @property {(person: Person, ms: number) => void} kick @property {(person: Person) => void} unban
 */

export class People {
  #list = byId("people");
  /** @type {Map<string, HTMLLIElement>} */
  #rows = new Map();
  /** When each name moved last. @type {Map<string, number>} */
  #moved = new Map();
  #stays = matchMedia("(prefers-reduced-motion: reduce)");
  #room;
  #mutes;
  #acts;

  /** @param {import("../room.js").Room} room @param {import("./mutes.js").Mutes} mutes @param {Acts} acts */
  constructor(room, mutes, acts) {
    this.#room = room;
    this.#mutes = mutes;
    this.#acts = acts;
    room.on("people", () => {
      this.#list.replaceChildren();
      this.#rows.clear();
      this.#moved.clear();
      for (const person of room.people.values()) this.#show(person);
    });
    room.on("person", person => this.#show(person));
    room.on("leave", ({ id }) => {
      this.#rows.get(id)?.remove();
      this.#rows.delete(id);
      this.#moved.delete(id);
    });
    room.on("info", () => { for (const person of room.people.values()) this.#show(person); });
    // They stand in one line; a wheel turns one way only.
    this.#list.addEventListener("wheel", ({ deltaX, deltaY }) => { if (deltaX === 0) this.#list.scrollLeft += deltaY; }, { passive: true });
    mutes.on("change", () => { for (const person of room.people.values()) this.#show(person); });
  }

  /** Lets a name move while its owner plays. @param {string} id */
  plays(id) {
    const now = performance.now();
    if (now - (this.#moved.get(id) ?? -Infinity) < MOVE_EVERY_MS || document.hidden || this.#stays.matches) return;
    this.#moved.set(id, now);
    this.#rows.get(id)?.firstElementChild?.animate({ transform: ["none", "translateY(3px)", "none"] }, 180);
  }

  /** @param {Person} person */
  #show(person) {
    const isMe = person.id === this.#room.self;
    let place = this.#rows.get(person.id);
    if (!place) {
      place = make("li");
      this.#rows.set(person.id, place);
      if (isMe) this.#list.prepend(place);
      else this.#list.append(place);
    }
    const { name, color, tag } = person;
    const holds = this.#room.info?.crown?.holder === person.id;
    const muted = this.#mutes.of(person._id);
    const label = [isMe ? t("personYou", { name }) : name, tag?.text, holds && t("personCrownHas"), muted.any && t("personMuted")];
    const look = JSON.stringify([label, color, tag, holds, muted]);
    if (place.dataset.look === look) return;
    place.dataset.look = look;
    const hadFocus = place.contains(document.activeElement);
    const chip = make("button", {
      type: "button", class: `person${isMe ? " me" : ""}${muted.any ? " muted" : ""}`, "aria-haspopup": "menu",
      "aria-label": label.filter(Boolean).join(", "), title: name, style: { "--by": color, "--on-by": inkOn(color) },
      onclick: () => this.open(person, chip),
    },
    holds && icon("crown"),
    make("span", { class: "name" }, name),
    tag && make("span", { class: "tag", style: { "--tag": tag.color, "--on-tag": inkOn(tag.color) } }, tag.text));
    chip.dataset.id = person.id;
    place.replaceChildren(chip);
    if (hadFocus) chip.focus();
  }

  /** Opens the menu of somebody, also of somebody who has left. @param {Person} person @param {HTMLElement} beside */
  open(person, beside) {
    const { people, self, isCrowned, info } = this.#room;
    const isMe = person.id === self, isHere = people.has(person.id), acts = this.#acts;
    const head = [
      make("h2", {}, make("i", { style: { "--by": person.color } }), person.name),
      make("p", {}, isMe ? t("you") : person._id.slice(0, 24)),
    ];
    const mayRule = isCrowned && info !== null && !info.settings.lobby;
    /** @type {import("./popup.js").Item[]} */
    const items = [];
    if (isMe) {
      items.push({ text: t("personEdit"), act: () => this.edit() });
      if (mayRule) items.push({ text: t("personCrownDrop"), act: () => acts.crown(null) });
    } else {
      items.push({ text: t("personMention"), act: () => acts.mention(person) });
      if (isHere) items.push({ text: t("personDirect", { name: person.name }), act: () => acts.direct(person) });
      const { notes, chat } = this.#mutes.of(person._id);
      items.push({ text: t("personMuteNotes"), checked: notes, act: () => this.#mutes.set(person._id, { notes: !notes }) });
      items.push({ text: t("personMuteChat"), checked: chat, act: () => this.#mutes.set(person._id, { chat: !chat }) });
      if (mayRule && isHere) items.push({ text: t("personCrown"), act: () => acts.crown(person) });
      if (mayRule && !isHere) items.push({ text: t("personUnban", { name: person.name }), act: () => acts.unban(person) });
      if (mayRule) items.push({ text: t("personKick"), danger: true, act: () => this.#kick(person) });
    }
    menu(beside, head, t("personMenu", { name: person.name }), items);
  }

  /** One's own name and colour. */
  edit() {
    const me = this.#room.me;
    if (!me) return;
    const name = make("input", {
      type: "text", maxLength: NAME_MAX, autocomplete: "nickname", spellcheck: false, value: me.name, id: "my-name",
    });
    const color = make("input", { type: "color", value: me.color, id: "my-color", oninput: () => mark() });
    const swatches = make("div", { class: "colors", role: "group", "aria-label": t("nameColor") }, ...COLORS.map(value => make("button", {
      type: "button", "aria-label": t("personColor", { color: value }), value, style: { "--by": value },
      onclick: () => { color.value = value; mark(); },
    })));
    const mark = () => {
      for (const button of swatches.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === color.value));
    };
    mark();
    const form = make("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      const set = { name: name.value.trim(), color: color.value };
      if (set.name) this.#acts.rename(set);
      box.close();
    } },
    make("label", { class: "wide" }, make("span", {}, t("nameLabel")), name),
    row(t("nameColor"), color), swatches,
    make("div", { class: "actions" }, make("button", { type: "submit", class: "main" }, t("nameSave"))));
    const box = dialog(t("nameTitle"), [form], { id: "profile" });
    name.select();
  }

  /** @param {Person} person */
  #kick(person) {
    const { name } = person;
    const options = KICK_MINUTES.map(n => make("option", { value: n, selected: n === 5 },
      n === 0 ? t("justKick") : n === 60 ? t("hour") : t("minutes", { n })));
    const select = make("select", { id: "kick-minutes", "aria-label": t("personKickText", { name }) }, ...options);
    const form = make("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#acts.kick(person, Number(select.value) * 60_000);
      box.close();
    } },
    make("p", {}, t("personKickText", { name })), select,
    make("div", { class: "actions" },
      make("button", { type: "button", onclick: () => box.close() }, t("cancel")),
      make("button", { type: "submit", class: "danger" }, t("personKickDo"))));
    const box = dialog(t("personKickTitle", { name }), [form], { id: "kick" });
  }
}
