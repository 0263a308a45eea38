// Renders notes beside the page, so that it never stops for them.

import { INSTRUMENTS } from "./models.js";
import { render } from "./render.js";

/** @typedef {{ id: number, instrument: string, key: number, layer: number, rate: number }} Job */

addEventListener("message", event => {
  /** @type {Job} */
  const { id, instrument, key, layer, rate } = event.data;
  const { layers, model } = INSTRUMENTS[instrument];
  const { samples, stretch } = render(model(key, layers[layer]), rate);
  postMessage({ id, samples, stretch }, { transfer: [samples.buffer] });
});
