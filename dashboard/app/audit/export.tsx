/** Exporting the filtered feed, all pages of it, as a file. */

import { useState } from "react";
import { CombinedError } from "urql";
import { expire, useSession } from "../../shared/session";
import { useMe } from "../me";
import { Button } from "../ui/button";
import { Field } from "../ui/field";
import { asError, messagesOf, Problem } from "../ui/notice";
import { downloadFile, exportUrl, type Format } from "./download";
import type { Conditions } from "./url-filters";

const FORMATS: readonly { format: Format; label: string }[] = [
  { format: "csv", label: "CSV" },
  { format: "jsonl", label: "JSON Lines" },
];

function isUnauthenticated(error: Error): boolean {
  return error instanceof CombinedError && error.response?.status === 401;
}

export function Export({ conditions }: { conditions: Conditions }) {
  const { organization } = useMe();
  const { identity } = useSession();
  const [slug, setSlug] = useState("");
  const [exporting, setExporting] = useState<Format>();
  const [error, setError] = useState<Error>();

  async function startExport(format: Format) {
    setExporting(format);
    setError(undefined);
    try {
      await downloadFile(exportUrl(format, conditions, organization ? "" : slug), identity);
    } catch (thrown) {
      const problem = asError(thrown);
      if (isUnauthenticated(problem)) expire(messagesOf(problem).join(" "));
      setError(problem);
    } finally {
      setExporting(undefined);
    }
  }

  return (
    <>
      <div className="row">
        {/* Support users belong to no organisation, so they name one. */}
        {!organization && (
          <Field label="Organisation to export" value={slug} onChange={setSlug} hint="The organisation’s slug." />
        )}
        {FORMATS.map(({ format, label }) => (
          <Button
            key={format}
            onPress={() => startExport(format)}
            isBusy={exporting === format}
            isDisabled={!organization && !slug}
          >
            {exporting === format ? `Exporting ${label}…` : `Export ${label}`}
          </Button>
        ))}
      </div>
      {error && <Problem error={error} />}
    </>
  );
}
