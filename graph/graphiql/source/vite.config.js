// Builds the playground into ../static, which is committed so that running Tallygraph needs no Node.
import { defineConfig } from "vite";

import { licenses } from "./licenses.js";

const collected = licenses();

// GraphiQL's style sheet carries half a megabyte of web fonts; the reader's own fonts do as well.
const systemFonts = {
  name: "system-fonts",
  enforce: "pre",
  transform(code, id) {
    if (!id.split("?")[0].endsWith(".css")) return null;
    return code.replace(/@font-face\s*\{\s*font-family:\s*["']?(Roboto|Fira Code)[^}]*\}/g, "");
  },
};

export default defineConfig({
  base: "/graphiql/",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    // Inlined files would need wider content security rules; every asset stays a hashed file.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 5000,
    rolldownOptions: {
      // "use client" and its like mean nothing outside a server; a warning for each hides others.
      onLog(level, log, handle) {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") handle(level, log);
      },
      output: { comments: { legal: false } },
    },
  },
  plugins: [systemFonts, collected.plugin({ writes: true })],
  worker: {
    format: "es",
    plugins: () => [collected.plugin({ writes: false })],
  },
});
