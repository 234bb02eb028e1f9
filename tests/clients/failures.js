/** A reporter for node:test that writes the location and name of every failed test to the file named in FAILURES. */

import { appendFileSync } from "node:fs";
import { relative } from "node:path";

export default async function* failures(source) {
  const names = [];
  for await (const { type, data } of source) {
    if (type === "test:start") names.splice(data.nesting, names.length, data.name);
    // A group fails if one of its tests fails, and that test is reported itself.
    if (type !== "test:fail" || data.details.error.failureType === "subtestsFailed") continue;
    const location = data.file ? `${relative(process.cwd(), data.file)}:${data.line} ` : "";
    const name = [...names.slice(0, data.nesting), data.name].join(" > ");
    // Synchronously, because the runner may exit before a stream is flushed.
    appendFileSync(process.env.FAILURES, `${location}${name}\n`);
    yield "";
  }
}
