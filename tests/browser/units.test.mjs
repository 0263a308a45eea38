// The parts of the page that need no page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { client } from "./modules.mjs";

const { NAMES, KEY_OF, frequencyOf, isBlack, shownName, velocityOf } = await client("net/notes.js");
const { Quota, TICK_MS } = await client("net/quota.js");
const { Batch } = await client("net/batch.js");
const quick = await client("net/quick.js");
const messages = await client("net/messages.js");
const { readSmf, SmfFault, writeSmf } = await client("midi/smf.js");
const { Recorder } = await client("midi/recorder.js");
const { Geometry, WHITES, whiteKey } = await client("piano/geometry.js");
const { contrast, inkOn, readable } = await client("ui/colors.js");
const { mentions, parts, plainText } = await client("ui/links.js");
const { withEmoji } = await client("ui/emoji.js");
const { Emitter } = await client("events.js");
const { Schedule } = await client("schedule.js");
const { pathOfRoom, Room, roomOfPath } = await client("room.js");
const { Performer } = await client("performer.js");
const { t } = await client("words.js");

const hex = bytes => Buffer.from(bytes).toString("hex");
const bytes = text => Uint8Array.from(Buffer.from(text, "hex")).buffer;

test("keys have the names of the wire", () => {
  assert.equal(NAMES.length, 88);
  assert.deepEqual([NAMES[0], NAMES[3], NAMES[39], NAMES[87]], ["a-1", "c0", "c3", "c7"]);
  assert.equal(KEY_OF.get("gs4"), 59);
  assert.equal(shownName(39), "C4");
  assert.equal(NAMES.filter((_, key) => isBlack(key)).length, 36);
  assert.equal(Math.round(frequencyOf(48)), 440);
  assert.deepEqual([undefined, "0.25", 1.27, -1, "x", 0].map(velocityOf), [0.5, 0.25, 1, 0, 0.5, 0]);
});

test("the quota counts as the server does", () => {
  let now = 0;
  const quota = new Quota(() => now);
  quota.configure({ allowance: 200, max: 600, maxHistLen: 3 });
  assert.equal(quota.spend(600), true);
  assert.equal(quota.spend(1), false);
  assert.equal(quota.share, 0);
  now += TICK_MS;
  assert.equal(quota.left, 200);
  assert.equal(quota.spend(201), false, "what is refused costs nothing");
  assert.equal(quota.spend(200), true);
  now += 100 * TICK_MS;
  assert.equal(quota.left, 600);
});

test("a change of preset keeps what was used", () => {
  const quota = new Quota(() => 0);
  quota.configure({ allowance: 600, max: 1800, maxHistLen: 3 });
  quota.spend(1300);
  quota.configure({ allowance: 400, max: 1200 });
  assert.equal(quota.left, 0);
  quota.configure({ allowance: 600, max: 1800 });
  assert.equal(quota.left, 500);
  quota.configure({ allowance: 0, max: null, maxHistLen: "x" });
  assert.equal(quota.max, 1800);
});

test("the quota is the reference, tick by tick", () => {
  // The reference ticks once for each tick; ours jumps.
  let seed = 7;
  const roll = below => (seed = seed * 1103515245 + 12345 & 0x7fffffff) % below;
  for (let run = 0; run < 200; run++) {
    let [now, points, history] = [0, 1200, [1200, 1200, 1200]];
    const quota = new Quota(() => now);
    for (let step = 0; step < 40; step++) {
      for (let gap = roll(4); gap > 0; gap--) {
        now += TICK_MS;
        history = [points, ...history].slice(0, 3);
        points = Math.min(1200, points + 400);
      }
      const notes = roll(900);
      const price = history.reduce((a, b) => a + b) <= 0 ? notes * 400 : notes;
      const granted = price <= points;
      if (granted) points -= price;
      assert.equal(quota.spend(notes), granted);
      assert.equal(quota.left, points);
    }
  }
});

test("a batch keeps the distance of its notes", async () => {
  let now = 1000;
  const sent = [];
  const batch = new Batch(() => now, (t, n) => sent.push({ t, n }));
  batch.push({ n: "c4", v: 0.5 });
  now += 37.4;
  batch.push({ n: "e4", v: 0.5 });
  assert.equal(sent.length, 0);
  batch.flush();
  assert.deepEqual(sent, [{ t: 1000, n: [{ n: "c4", v: 0.5 }, { n: "e4", v: 0.5, d: 37 }] }]);
  batch.flush();
  assert.equal(sent.length, 1, "nothing is sent when nothing was played");
});

test("the quick dialect has the bytes of the protocol page", () => {
  const T = 1700000000000;
  assert.equal(hex(quick.encodePing(T)), "050000084278bcfe56800000");
  assert.equal(hex(quick.encodeMove(12.5, 50.3)), "0800001040290000000000004049266666666666");
  assert.equal(hex(quick.encodeNotes(T, [{ n: "a4", s: 1 }])),
    "070000264278bcfe568000000001000261343ff000000000000000000000000000003ff0000000000000");
  // A start says that it is none, where the old client leaves it to be guessed.
  assert.equal(hex(quick.encodeNotes(T, [{ n: "a4", v: 0.5 }])),
    "070000264278bcfe568000000001000261343fe0000000000000" + "00".repeat(16));
  const u = "0123456789abcdef01234567";
  assert.deepEqual(quick.decode(bytes("050000104278bcfe5687b0004278bcfe56800000")), [{ m: "t", t: T + 123, e: T }]);
  assert.deepEqual(quick.decode(bytes("0700005c4278bcfe568000000002000261343fe00000000000000000000000000000000000000000000000026134000000000000000040590000000000003ff00000000000000018303132333435363738396162636465663031323334353637")),
    [{ m: "n", t: T, p: u, n: [{ n: "a4", v: 0.5, d: 0 }, { n: "a4", d: 100, s: 1 }] }]);
  assert.deepEqual(quick.decode(bytes("0800002a001830313233343536373839616263646566303132333435363740290000000000004049200000000000")),
    [{ m: "m", id: u, x: 12.5, y: 50.25 }]);
  const p = { id: u, _id: u, name: "Al", color: "#012345", x: 200, y: 100 };
  assert.deepEqual(quick.decode(bytes("11000051001830313233343536373839616263646566303132333435363700183031323334353637383961626364656630313233343536370002416c00072330313233343540690000000000004059000000000000")),
    [{ m: "p", isPartial: true, ...p }]);
  assert.deepEqual(quick.decode(bytes("0600005d00026869001830313233343536373839616263646566303132333435363700183031323334353637383961626364656630313233343536370002416c000723303132333435406900000000000040590000000000004278bcfe56800000")),
    [{ m: "a", a: "hi", p, t: T }]);
  for (const broken of ["05", "050000ff00", "ff000000", "0600000200ff", "07000009" + "00".repeat(9)]) {
    assert.deepEqual(quick.decode(bytes(broken)), [], broken);
  }
});

test("whatever a server says is made safe", () => {
  const { person, chatLine, roomInfo, notes, notice } = messages;
  for (const junk of [null, undefined, 5, "x", [], {}, { id: 5 }, { p: [] }]) {
    assert.equal(person(junk), null);
    assert.equal(chatLine(junk), null);
    assert.equal(roomInfo(junk), null);
    assert.deepEqual(notes(junk), []);
    assert.equal(typeof notice(junk, plainText).duration, "number");
  }
  const found = person({ id: "a", name: "x\u202e\u0000y".repeat(40), color: "red;background:url(x)", x: "12.5", y: {}, tag: { text: "T", color: "#f0a" } });
  assert.equal(found.name.length <= 40, true);
  assert.doesNotMatch(found.name, /[\u0000\u202e]/);
  assert.deepEqual([found._id, found.color, found.x, found.y, found.tag], ["a", "#777777", 12.5, 100, { text: "T", color: "#ff00aa" }]);
  assert.equal(person({ id: "a", name: "\ud83d" }).name, "\ufffd");
  assert.deepEqual(notes([{ n: "c4" }, { n: "zz" }, null, { n: "d4", v: "9", d: -5, s: true }, { n: { toString: 1 } }]), [
    { key: 51, velocity: 0.5, delay: 0, isStop: false }, { key: 53, velocity: 1, delay: 0, isStop: true }]);
  assert.equal(notice({ html: "<b>x</b><script>y</script>&lt;i&gt;", duration: -1 }, plainText).text, "x<i>");
});

test("links are http only, and end where the sentence goes on", () => {
  const kinds = text => parts(text).map(({ kind, text }) => `${kind}:${text}`);
  assert.deepEqual(kinds("see https://a.example/x_(y)?z=1. And (http://b.example)"), [
    "text:see ", "link:https://a.example/x_(y)?z=1", "text:. And (", "link:http://b.example", "text:)"]);
  for (const text of ["javascript:alert(1)", "data:text/html,x", "https://good.example@evil.example/", "<img src=x onerror=y>", "https://"]) {
    assert.deepEqual(kinds(text), [`text:${text}`]);
  }
  assert.deepEqual(kinds("hey @0123456789abcdef01234567!"), ["text:hey ", "mention:@0123456789abcdef01234567", "text:!"]);
  const me = { _id: "0123456789abcdef01234567", name: "Ann" };
  assert.deepEqual(["@ann hi", "hello @Ann", "@Anna", "Ann", "x @0123456789ABCDEF01234567"].map(text => mentions(text, me)), [true, true, false, false, true]);
  assert.equal(mentions("@Anna and @Ann", me), true, "the second is meant");
});

test("colours can be read", () => {
  for (const color of ["#000000", "#ffffff", "#ff0000", "#00ff00", "#0000ff", "#777777", "#5b72e8", "#f2c14e"]) {
    assert.ok(contrast(inkOn(color), color) >= 4.5, color);
    for (const ground of ["#161a21", "#f4f6f9"]) assert.ok(contrast(readable(color, ground), ground) >= 4.5, `${color} on ${ground}`);
  }
});

test("every point of the keyboard is a key, and the right one", () => {
  for (const [width, height, whites, first] of [[1280, 180, WHITES, 0], [390, 200, 13, 21], [844, 180, 28, 24], [1919, 333, WHITES, 0]]) {
    const geometry = new Geometry(width, height, whites, first);
    for (let key = 0; key < 88; key++) {
      const { x, width: wide, isBlack: black } = geometry.places[key];
      const [px, py] = [x + wide / 2, black ? height * 0.3 : height * 0.9];
      if (px < 0 || px >= width) continue;
      assert.equal(geometry.at(px, py)?.key, key, `${key} of ${width}`);
    }
    for (let x = 0; x < width; x += 0.5) assert.notEqual(geometry.at(x, height - 1), null);
    assert.equal(geometry.at(-1, 5), null);
    assert.equal(geometry.at(5, height), null);
  }
  assert.deepEqual([whiteKey(0), whiteKey(23), whiteKey(51)], [0, 39, 87]);
});

test("a file that is written is read as it was", () => {
  const notes = Array.from({ length: 300 }, (_, n) => ({ at: n * 41, key: 21 + n * 7 % 88, velocity: n % 2 ? 0 : 1 + n % 127 }));
  const song = readSmf(writeSmf([{ name: "Mira 🎹", notes }, { name: "", notes: [{ at: 12345, key: 60, velocity: 64 }] }]).buffer);
  const first = song.notes.filter(({ channel }) => channel === 0);
  assert.equal(first.length, 300);
  for (const [n, note] of first.entries()) {
    assert.deepEqual([note.key, note.velocity], [notes[n].key, notes[n].velocity]);
    assert.ok(Math.abs(note.at - notes[n].at) < 1.1, `note ${n} at ${note.at}, not ${notes[n].at}`);
  }
  assert.deepEqual(song.notes.filter(({ channel }) => channel === 1).map(({ key }) => key), [60]);
});

test("a recording ends every note, also under a pedal that said nothing", () => {
  const recorder = new Recorder();
  recorder.start();
  for (const [key, velocity, at] of [[0, 1, 100], [0, 0.5, 300], [0, 0, 350], [5, 0.5, 400], [9, 0, 500], [5, 0.7, 9000]]) recorder.note("a", "A", key, velocity, at);
  recorder.note("b", "B", 3, 0, 10);
  recorder.stop();
  const [part, ...others] = recorder.parts;
  assert.deepEqual(others, [], "who struck nothing has no part");
  assert.deepEqual(part.notes.map(({ at, key, velocity }) => [Math.round(at), key - 21, velocity]), [
    [0, 0, 127], [200, 0, 0], [200, 0, 64], [250, 0, 0], [300, 5, 64], [1800, 5, 0], [8900, 5, 89], [10_400, 5, 0]]);
  assert.equal(recorder.count, 4);
});

test("files of others are read: running status, tempo, pedal, drums, frames", () => {
  const file = text => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex")).buffer;
  // 96 ticks a quarter; 120 then 60 beats a minute; running status; a drum; a pedal; a system message.
  const track = "00 ff5103 07a120  00 90 3c40  60 3c00  00 ff5103 0f4240  00 90 4050  00 993c40  00 b04040  60 804000  00 f00143f7  00 ff2f00";
  const length = (track.replaceAll(" ", "").length / 2).toString(16).padStart(8, "0");
  const song = readSmf(file(`4d546864 00000006 0000 0001 0060 4d54726b ${length} ${track}`));
  assert.deepEqual(song.notes.map(({ at, key, velocity }) => [at, key, velocity]), [[0, 60, 64], [500, 60, 0], [500, 64, 80], [1500, 64, 0]]);
  assert.deepEqual(song.pedals.map(({ at, down }) => [at, down]), [[500, true]]);
  const frames = readSmf(file("4d546864 00000006 0000 0001 e728 4d54726b 0000000d 00 903c40 8768 3c00 00ff2f00 00"));
  assert.deepEqual(frames.notes.map(({ at }) => at), [0, 1000]);
});

test("what is no file of that kind is refused in words, and nothing else happens", () => {
  const good = writeSmf([{ name: "x", notes: [{ at: 0, key: 60, velocity: 64 }, { at: 100, key: 60, velocity: 0 }] }]);
  for (let length = 0; length < good.length; length++) {
    try { readSmf(good.slice(0, length).buffer); } catch (fault) { assert.ok(fault instanceof SmfFault, String(fault)); }
  }
  let seed = 1;
  for (let run = 0; run < 3000; run++) {
    const bytes = good.slice();
    for (let n = 0; n < 3; n++) bytes[(seed = seed * 1103515245 + 12345 & 0x7fffffff) % bytes.length] = seed >> 8;
    try { readSmf(bytes.buffer); } catch (fault) { assert.ok(fault instanceof SmfFault, String(fault)); }
  }
});

test("a room is followed through its messages", () => {
  const room = new Room();
  const events = [];
  for (const name of ["enter", "person", "leave", "people"]) room.on(name, () => events.push(name));
  const ch = { _id: "x", count: 1, settings: {}, crown: { participantId: "a", userId: "a", time: 1000, startPos: {}, endPos: {} } };
  room.apply({ m: "ch", ch, ppl: [{ id: "a", name: "A" }], p: "a" });
  assert.ok(room.isCrowned && room.mayPlay);
  room.apply({ m: "p", id: "b", name: "B" });
  room.apply({ m: "m", id: "b", x: "12.50", y: 3 });
  assert.deepEqual([room.people.get("b").x, room.people.get("b").y], [12.5, 3]);
  // A change of settings leaves people and their places alone.
  room.apply({ m: "ch", ch: { ...ch, settings: { crownsolo: true }, crown: { ...ch.crown, participantId: "b", userId: "b" } }, ppl: [{ id: "a", name: "A" }, { id: "b", name: "B", x: 200 }], p: "a" });
  assert.equal(room.people.get("b").x, 12.5);
  assert.ok(!room.mayPlay && room.crownLies(0) === null);
  room.apply({ m: "p", id: "b", name: "B", tag: { text: "T", color: "#fff" } });
  room.apply({ m: "p", isPartial: true, id: "b", name: "Bee" });
  assert.deepEqual([room.people.get("b").name, room.people.get("b").tag.text], ["Bee", "T"]);
  room.apply({ m: "bye", p: "b" });
  assert.deepEqual(events, ["people", "enter", "person", "person", "person", "leave"]);
  // Who wore it is gone: it lies, and is free 15 s after it fell.
  assert.deepEqual([room.crownLies(15_999).isFree, room.crownLies(16_000).isFree], [false, true]);
  room.apply({ m: "ls", c: true, u: [{ _id: "x", count: 2 }, { _id: "y", count: 1 }, { _id: "lobby", count: 0 }] });
  room.apply({ m: "ls", c: false, u: [{ _id: "y", count: 0 }, null, 5] });
  assert.deepEqual([...room.list.keys()], ["x", "lobby"]);
});

test("rooms and paths are each other's", () => {
  for (const name of ["lobby", "Quiet corner", "test/x", "ä/ö?#%", "100%"]) assert.equal(roomOfPath(pathOfRoom(name)), name);
  assert.equal(pathOfRoom("lobby"), "/");
  assert.equal(roomOfPath("/%zz"), "lobby");
  assert.equal(pathOfRoom("\ud83d"), "/%EF%BF%BD");
});

test("keys ring under the pedal, and end when it is lifted", () => {
  const [quota, sent, off] = [new Quota(() => 0), [], []];
  const performer = new Performer(quota, { push: note => sent.push(note) });
  performer.on("off", key => off.push(key));
  performer.sustain(false);
  performer.press(39, 0.5, "a");
  performer.press(39, 0.5, "b");
  performer.release(39, "a");
  assert.deepEqual(off, [], "another finger still holds it");
  performer.release(39, "b");
  assert.deepEqual(off, [39]);
  performer.pedal(true, "space");
  performer.press(40, 0.5, "a");
  performer.release(40, "a");
  assert.deepEqual(off, [39]);
  performer.pedal(false, "space");
  assert.deepEqual(off, [39, 40]);
  performer.sustain(true);
  performer.press(41, 0.5, "a");
  performer.release(41, "a");
  performer.press(42, 0.5, "song:0:42");
  performer.release(42, "song:0:42");
  assert.deepEqual(off, [39, 40, 42], "files say when their notes end");
  assert.equal(sent.filter(({ s }) => s === 1).length, 3);
  performer.mayPlay = () => false;
  assert.equal(performer.press(50, 1, "a"), false);
});

test("texts are there for one and for more", () => {
  assert.equal(t("roomCount", { n: 1 }), "1 person");
  assert.equal(t("roomCount", { n: 0 }), "0 people");
  assert.equal(t("personMenu", { name: "{n}" }), "About {n}");
});

test("names between colons and entities are only those that there are", () => {
  assert.equal(withEmoji(":fire: :constructor: :__proto__: :nothing:"), "🔥 :constructor: :__proto__: :nothing:");
  assert.equal(plainText("&amp;&constructor;&nothing;"), "&&constructor;&nothing;");
});

test("a listener that is taken away hears no more", () => {
  const emitter = new Emitter(), heard = [];
  const listener = value => heard.push(value);
  emitter.on("x", listener).emit("x", 1);
  emitter.off("x", listener);
  emitter.off("y", listener);
  emitter.emit("x", 2);
  assert.deepEqual(heard, [1]);
});

test("a schedule says when it is full", async () => {
  const schedule = new Schedule();
  let done = 0;
  const taken = Array.from({ length: 5200 }, () => schedule.later(20, () => done++)).filter(Boolean).length;
  assert.equal(taken, 5000);
  await new Promise(resolve => setTimeout(resolve, 100));
  assert.equal(done, taken);
});

test("a recording is bounded, also of ends without starts", () => {
  const recorder = new Recorder();
  recorder.start();
  recorder.note("a", "Ann", 40, 0.5, 0);
  for (let n = 0; n < 400_000; n++) recorder.note("a", "Ann", 40, 0, 1);
  recorder.note("a", "Ann", 41, 0.5, 2);
  assert.equal(recorder.count, 1);
});
