// Colours that can be read on whatever they stand on.

/** @param {string} color `#rrggbb` @returns {[number, number, number]} linear light, 0 to 1 */
function linear(color) {
  const parts = [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16) / 255);
  return /** @type {[number, number, number]} */ (parts.map(part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)));
}

/** Relative luminance, 0 to 1, as WCAG has it. @param {string} color */
export function luminance(color) {
  const [r, g, b] = linear(color);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** @param {string} a @param {string} b */
export function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, whichever is read better on a colour. @param {string} color */
export const inkOn = color => (luminance(color) > 0.179 ? "#000000" : "#ffffff");

/**
 * A colour moved towards black or white until it can be read on a ground.
 * @param {string} color @param {string} ground
 */
export function readable(color, ground) {
  const goal = luminance(ground) > 0.3 ? 0 : 255;
  for (let step = 0; step <= 10; step++) {
    const mixed = mix(color, goal, step / 10);
    if (contrast(mixed, ground) >= 4.6) return mixed;
  }
  return goal ? "#ffffff" : "#000000";
}

/** @param {string} color @param {number} goal 0 to 255 @param {number} share */
function mix(color, goal, share) {
  const parts = [1, 3, 5].map(at => {
    const part = parseInt(color.slice(at, at + 2), 16);
    return Math.round(part + (goal - part) * share).toString(16).padStart(2, "0");
  });
  return `#${parts.join("")}`;
}

/** Darker by a quarter of the range, as rooms without an outer colour have it. @param {string} color */
export function darker(color) {
  const parts = [1, 3, 5].map(at => Math.max(0, parseInt(color.slice(at, at + 2), 16) - 0x40).toString(16).padStart(2, "0"));
  return `#${parts.join("")}`;
}
