// The page: makes its parts and connects them.

import { Batch } from "./net/batch.js";
import { Connection } from "./net/connection.js";
import * as read from "./net/messages.js";
import { Quota } from "./net/quota.js";
import { Keyboard } from "./input/keyboard.js";
import { Midi } from "./input/midi.js";
import { Pointer } from "./input/pointer.js";
import { SongPlayer } from "./midi/player.js";
import { Recorder } from "./midi/recorder.js";
import { Performer } from "./performer.js";
import { Trails } from "./piano/trails.js";
import { PianoView } from "./piano/view.js";
import { pathOfRoom, Room, roomOfPath } from "./room.js";
import { Schedule } from "./schedule.js";
import { Settings } from "./settings.js";
import { Engine } from "./sound/engine.js";
import { INSTRUMENTS } from "./sound/models.js";
import { stored, store } from "./store.js";
import { Chat } from "./ui/chat.js";
import { connectControls } from "./ui/controls.js";
import { Cursors, followPointer, LyingCrown } from "./ui/cursors.js";
import { byId, speak } from "./ui/dom.js";
import { Files } from "./ui/files.js";
import { plainText } from "./ui/links.js";
import { minimap } from "./ui/minimap.js";
import { Mutes } from "./ui/mutes.js";
import { People } from "./ui/people.js";
import { fillInstruments, openMidi } from "./ui/preferences.js";
import { Rooms } from "./ui/rooms.js";
import { Status } from "./ui/status.js";
import { hint, toast } from "./ui/toasts.js";
import { fillIn, t } from "./words.js";

fillIn(document);

/** Notes that would be heard later than this are of some broken clock. */
const AHEAD_MAX_MS = 10_000;
/** What the server takes of chat: messages in so many ms, more from who has the crown. */
const CHAT_PER_MS = 4000;
const CHAT_COUNT = 4;
const CHAT_COUNT_CROWNED = 10;
/** Lines of chat that a room begins with. */
const HISTORY_MAX = 300;
/** Most of a message of the day, in UTF-16 units of its HTML. */
const MOTD_MAX = 16_384;
/** Who plays here, whatever the server calls them: notes of their other tabs are others'. */
const ME = "me";
/** A mark that tests and the curious can wait for. */
const { dataset } = document.documentElement;

const settings = new Settings();
const connection = new Connection(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`);
const room = new Room();
const mutes = new Mutes();
const quota = new Quota();
const batch = new Batch(() => connection.clock.now(), (at, notes) => connection.sendNotes(at, notes));
const performer = new Performer(quota, batch);
const engine = new Engine();
const canvas = /** @type {HTMLCanvasElement} */ (byId("piano"));
const view = new PianoView(canvas);
const trails = new Trails(/** @type {HTMLCanvasElement} */ (byId("trails")), view);
const keyboard = new Keyboard(performer);
const pointer = new Pointer(canvas, view, performer);
const midi = new Midi(performer);
const shows = new Schedule();
const recorder = new Recorder();
const song = new SongPlayer(performer, quota);
const chat = new Chat(room, mutes);
const status = new Status(connection);
const cursors = new Cursors(room);
const people = new People(room, mutes, {
  rename(set) {
    for (const [name, value] of Object.entries(set)) store(name, value);
    connection.send({ m: "userset", set });
  },
  mention({ name }) { openChat(true); chat.insert(`@${name} `); },
  direct(person) { openChat(true); chat.direct(person); },
  crown(person) { connection.send(person ? { m: "chown", id: person.id } : { m: "chown" }); },
  kick({ _id }, ms) { connection.send({ m: "kickban", _id, ms }); },
  unban({ _id }) { connection.send({ m: "unban", _id }); },
});
const rooms = new Rooms(room, enter, set => connection.send({ m: "chset", set }));
new LyingCrown(room, () => connection.clock.now(), () => connection.send({ m: "chown", id: room.self }));
new Files(recorder, song);

// --- What the server says ---

let wanted = roomOfPath(location.pathname);
/** What a room that does not exist yet is to be like. @type {Record<string, unknown> | undefined} */
let wantedSet;
let motd = "";
let wasCrowned = false;

/** @type {Record<string, (message: Record<string, any>) => void>} */
const handlers = {
  hi({ u, motd: words }) {
    motd = typeof words === "string" ? read.text(plainText(words.slice(0, MOTD_MAX))) : "";
    status.greeted();
    // A server that forgot us is told again who we are.
    const me = read.person(u), name = stored("name");
    if (me?.name === "Anonymous" && name) {
      connection.send({ m: "userset", set: { name, color: read.color(stored("color"), me.color) } });
    }
    connection.send({ m: "ch", _id: wanted, ...(wantedSet && { set: wantedSet }) }, { m: "+ls" });
    tellDevices();
  },
  c({ c }) {
    chat.reset(read.array(c).slice(-HISTORY_MAX).map(read.chatLine).filter(line => line !== null));
    if (motd) chat.note(motd);
    motd = "";
  },
  a(message) { say(message); },
  dm(message) { say(message); },
  nq(announced) {
    quota.configure(announced);
    showQuota();
  },
  n(message) { hear(message); },
  notification(message) { toast(read.notice(message, plainText)); },
};

connection.on("message", message => {
  room.apply(message);
  if (Object.hasOwn(handlers, message.m)) handlers[message.m](message);
});
connection.on("state", ({ now }) => {
  if (now === "open" || now === "connecting") return;
  performer.releaseAll();
  batch.drop();
  room.lose();
  allowChat();
});

/** @param {Record<string, any>} message */
function say(message) {
  const line = read.chatLine(message);
  if (line) chat.add(line);
}

/** Whether somebody who cannot hear yet was told what to do. */
let wasAsked = false;

/** Notes of somebody else, each at its moment. @param {Record<string, any>} message */
function hear({ t: at, n, p }) {
  const person = room.people.get(p);
  if (!person || mutes.of(person._id).notes) return;
  if (!engine.hasGesture && !wasAsked) {
    wasAsked = true;
    hint(t("wakeSound"), "sound");
  }
  const wait = read.number(at, connection.clock.now()) - connection.clock.now() + settings.values.delay;
  for (const { key, velocity, delay, isStop } of read.notes(n)) {
    const ms = Math.max(0, wait + delay);
    if (ms > AHEAD_MAX_MS) continue;
    if (isStop) engine.stop(p, key, ms / 1000);
    else engine.start(p, key, velocity, ms / 1000);
    midi.send(key, isStop ? 0 : velocity, ms);
    recorder.note(p, person.name, key, isStop ? 0 : velocity, ms);
    shows.later(ms, () => (isStop ? showStop(p, key) : showHeard(person, key, velocity)));
  }
}

/** @param {string} by @param {string} color @param {number} key @param {number} velocity */
function showNote(by, color, key, velocity) {
  rooms.begin();
  view.press(key, by, color);
  trails.start(key, by, color, velocity);
  dataset.last = String(key);
}

/** @param {read.Person} person @param {number} key @param {number} velocity */
function showHeard({ id, color }, key, velocity) {
  showNote(id, color, key, velocity);
  people.plays(id);
  // Their keys are up again soon: most never say when, because of their pedals.
  if (!shows.later(250, () => view.release(key, id))) view.release(key, id);
  dataset.heard = String(Number(dataset.heard ?? 0) + 1);
}

/** @param {string} by @param {number} key */
function showStop(by, key) {
  view.release(key, by);
  trails.stop(key, by);
}

mutes.on("change", userId => {
  if (mutes.of(userId).notes) engine.silence(by => room.people.get(by)?._id === userId);
});

// --- What this person plays ---

performer.mayPlay = () => room.mayPlay || !connection.isOpen;
performer.on("on", (key, velocity, source) => {
  // A song would drag the keyboard to and fro under the fingers.
  if (!source.startsWith("song:")) view.reveal(key);
  engine.wake();
  engine.start(ME, key, velocity, 0);
  midi.send(key, velocity, 0);
  recorder.note(ME, room.me?.name ?? t("you"), key, velocity, 0);
  showNote(ME, room.me?.color ?? "#57c4d8", key, velocity);
  people.plays(room.self);
  showQuota();
});
performer.on("up", key => showStop(ME, key));
performer.on("off", key => {
  engine.stop(ME, key, 0);
  midi.send(key, 0, 0);
  recorder.note(ME, room.me?.name ?? t("you"), key, 0, 0);
  showQuota();
});
let refusedAt = -Infinity;
performer.on("refused", why => {
  showQuota();
  if (performance.now() - refusedAt < 4000) return;
  refusedAt = performance.now();
  hint(t(why === "locked" ? "pianoLocked" : "quotaEmpty"), why);
});

const meter = byId("quota"), meterBar = /** @type {HTMLElement} */ (meter.firstElementChild);
/** @type {ReturnType<typeof setTimeout> | undefined} */
let quotaTimer;
function showQuota() {
  const { share, left, max } = quota;
  meterBar.style.transform = `scaleX(${share.toFixed(4)})`;
  meter.classList.toggle("low", share < 0.2);
  meter.setAttribute("aria-valuemax", String(max));
  meter.setAttribute("aria-valuenow", String(left));
  const label = t("quota", { left, max });
  meter.setAttribute("aria-label", label);
  meter.title = label;
  // It refills by itself; while it is full, nothing looks at it.
  clearTimeout(quotaTimer);
  if (share < 1) quotaTimer = setTimeout(showQuota, 500);
}
showQuota();

// --- Rooms ---

// Some browsers throw when the address changes very often; the room matters more.
/** @param {"pushState" | "replaceState"} how @param {string} name */
function address(how, name) {
  try { history[how](null, "", pathOfRoom(name)); } catch { /* It is right again after the next change. */ }
}

/** Goes to a room. @param {string} name @param {Record<string, unknown>} [set] for a room that is new */
function enter(name, set) {
  // Somebody who turns back before the answer has come is not there yet, but on the way to elsewhere.
  if (name === room.info?.id && name === wanted && room.self) return;
  address("pushState", name);
  [wanted, wantedSet] = [name, set];
  connection.send({ m: "ch", _id: name, ...(set && { set }) });
}
addEventListener("popstate", () => {
  // Only what stands after a # has changed.
  if (roomOfPath(location.pathname) === wanted) return;
  [wanted, wantedSet] = [roomOfPath(location.pathname), undefined];
  connection.send({ m: "ch", _id: wanted });
});

room.on("enter", ({ id }) => {
  performer.releaseAll();
  // What the last room had planned is not heard in this one.
  engine.silence(by => by !== ME);
  batch.drop();
  wasCrowned = false;
  // The server may have led us elsewhere: a full lobby overflows, and a ban leads to the waiting room.
  if (id !== roomOfPath(location.pathname)) address("replaceState", id);
  // What was meant for the one is not for the other.
  if (id !== wanted) wantedSet = undefined;
  wanted = id;
  showTitle();
  speak(t("roomCount", { n: room.people.size }));
});
room.on("info", ({ id }) => {
  dataset.state = "joined";
  dataset.room = id;
  canvas.classList.toggle("locked", !room.mayPlay);
  view.isLocked = !room.mayPlay;
  allowChat();
  if (room.isCrowned && !wasCrowned) hint(t("crownYours"), "crown");
  wasCrowned = room.isCrowned;
});

let unread = 0;
function showTitle() {
  const name = read.shownRoom(room.info?.id ?? wanted);
  byId("title").textContent = t("title", { room: name });
  document.title = unread ? t("titleUnread", { n: unread, room: name }) : t("title", { room: name });
}

// --- Chat ---

function allowChat() {
  const isOn = room.info?.settings.chat !== false;
  chat.allow(isOn && room.self !== "", t(room.self === "" ? "chatOffline" : isOn ? "chatSay" : "chatOff"));
}
allowChat();

// The server drops what is said too fast without a word, so it is held back here.
/** @type {number[]} */
const said = [];
chat.on("send", (message, replyTo, to, sent) => {
  while (said.length && said[0] < performance.now() - CHAT_PER_MS) said.shift();
  if (!connection.isOpen) return hint(t("chatOffline"), "chat");
  if (said.length >= (room.isCrowned ? CHAT_COUNT_CROWNED : CHAT_COUNT)) return hint(t("chatTooFast"), "chat");
  said.push(performance.now());
  connection.send({ m: to ? "dm" : "a", message, ...(to && { _id: to._id }), ...(replyTo && { reply_to: replyTo }) });
  sent();
});
chat.on("mention", () => { if (settings.values.ring) ring(); });
chat.on("person", (person, beside) => people.open(room.people.get(person.id) ?? person, beside));
chat.on("unread", (count, rings) => {
  unread = count;
  const badge = byId("unread");
  badge.hidden = count === 0;
  badge.textContent = String(Math.min(99, count));
  badge.classList.toggle("rings", rings);
  showTitle();
});

// Two soft bells, in the sound that is chosen.
function ring() {
  engine.start("ring", 63, 0.35, 0);
  engine.start("ring", 68, 0.35, 0.12);
}

/** @param {boolean} open */
function openChat(open) { settings.set("chatOpen", open); }
// A small screen begins with the piano.
const isSmall = matchMedia("(max-width: 599px), (max-height: 480px)");
if (isSmall.matches && location.hash !== "#chat") settings.values.chatOpen = isSmall.matches && innerHeight > 480;
settings.follow("chatOpen", open => {
  dataset.chat = open ? "open" : "closed";
  chat.isOpen = open;
  const button = byId("chat-toggle"), words = t(open ? "chatClose" : "chatOpen");
  button.setAttribute("aria-expanded", String(open));
  button.setAttribute("aria-label", words);
  button.title = words;
});
byId("chat-toggle").addEventListener("click", () => openChat(!settings.values.chatOpen));

// --- Settings and controls ---

const shiftOctave = connectControls({ settings, connection, engine, performer, keyboard, pointer, midi, view, trails, cursors });
view.onLayout = minimap(view);
byId("midi").addEventListener("click", () => { openMidi(midi, settings); if (midi.state === "unasked") void midi.open(); });

keyboard.onCommand = code => {
  switch (code) {
    case "ArrowLeft": shiftOctave(-1); return true;
    case "ArrowRight": shiftOctave(1); return true;
    case "Backspace": settings.set("sustain", !settings.values.sustain); return true;
    case "Enter": openChat(true); chat.focus(); return true;
    default: return false;
  }
};
byId("chat-form").addEventListener("keydown", event => { if (event.key === "Escape") canvas.focus(); });

// Browsers let sound out after a gesture only.
for (const gesture of ["pointerdown", "pointerup", "keydown"]) addEventListener(gesture, () => engine.wake(), true);

midi.on("devices", (word, name) => {
  if (word) hint(t(word, { name }), "midi");
  tellDevices();
});
function tellDevices() { connection.send({ m: "devices", list: midi.describe() }); }

followPointer((x, y) => { if (room.self) connection.sendMove(x, y); });

showTitle();
connection.retryNow();
void midi.openIfAllowed();
void engine.playable.then(() => { dataset.sound = "playable"; });
void engine.complete.then(() => { dataset.sound = "complete"; });
void engine.findPacks().then(packs => {
  if (packs.length === 0) return;
  fillInstruments(settings, Object.keys(INSTRUMENTS), packs);
  // A pack that was chosen before is only known now.
  engine.choose(settings.values.instrument);
});
