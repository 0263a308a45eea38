// What the server says, made safe to use: whatever comes in, what goes on from here has the types written below.
// A server, or people through it, can say anything; nothing here throws, and no text is longer than it may be.

/** @typedef {{ text: string, color: string }} Tag */
/** @typedef {{ id: string, _id: string, name: string, color: string, x: number, y: number, tag: Tag | null }} Person */
/** @typedef {{ holder: string | null, userId: string, time: number, from: Point, to: Point }} Crown */
/** @typedef {{ x: number, y: number }} Point in percent of the window */
/**
 * @typedef {object} Settings
 * @property {boolean} lobby @property {boolean} visible @property {boolean} chat @property {boolean} crownsolo
 * @property {string} color @property {string} color2 @property {number | null} limit @property {boolean} noCussing
 */
/** @typedef {{ id: string, count: number, settings: Settings, crown: Crown | null, banned: boolean }} RoomInfo */
/** @typedef {{ key: number, velocity: number, delay: number, isStop: boolean }} Note */
/**
 * @typedef {object} ChatLine
 * @property {string} id @property {string} text @property {number} time @property {Person} from
 * @property {Person | null} to the recipient of a direct message @property {string} replyTo
 */
/**
 * @typedef {object} Notice
 * @property {string} id @property {string} title @property {string} text @property {string} kind
 * @property {number} duration in ms; 0 stays
 */

import { KEY_OF, velocityOf } from "./notes.js";

export const NAME_MAX = 40;
export const CHAT_MAX = 512;
export const ROOM_MAX = 512;
const TEXT_MAX = 4096;
const PEOPLE_MAX = 5000;
const NOTES_MAX = 4000;
/** The last moment that a date can say, in ms. */
const TIME_MAX = 8.64e15;

/** @param {unknown} value @returns {Record<string, any>} */
export const object = value => (value !== null && typeof value === "object" ? value : {});

/** @param {unknown} value @returns {any[]} */
export const array = value => (Array.isArray(value) ? value : []);

/** @param {unknown} value @param {number} otherwise */
export function number(value, otherwise) {
  const found = typeof value === "string" ? parseFloat(value) : value;
  return typeof found === "number" && Number.isFinite(found) ? found : otherwise;
}

// Control characters, and those that turn the direction of the text after them.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/g;

/**
 * Text for a line: without control characters, and not longer than `max` UTF-16 units.
 * @param {unknown} value @param {number} max
 */
export function text(value, max = TEXT_MAX) {
  if (typeof value !== "string") return "";
  const cut = value.length > max ? value.slice(0, max) : value;
  return cut.replace(UNSEEN, "").toWellFormed();
}

/** @param {unknown} value */
export const color = (value, otherwise = "#777777") => (typeof value === "string" && /^#[0-9a-f]{6}$/i.test(value)
  ? value.toLowerCase() : otherwise);

/** @param {unknown} value */
function tagColor(value) {
  const short = typeof value === "string" && /^#[0-9a-f]{3}$/i.test(value);
  return short ? `#${[...value.slice(1)].map(digit => digit + digit).join("")}` : color(value);
}

/** @param {unknown} value @returns {Person | null} */
export function person(value) {
  const { id, _id, name, color: hue, x, y, tag } = object(value);
  if (typeof id !== "string" && typeof _id !== "string") return null;
  const words = typeof tag === "string" ? tag : text(object(tag).text, NAME_MAX);
  return {
    id: String(id ?? _id).slice(0, 64),
    _id: String(_id ?? id).slice(0, 64),
    name: text(name, NAME_MAX).trim() || "Anonymous",
    color: color(hue),
    x: number(x, 200),
    y: number(y, 100),
    tag: words ? { text: words.slice(0, NAME_MAX), color: tagColor(object(tag).color) } : null,
  };
}

/** @param {unknown} value @returns {Person[]} */
export const people = value => array(value).slice(0, PEOPLE_MAX).map(person).filter(found => found !== null);

/** @param {unknown} value @returns {Settings} */
export function settings(value) {
  const set = object(value);
  return {
    lobby: set.lobby === true,
    visible: set.visible !== false,
    chat: set.chat !== false,
    crownsolo: set.crownsolo === true,
    color: color(set.color, "#3b5054"),
    color2: color(set.color2, ""),
    limit: set.limit === undefined ? null : number(set.limit, 0),
    noCussing: set["no cussing"] === true,
  };
}

/** @param {unknown} value @returns {Crown | null} */
function crown(value) {
  if (value === null || typeof value !== "object") return null;
  const { participantId, userId, time, startPos, endPos } = object(value);
  return {
    holder: typeof participantId === "string" ? participantId : null,
    userId: String(userId ?? ""),
    time: number(time, 0),
    from: point(startPos),
    to: point(endPos),
  };
}

/** @param {unknown} value @returns {Point} */
function point(value) {
  const { x, y } = object(value);
  return { x: Math.min(100, Math.max(0, number(x, 50))), y: Math.min(100, Math.max(0, number(y, 50))) };
}

/** @param {unknown} value @returns {RoomInfo | null} */
export function roomInfo(value) {
  const { _id, id, count, settings: set, crown: worn, banned } = object(value);
  const name = _id ?? id;
  if (typeof name !== "string" || name === "") return null;
  return {
    id: name.slice(0, ROOM_MAX),
    count: Math.max(0, Math.floor(number(count, 0))),
    settings: settings(set),
    crown: crown(worn),
    banned: banned === true,
  };
}

/** A room's name for people to read; what is asked for is the name as it is. @param {string} name */
export const shownRoom = name => text(name, ROOM_MAX) || "?";

/** Notes with their delays in ms; what is no key is left out. @param {unknown} value @returns {Note[]} */
export function notes(value) {
  const found = [];
  for (const entry of array(value).slice(0, NOTES_MAX)) {
    const { n, v, d, s } = object(entry);
    const key = KEY_OF.get(n);
    if (key === undefined) continue;
    found.push({ key, velocity: velocityOf(v), delay: Math.max(0, number(d, 0)), isStop: Boolean(s) });
  }
  return found;
}

/** A line of chat, `a` or `dm`. @param {unknown} value @returns {ChatLine | null} */
export function chatLine(value) {
  const message = object(value);
  const from = person(message.p ?? message.sender);
  const words = text(message.a, TEXT_MAX);
  if (!from || !words) return null;
  return {
    id: typeof message.id === "string" ? message.id.slice(0, 64) : "",
    text: words,
    time: Math.abs(number(message.t, Infinity)) <= TIME_MAX ? number(message.t, 0) : Date.now(),
    from,
    to: message.m === "dm" ? person(message.recipient) : null,
    replyTo: typeof message.r === "string" ? message.r.slice(0, 64) : "",
  };
}

/** @param {unknown} value @param {(html: string) => string} plain makes text of HTML @returns {Notice} */
export function notice(value, plain) {
  const { id, title, text: words, html, class: kind, duration } = object(value);
  const said = text(words) || (typeof html === "string" ? text(plain(html.slice(0, TEXT_MAX))) : "");
  const wait = number(duration, 30_000);
  return {
    id: typeof id === "string" ? id.slice(0, 64) : "",
    title: text(title, 200),
    text: said,
    kind: text(kind, 40),
    duration: wait < 0 ? 0 : wait || 30_000,
  };
}
