// Standard MIDI Files: read into notes with times, and written from them.

/** @typedef {{ at: number, key: number, velocity: number, channel: number }} Note `at` in ms, MIDI `key`, `velocity` 0 ends it */
/** @typedef {{ at: number, down: boolean, channel: number }} Pedal */
/** @typedef {{ notes: Note[], pedals: Pedal[], ms: number }} Song */
/** @typedef {{ tick: number, kind: "note" | "pedal" | "tempo", channel: number, key: number, value: number }} Event */

/** A file may claim anything; no song has more. */
const EVENTS_MAX = 500_000;
const BYTES_MAX = 16 << 20;
const TICKS_PER_QUARTER = 480;
const MS_PER_QUARTER = 500;
const PERCUSSION = 9;

export class SmfFault extends Error {}

class Bytes {
  #view;
  at;
  end;

  /** @param {DataView} view @param {number} at @param {number} end */
  constructor(view, at, end) {
    this.#view = view;
    this.at = at;
    this.end = end;
  }

  get hasMore() { return this.at < this.end; }

  byte() {
    if (this.at >= this.end) throw new SmfFault("it ends too early");
    return this.#view.getUint8(this.at++);
  }

  peek() {
    if (this.at >= this.end) throw new SmfFault("it ends too early");
    return this.#view.getUint8(this.at);
  }

  /** @param {number} bytes */
  unsigned(bytes) {
    let value = 0;
    for (let n = 0; n < bytes; n++) value = value * 256 + this.byte();
    return value;
  }

  tag() { return String.fromCharCode(this.byte(), this.byte(), this.byte(), this.byte()); }

  /** A number in groups of seven bits, four groups at most. */
  variable() {
    let value = 0;
    for (let n = 0; n < 4; n++) {
      const byte = this.byte();
      value = value << 7 | byte & 0x7f;
      if (byte < 0x80) return value;
    }
    throw new SmfFault("a length in it is too long");
  }

  /** @param {number} length */
  skip(length) {
    if (length > this.end - this.at) throw new SmfFault("it ends too early");
    this.at += length;
  }
}

/**
 * @param {ArrayBuffer} file
 * @returns {Song}
 * @throws {SmfFault} when it is no such file, or broken before its first note
 */
export function readSmf(file) {
  if (file.byteLength > BYTES_MAX) throw new SmfFault("it is too large");
  const view = new DataView(file);
  const bytes = new Bytes(view, 0, file.byteLength);
  if (file.byteLength < 14 || bytes.tag() !== "MThd") throw new SmfFault("it does not begin like one");
  const headLength = bytes.unsigned(4);
  const headEnd = bytes.at + headLength;
  bytes.unsigned(2);
  const tracks = bytes.unsigned(2), division = bytes.unsigned(2);
  if (division === 0) throw new SmfFault("it has no time base");
  bytes.skip(headEnd - bytes.at);
  /** @type {Event[]} */
  const events = [];
  for (let track = 0; track < tracks && bytes.hasMore;) {
    const isTrack = bytes.tag() === "MTrk";
    const length = bytes.unsigned(4);
    // A track that claims more than there is ends with the file.
    const end = Math.min(file.byteLength, bytes.at + length);
    if (isTrack) {
      try {
        readTrack(new Bytes(view, bytes.at, end), events);
      } catch (fault) {
        if (!(fault instanceof SmfFault) || events.length === 0) throw fault;
      }
      track++;
    }
    bytes.at = end;
  }
  return timed(events, division);
}

/** @param {Bytes} bytes @param {Event[]} events */
function readTrack(bytes, events) {
  let [tick, status] = [0, 0];
  while (bytes.hasMore) {
    if (events.length > EVENTS_MAX) throw new SmfFault("it has too many notes");
    tick += bytes.variable();
    if (bytes.peek() & 0x80) status = bytes.byte();
    const channel = status & 0x0f;
    switch (status >> 4) {
      case 0x8:
      case 0x9: {
        const key = bytes.byte(), velocity = bytes.byte();
        const value = status >> 4 === 9 ? velocity & 0x7f : 0;
        if (channel !== PERCUSSION) events.push({ tick, kind: "note", channel, key, value });
        break;
      }
      case 0xb: {
        const controller = bytes.byte(), value = bytes.byte();
        if (controller === 64) events.push({ tick, kind: "pedal", channel, key: 0, value });
        break;
      }
      case 0xa:
      case 0xe:
        bytes.skip(2);
        break;
      case 0xc:
      case 0xd:
        bytes.skip(1);
        break;
      case 0xf: {
        if (status === 0xff) {
          const kind = bytes.byte(), length = bytes.variable();
          if (kind === 0x2f) return;
          if (kind === 0x51 && length === 3) {
            events.push({ tick, kind: "tempo", channel: 0, key: 0, value: bytes.unsigned(3) });
          } else {
            bytes.skip(length);
          }
        } else {
          bytes.skip(bytes.variable());
        }
        // A status does not run on over these.
        status = 0;
        break;
      }
      default:
        throw new SmfFault("it holds something that is no event");
    }
  }
}

/** @param {Event[]} events @param {number} division @returns {Song} */
function timed(events, division) {
  // A tempo counts for what begins with it; ends come before starts of the same moment.
  const rank = (/** @type {Event} */ { kind, value }) => (kind === "tempo" ? 0 : kind === "note" && value === 0 ? 1 : 2);
  events.sort((a, b) => a.tick - b.tick || rank(a) - rank(b));
  // Either ticks a quarter, or frames a second and ticks a frame.
  const frames = division & 0x8000 ? 256 - (division >> 8) : 0;
  const ticksPerSecond = frames * (division & 0xff);
  let [ms, tick, msPerTick] = [0, 0, frames ? 1000 / Math.max(1, ticksPerSecond) : MS_PER_QUARTER / division];
  /** @type {Song} */
  const song = { notes: [], pedals: [], ms: 0 };
  for (const event of events) {
    ms += (event.tick - tick) * msPerTick;
    tick = event.tick;
    const { channel, key, value } = event;
    if (event.kind === "tempo" && !frames && value > 0) msPerTick = value / 1000 / division;
    else if (event.kind === "note") song.notes.push({ at: ms, key, velocity: value, channel });
    else if (event.kind === "pedal") song.pedals.push({ at: ms, down: value >= 64, channel });
  }
  song.ms = song.notes.at(-1)?.at ?? 0;
  return song;
}

/**
 * A file of one track for each player and their names.
 * @param {{ name: string, notes: { at: number, key: number, velocity: number }[] }[]} players
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function writeSmf(players) {
  const chunks = [head(players.length + 1), track(tempo())];
  for (const [at, { name, notes }] of players.entries()) {
    // The tenth channel is for drums.
    const channel = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15][at % 15];
    chunks.push(track([...title(name), ...noteEvents(notes, channel)]));
  }
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

const ascii = (/** @type {string} */ text) => [...text].map(letter => letter.charCodeAt(0));

/** @param {number} value @param {number} bytes */
const unsigned = (value, bytes) => Array.from({ length: bytes }, (_, n) => Math.floor(value / 256 ** (bytes - 1 - n)) & 0xff);

/** @param {number} value */
function variable(value) {
  const groups = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) groups.unshift(rest & 0x7f | 0x80);
  return groups;
}

/** @param {number} tracks */
const head = tracks => [...ascii("MThd"), ...unsigned(6, 4), ...unsigned(1, 2), ...unsigned(tracks, 2), ...unsigned(TICKS_PER_QUARTER, 2)];

const tempo = () => [0, 0xff, 0x51, 3, ...unsigned(MS_PER_QUARTER * 1000, 3)];

/** @param {string} name */
function title(name) {
  const bytes = [...new TextEncoder().encode(name)].slice(0, 120);
  return [0, 0xff, 0x03, bytes.length, ...bytes];
}

/** @param {number[]} events */
function track(events) {
  const whole = [...events, 0, 0xff, 0x2f, 0];
  return [...ascii("MTrk"), ...unsigned(whole.length, 4), ...whole];
}

/** @param {{ at: number, key: number, velocity: number }[]} notes @param {number} channel */
function noteEvents(notes, channel) {
  const bytes = [];
  let before = 0;
  for (const { at, key, velocity } of [...notes].sort((a, b) => a.at - b.at)) {
    const tick = Math.max(before, Math.round(at * TICKS_PER_QUARTER / MS_PER_QUARTER));
    const status = (velocity > 0 ? 0x90 : 0x80) | channel;
    bytes.push(...variable(tick - before), status, key & 0x7f, Math.min(127, Math.round(velocity)));
    before = tick;
  }
  return bytes;
}
