// Finds what is more than text in a line of chat: links, and people who are mentioned.

/** @typedef {{ kind: "text" | "link" | "mention", text: string, id?: string, href?: string }} Part */

// A user id after an @, or an address. Only http and https are links, whatever else an address may begin with.
const FINDS = /@([0-9a-f]{24})\b|\bhttps?:\/\/[^\s<>"'`{}|\\^]+/gi;

/** @param {string} text @returns {Part[]} */
export function parts(text) {
  /** @type {Part[]} */
  const found = [];
  let end = 0;
  for (const match of text.matchAll(FINDS)) {
    const [words, id] = match;
    const part = id ? { kind: /** @type {const} */ ("mention"), text: words, id: id.toLowerCase() } : link(words);
    if (!part) continue;
    if (match.index > end) found.push({ kind: "text", text: text.slice(end, match.index) });
    found.push(part);
    end = match.index + part.text.length;
  }
  if (end < text.length) found.push({ kind: "text", text: text.slice(end) });
  return found;
}

/** @param {string} words @returns {Part | null} */
function link(words) {
  // A full stop or a bracket after an address belongs to the sentence.
  let text = words.replace(/[.,;:!?]+$/, "");
  while (text.endsWith(")") && text.split(")").length > text.split("(").length) text = text.slice(0, -1);
  try {
    const url = new URL(text);
    // Names before an @ make an address look like another's.
    if (!["http:", "https:"].includes(url.protocol) || url.username || url.password) return null;
    return { kind: "link", text, href: url.href };
  } catch { return null; }
}

/**
 * Whether a text means this person: their id, or their name after an @.
 * @param {string} text @param {{ _id: string, name: string }} me
 */
export function mentions(text, { _id, name }) {
  const words = text.toLowerCase();
  if (_id && words.includes(`@${_id.toLowerCase()}`)) return true;
  if (!name) return false;
  // `@Ann` is not `@Anna`, but may stand after it.
  return words.split(`@${name.toLowerCase()}`).slice(1).some(after => !/^[\p{L}\p{N}]/u.test(after));
}

/** @type {Record<string, string>} */
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };

/**
 * Text of what was written for pages that show HTML (`motd` and notifications of some servers): without its tags.
 * Nothing parses it as HTML, so nothing in it is ever loaded or run.
 * @param {string} html
 */
export const plainText = html => html
  .replace(/<(script|style)\b[\s\S]*?<\/\1\s*>/gi, "")
  .replace(/<br\s*\/?>|<\/p>/gi, " ")
  .replace(/<\/?[a-z!][^>]*>/gi, "")
  .replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]+));/gi, (whole, decimal, hex, name) => {
    if (name) return Object.hasOwn(ENTITIES, name.toLowerCase()) ? ENTITIES[name.toLowerCase()] : whole;
    const code = parseInt(decimal ?? hex, decimal ? 10 : 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
