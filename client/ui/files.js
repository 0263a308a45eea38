// Recording, and songs from files: the buttons, the dialog and the bar that shows how far a song is.

import { SmfFault, readSmf, writeSmf } from "../midi/smf.js";
import { t } from "../words.js";
import { byId, icon, make, setIcon } from "./dom.js";
import { dialog } from "./popup.js";
import { hint } from "./toasts.js";

const FILE_MAX = 16 << 20;

/** @param {number} ms */
const clock = ms => `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;

export class Files {
  #recorder;
  #player;
  #button = byId("record");
  #bar = byId("song");
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticks;

  /** @param {import("../midi/recorder.js").Recorder} recorder @param {import("../midi/player.js").SongPlayer} player */
  constructor(recorder, player) {
    this.#recorder = recorder;
    this.#player = player;
    this.#button.addEventListener("click", () => this.#record());
    byId("files").addEventListener("click", () => this.#open());
    this.#drawBar();
    // A file that is dropped anywhere is played.
    addEventListener("dragover", event => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
    addEventListener("drop", event => {
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      event.preventDefault();
      void this.#load(file);
    });
  }

  #record() {
    const isOn = !this.#recorder.isOn;
    if (isOn) this.#recorder.start();
    const shown = byId("record-time");
    const show = () => { shown.textContent = clock(performance.now() - this.#recorder.startedAt); };
    clearInterval(this.#ticks);
    if (isOn) {
      show();
      this.#ticks = setInterval(show, 1000);
    } else {
      this.#recorder.stop();
      shown.textContent = "";
      if (this.#recorder.count > 0) this.#open();
      else hint(t("recordNothing"));
    }
    this.#button.classList.toggle("on", isOn);
    const label = t(isOn ? "recordStop" : "record");
    this.#button.setAttribute("aria-label", label);
    this.#button.title = label;
    this.#button.setAttribute("aria-pressed", String(isOn));
  }

  #open() {
    const hasRecording = this.#recorder.count > 0 && !this.#recorder.isOn;
    const input = make("input", { type: "file", accept: ".mid,.midi,audio/midi", hidden: true, id: "midi-file", onchange: () => {
      const file = input.files?.[0];
      box.close();
      if (file) void this.#load(file);
    } });
    const replay = () => { box.close(); this.#replay(); };
    const box = dialog(t("files"), [make("div", { class: "body" },
      make("p", { class: "hint" }, hasRecording ? t("recorded", { n: this.#recorder.count }) : t("recordNothing")),
      make("div", { class: "actions" },
        make("button", { type: "button", id: "save-recording", disabled: !hasRecording, onclick: () => this.#save() }, t("fileSave")),
        make("button", { type: "button", id: "play-recording", disabled: !hasRecording, onclick: replay }, t("filePlayRecording")),
        make("button", { type: "button", class: "main", onclick: () => input.click() }, t("fileOpen"))), input)], { id: "files-dialog" });
  }

  #bytes() { return writeSmf(this.#recorder.parts); }

  #save() {
    const url = URL.createObjectURL(new Blob([this.#bytes()], { type: "audio/midi" }));
    const day = new Date().toISOString().slice(0, 16).replace(/[T:]/g, "-");
    make("a", { href: url, download: `tutti-${day}.mid` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  #replay() { this.#player.play(readSmf(this.#bytes().buffer), t("filePlayRecording")); }

  /** @param {File} file */
  async #load(file) {
    try {
      if (file.size > FILE_MAX) throw new SmfFault("it is too large");
      const song = readSmf(await file.arrayBuffer());
      if (song.notes.length === 0) throw new SmfFault("it has no notes");
      this.#player.play(song, file.name.slice(0, 80));
    } catch (fault) {
      hint(t("fileBad", { why: fault instanceof SmfFault ? fault.message : String(fault) }));
    }
  }

  #drawBar() {
    const player = this.#player;
    const name = make("span", { class: "name" });
    const place = make("input", { type: "range", min: 0, max: 1000, value: "0", "aria-label": t("fileProgress"), id: "song-place",
      onchange: () => player.seek(Number(place.value) / 1000) });
    const time = make("output");
    const pause = make("button", { type: "button", class: "quiet", id: "song-pause", onclick: () => {
      if (player.isPlaying) player.pause();
      else player.resume();
      showPause();
    } }, icon("pause"));
    const showPause = () => {
      setIcon(pause, player.isPlaying ? "pause" : "play");
      pause.setAttribute("aria-label", t(player.isPlaying ? "filePause" : "fileResume"));
    };
    const stop = make("button", {
      type: "button", class: "quiet", id: "song-stop", "aria-label": t("fileStop"), onclick: () => player.stop(),
    }, icon("close"));
    this.#bar.append(pause, name, place, time, stop);
    player.on("progress", (/** @type {number} */ share, /** @type {number} */ ms) => {
      this.#bar.hidden = false;
      name.textContent = t("filePlaying", { name: player.name });
      name.title = player.thinned ? t("fileThinned", { n: player.thinned }) : "";
      if (document.activeElement !== place || !place.matches(":active")) place.value = String(Math.round(share * 1000));
      time.textContent = `${clock(ms)} / ${clock(player.ms)}`;
      showPause();
    });
    player.on("end", () => { this.#bar.hidden = true; });
  }
}
