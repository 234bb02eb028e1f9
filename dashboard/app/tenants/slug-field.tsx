/** A slug, with what the server has to say about it while it is typed. */

import { useDeferredValue, useEffect, useState } from "react";
import { useQuery } from "urql";
import { SlugCheckDocument } from "../__generated__/graphql";
import { Field } from "../ui/field";

/** Milliseconds without a key pressed after which the server is asked. */
const PAUSE = 200;

export function SlugField({ value, onChange }: { value: string; onChange: (slug: string) => void }) {
  return (
    <Field
      label="Slug"
      name="slug"
      value={value}
      onChange={onChange}
      isRequired
      autoComplete="off"
      spellCheck="false"
      hint={
        <span role="status">
          <Verdict slug={value} />
        </span>
      }
    />
  );
}

function Verdict({ slug }: { slug: string }) {
  const settled = useSettled(slug);
  const [{ data, fetching }] = useQuery({
    query: SlugCheckDocument,
    variables: { slug: settled },
    pause: !settled,
    requestPolicy: "network-only",
  });
  const check = useDeferredValue(data?.slugCheck);
  if (!slug) return <>Part of the tenant’s address. Lower-case letters, digits and hyphens.</>;
  if (!check || fetching || settled !== slug) return <>Checking…</>;
  return check.available ? <>Free. The tenant will be at {check.url}</> : check.problem;
}

/** The text as it is when nobody has typed for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const pausing = setTimeout(() => setSettled(text), PAUSE);
    return () => clearTimeout(pausing);
  }, [text]);
  return settled;
}
