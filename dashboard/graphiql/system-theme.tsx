/** Follows the system when it turns dark or light: GraphiQL's style does that by itself, its editor's colours do not. */

import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useEffect } from "react";

const DARK = "(prefers-color-scheme: dark)";

export function FollowSystemTheme() {
  const chosen = useGraphiQL((state) => state.theme);
  const { setTheme } = useGraphiQLActions();
  useEffect(() => {
    if (chosen) return;
    const query = matchMedia(DARK);
    // "No theme" makes GraphiQL look again at what the system has.
    const follow = () => setTheme(null);
    query.addEventListener("change", follow);
    return () => query.removeEventListener("change", follow);
  }, [chosen, setTheme]);
  return null;
}
