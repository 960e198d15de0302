// Writes LICENSES.txt: every bundled package, its licence, and the text the licence asks to keep.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const LICENSE_FILE = /^(licen[cs]e|copying|notice|thirdpartynotices)(\.(md|txt|mit))?$/i;

function packageFolder(moduleId) {
  const path = moduleId.replace(/^\0/, "").split("?")[0];
  const match = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
  return match && existsSync(join(match[1], "package.json")) ? match[1] : null;
}

function describe(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const texts = readdirSync(folder)
    .filter((entry) => LICENSE_FILE.test(entry))
    .map((entry) => readFileSync(join(folder, entry), "utf8").replaceAll("\r\n", "\n").trim());
  const text = texts.join("\n\n") || "The package ships no licence text; its licence is named above.";
  return { title: `${name} ${version} (${license})`, text };
}

function render(folders) {
  const titlesByText = new Map();
  for (const { title, text } of [...folders].sort().map(describe)) {
    titlesByText.set(text, (titlesByText.get(text) ?? new Set()).add(title));
  }
  const rule = "-".repeat(80);
  const sections = [...titlesByText].map(([text, titles]) => [...titles, "", text].join("\n"));
  const heading = "The built GraphiQL files contain these packages, under these licences.";
  return [heading, ...sections].join(`\n\n${rule}\n`) + "\n";
}

export function licenses() {
  const folders = new Set();
  const plugin = ({ writes }) => ({
    name: "licenses",
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((output) => output.type === "chunk");
      for (const moduleId of chunks.flatMap((chunk) => chunk.moduleIds)) {
        const folder = packageFolder(moduleId);
        if (folder) folders.add(folder);
      }
      if (writes) {
        this.emitFile({ type: "asset", fileName: "LICENSES.txt", source: render(folders) });
      }
    },
  });
  return { plugin };
}
