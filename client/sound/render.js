// Renders a model into samples. Pure arithmetic, so it runs in a worker, and in tests without a browser.

/** @typedef {import("./models.js").Model} Model @typedef {import("./models.js").Mode} Mode */

/** Modes are left when they have become this much quieter than the loudest began. */
const SILENT_DB = 76;
const PEAK_MAX = 0.95;

/**
 * @param {Model} model
 * @param {number} rate samples a second
 * @returns {{ samples: Float32Array<ArrayBuffer>, stretch: number }} `stretch`: how much faster than its samples it is to
 * be played to be in tune; 1 but for loops, whose periods have to fit a whole number of samples
 */
export function render(model, rate) {
  if (model.cycles) return renderLoop(model, model.cycles, rate);
  const samples = new Float32Array(Math.ceil(model.seconds * rate));
  const loudest = model.modes.reduce((most, { a }) => Math.max(most, a), 0);
  for (const mode of model.modes) addMode(samples, mode, loudest, rate);
  if (model.knock) addKnock(samples, model.knock, rate);
  if (model.bend) bend(samples, model.bend);
  fadeIn(samples, Math.round((model.attack ?? 0.001) * rate));
  fadeOut(samples, Math.round(Math.min(0.6, model.seconds * 0.25) * rate));
  level(samples, model.level, rate);
  return { samples, stretch: 1 };
}

/** @param {Float32Array} samples @param {Mode} mode @param {number} loudest @param {number} rate */
function addMode(samples, { f, a, t60, phase = 0 }, loudest, rate) {
  const above = SILENT_DB + 20 * Math.log10(a / loudest);
  if (f >= rate * 0.46 || !(above > 0)) return;
  // A dying sine as a recurrence: two multiplications a sample instead of a sine and an exponential. Two of them, for
  // even and odd samples, because each waits for its last result.
  const angle = 2 * Math.PI * f / rate;
  const shrink = 10 ** (-3 / (t60 * rate));
  const at = (/** @type {number} */ n) => a * shrink ** n * Math.sin(angle * n + phase);
  const factor = 2 * shrink * shrink * Math.cos(2 * angle), past = shrink ** 4;
  const length = Math.min(samples.length - 1, Math.ceil(t60 * rate * above / 60));
  let [even, evenBefore, odd, oddBefore] = [at(0), at(-2), at(1), at(-1)];
  for (let n = 0; n < length; n += 2) {
    samples[n] += even;
    samples[n + 1] += odd;
    const [nextEven, nextOdd] = [factor * even - past * evenBefore, factor * odd - past * oddBefore];
    evenBefore = even;
    oddBefore = odd;
    even = nextEven;
    odd = nextOdd;
  }
}

/** The hammer's noise: a few hundredths of a second, without its highest tones. */
function addKnock(/** @type {Float32Array} */ samples, /** @type {number} */ amplitude, /** @type {number} */ rate) {
  let [seed, smooth, loudness] = [0x2545f491, 0, amplitude * 3];
  const shrink = 10 ** (-3 / (0.035 * rate));
  const length = Math.min(samples.length, Math.round(0.06 * rate));
  for (let n = 0; n < length; n++) {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    smooth += 0.22 * (seed / 2 ** 31 - smooth);
    samples[n] += loudness * smooth;
    loudness *= shrink;
  }
}

/** A pickup that the tine comes near to on one side: even overtones while it is loud. */
function bend(/** @type {Float32Array} */ samples, /** @type {number} */ amount) {
  const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  let [mean, held] = [0, 0];
  for (let n = 0; n < samples.length; n++) {
    const x = samples[n] / peak;
    const bent = x + amount * 0.6 * x * x - amount * 0.18 * x * x * x;
    // What bending shifts away from the middle is taken out again.
    mean += 0.0008 * (bent - mean);
    held = bent - mean;
    samples[n] = held;
  }
}

function fadeIn(/** @type {Float32Array} */ samples, /** @type {number} */ length) {
  for (let n = 0; n < length; n++) samples[n] *= n / length;
}

function fadeOut(/** @type {Float32Array} */ samples, /** @type {number} */ length) {
  const end = samples.length - 1;
  for (let n = 0; n < length; n++) samples[end - n] *= (n / length) ** 2;
}

/** All notes about equally loud, and none beyond the range. */
function level(/** @type {Float32Array} */ samples, /** @type {number} */ wanted, /** @type {number} */ rate) {
  const heard = Math.min(samples.length, Math.round(rate / 4));
  let [sum, peak] = [0, 1e-9];
  for (let n = 0; n < samples.length; n++) {
    if (n < heard) sum += samples[n] * samples[n];
    peak = Math.max(peak, Math.abs(samples[n]));
  }
  const gain = Math.min(wanted / Math.sqrt(sum / heard + 1e-12), PEAK_MAX / peak);
  for (let n = 0; n < samples.length; n++) samples[n] *= gain;
}

/**
 * @param {Model} model @param {number} cycles @param {number} rate
 */
function renderLoop(model, cycles, rate) {
  const pitch = model.modes.find(({ a }) => a === Math.max(...model.modes.map(mode => mode.a)))?.f ?? 440;
  const length = Math.round(cycles * rate / pitch);
  const samples = new Float32Array(length);
  for (const { f, a, phase = 0 } of model.modes) {
    // Whole periods in the loop, whatever that does to the pitch: `stretch` mends it.
    const periods = Math.round(f / pitch * cycles);
    for (let n = 0; n < length; n++) samples[n] += a * Math.sin(2 * Math.PI * periods * n / length + phase);
  }
  level(samples, model.level, rate);
  return { samples, stretch: length * pitch / (cycles * rate) };
}
