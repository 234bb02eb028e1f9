/** The field for a slug, with the server's check of it while it is typed. */

import { useDeferredValue, useEffect, useState } from "react";
import { useQuery } from "urql";
import { SlugCheckDocument } from "../__generated__/graphql";
import { Field } from "../ui/field";

/** Milliseconds after the last key press until the server is asked. */
const DEBOUNCE = 200;

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
          <CheckResult slug={value} />
        </span>
      }
    />
  );
}

function CheckResult({ slug }: { slug: string }) {
  const debounced = useDebounced(slug);
  const [{ data, fetching }] = useQuery({
    query: SlugCheckDocument,
    variables: { slug: debounced },
    pause: !debounced,
    requestPolicy: "network-only",
  });
  const check = useDeferredValue(data?.slugCheck);
  if (!slug) return <>Part of the tenant’s address. Lower-case letters, digits and hyphens.</>;
  if (!check || fetching || debounced !== slug) return <>Checking…</>;
  return check.available ? <>Available. The tenant’s address will be {check.url}</> : check.problem;
}

/** The text, updated when no key was pressed for a short time. */
function useDebounced(text: string): string {
  const [debounced, setDebounced] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setDebounced(text), DEBOUNCE);
    return () => clearTimeout(timer);
  }, [text]);
  return debounced;
}
