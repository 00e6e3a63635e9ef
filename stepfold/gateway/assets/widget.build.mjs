// Makes widget.js from widget.src.js: `TERSER="npx --yes terser@5" node widget.build.mjs`, in this
// folder. What it keeps in a browser is named by the version of its source: a test compares it.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const here = (name) => new URL(name, import.meta.url);
const source = readFileSync(here("widget.src.js"), "utf8");
const version = createHash("sha256").update(source).digest("hex").slice(0, 12);

const squeezed = source
  .replace("VERSION", version)
  .replace(/\bcss`([^`]*)`/, (_, css) => "`" + squeeze(css) + "`")
  .replace(/function css\(parts\) \{[^}]*\}/, "");

function squeeze(css) {
  return css
    .replace(/\s+/g, " ")
    .replace(/ ?([{};,>]) ?/g, "$1")
    .replace(/: /g, ":")
    .replace(/;}/g, "}")
    .trim();
}

const [command, ...rest] = (process.env.TERSER || "npx --yes terser@5").split(" ");
const options = ["--ecma", "2020", "--compress", "passes=3,unsafe_arrows=true,unsafe=true,unsafe_methods=true,keep_fargs=false,hoist_vars=false,sequences=true", "--mangle"];
const mangled = ["--mangle-props", "regex=/^(sent|fault|steps|cites|hand|spoken|over|how|want|rest|items|leave)$/", "--format", "ascii_only=false"];
const small = execFileSync(command, [...rest, ...options, ...mangled], { input: squeezed });

writeFileSync(here("widget.js"), small);
