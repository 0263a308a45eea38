// The dialogs for what this person prefers, for MIDI devices, and the page that helps.

import { LAYOUTS } from "../input/keyboard.js";
import { t } from "../words.js";
import { byId, make } from "./dom.js";
import { check, choice, dialog, slider } from "./popup.js";

/** @typedef {import("../settings.js").Settings} Settings */

/** @param {Settings} settings */
const layoutChoice = settings => choice(t("layout"), Object.keys(LAYOUTS).map(name => [name, t(`layout_${name}`)]),
  settings.values.layout, value => settings.set("layout", value));

/** @param {Settings} settings @param {() => boolean} isBinary whether the dialect is in use */
export function openPreferences(settings, isBinary) {
  const { values } = settings;
  const flag = (/** @type {string} */ text, /** @type {any} */ name) =>
    check(t(text), /** @type {any} */ (values)[name], on => settings.set(name, on), name);
  const percent = (/** @type {number} */ value) => `${value} %`;
  const state = make("output", {}, t(isBinary() ? "binaryOn" : "binaryOff"));
  const look = setInterval(() => { state.textContent = t(isBinary() ? "binaryOn" : "binaryOff"); }, 500);
  const binary = flag("binary", "binary");
  binary.querySelector("span")?.append(" ", state);
  const reset = () => { settings.reset(); box.close(); };
  const box = dialog(t("settings"), [make("div", { class: "body" },
    make("h3", {}, t("settingsSound")),
    slider(t("volume"), { value: values.volume, min: 0, max: 100, show: percent }, value => settings.set("volume", value)),
    slider(t("reverb"), { value: values.reverb, min: 0, max: 100, show: percent }, value => settings.set("reverb", value)),
    slider(t("polyphony"), { value: values.polyphony, min: 16, max: 256, step: 8 }, value => settings.set("polyphony", value)),
    slider(t("delay"), { value: values.delay, min: 250, max: 2000, step: 50, show: n => t("latency", { n }) },
      value => settings.set("delay", value)),
    make("p", { class: "hint" }, t("delayHint")),
    flag("ringMention", "ring"),
    make("h3", {}, t("settingsKeys")),
    layoutChoice(settings),
    flag("layoutKeys", "letters"), flag("layoutNames", "names"), flag("velocityByPosition", "velocityByPosition"),
    make("h3", {}, t("settingsLook")),
    choice(t("theme"), ["auto", "dark", "light"].map(name => [name, t(`theme_${name}`)]), values.theme,
      value => settings.set("theme", value)),
    flag("trails", "trails"), flag("cursors", "cursors"), flag("roomColors", "roomColors"),
    make("h3", {}, t("settingsNetwork")),
    binary, make("p", { class: "hint" }, t("binaryHint")),
    make("div", { class: "actions" }, make("button", { type: "button", class: "danger", onclick: reset }, t("resetSettings"))),
    make("p", { class: "hint" }, t("about")))], { id: "preferences", onClose: () => clearInterval(look) });
}

/** @param {import("../input/midi.js").Midi} midi @param {Settings} settings */
export function openMidi(midi, settings) {
  const body = make("div", { class: "body" });
  const draw = () => {
    /** @type {import("./dom.js").Child[]} */
    const parts = [];
    if (midi.state === "unsupported") parts.push(make("p", { class: "hint" }, t("midiUnsupported")));
    if (midi.state === "denied") parts.push(make("p", { class: "hint" }, t("midiDenied")));
    if (midi.state === "unasked" || midi.state === "denied") {
      parts.push(make("button", { type: "button", class: "main", id: "midi-ask", onclick: () => void midi.open() }, t("midiAsk")));
    }
    if (midi.state === "open") {
      const ports = (/** @type {MIDIPort[]} */ list) => (list.length === 0 ? [make("p", { class: "hint" }, t("midiNone"))]
        : list.map(port => check(port.name ?? port.id, midi.isOn(port), on => midi.choose(port, on), port.id)));
      /** @type {[string, string][]} */
      const channels = Array.from({ length: 17 }, (_, n) => [String(n), n ? String(n) : t("midiChannelAll")]);
      parts.push(make("h3", {}, t("midiInputs")), ...ports(midi.inputs),
        choice(t("midiChannel"), channels, String(settings.values.midiChannel), value => settings.set("midiChannel", Number(value))),
        make("h3", {}, t("midiOutputs")), ...ports(midi.outputs));
    }
    body.replaceChildren(...parts.filter(part => part instanceof Node));
  };
  draw();
  midi.on("devices", draw);
  dialog(t("midi"), [body], { id: "midi-dialog", onClose: () => midi.off("devices", draw) });
}

/** @param {Settings} settings */
export function openHelp(settings) {
  const line = (/** @type {string} */ key) => make("li", { class: "row" }, make("span", {}, t(key)));
  dialog(t("helpTitle"), [make("div", { class: "body" },
    make("p", {}, t("pianoHelp")), make("p", {}, t("helpRows")),
    layoutChoice(settings),
    make("ul", {}, ...["helpArrows", "helpSpace", "helpBackspace", "helpShift", "helpEnter", "helpSlash"].map(line)),
    make("p", { class: "hint" }, t("about")))], { id: "help-dialog" });
}

/** The choice of instruments below the piano. @param {Settings} settings @param {string[]} instruments @param {string[]} packs */
export function fillInstruments(settings, instruments, packs) {
  const select = /** @type {HTMLSelectElement} */ (byId("instrument"));
  const { instrument } = settings.values;
  select.replaceChildren(
    ...instruments.map(name => make("option", { value: name, selected: name === instrument }, t(`instrument_${name}`))),
    ...packs.map(name => {
      const value = `pack:${name}`;
      return make("option", { value, selected: value === instrument }, t("instrumentPack", { name }));
    }));
}

