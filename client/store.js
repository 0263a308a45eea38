// What the browser remembers for us; a browser that forbids it merely forgets.

const PREFIX = "tutti.";

/** @param {string} key @returns {string | null} */
export function stored(key) {
  try { return localStorage.getItem(PREFIX + key); } catch { return null; }
}

/** @param {string} key @param {string | null} value `null` forgets it. */
export function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, value);
  } catch { /* Remembering is a comfort only. */ }
}

/**
 * A value that was stored as JSON.
 * @template T
 * @param {string} key @param {T} otherwise what it is when nothing readable of its kind is there
 * @returns {T}
 */
export function storedJson(key, otherwise) {
  try {
    const value = JSON.parse(stored(key) ?? "null");
    const fits = value !== null && typeof value === typeof otherwise && Array.isArray(value) === Array.isArray(otherwise);
    return fits ? value : otherwise;
  } catch { return otherwise; }
}

/** @param {string} key @param {unknown} value */
export function storeJson(key, value) { store(key, JSON.stringify(value)); }
