/** Taking what the page shows, all pages of it, as a file. */

import { useState } from "react";
import { CombinedError } from "urql";
import { useMe } from "../me";
import { expire, useSession } from "../session";
import { Button } from "../ui/button";
import { Field } from "../ui/field";
import { Problem, sentencesOf } from "../ui/notice";
import { addressOf, type Format, takeFile } from "./exporting";
import type { Conditions } from "./wish";

const FORMATS: readonly { format: Format; label: string }[] = [
  { format: "csv", label: "CSV" },
  { format: "jsonl", label: "JSON Lines" },
];

export function Export({ conditions }: { conditions: Conditions }) {
  const { organization } = useMe();
  const { identity } = useSession();
  const [slug, setSlug] = useState("");
  const [taking, setTaking] = useState<Format>();
  const [error, setError] = useState<CombinedError>();

  async function take(format: Format) {
    setTaking(format);
    setError(undefined);
    try {
      await takeFile(addressOf(format, conditions, organization ? "" : slug), identity);
    } catch (refused) {
      if (!(refused instanceof CombinedError)) throw refused;
      if (refused.response?.status === 401) expire(sentencesOf(refused).join(" "));
      setError(refused);
    } finally {
      setTaking(undefined);
    }
  }

  return (
    <>
      <div className="row">
        {/* Support belongs to no organisation. */}
        {!organization && <Field label="Organisation to export" value={slug} onChange={setSlug} hint="Its slug." />}
        {FORMATS.map(({ format, label }) => (
          <Button
            key={format}
            onPress={() => take(format)}
            isBusy={taking === format}
            isDisabled={!organization && !slug}
          >
            {taking === format ? `Exporting ${label}…` : `Export ${label}`}
          </Button>
        ))}
      </div>
      {error && <Problem error={error} />}
    </>
  );
}
