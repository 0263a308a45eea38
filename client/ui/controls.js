// The controls below the piano and what settings change: each setting reaches the part that it is about.

import { LAYOUTS, OCTAVES } from "../input/keyboard.js";
import { INSTRUMENTS } from "../sound/models.js";
import { t } from "../words.js";
import { byId, setIcon } from "./dom.js";
import { fillInstruments, openHelp, openPreferences } from "./preferences.js";

/**
 * @typedef {object} Parts
 * @property {import("../settings.js").Settings} settings @property {import("../net/connection.js").Connection} connection
 * @property {import("../sound/engine.js").Engine} engine @property {import("../performer.js").Performer} performer
 * @property {import("../input/keyboard.js").Keyboard} keyboard @property {import("../input/pointer.js").Pointer} pointer
 * @property {import("../input/midi.js").Midi} midi @property {import("../piano/view.js").PianoView} view
 * @property {import("../piano/trails.js").Trails} trails @property {import("./cursors.js").Cursors} cursors
 */

/**
 * @param {Parts} parts
 * @returns {(by: number) => void} shifts the computer keyboard by octaves
 */
export function connectControls({ settings, connection, engine, performer, keyboard, pointer, midi, view, trails, cursors }) {
  const instrument = /** @type {HTMLSelectElement} */ (byId("instrument"));
  fillInstruments(settings, Object.keys(INSTRUMENTS), []);

  keyboard.onPrinted = () => label();
  function label() {
    view.label(settings.values.letters && !matchMedia("(hover: none)").matches ? keyboard.labels() : new Map());
    byId("octave").querySelector("output")?.replaceChildren(`C${keyboard.octave + 1}`);
  }
  /** @param {number} by */
  function shiftOctave(by) {
    settings.set("octave", Math.min(OCTAVES - 1, Math.max(0, settings.values.octave + by)));
  }
  settings.follow("octave", octave => { keyboard.shift(octave - keyboard.octave); label(); });
  settings.follow("layout", layout => {
    keyboard.releaseAll();
    keyboard.layout = Object.hasOwn(LAYOUTS, layout) ? layout : "classic";
    label();
  });
  settings.follow("letters", label);
  settings.follow("names", shown => { view.showsNames = shown; });
  settings.follow("velocityByPosition", on => { pointer.byPosition = on; });
  settings.follow("instrument", name => { engine.choose(name); instrument.value = name; });
  settings.follow("reverb", share => { engine.room = share / 100; });
  settings.follow("polyphony", voices => { engine.polyphony = voices; });
  settings.follow("midiChannel", channel => { midi.channel = channel; });
  settings.follow("cursors", on => { cursors.isOn = on; });
  settings.follow("trails", on => { trails.isOn = on && !matchMedia("(prefers-reduced-motion: reduce)").matches; });
  settings.follow("roomColors", on => { document.documentElement.toggleAttribute("data-plain", !on); });
  settings.follow("binary", on => { connection.quick = on; });

  const systemIsLight = matchMedia("(prefers-color-scheme: light)");
  function showTheme() {
    const { theme } = settings.values;
    document.documentElement.dataset.theme = theme === "light" || (theme !== "dark" && systemIsLight.matches) ? "light" : "dark";
    view.dress();
  }
  settings.follow("theme", showTheme);
  systemIsLight.addEventListener("change", showTheme);

  const volume = /** @type {HTMLInputElement} */ (byId("volume")), mute = byId("mute");
  function showVolume() {
    const { volume: percent, isMuted } = settings.values;
    engine.volume = isMuted ? 0 : percent / 100;
    volume.value = String(percent);
    setIcon(mute, isMuted || percent === 0 ? "mute" : "sound");
    mute.setAttribute("aria-label", t(isMuted ? "unmute" : "mute"));
    mute.title = t(isMuted ? "unmute" : "mute");
  }
  settings.follow("volume", showVolume);
  settings.follow("isMuted", showVolume);
  volume.addEventListener("input", () => { settings.set("isMuted", false); settings.set("volume", Number(volume.value)); });
  mute.addEventListener("click", () => settings.set("isMuted", !settings.values.isMuted));

  settings.follow("sustain", on => {
    performer.sustain(on);
    byId("sustain").setAttribute("aria-pressed", String(on));
  });
  byId("sustain").addEventListener("click", () => settings.set("sustain", !settings.values.sustain));
  performer.on("pedal", down => byId("sustain").toggleAttribute("data-pedal", down));
  byId("octave").addEventListener("click", ({ target }) => {
    const button = /** @type {HTMLElement} */ (target).closest("button");
    if (button) shiftOctave(Number(button.value));
  });
  instrument.addEventListener("change", () => settings.set("instrument", instrument.value));
  byId("settings").addEventListener("click", () => openPreferences(settings, () => connection.isQuick));
  byId("status").addEventListener("click", () => openPreferences(settings, () => connection.isQuick));
  byId("help").addEventListener("click", () => openHelp(settings));

  // After a click the keyboard is the piano's again: Space is the pedal, not the button that was clicked last. Who
  // goes from control to control by keys stays there.
  let isByPointer = false;
  addEventListener("pointerdown", () => { isByPointer = true; }, true);
  addEventListener("keydown", () => { isByPointer = false; }, true);
  const giveBack = () => { if (isByPointer && !document.querySelector("dialog[open]")) byId("piano").focus({ preventScroll: true }); };
  byId("bar").addEventListener("click", ({ target }) => {
    if (/** @type {HTMLElement} */ (target).closest("button")) giveBack();
  });
  for (const control of [volume, instrument]) control.addEventListener("change", giveBack);
  return shiftOctave;
}
