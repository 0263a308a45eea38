// Lets node take the page's modules for what they are: `.js` files that no package describes.

import { register } from "node:module";

const hook = `export const load = (url, context, next) =>
  next(url, url.includes("/client/") && url.endsWith(".js") ? { ...context, format: "module" } : context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

/** A module of the page. */
export const client = path => import(new URL(`../../client/${path}`, import.meta.url).href);
