// make web: writes built/, all that /edge needs beside the files that lie here.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const built = `${here}built`;
const runtime = `${here}node_modules/onnxruntime-web`;

rmSync(built, { recursive: true, force: true });
mkdirSync(built);
execFileSync("sh", [`${here}wasm/build.sh`, built], { stdio: "inherit" });
const made = {
  "ort.mjs": withoutMap(readFileSync(`${runtime}/dist/ort.wasm.bundle.min.mjs`, "utf8")),
  "ort.wasm": readFileSync(`${runtime}/dist/ort-wasm-simd-threaded.wasm`),
  "licences.txt": licences(),
};
for (const [name, content] of Object.entries(made)) writeFileSync(`${built}/${name}.gz`, packed(content));
for (const name of ["codec.wasm", "frontal.wasm"]) {
  writeFileSync(`${built}/${name}.gz`, packed(readFileSync(`${built}/${name}`)));
  rmSync(`${built}/${name}`);
}
for (const name of readdirSync(built)) console.log(name, readFileSync(`${built}/${name}`).length, "bytes");

function packed(content) {
  return gzipSync(content, { level: 9 });
}

function withoutMap(script) {
  return script.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n");
}

// What is in the files that a browser loads, by name, with the text of each licence.
function licences() {
  const { packages } = JSON.parse(readFileSync(`${here}package-lock.json`, "utf8"));
  const parts = Object.entries(packages)
    .filter(([folder]) => folder)
    .map(([folder, { version, license }]) => {
      const name = folder.replace(/^.*node_modules\//, "");
      return `${name} ${version}: ${license}\n${licenceText(`${here}${folder}`)}`;
    });
  const line = `\n${"-".repeat(80)}\n\n`;
  return [readFileSync(`${here}licences.txt`, "utf8"), ...parts].join(line);
}

function licenceText(folder) {
  const file = existsSync(folder) && readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  return file ? `\n${readFileSync(`${folder}/${file}`, "utf8")}` : "";
}
