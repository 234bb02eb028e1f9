import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { compression } from "vite-plugin-compression2";

/** A running API, for `npm run dev`: `make up` starts one here. */
const API = process.env.API ?? "http://127.0.0.1:8000";

// Each page is one HTML file here and one input below; the server gives an address to each (server/pages.py).
export default defineConfig(({ command }) => ({
  base: command === "build" ? "/assets/" : "/",
  // Compressed once, here: the server has other things to do.
  plugins: [react(), compression({ algorithms: ["gzip"], include: /\.(js|css)$/ })],
  build: {
    // Every file beside the pages carries a hash of what is in it, so that it may be kept for ever.
    assetsDir: ".",
    chunkSizeWarningLimit: 4096,
    // It would add an inline script to pages that may not have one.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: ["dashboard.html", "graphiql.html"],
      // React's compiler has been over these libraries already, so what they tell it is of no use any more.
      onLog: (level, log, tell) => log.code !== "MODULE_LEVEL_DIRECTIVE" && tell(level, log),
    },
  },
  // GraphiQL's workers cannot be prepared like that; it is there as it was built, at the API's own address.
  optimizeDeps: { entries: ["dashboard.html"] },
  server: {
    proxy: {
      "/graphql": { target: API, ws: true },
      "/export": API,
      "/dashboard/sign-in.json": API,
      // Every address below /dashboard is the same page, as the server has it.
      "^/dashboard(/|$)": { target: API, bypass: () => "/dashboard.html" },
    },
  },
  worker: { format: "es" },
}));
