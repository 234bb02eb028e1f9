/** A reporter for node:test that writes the place and the name of every failed test to the file named in FAILURES. */

import { appendFileSync } from "node:fs";
import { relative } from "node:path";

export default async function* failures(source) {
  const names = [];
  for await (const { type, data } of source) {
    if (type === "test:start") names.splice(data.nesting, names.length, data.name);
    // A group fails with its tests, which are named themselves.
    if (type !== "test:fail" || data.details.error.failureType === "subtestsFailed") continue;
    const place = data.file ? `${relative(process.cwd(), data.file)}:${data.line} ` : "";
    const name = [...names.slice(0, data.nesting), data.name].join(" > ");
    // At once: the runner may end before a stream has written.
    appendFileSync(process.env.FAILURES, `${place}${name}\n`);
    yield "";
  }
}
