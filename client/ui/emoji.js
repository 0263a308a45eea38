// A small choice of emoji, and their names between colons.

import { t } from "../words.js";
import { byId, make } from "./dom.js";

/** @type {Record<string, string>} */
export const EMOJI = {
  smile: "😄", joy: "😂", wink: "😉", blush: "😊", cool: "😎", heart_eyes: "😍", thinking: "🤔", sob: "😭",
  angry: "😠", scream: "😱", sleepy: "😴", party: "🥳", shrug: "🤷", clap: "👏", wave: "👋", thumbsup: "👍",
  thumbsdown: "👎", ok: "👌", pray: "🙏", muscle: "💪", fire: "🔥", star: "⭐", sparkles: "✨", heart: "❤️",
  broken_heart: "💔", hundred: "💯", tada: "🎉", eyes: "👀", cat: "🐱", dog: "🐶", fox: "🦊", unicorn: "🦄",
  piano: "🎹", note: "🎵", notes: "🎶", guitar: "🎸", violin: "🎻", trumpet: "🎺", drum: "🥁", microphone: "🎤",
  headphones: "🎧", crown: "👑", rocket: "🚀", sun: "☀️", moon: "🌙", coffee: "☕", pizza: "🍕", cake: "🍰",
};

/** Puts emoji for their names: `:fire:`. @param {string} text */
export const withEmoji = text => text.replace(/:([a-z_]+):/g, (whole, name) => (Object.hasOwn(EMOJI, name) ? EMOJI[name] : whole));

/**
 * A panel to choose from, beside its button.
 * @param {HTMLElement} button @param {(emoji: string) => void} onPick
 */
export function emojiPanel(button, onPick) {
  const panel = make("div", { class: "emoji", popover: "auto", role: "group", "aria-label": t("chatEmoji") });
  panel.append(...Object.entries(EMOJI).map(([name, emoji]) => make("button", {
    type: "button", title: `:${name}:`, "aria-label": name.replaceAll("_", " "), onclick: () => { panel.hidePopover(); onPick(emoji); },
  }, emoji)));
  byId("stage").append(panel);
  // The browser knows then that a click on the button closes it: it would close and open it again otherwise.
  /** @type {HTMLButtonElement} */ (button).popoverTargetElement = panel;
  panel.addEventListener("toggle", () => {
    if (!panel.matches(":popover-open")) return;
    const { left, top } = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = panel;
    panel.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    panel.style.top = `${Math.max(8, top - height - 8)}px`;
  });
}
