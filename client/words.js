// Every text that the page shows, in one place: a translation is another table of the same keys.
// `{name}` is replaced by the value of that name; a value that is two texts is for one and for more of `n`.

/** @type {Record<string, string | [one: string, more: string]>} */
const ENGLISH = {
  // The frame
  title: "{room} – Tutti",
  titleUnread: "({n}) {room} – Tutti",
  skipToPiano: "Skip to the piano",
  people: "People in this room",
  you: "you",
  menu: "More",

  // Connection
  connecting: "Connecting…",
  connected: "Connected. {latency} ms away, {jitter} ms of jitter.",
  connectedNow: "Connected.",
  offline: "Not connected",
  latency: "{n} ms",
  whyLost: "The connection was lost.",
  whyRestarting: "The server is restarting.",
  whyUnreachable: "The server cannot be reached, or is full.",
  whyLimited: "This page sent more than the server takes.",
  nextTry: "Trying again in {n} s.",
  tryingNow: "Trying again…",
  tryNow: "Try now",
  youCanPlay: "You can go on playing by yourself.",
  bannedTitle: "You are banned from this server",
  bannedText: "Whoever runs it has decided so. You can play here alone, but nobody hears you.",
  tooManyTitle: "You are here too often",
  tooManyText: "The server allows only so many connections for one person. Close another tab, then try again.",
  fullTitle: "The server cannot be reached",
  fullText: "It may be full, or down. This page keeps trying; meanwhile you can play alone.",
  playAlone: "Play alone",
  tryAgain: "Try again",

  // Rooms
  room: "Room",
  rooms: "Rooms",
  roomSearch: "Find or name a room",
  roomGo: "Go",
  roomNew: "New room",
  roomNone: "No such room yet. Press Enter to open it.",
  roomEmptyList: "No rooms to see. Open one!",
  roomAlone: "Play alone",
  roomAloneHint: "A hidden room that only you know",
  roomCount: ["{n} person", "{n} people"],
  roomSolo: "only the crown plays",
  roomNoChat: "no chat",
  roomHidden: "hidden",
  roomFull: "full",
  roomBanned: "you are banned here",
  roomSettings: "Room settings",
  roomColor: "Colour",
  roomColor2: "Outer colour",
  roomVisible: "Show it in the list of rooms",
  roomChat: "Chat",
  roomCrownsolo: "Only who has the crown may play",
  roomNoCussing: "Ask for no cussing",
  roomLimit: "At most so many people",
  roomName: "Name",
  share: "Share",
  shared: "Link copied",
  shareFailed: "Copy this link: {url}",
  settingsOf: "Settings of {room}",

  welcomeAlone: "Nobody else is here yet. Share the link, or just begin to play.",
  welcomeTouch: "Nobody else is here yet. Share the link, or touch a key.",

  // Chat
  chat: "Chat",
  chatSay: "Say something",
  chatOff: "Chat is off in this room",
  chatOffline: "You are not connected",
  chatSend: "Send",
  chatMessages: "Messages",
  chatEmpty: "Nobody has said anything yet. Say hello!",
  chatLeft: "{n} left",
  chatTooLong: "{n} too many",
  chatTooFast: "One moment, not so fast.",
  chatReply: "Reply",
  chatReplyTo: "Reply to {name}",
  chatReplyTitle: "Replying to {name}",
  chatDirect: "To {name} only",
  chatDirectFrom: "{from} to {to}",
  chatCancel: "Cancel",
  chatNewer: ["{n} new message", "{n} new messages"],
  chatEmoji: "Emoji",
  chatGone: "a message that is no longer here",
  chatOpen: "Open the chat",
  chatClose: "Close the chat",

  // People
  personYou: "{name} (you)",
  personMenu: "About {name}",
  personEdit: "Name and colour",
  personMention: "Mention in chat",
  personDirect: "Write to {name} only",
  personMuteNotes: "Mute notes",
  personMuteChat: "Mute chat",
  personMuted: "muted",
  personCrown: "Give the crown",
  personCrownDrop: "Lay the crown down",
  personCrownHas: "has the crown",
  personKick: "Kick and ban…",
  personKickTitle: "Kick {name}",
  personKickText: "{name} has to leave this room, and may come back after:",
  personKickDo: "Kick",
  personUnban: "Lift the ban of {name}",
  personColor: "Colour {color}",
  minutes: ["{n} minute", "{n} minutes"],
  hour: "1 hour",
  justKick: "at once",
  crownTake: "Take the crown",
  crownWait: "The crown can be taken in {n} s",
  crownYours: "You have the crown: the room is yours to set up.",
  nameLabel: "Your name",
  nameColor: "Your colour",
  nameTitle: "Who you are",
  nameSave: "Save",

  // Piano
  piano: "Piano",
  pianoHelp: "88 keys. Play with the mouse, by touch, with your computer keyboard, or with a MIDI keyboard.",
  pianoLocked: "Only who has the crown may play here.",
  minimap: "The part of the keyboard that is shown",
  octave: "Octave",
  octaveDown: "Octave down",
  octaveUp: "Octave up",
  sustain: "Sustain",
  sustainHint: "Notes ring on when keys are let go (Backspace). Space is the pedal.",
  volume: "Volume",
  mute: "Mute",
  unmute: "Sound on",
  instrument: "Sound",
  instrument_piano: "Piano",
  instrument_electric: "Electric piano",
  instrument_harp: "Harp",
  instrument_guitar: "Guitar",
  instrument_musicbox: "Music box",
  instrument_organ: "Organ",
  instrumentPack: "{name} (samples)",
  quota: "Notes left: {left} of {max}",
  quotaEmpty: "You're playing too fast. Wait a moment.",
  wakeSound: "Click or press a key to turn the sound on",

  // MIDI and files
  record: "Record",
  recordStop: "Stop recording",
  recorded: "Recorded {n} notes",
  recordNothing: "Nothing was played",
  files: "Record and play",
  fileOpen: "Play a MIDI file…",
  fileSave: "Save recording",
  filePlayRecording: "Play recording",
  fileBad: "This is no MIDI file that can be read: {why}",
  filePlaying: "Playing {name}",
  fileProgress: "Position",
  fileStop: "Stop",
  filePause: "Pause",
  fileResume: "Go on",
  fileThinned: "Notes left out to stay within the limit: {n}",
  midi: "MIDI",
  midiInputs: "Play with",
  midiOutputs: "Send what is heard to",
  midiNone: "No device is connected. Plug one in: it appears here.",
  midiUnsupported: "This browser has no MIDI.",
  midiDenied: "This browser does not allow MIDI here.",
  midiAsk: "Connect MIDI devices",
  midiChannel: "Listen to channel",
  midiChannelAll: "all",
  midiConnected: "{name} is connected",
  midiGone: "{name} was unplugged",

  // Settings
  settings: "Settings",
  settingsSound: "Sound",
  settingsKeys: "Keyboard",
  settingsLook: "Appearance",
  settingsNetwork: "Network",
  reverb: "Reverb",
  polyphony: "Most notes at once",
  delay: "Others are heard after",
  delayHint: "Shorter is closer to them; longer keeps their rhythm on a shaky network.",
  layout: "Computer keyboard",
  layout_classic: "Classic: rows from A",
  layout_fromC: "Rows from C",
  layout_one: "One row",
  layoutKeys: "Show letters on the keys",
  layoutNames: "Show the names of the keys",
  velocityByPosition: "Lower on a key is louder",
  theme: "Theme",
  theme_auto: "As the system",
  theme_dark: "Dark",
  theme_light: "Light",
  trails: "Rising notes",
  cursors: "Others' cursors",
  roomColors: "Colours of the room",
  ringMention: "Ring when I am mentioned",
  binary: "Compact binary messages",
  binaryHint: "For notes and cursors, where the server speaks them. Chat then has no replies, and tags come late.",
  binaryOn: "in use",
  binaryOff: "not in use",
  resetSettings: "Forget all settings",
  close: "Close",
  cancel: "Cancel",
  save: "Save",
  help: "Help",
  helpTitle: "How to play",
  helpRows: "The two lower letter rows play one octave and a half, the two upper rows the next. The letters stand on the keys.",
  helpArrows: "Left and right arrow: octave down and up",
  helpSpace: "Space: pedal while held",
  helpBackspace: "Backspace: sustain on and off",
  helpShift: "Shift: louder",
  helpEnter: "Enter: chat, Escape: back to the piano",
  helpSlash: "Up and down arrow in the chat field: choose a message to reply to",
  about: "Tutti is free software. Nothing on this page comes from anywhere but this server.",
};

let table = ENGLISH;

/** The text of a key. @param {string} key @param {Record<string, string | number>} [values] */
export function t(key, values = {}) {
  const entry = table[key] ?? ENGLISH[key] ?? key;
  const text = typeof entry === "string" ? entry : entry[values.n === 1 ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Whether there is such a text. @param {string} key */
export const hasText = key => key in ENGLISH;

/** Sets another language. @param {Record<string, string | [string, string]>} texts what is missing stays English */
export function translate(texts) { table = { ...ENGLISH, ...texts }; }

/** Puts the texts into a page that names them: `data-t` for content, `data-t-label` and others for attributes. @param {ParentNode} root */
export function fillIn(root) {
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = t(/** @type {HTMLElement} */ (element).dataset.t ?? "");
  }
  for (const [data, attribute] of [["tLabel", "aria-label"], ["tTitle", "title"], ["tPlaceholder", "placeholder"]]) {
    const selector = `[data-${data.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}]`;
    for (const element of root.querySelectorAll(selector)) {
      element.setAttribute(attribute, t(/** @type {HTMLElement} */ (element).dataset[data] ?? ""));
    }
  }
}
