// The npm packages of the Model Context Protocol: what they make of a gateway, told as lines of JSON.
//
//   node mcp_client.mjs NODE_MODULES sdk|client URL KEY
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, made, url, key] = process.argv.slice(2);
const home = join(modules, "@modelcontextprotocol", made);
const about = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
const load = (...path) => import(pathToFileURL(join(home, "dist", ...path)));
const { Client, StreamableHTTPClientTransport } =
  made === "client"
    ? await load("index.mjs")
    : {
        ...(await load("esm", "client", "index.js")),
        ...(await load("esm", "client", "streamableHttp.js")),
      };

const say = (name, value) => console.log(JSON.stringify({ name, value }));
const connect = async (shown) => {
  const client = new Client({ name: "a person's program", version: "1.0.0" });
  const headers = { Authorization: `Bearer ${shown}` };
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } }),
  );
  return client;
};

say("version", about.version);
const client = await connect(key);
const ask = async (given) => {
  const steps = [];
  const options = { onprogress: (progress) => steps.push(progress.message) };
  const params = { name: "ask", arguments: given };
  const asked =
    made === "client"
      ? await client.callTool(params, options)
      : await client.callTool(params, undefined, options);
  return { steps, ...asked };
};

say("tools", (await client.listTools()).tools.map((tool) => tool.name));
const first = await ask({ question: "Can I get my money back for order 17?" });
say("first", first);
const { conversation } = first.structuredContent;
say("second", await ask({ question: "And now?", conversation }));
say("told", await client.callTool({ name: "conversation", arguments: { id: conversation } }));
say("found", await client.callTool({ name: "search_knowledge", arguments: { query: "refund" } }));
say("wrong", await client.callTool({ name: "ask", arguments: { question: "" } }));
await client.close();
say("stranger", await connect("sfk_nobody_nothing").then(() => "let in", (error) => String(error)));
