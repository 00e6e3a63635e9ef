// The npm package `@ag-ui/client`: what it makes of a gateway, told as lines of JSON.
//
//   node ag_ui_client.mjs NODE_MODULES URL KEY
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, url, key] = process.argv.slice(2);
const home = join(modules, "@ag-ui", "client");
const about = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
const { HttpAgent } = await import(pathToFileURL(join(home, about.exports["."].import)));

const say = (name, value) => console.log(JSON.stringify({ name, value }));
const agent = new HttpAgent({
  url: `${url}/v1/ag-ui`,
  headers: { Authorization: `Bearer ${key}` },
  threadId: "ag-talk",
});
const watch = (events) => ({
  onEvent: ({ event }) => {
    events.push(event);
  },
});

say("version", about.version);
for (const [id, content] of [["u1", "Can I get my money back for order 17?"], ["u2", "And now?"]]) {
  agent.addMessage({ id, role: "user", content });
  const events = [];
  await agent.runAgent({ runId: `run-${id}` }, watch(events));
  say(id, { events, messages: agent.messages });
}
