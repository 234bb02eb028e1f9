/** The facts of an entry, whatever its type: names as words, lengths of time and moments for people. */

import { lengthOf, Time } from "../ui/time";

/** How docs/audit-feed.md spells what a number or a text is. */
const UNIT = /_(ms|s)$/;
const MOMENT = /_(at|from|until)$/;

export function Facts({ facts }: { facts: unknown }) {
  const entries = Object.entries(objectIn(facts));
  if (entries.length === 0) return <p className="hint">The type says it all.</p>;
  return (
    <dl className="facts">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name.replace(UNIT, "").replaceAll("_", " ")}</dt>
          <dd>{name === "changes" ? <Changes changes={value} /> : <Value name={name} value={value} />}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Each is a pair: before, after. */
function Changes({ changes }: { changes: unknown }) {
  return (
    <ul>
      {Object.entries(objectIn(changes)).map(([name, pair]) => {
        const [before, after] = Array.isArray(pair) ? pair : [undefined, pair];
        return (
          <li key={name}>
            {name.replace(UNIT, "").replaceAll("_", " ")}: <Value name={name} value={before} /> →{" "}
            <Value name={name} value={after} />
          </li>
        );
      })}
    </ul>
  );
}

function Value({ name, value }: { name: string; value: unknown }) {
  if (Array.isArray(value) && value.length > 0) return <Several name={name} values={value} />;
  if (isNothing(value)) return <span className="hint">none</span>;
  if (typeof value === "object") return <Facts facts={value} />;
  if (typeof value === "boolean") return <>{value ? "yes" : "no"}</>;
  if (typeof value === "number" && UNIT.test(name)) return <>{lengthOf(name.endsWith("_ms") ? value : value * 1000)}</>;
  const text = String(value);
  return MOMENT.test(name) && !Number.isNaN(Date.parse(text)) ? <Time at={text} /> : text;
}

function Several({ name, values }: { name: string; values: readonly unknown[] }) {
  if (values.every((value) => typeof value !== "object")) return <>{values.join(", ")}</>;
  return (
    <ul>
      {values.map((value) => (
        <li key={JSON.stringify(value)}>{nameOfResource(value) ?? <Value name={name} value={value} />}</li>
      ))}
    </ul>
  );
}

/** A resource is a kind and a name. */
function nameOfResource(value: unknown): string | undefined {
  const { kind, name, ...more } = objectIn(value);
  const plain = typeof kind === "string" && typeof name === "string" && Object.keys(more).length === 0;
  return plain ? `${kind.replaceAll("_", " ")} ${name}` : undefined;
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
}

function objectIn(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
