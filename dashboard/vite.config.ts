import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Each page is one HTML file here and one input below; the server gives an address to each (server/pages.py).
export default defineConfig({
  base: "/assets/",
  plugins: [react()],
  build: {
    // Every file beside the pages carries a hash of what is in it, so that it may be kept for ever.
    assetsDir: ".",
    chunkSizeWarningLimit: 4096,
    // It would add an inline script to pages that may not have one.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: ["graphiql.html"],
      // React's compiler has been over these libraries already, so what they tell it is of no use any more.
      onLog: (level, log, tell) => log.code !== "MODULE_LEVEL_DIRECTIVE" && tell(level, log),
    },
  },
  worker: { format: "es" },
});
