/** Runs the programs of docs/api/javascript.md. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { PRODUCT, TOKEN } from "./product.js";
import { TcpProxy } from "./tcp-proxy.js";

const PROGRAM = /^```js\n(.*?)^```/gms;
const GUIDE = readFileSync(new URL("../../docs/api/javascript.md", import.meta.url), "utf8");
/** A folder from which programs can import the packages installed here. */
const FOLDER = new URL("node_modules/.guide/", import.meta.url);

/** Starts a program of the guide. Gives the process, and what it has printed so far. */
function start(name, program, slug, websocket = PRODUCT.replace("http", "ws")) {
  const text = [...GUIDE.matchAll(PROGRAM)][program][1].replace(/\$\{BASE\.replace\(.*?\)\}/, websocket);
  mkdirSync(FOLDER, { recursive: true });
  const file = new URL(`${name}.mjs`, FOLDER);
  writeFileSync(file, text);
  const child = spawn(process.execPath, [file.pathname, slug], { env: { ...process.env, BASE: PRODUCT, TOKEN } });
  const printed = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) {
    child[stream].setEncoding("utf8").on("data", (text) => {
      printed[stream] += text;
    });
  }
  return { child, printed, ended: once(child, "close") };
}

for (const [name, program] of [
  ["urql", 0],
  ["apollo", 1],
]) {
  test(`the guide's program for ${name} watches a cancel until its end`, { timeout: 60_000 }, async () => {
    const { printed, ended } = start(name, program, `guide-${name}`);

    const [code] = await ended;

    assert.equal(code, 0, printed.stderr);
    const lines = printed.stdout.trim().split("\n");
    assert.equal(lines[0], "PROVISIONING");
    assert.equal(lines[1].trim(), "RUN_STARTED");
    assert.ok(
      lines.some((line) => line.startsWith("CANCEL_REQUESTED")),
      printed.stdout,
    );
    assert.equal(lines.filter((line) => line.startsWith("RUN_FINISHED")).length, 1);
    assert.equal(lines.at(-1), "PENDING 0");
  });

  test(`the guide's program for ${name} ends with the message of a refusal`, { timeout: 60_000 }, async () => {
    const { printed, ended } = start(name, program, "not!a!slug");

    const [code] = await ended;

    assert.equal(code, 1);
    assert.match(printed.stderr, /Error: A slug must consist of/);
  });

  test(`the guide's program for ${name} waits until websockets are possible again`, { timeout: 60_000 }, async () => {
    const proxy = await TcpProxy.start();
    try {
      proxy.cut();
      const { child, printed, ended } = start(name, program, `outage-${name}`, proxy.ws);
      while (!/(trying again.*){2}/s.test(printed.stderr)) await once(child.stderr, "data");
      proxy.restore();

      const [code] = await ended;

      assert.equal(code, 0, printed.stderr);
      assert.equal(printed.stdout.match(/RUN_FINISHED/g).length, 1);
      assert.match(printed.stdout, /PENDING 0\n$/);
    } finally {
      proxy.stop();
    }
  });
}
