// How the dashboard is built: into the Python package, for a strict content security policy.
import { svelte, vitePreprocess } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, loadEnv } from "vite";

// Where `npm run dev` finds a running `ggml-viz serve`.
const { GGML_VIZ_SERVER: SERVER = "http://127.0.0.1:8080" } = loadEnv("development", ".", "GGML_VIZ_");

export default defineConfig({
  plugins: [svelte({ configFile: false, preprocess: vitePreprocess() })],
  // Relative, so that it also works behind a proxy that serves it below some path.
  base: "./",
  build: {
    outDir: "../src/ggml_viz/server/dashboard",
    emptyOutDir: true,
    target: "es2022",
    // The policy allows scripts, styles and pictures from the server only: nothing may be inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    // The examples of the SQL page are those of docs/sql.md.
    fs: { allow: [".."] },
    proxy: {
      "/api": { target: SERVER, ws: true, changeOrigin: true },
      "/metrics": SERVER,
    },
  },
});
