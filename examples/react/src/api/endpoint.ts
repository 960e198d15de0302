// Where the server is: behind this page's own address, unless the build names another.

const BASE = import.meta.env["VITE_TALLYGRAPH_URL"] as string | undefined;

export function endpoint(protocol: "http" | "ws"): string {
  const url = new URL("/graphql", BASE ?? window.location.origin);
  return protocol === "ws" ? url.href.replace(/^http/, "ws") : url.href;
}
