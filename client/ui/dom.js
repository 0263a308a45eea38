// Making elements. Text goes in as text, never as HTML, so nothing that anybody wrote can be anything else.

/** @typedef {Node | string | null | undefined | false} Child */

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (found);
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [about] `class`, `on…` listeners, `style` with custom properties; what is a property of
 * the element is set as one, and the rest as attributes
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, about = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = String(value);
    else if (name === "style") paint(element, /** @type {Record<string, string>} */ (value));
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name in element && !name.includes("-") && name !== "list" && name !== "form") Object.assign(element, { [name]: value });
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {HTMLElement} element @param {Record<string, string>} values custom properties and others */
export function paint(element, values) {
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, value);
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name of a symbol in the page @param {string} [label] what it means; without one it is decoration */
export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  if (label) {
    const title = document.createElementNS(SVG, "title");
    title.textContent = label;
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    svg.append(title);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  svg.append(use);
  return svg;
}

/** Changes which symbol an icon shows. @param {Element} holder @param {string} name */
export const setIcon = (holder, name) => holder.querySelector("use")?.setAttribute("href", `#i-${name}`);

/** Tells people who hear the page. @param {string} text */
export function speak(text) { byId("spoken").textContent = text; }
