// What every note goes through after its own voice: places from left to right, a room, a compressor, and a limit that
// nothing passes. The same for the loudspeaker and for tests that render it.

import { KEYS } from "../net/notes.js";

const PLACES = 7;
const WIDTH = 0.55;
const ROOM_S = 1.3;

export class Graph {
  /** @type {StereoPannerNode[]} */
  #places = [];
  #wet;
  #master;
  /** The end of it, connected to nothing yet. @type {AudioNode} */
  output;

  /** @param {BaseAudioContext} context */
  constructor(context) {
    const sum = new GainNode(context, { gain: 0.8 });
    for (let place = 0; place < PLACES; place++) {
      const pan = WIDTH * (2 * place / (PLACES - 1) - 1);
      const node = new StereoPannerNode(context, { pan, channelCount: 1, channelCountMode: "explicit" });
      node.connect(sum);
      this.#places.push(node);
    }
    const room = new ConvolverNode(context, { buffer: roomResponse(context), disableNormalization: true });
    this.#wet = new GainNode(context, { gain: 0 });
    const compressor = new DynamicsCompressorNode(context, {
      threshold: -16, knee: 14, ratio: 3.5, attack: 0.004, release: 0.22,
    });
    sum.connect(compressor);
    sum.connect(this.#wet).connect(room).connect(compressor);
    // Bends what would leave the range, and lets the rest be. Its curve spans -2 to 2.
    const half = new GainNode(context, { gain: 0.5 });
    const limiter = new WaveShaperNode(context, { curve: limit(), oversample: "none" });
    this.#master = new GainNode(context, { gain: 0.8 });
    this.output = compressor.connect(half).connect(limiter).connect(this.#master);
  }

  /** Where a key's voice goes in. @param {number} key @returns {AudioNode} */
  input(key) { return this.#places[Math.floor(key / KEYS * PLACES)]; }

  /** Loudness of all, 0 to 1. @param {number} volume @param {number} now */
  setVolume(volume, now) { this.#master.gain.setTargetAtTime(Math.min(1, volume), now, 0.02); }

  /** How much of the room is heard, 0 to 1. @param {number} share @param {number} now */
  setRoom(share, now) { this.#wet.gain.setTargetAtTime(share, now, 0.05); }
}

/** @returns {Float32Array<ArrayBuffer>} */
function limit() {
  const bound = 0.97, straight = 0.6;
  return Float32Array.from({ length: 4097 }, (_, at) => {
    const x = 4 * at / 4096 - 2, loud = Math.abs(x);
    if (loud <= straight) return x;
    const over = (loud - straight) / (bound - straight);
    return Math.sign(x) * (straight + (bound - straight) * Math.tanh(over));
  });
}

/** A small hall: early echoes, then a noise that dies, its highest tones first; left and right differ. */
function roomResponse(/** @type {BaseAudioContext} */ context) {
  const length = Math.round(ROOM_S * context.sampleRate);
  const buffer = new AudioBuffer({ numberOfChannels: 2, length, sampleRate: context.sampleRate });
  for (let channel = 0; channel < 2; channel++) {
    const data = buffer.getChannelData(channel);
    let seed = channel ? 0x1b873593 : 0x6c078965, smooth = 0;
    for (let n = 0; n < length; n++) {
      seed = Math.imul(seed, 1664525) + 1013904223 | 0;
      const t = n / length;
      smooth += (0.75 - 0.62 * t) * (seed / 2 ** 31 - smooth);
      data[n] = smooth * 10 ** (-3 * t) * Math.min(1, n / (0.012 * context.sampleRate)) * 0.05;
    }
    for (const [ms, gain] of channel ? [[13, 0.2], [29, 0.13], [47, 0.09]] : [[9, 0.2], [23, 0.14], [41, 0.1]]) {
      data[Math.round(ms / 1000 * context.sampleRate)] += gain;
    }
  }
  return buffer;
}
