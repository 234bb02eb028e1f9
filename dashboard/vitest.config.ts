import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Components by themselves; whole stories are played in a browser, see e2e/.
export default defineConfig({
  plugins: [react()],
  test: {
    environment: "jsdom",
    include: ["app/**/*.test.{ts,tsx}"],
    setupFiles: ["app/testing.setup.ts"],
    restoreMocks: true,
  },
});
