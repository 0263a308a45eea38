// The quick binary dialect, as far as it carries something that text does not carry better: notes, cursor moves and
// pings out; these, chat and people in. A frame is an opcode, a 24-bit length and a payload; all big-endian.

const OP = { T: 0x05, A: 0x06, N: 0x07, M: 0x08, P: 0x11 };
const FRAME_MAX = 1 << 22;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 4;

  /** @param {number} more */
  #room(more) {
    if (this.#length + more <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** @param {number} value */
  count(value) {
    this.#room(2);
    this.#view.setUint16(this.#length, value);
    this.#length += 2;
  }

  /** @param {number} value */
  number(value) {
    this.#room(8);
    this.#view.setFloat64(this.#length, value);
    this.#length += 8;
  }

  /** @param {string} value */
  string(value) {
    const bytes = encoder.encode(value);
    this.count(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** @param {number} opcode */
  frame(opcode) {
    this.#view.setUint32(0, (opcode << 24 >>> 0) + (this.#length - 4));
    return this.#bytes.slice(0, this.#length);
  }
}

class Reader {
  #view;
  #at = 0;

  /** @param {DataView} view */
  constructor(view) { this.#view = view; }

  get left() { return this.#view.byteLength - this.#at; }

  // Reading past the end throws a RangeError, which ends the whole message.
  count() { return this.#view.getUint16((this.#at += 2) - 2); }

  number() { return this.#view.getFloat64((this.#at += 8) - 8); }

  string() {
    const length = this.count();
    if (length > this.left) throw new RangeError("a string ends after its frame");
    const bytes = new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#at, length);
    this.#at += length;
    return decoder.decode(bytes);
  }

  person() {
    const [id, _id, name, color] = [this.string(), this.string(), this.string(), this.string()];
    return { id, _id, name, color, x: this.number(), y: this.number() };
  }
}

/** @param {number} t @param {import("./batch.js").WireNote[]} notes */
export function encodeNotes(t, notes) {
  const out = new Writer();
  out.number(t);
  out.count(notes.length);
  for (const { n, v, d, s } of notes) {
    out.string(n);
    // A stop is told by its velocity of exactly 1 (section 10.6 of the protocol page), so a start never has that.
    out.number(s ? 1 : Math.min(v ?? 0.5, 0.9999));
    out.number(d ?? 0);
    out.number(s ? 1 : 0);
  }
  return out.frame(OP.N);
}

/** @param {number} x @param {number} y */
export function encodeMove(x, y) {
  const out = new Writer();
  out.number(x);
  out.number(y);
  return out.frame(OP.M);
}

/** @param {number} e */
export function encodePing(e) {
  const out = new Writer();
  out.number(e);
  return out.frame(OP.T);
}

/**
 * The messages of a binary frame as text would have them. Anything malformed makes it none at all.
 * @param {ArrayBuffer} buffer
 * @returns {Record<string, unknown>[]}
 */
export function decode(buffer) {
  const messages = [];
  try {
    for (let at = 0; at < buffer.byteLength;) {
      const head = new DataView(buffer, at, 4).getUint32(0);
      const length = head & 0xffffff;
      if (length > FRAME_MAX) return [];
      const reader = new Reader(new DataView(buffer, at + 4, length));
      const message = DECODERS.get(head >>> 24)?.(reader);
      if (!message) return [];
      messages.push(message);
      at += 4 + length;
    }
  } catch (fault) {
    if (fault instanceof RangeError) return [];
    throw fault;
  }
  return messages;
}

/** @type {Map<number, (reader: Reader) => Record<string, unknown>>} */
const DECODERS = new Map(/** @type {[number, (reader: Reader) => Record<string, unknown>][]} */ ([
  [OP.T, reader => ({ m: "t", t: reader.number(), ...(reader.left >= 8 && { e: reader.number() }) })],
  [OP.A, reader => ({ m: "a", a: reader.string(), p: reader.person(), t: reader.number() })],
  [OP.N, reader => {
    const t = reader.number();
    const n = Array.from({ length: reader.count() }, () => {
      const [name, v, d, s] = [reader.string(), reader.number(), reader.number(), reader.number()];
      return s ? { n: name, d, s: 1 } : { n: name, v, d };
    });
    return { m: "n", t, n, p: reader.string() };
  }],
  [OP.M, reader => ({ m: "m", id: reader.string(), x: reader.number(), y: reader.number() })],
  // It has no place for tags: what is known of them stays.
  [OP.P, reader => ({ m: "p", isPartial: true, ...reader.person() })],
]));
