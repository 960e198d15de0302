// Serves the app, and hands what it asks of /graphql on to the server named by TALLYGRAPH.

import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const target = process.env["TALLYGRAPH"] ?? "http://127.0.0.1:8000";
const proxy = { "/graphql": { target, ws: true } };

export default defineConfig({
  plugins: [react()],
  server: { proxy },
  preview: { proxy },
  build: { chunkSizeWarningLimit: 700 },
});
