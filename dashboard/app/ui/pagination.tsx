/** Buttons to the previous and the next page of a list. */

import type { ReactNode } from "react";
import { Button } from "./button";

interface Props {
  label: string;
  /** The connection's `pageInfo`. */
  page: {
    hasNextPage: boolean;
    hasPreviousPage: boolean;
    startCursor: string | null;
    endCursor: string | null;
  };
  onTurn: (direction: "after" | "before", cursor: string) => void;
  children?: ReactNode;
}

export function Pagination({ label, page, onTurn, children }: Props) {
  const { hasNextPage, hasPreviousPage, startCursor, endCursor } = page;
  return (
    <nav className="pages" aria-label={label}>
      <Button isDisabled={!hasPreviousPage} onPress={() => onTurn("before", startCursor ?? "")}>
        Previous
      </Button>
      <Button isDisabled={!hasNextPage} onPress={() => onTurn("after", endCursor ?? "")}>
        Next
      </Button>
      {children}
    </nav>
  );
}
