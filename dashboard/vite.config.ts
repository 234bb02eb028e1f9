import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { compression } from "vite-plugin-compression2";

/** The address of a running API, for `npm run dev`. The default is where `make up` starts one. */
const API = process.env.API ?? "http://127.0.0.1:8000";

// Each page is one HTML file here and one input below; the server maps paths to the pages.
export default defineConfig(({ command }) => ({
  base: command === "build" ? "/assets/" : "/",
  // Files are compressed once, at build time, instead of for each response.
  plugins: [react(), compression({ algorithms: ["gzip"], include: /\.(js|css)$/ })],
  build: {
    // Every file except the pages has a hash of its content in its name, so that it can be cached for ever.
    assetsDir: ".",
    chunkSizeWarningLimit: 4096,
    // The polyfill is an inline script, which the pages' Content-Security-Policy forbids.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: ["dashboard.html", "graphiql.html"],
      // These libraries are already compiled by React's compiler, so their "use" directives have no effect any more.
      onLog: (level, log, emit) => log.code !== "MODULE_LEVEL_DIRECTIVE" && emit(level, log),
    },
  },
  // GraphiQL's workers cannot be pre-bundled; the built GraphiQL is at the API's own address.
  optimizeDeps: { entries: ["dashboard.html"] },
  server: {
    proxy: {
      "/graphql": { target: API, ws: true },
      "/export": API,
      "/dashboard/sign-in.json": API,
      // Every path below /dashboard is the same file; the server answers 404 at paths of no page.
      "^/dashboard(/|$)": { target: API, bypass: () => "/dashboard.html" },
    },
  },
  worker: { format: "es" },
}));
