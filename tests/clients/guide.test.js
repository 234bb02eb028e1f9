/** Runs the programs of docs/api/javascript.md unchanged. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { PRODUCT, TOKEN } from "./product.js";

const PROGRAM = /^```js\n(.*?)^```/gms;
const GUIDE = readFileSync(new URL("../../docs/api/javascript.md", import.meta.url), "utf8");
/** A folder from which programs can import the packages installed here. */
const FOLDER = new URL("node_modules/.guide/", import.meta.url);

for (const [name, program] of [
  ["urql", 0],
  ["apollo", 1],
]) {
  test(`the guide's program for ${name} watches a cancel until its end`, { timeout: 60_000 }, () => {
    const text = [...GUIDE.matchAll(PROGRAM)][program][1];
    mkdirSync(FOLDER, { recursive: true });
    const file = new URL(`${name}.mjs`, FOLDER);
    writeFileSync(file, text);

    const result = spawnSync(process.execPath, [file.pathname, `guide-${name}`], {
      env: { ...process.env, BASE: PRODUCT, TOKEN },
      encoding: "utf8",
    });

    assert.equal(result.status, 0, result.stderr);
    const lines = result.stdout.trim().split("\n");
    assert.equal(lines[0], "PROVISIONING");
    assert.equal(lines[1].trim(), "RUN_STARTED");
    assert.ok(
      lines.some((line) => line.startsWith("CANCEL_REQUESTED")),
      result.stdout,
    );
    assert.equal(lines.filter((line) => line.startsWith("RUN_FINISHED")).length, 1);
    assert.equal(lines.at(-1), "PENDING 0");
  });
}
