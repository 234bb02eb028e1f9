/** Where in a list somebody is. Lists of people are short, so that it needs no address. */

import { useState } from "react";

const PAGE = 50;

type PageWindow = { first: number; after?: string } | { last: number; before: string };

interface Place {
  window: PageWindow;
  turn: (direction: "after" | "before", cursor: string) => void;
}

export function usePlace(): Place {
  const [window, setWindow] = useState<PageWindow>({ first: PAGE });
  return {
    window,
    turn: (direction, cursor) =>
      setWindow(direction === "after" ? { first: PAGE, after: cursor } : { last: PAGE, before: cursor }),
  };
}
