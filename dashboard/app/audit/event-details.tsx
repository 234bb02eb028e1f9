/** The data of an audit event of any type: names as words, durations and times in readable form. */

import { durationText, Time } from "../ui/time";

/** The naming rules of docs/audit-feed.md. */
const DURATION = /_(ms|s)$/;
const TIME = /_(at|from|until)$/;

export function EventDetails({ data }: { data: unknown }) {
  const entries = Object.entries(objectIn(data));
  if (entries.length === 0) return <p className="hint">No further details.</p>;
  return (
    <dl className="details">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name.replace(DURATION, "").replaceAll("_", " ")}</dt>
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
            {name.replace(DURATION, "").replaceAll("_", " ")}: <Value name={name} value={before} /> →{" "}
            <Value name={name} value={after} />
          </li>
        );
      })}
    </ul>
  );
}

function Value({ name, value }: { name: string; value: unknown }) {
  if (Array.isArray(value) && value.length > 0) return <List name={name} values={value} />;
  if (isEmpty(value)) return <span className="hint">none</span>;
  if (typeof value === "object") return <EventDetails data={value} />;
  if (typeof value === "boolean") return <>{value ? "yes" : "no"}</>;
  if (typeof value === "number" && DURATION.test(name))
    return <>{durationText(name.endsWith("_ms") ? value : value * 1000)}</>;
  const text = String(value);
  return TIME.test(name) && !Number.isNaN(Date.parse(text)) ? <Time at={text} /> : text;
}

function List({ name, values }: { name: string; values: readonly unknown[] }) {
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
  const isResource = typeof kind === "string" && typeof name === "string" && Object.keys(more).length === 0;
  return isResource ? `${kind.replaceAll("_", " ")} ${name}` : undefined;
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
}

function objectIn(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
