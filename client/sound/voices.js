// The notes that sound now: each a buffer at some speed and loudness, until it has died or is let go.

import { INSTRUMENTS } from "./models.js";

/**
 * @typedef {object} Voice
 * @property {string} by @property {number} key
 * @property {number} when it begins, in the context's time: others' notes are planned ahead
 * @property {number} endsAt when it will have died
 * @property {AudioBufferSourceNode} source @property {GainNode} gain @property {boolean} isEnding
 */

const STEAL_S = 0.012;
/** Most notes that are planned or sound; a server that sends more has gone mad. */
const PLANNED_MAX = 4000;
/** An undamped pedal never ends a note of an organ: after this long it has ended by itself. */
const GOES_ON_MAX_S = 12;

export class Voices {
  /** @type {Set<Voice>} in the order of their start */
  #voices = new Set();
  #context;
  #graph;
  max = 96;

  /** @param {BaseAudioContext} context @param {import("./graph.js").Graph} graph */
  constructor(context, graph) {
    this.#context = context;
    this.#graph = graph;
  }

  get count() { return this.#voices.size; }

  /**
   * @param {import("./bank.js").Found} found what to play @param {string} instrument
   * @param {string} by @param {number} key @param {number} velocity @param {number} when in the context's time
   */
  start({ buffer, rate }, instrument, by, key, velocity, when) {
    const { goesOn = false } = INSTRUMENTS[instrument] ?? {};
    if (this.#voices.size >= PLANNED_MAX) return;
    this.#makeRoom(when);
    const source = new AudioBufferSourceNode(this.#context, { buffer, loop: goesOn, playbackRate: rate });
    // Layers hold the change of colour; loudness follows velocity all the way.
    const gain = new GainNode(this.#context, { gain: loudness(velocity) });
    // Reckoning the gain for each sample costs more than the note itself; steps of 3 ms are heard in no release.
    gain.gain.automationRate = goesOn ? "a-rate" : "k-rate";
    source.connect(gain).connect(this.#graph.input(key));
    source.start(when);
    const endsAt = when + (goesOn ? GOES_ON_MAX_S : buffer.duration / rate);
    const voice = { by, key, when, endsAt, source, gain, isEnding: false };
    if (goesOn) {
      gain.gain.setValueAtTime(0, when);
      gain.gain.linearRampToValueAtTime(loudness(0.35 + velocity / 2), when + 0.002);
      gain.gain.setTargetAtTime(0, when + 1, GOES_ON_MAX_S / 4);
      source.stop(when + GOES_ON_MAX_S);
    }
    source.onended = () => {
      this.#voices.delete(voice);
      gain.disconnect();
    };
    this.#voices.add(voice);
  }

  /**
   * Lets a note go, with the instrument's own damping.
   * @param {string} instrument @param {string} by @param {number} key @param {number} when
   */
  stop(instrument, by, key, when) {
    const { release = 0.3, undamped = false } = INSTRUMENTS[instrument] ?? {};
    if (undamped) return;
    // High strings of a piano have no dampers worth mentioning, low ones take long to come to rest.
    const seconds = instrument === "piano" ? (key >= 69 ? 1.6 : release * (1.5 - key / 110)) : release;
    for (const voice of this.#voices) {
      if (voice.by === by && voice.key === key && voice.when <= when && !voice.isEnding) this.#end(voice, when, seconds);
    }
  }

  /** A string that is struck again stops sounding as it did. @param {string} by @param {number} key @param {number} when */
  restrike(by, key, when) {
    for (const voice of this.#voices) {
      if (voice.by === by && voice.key === key && voice.when <= when && !voice.isEnding) this.#end(voice, when, 0.25);
    }
  }

  /** Ends what people play, also what is yet to come. @param {(by: string) => boolean} isMeant */
  silence(isMeant) {
    const now = this.#context.currentTime;
    for (const voice of this.#voices) {
      if (!isMeant(voice.by)) continue;
      if (voice.when > now) voice.source.stop();
      else this.#end(voice, now, 0.12);
    }
  }

  /** Voices that sound at some moment. @param {number} at @returns {Voice[]} the oldest first */
  sounding(at) { return [...this.#voices].filter(({ when, endsAt }) => when <= at && at < endsAt); }

  // The oldest end, those that are ending before others, at the moment when another begins: not when it is planned.
  /** @param {number} when */
  #makeRoom(when) {
    const sounding = this.sounding(when).sort((a, b) => Number(b.isEnding) - Number(a.isEnding) || a.when - b.when);
    for (const voice of sounding.slice(0, Math.max(0, sounding.length - this.max + 1))) this.#end(voice, when, STEAL_S);
  }

  /** @param {Voice} voice @param {number} when @param {number} seconds until it is a thousandth */
  #end(voice, when, seconds) {
    voice.isEnding = true;
    voice.endsAt = Math.min(voice.endsAt, when + seconds);
    const { gain } = voice.gain;
    if (seconds < 0.05) gain.automationRate = "a-rate";
    gain.cancelScheduledValues(when);
    gain.setTargetAtTime(0, when, seconds / 6.9);
    voice.source.stop(when + seconds * 1.2);
  }
}

/** @param {number} velocity 0 to 1 */
const loudness = velocity => 0.04 + 0.96 * Math.min(1, velocity) ** 1.7;
