// The page's sources: their types, their texts, what the page names, and what it weighs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { CLIENT } from "./kit.mjs";
import { client } from "./modules.mjs";

const files = readdirSync(CLIENT, { recursive: true }).filter(name => statSync(join(CLIENT, name)).isFile()).sort();
const scripts = files.filter(name => name.endsWith(".js"));
const read = name => readFileSync(join(CLIENT, name), "utf8");
const html = read("index.html");

test("types are right", async () => {
  const run = promisify(execFile);
  const found = await run("npx", ["--no-install", "tsc", "-p", "."], { cwd: import.meta.dirname }).catch(fault => fault);
  assert.equal(found.stdout + (found.code ? found.stderr : ""), "");
});

test("every text exists, and every text is used", async () => {
  const { hasText } = await client("words.js");
  const used = new Set();
  for (const name of scripts) {
    const source = read(name);
    for (const [, key] of source.matchAll(/\bt\("(\w+)"/g)) used.add(key);
    if (name === "words.js") continue;
    // Keys that are put together, or passed on, stand in quotation marks somewhere.
    for (const [, word] of source.matchAll(/"(\w+)"/g)) if (hasText(word)) used.add(word);
  }
  for (const [, key] of html.matchAll(/data-t(?:-\w+)?="(\w+)"/g)) used.add(key);
  assert.deepEqual([...used].filter(key => !hasText(key)), [], "texts that are missing");
  const composed = /^(instrument|layout|theme)_|^why[A-Z]|^(banned|tooMany|full)(Title|Text)$/;
  const all = [...read("words.js").matchAll(/^ {2}(\w+): /gm)].map(([, key]) => key);
  assert.deepEqual(all.filter(key => !used.has(key) && !composed.test(key)), [], "texts that nothing shows");
});

test("nothing is put in as HTML, run from text, or loaded from elsewhere", () => {
  for (const name of files) {
    const source = read(name);
    assert.doesNotMatch(source, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|javascript:/i, name);
    const hosts = [...source.matchAll(/(?:https?:)?\/\/[a-z0-9-]+\.[a-z]{2,}[^\s"')]*/gi)].map(([url]) => url)
      .filter(url => url !== "http://www.w3.org/2000/svg" && !url.startsWith("//www.w3.org"));
    assert.deepEqual(hosts, [], name);
  }
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|<script>/);
});

test("the page names each module once, so that all are fetched at the same time", () => {
  const named = [...html.matchAll(/rel="modulepreload" href="\/([^"]+)"/g)].map(([, name]) => name).sort();
  // The worker fetches its own; the page starts by the first script.
  const later = ["boot.js", "sound/render.js", "sound/worker.js"];
  assert.deepEqual(named, scripts.filter(name => !later.includes(name)).sort());
});

test("every module is used, and none imports what is not there", () => {
  const imported = new Set(["boot.js", "sound/worker.js"]);
  for (const name of scripts) {
    for (const [, path] of read(name).matchAll(/(?:from|import\() ?"(\.[^"]+)"/g)) {
      const target = relative(CLIENT, join(CLIENT, name, "..", path));
      assert.ok(scripts.includes(target), `${name} imports ${path}`);
      imported.add(target);
    }
  }
  assert.deepEqual(scripts.filter(name => !imported.has(name)), []);
});

test("it weighs little", () => {
  const sum = pack => files.reduce((sum, name) => sum + pack(readFileSync(join(CLIENT, name))).length, 0);
  const [brotli, gzip] = [sum(brotliCompressSync), sum(gzipSync)];
  console.log(`cost: the page is ${(brotli / 1000).toFixed(1)} kB with brotli, ${(gzip / 1000).toFixed(1)} kB with gzip, in ${files.length} files`);
  assert.ok(gzip < 150_000, `${gzip} bytes`);
});

test("files are short enough to read", () => {
  const long = scripts.filter(name => read(name).split("\n").length > 460);
  assert.deepEqual(long, []);
  const wide = scripts.flatMap(name => read(name).split("\n").map((line, at) => [`${name}:${at + 1}`, line.length]))
    .filter(([, columns]) => columns > 140);
  assert.deepEqual(wide, []);
});
