// The page: joins the room that its address names and lets people play and talk there.

import { Connection, store, stored } from "./connection.js";
import { Batch, KEYS, NAMES, Quota } from "./notes.js";
import { isTyping, Piano } from "./piano.js";
import { byId, Chat, make, pathOfRoom, People, roomOfPath, Rooms, safeColor } from "./room.js";
import { Synth } from "./synth.js";

// Others' notes sound this long after they were played, so that a slow network changes no rhythm.
const NOTE_DELAY_MS = 1000;
const NOTE_AHEAD_MAX_MS = 10_000;
const CURSOR_MS = 50;

const [people, chat, synth, quota] = [new People(), new Chat(), new Synth(), new Quota()];
const rooms = new Rooms(room => enter(room));
const socketUrl = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`;
const connection = new Connection(socketUrl, message => handlers[message.m]?.(message), showState);
const batch = new Batch(connection);
const piano = new Piano(byId("piano"), press, release);
const state = { wanted: roomOfPath(), room: null, mayPlay: true, crowned: false, motd: "", heard: 0, retryAt: 0 };

// --- What the server says ---

const handlers = {
  hi({ u, motd }) {
    state.motd = motd ? plain(motd) : "";
    showMe(u);
    // A server that forgot us is told again who we are.
    if (u.name === "Anonymous" && stored("name")) userset({ name: stored("name"), color: stored("color") ?? u.color });
    connection.send({ m: "ch", _id: state.wanted });
    connection.send({ m: "+ls" });
  },
  ch({ ch, ppl, p }) {
    people.self = p;
    people.reset(ppl);
    const holder = ch.crown?.participantId;
    people.crown(holder);
    showMe(people.get(p));
    state.crowned = holder === p;
    state.mayPlay = !ch.settings.crownsolo || state.crowned;
    byId("piano").classList.toggle("locked", !state.mayPlay);
    document.documentElement.style.setProperty("--room", safeColor(ch.settings.color));
    const talk = document.querySelector("#chat form input");
    talk.disabled = ch.settings.chat === false;
    talk.placeholder = talk.disabled ? "Chat is off in this room" : "Say something";
    // The server may have led us elsewhere: a full lobby overflows, and a ban leads to the waiting room.
    if (ch._id !== roomOfPath()) history.replaceState(null, "", pathOfRoom(ch._id));
    [state.wanted, state.room] = [ch._id, ch._id];
    rooms.enter(ch._id);
    byId("room-name").textContent = ch._id;
    document.title = `${ch._id} – Tutti`;
    document.documentElement.dataset.room = ch._id;
    byId("banner").hidden = true;
    document.documentElement.dataset.state = "joined";
    showCount();
  },
  p(person) {
    people.set(person);
    if (person.id === people.self) showMe(person);
    showCount();
  },
  bye({ p }) { people.remove(p); showCount(); },
  m({ id, x, y }) { people.move(id, x, y); },
  c({ c }) {
    chat.reset(c);
    if (state.motd) chat.note(state.motd);
    state.motd = "";
  },
  a(message) { chat.add(message); },
  nq(params) { quota.configure(params); },
  ls(message) { rooms.update(message); },
  n({ t, n, p }) {
    const person = people.get(p);
    if (!person) return;
    const wait = t - connection.serverTime() + NOTE_DELAY_MS;
    for (const { n: name, v, d, s } of n) {
      const [key, delay] = [KEYS.get(name), Math.max(0, wait + (d || 0))];
      if (key === undefined || delay > NOTE_AHEAD_MAX_MS) continue;
      const velocity = Math.min(1, Math.max(0, parseFloat(v ?? 0.5) || 0));
      if (s) synth.stop(p, key, delay / 1000);
      else synth.start(p, key, velocity, delay / 1000);
      setTimeout(() => (s ? piano.dim(key) : showHeard(person, key)), delay);
    }
  },
  notification({ id = "", title, text, html, duration }) {
    const toast = make("div", "toast");
    toast.dataset.id = id;
    if (id) byId("toasts").querySelector(`[data-id="${CSS.escape(id)}"]`)?.remove();
    if (title) toast.append(make("b", "", title));
    toast.append(make("p", "", text || plain(html ?? "")));
    toast.onclick = () => toast.remove();
    byId("toasts").append(toast);
    if (!(duration < 0)) setTimeout(() => toast.remove(), duration || 30_000);
  },
};

// Text of what was written for pages that show HTML. Nothing in it is ever loaded or run.
function plain(html) { return new DOMParser().parseFromString(html, "text/html").body.textContent; }

function showCount() { byId("room-count").textContent = people.count; }

function showMe({ name, color }) {
  if (document.activeElement !== byId("name")) byId("name").value = name;
  byId("color").value = safeColor(color);
}

function showHeard(person, key) {
  piano.light(key, person.color, true);
  people.plays(person.id);
  byId("piano").dataset.heard = ++state.heard;
  byId("piano").dataset.last = NAMES[key];
}

function showState(now, words, retryAt) {
  document.documentElement.dataset.state = now;
  if (now !== "waiting" && now !== "refused") return;
  state.retryAt = retryAt;
  people.reset([]);
  showCount();
  const banner = byId("banner");
  banner.hidden = false;
  banner.dataset.words = words;
  countDown();
}

function countDown() {
  const { hidden, dataset, firstElementChild } = byId("banner");
  if (hidden) return;
  const left = Math.ceil((state.retryAt - performance.now()) / 1000);
  firstElementChild.textContent = dataset.words + (left > 0 ? ` Next try in ${left} s.` : "");
}
setInterval(countDown, 1000);

// --- What this person does ---

function press(key, velocity) {
  if (!state.mayPlay || !quota.spend(1)) return showQuota();
  synth.start(people.self, key, velocity, 0);
  piano.light(key, byId("color").value, false);
  people.plays(people.self);
  batch.push({ n: NAMES[key], v: Math.round(velocity * 1000) / 1000 });
  showQuota();
}

function release(key) {
  piano.dim(key);
  if (byId("sustain").getAttribute("aria-pressed") === "true" || !state.mayPlay || !quota.spend(1)) return;
  synth.stop(people.self, key, 0);
  batch.push({ n: NAMES[key], s: 1 });
}

function showQuota() { byId("quota").style.transform = `scaleX(${quota.share})`; }
setInterval(showQuota, 1000);

function enter(room) {
  if (room === state.room) return;
  history.pushState(null, "", pathOfRoom(room));
  state.wanted = room;
  connection.send({ m: "ch", _id: room });
}
addEventListener("popstate", () => {
  state.wanted = roomOfPath();
  connection.send({ m: "ch", _id: state.wanted });
});

function userset(set) { connection.send({ m: "userset", set }); }

function saveMe() {
  const set = { color: byId("color").value, name: byId("name").value.trim() };
  if (!set.name) return showMe(people.get(people.self) ?? set);
  for (const [key, value] of Object.entries(set)) store(key, value);
  userset(set);
}
byId("name").onchange = byId("color").onchange = saveMe;
byId("me").onsubmit = event => { event.preventDefault(); byId("name").blur(); };

// The server drops what is said too fast without a word, so it is held back here.
const said = [];
document.querySelector("#chat form").onsubmit = event => {
  event.preventDefault();
  const field = event.target.querySelector("input");
  const message = field.value.trim();
  if (!message) return;
  while (said.length && said[0] < performance.now() - 4000) said.shift();
  if (!connection.open || said.length >= (state.crowned ? 10 : 4)) {
    const text = connection.open ? "One moment, not so fast." : "You are offline.";
    return handlers.notification({ id: "chat", text, duration: 2500 });
  }
  said.push(performance.now());
  connection.send({ m: "a", message });
  field.value = "";
};

const cursor = { x: 0, y: 0, moved: false };
addEventListener("pointermove", ({ clientX, clientY }) => {
  Object.assign(cursor, { x: 100 * clientX / innerWidth, y: 100 * clientY / innerHeight, moved: true });
}, { passive: true });
setInterval(() => {
  if (!cursor.moved || !state.room) return;
  cursor.moved = false;
  connection.send({ m: "m", x: cursor.x.toFixed(2), y: cursor.y.toFixed(2) });
}, CURSOR_MS);

function shiftOctave(by) {
  piano.shiftOctave(by);
  document.querySelector("#octave output").textContent = `C${piano.octave + 1}`;
}
byId("octave").onclick = ({ target }) => { if (target.value) shiftOctave(Number(target.value)); };
byId("sustain").onclick = ({ currentTarget: button }) => {
  button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
};
byId("volume").oninput = ({ target }) => {
  synth.volume = (target.value / 100) ** 2 * 1.4;
  store("volume", target.value);
};
byId("banner").querySelector("button").onclick = () => connection.retryNow();

for (const gesture of ["pointerdown", "pointerup", "keydown"]) addEventListener(gesture, () => synth.wake(), true);
addEventListener("keydown", event => {
  const talk = document.querySelector("#chat form input");
  if (event.key === "Escape" && isTyping(event.target)) event.target.blur();
  if (event.target !== document.body && event.target !== byId("piano")) return;
  if (event.key === "Enter") { event.preventDefault(); talk.focus(); }
  if (event.key === "ArrowLeft") shiftOctave(-1);
  if (event.key === "ArrowRight") shiftOctave(1);
});

byId("volume").value = stored("volume") ?? 70;
byId("volume").dispatchEvent(new Event("input"));
byId("hint").textContent = "Play with the Z and Q rows, Enter to chat";
shiftOctave(0);
connection.retryNow();
