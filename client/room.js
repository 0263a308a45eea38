// What a room shows: its people with their cursors, its chat, and the list of the other rooms.

const CHAT_LINES_MAX = 300;
const ROOMS_SHOWN_MAX = 200;

export const byId = id => document.getElementById(id);

// Makes an element; text goes in as text, never as HTML.
export function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

export const safeColor = color => (/^#[0-9a-f]{6}$/i.test(color) ? color : "#777777");

export class People {
  #list = byId("people"); #cursors = byId("cursors"); #people = new Map();
  self = null;

  get(id) { return this.#people.get(id); }

  get count() { return this.#people.size; }

  reset(people) {
    this.#people.clear();
    this.#list.replaceChildren();
    this.#cursors.replaceChildren();
    for (const person of people) this.set(person);
  }

  set({ id, name, color, x, y, tag }) {
    let person = this.#people.get(id);
    if (!person) {
      person = { row: make("li"), cursor: make("div", "cursor") };
      this.#people.set(id, person);
      this.#list.append(person.row);
      if (id !== this.self) this.#cursors.append(person.cursor);
      this.move(id, x, y);
    }
    Object.assign(person, { id, name, color: safeColor(color) });
    person.row.replaceChildren(make("span", "who", name));
    if (id === this.self) person.row.append(make("small", "", "you"));
    if (typeof tag?.text === "string") person.row.append(make("small", "", tag.text));
    person.cursor.textContent = name;
    for (const element of [person.row, person.cursor]) element.style.setProperty("--by", person.color);
  }

  remove(id) {
    this.#people.get(id)?.row.remove();
    this.#people.get(id)?.cursor.remove();
    this.#people.delete(id);
  }

  crown(holder) {
    for (const [id, { row }] of this.#people) {
      row.classList.toggle("crown", id === holder);
      row.title = id === holder ? "Has the crown" : "";
    }
  }

  move(id, x, y) {
    const cursor = this.#people.get(id)?.cursor;
    if (!cursor) return;
    // People without a mouse stand outside of the window.
    cursor.hidden = !(x >= 0 && x <= 100 && y >= 0 && y <= 100);
    [cursor.style.left, cursor.style.top] = [`${Number(x)}%`, `${Number(y)}%`];
  }

  // Lets a person's row light up for a moment.
  plays(id) {
    const row = this.#people.get(id)?.row;
    row?.getAnimations().forEach(animation => animation.cancel());
    row?.animate({ backgroundColor: [`${this.#people.get(id).color}80`, "transparent"] }, 700);
  }
}

export class Chat {
  #log = document.querySelector("#chat ol"); #atEnd = true;

  // Who reads older lines is not torn away from them; who reads the newest still does when the window shrinks.
  constructor() {
    const log = this.#log;
    log.onscroll = () => { this.#atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40; };
    new ResizeObserver(() => this.#follow()).observe(log);
  }

  #follow() { if (this.#atEnd) this.#log.scrollTop = this.#log.scrollHeight; }

  reset(messages) {
    this.#log.replaceChildren();
    this.#atEnd = true;
    for (const message of messages) this.add(message);
  }

  add({ a, p, t }) {
    const line = make("li", "");
    const time = make("time", "", new Date(t).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = new Date(t).toISOString();
    line.append(make("b", "who", p.name), make("span", "text", a), time);
    line.style.setProperty("--by", safeColor(p.color));
    this.#append(line);
  }

  note(text) { this.#append(make("li", "note", text)); }

  #append(line) {
    this.#log.append(line);
    while (this.#log.childElementCount > CHAT_LINES_MAX) this.#log.firstElementChild.remove();
    this.#follow();
  }
}

export const roomOfPath = () => {
  try { return decodeURIComponent(location.pathname.slice(1)) || "lobby"; } catch { return "lobby"; }
};
export const pathOfRoom = room => (room === "lobby" ? "/" : `/${encodeURIComponent(room)}`);

export class Rooms {
  #panel = byId("rooms"); #button = byId("room"); #field = byId("room-new");
  #rooms = new Map(); #current = null; #drawPending = false;

  // `onPick(room)` is told where this person wants to go.
  constructor(onPick) {
    const pick = room => { this.toggle(false); this.#field.value = ""; this.#draw(); onPick(room); };
    this.#button.onclick = () => this.toggle();
    this.#field.oninput = () => this.#draw();
    this.#panel.onkeydown = ({ key }) => { if (key === "Escape") { this.toggle(false); this.#button.focus(); } };
    this.#panel.querySelector("form").onsubmit = event => {
      event.preventDefault();
      if (this.#field.value.trim()) pick(this.#field.value.trim());
    };
    this.#panel.querySelector("ul").onclick = event => {
      const link = event.target.closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      pick(link.dataset.room);
    };
  }

  // Where there is room for it, the list is always open.
  toggle(open = !this.#panel.classList.contains("open") || getComputedStyle(this.#panel).position === "static") {
    this.#panel.classList.toggle("open", open);
    this.#button.setAttribute("aria-expanded", open);
    if (open) this.#field.focus();
  }

  enter(room) {
    this.#current = room;
    this.#drawSoon();
  }

  update({ c, u }) {
    if (c) this.#rooms.clear();
    for (const { _id, count } of u) {
      if (count > 0 || _id === "lobby") this.#rooms.set(_id, count);
      else this.#rooms.delete(_id);
    }
    this.#drawSoon();
  }

  #drawSoon() {
    if (this.#drawPending) return;
    this.#drawPending = true;
    setTimeout(() => { this.#drawPending = false; this.#draw(); }, 100);
  }

  #draw() {
    const wanted = this.#field.value.trim().toLowerCase();
    const shown = [...this.#rooms].filter(([room]) => room.toLowerCase().includes(wanted))
      .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, ROOMS_SHOWN_MAX);
    const focused = document.activeElement?.dataset.room;
    this.#panel.querySelector("ul").replaceChildren(...shown.map(([room, count]) => {
      const [item, link] = [make("li"), make("a", "")];
      link.append(make("span", "", room), make("span", "count", count));
      [link.href, link.dataset.room] = [pathOfRoom(room), room];
      if (room === this.#current) link.setAttribute("aria-current", "page");
      item.append(link);
      return item;
    }));
    if (focused !== undefined) this.#panel.querySelector(`a[data-room="${CSS.escape(focused)}"]`)?.focus();
  }
}
