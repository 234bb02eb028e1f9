/** A container for content wider than the screen: it scrolls by itself, by keyboard too. */

import type { ReactNode } from "react";

export function Scroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users scroll it with the arrow keys
    <section className="scroll" aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
