// A small piano sound without samples: every third key is rendered once as a sum of decaying partials, and its
// neighbours play it a little faster or slower.

const VOICES_MAX = 64;
const PARTIALS_MAX = 10;
const INHARMONICITY = 0.0004;
const RELEASE_S = 0.09;

export class Synth {
  #context = null; #out; #volume = 0.7;
  #tones = new Map(); #voices = new Set();

  // Browsers allow sound only after a gesture, so this is called from one; further calls cost nothing.
  wake() {
    if (this.#context) {
      if (this.#context.state !== "running") this.#context.resume();
      return;
    }
    this.#context = new AudioContext({ latencyHint: "interactive" });
    const compressor = new DynamicsCompressorNode(this.#context, { threshold: -18, ratio: 12, release: 0.2 });
    this.#out = new GainNode(this.#context, { gain: this.#volume });
    this.#out.connect(compressor).connect(this.#context.destination);
    const prepare = root => {
      if (root > 87) return;
      this.#tone(root);
      setTimeout(prepare, 20, root + 3);
    };
    prepare(1);
  }

  set volume(volume) {
    this.#volume = volume;
    if (this.#context) this.#out.gain.setTargetAtTime(volume, this.#context.currentTime, 0.02);
  }

  // Sounds key 0 to 87 in `delay` seconds; `by` is who plays it.
  start(by, key, velocity, delay) {
    if (!this.#context || velocity <= 0) return;
    const when = this.#context.currentTime + delay;
    const root = Math.floor(key / 3) * 3 + 1;
    const source = new AudioBufferSourceNode(this.#context, { buffer: this.#tone(root) });
    source.playbackRate.value = 2 ** ((key - root) / 12);
    const gain = new GainNode(this.#context, { gain: velocity ** 1.5 });
    source.connect(gain).connect(this.#out);
    source.start(when);
    const voice = { by, key, when, source, gain };
    source.onended = () => { this.#voices.delete(voice); gain.disconnect(); };
    if (this.#voices.size >= VOICES_MAX) this.#end(this.#voices.values().next().value, 0, 0.01);
    this.#voices.add(voice);
  }

  stop(by, key, delay) {
    if (!this.#context) return;
    const when = this.#context.currentTime + delay;
    for (const voice of this.#voices) {
      if (voice.by === by && voice.key === key && voice.when <= when) this.#end(voice, delay, RELEASE_S);
    }
  }

  #end(voice, delay, fade) {
    const when = this.#context.currentTime + delay;
    voice.gain.gain.setTargetAtTime(0, when, fade);
    voice.source.stop(when + fade * 6);
    this.#voices.delete(voice);
  }

  #tone(root) {
    if (!this.#tones.has(root)) this.#tones.set(root, this.#render(root));
    return this.#tones.get(root);
  }

  #render(root) {
    const rate = this.#context.sampleRate;
    const frequency = 27.5 * 2 ** (root / 12);
    const decay = 1.6 * 2 ** ((39 - root) / 26);
    const buffer = this.#context.createBuffer(1, Math.ceil(rate * Math.min(6, decay * 4)), rate);
    const data = buffer.getChannelData(0);
    for (let k = 1; k <= PARTIALS_MAX; k++) {
      const partial = k * frequency * Math.sqrt(1 + INHARMONICITY * k * k);
      if (partial > rate * 0.45) break;
      // The hammer strikes at about an eighth of the string, which weakens every eighth partial.
      const amplitude = 0.5 * (0.15 + Math.abs(Math.sin(Math.PI * k / 8))) / k ** 1.25;
      // A decaying sine as a recurrence: two multiplications a sample instead of a sine and an exponential.
      const angle = 2 * Math.PI * partial / rate;
      const shrink = Math.exp(-(1 + 0.55 * (k - 1)) / (decay * rate));
      const [a, b] = [2 * shrink * Math.cos(angle), shrink * shrink];
      let [before, now] = [-amplitude * Math.sin(angle), 0];
      for (let i = 0; i < data.length; i++) {
        data[i] += now;
        [before, now] = [now, a * now - b * before];
      }
    }
    const [attack, fade] = [Math.round(rate * 0.002), Math.round(rate * 0.1)];
    for (let i = 0; i < attack; i++) data[i] *= i / attack;
    for (let i = 0; i < fade; i++) data[data.length - 1 - i] *= i / fade;
    return buffer;
  }
}
