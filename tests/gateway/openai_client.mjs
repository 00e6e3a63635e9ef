// The npm package `openai`: what it makes of a gateway, told as lines of JSON.
//
//   node openai_client.mjs NODE_MODULES URL KEY
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, url, key] = process.argv.slice(2);
const home = join(modules, "openai");
const about = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
const { default: OpenAI } = await import(pathToFileURL(join(home, "index.mjs")));

const say = (name, value) => console.log(JSON.stringify({ name, value }));
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const model = "clerk";
const questions = ["Can I get my money back for order 17?", "And now?"];

say("version", about.version);

const messages = [{ role: "system", content: "Be kind." }];
for (const [number, content] of questions.entries()) {
  messages.push({ role: "user", content });
  const stream = client.chat.completions.stream({
    model, messages, stream_options: { include_usage: true },
  });
  const annotations = [];
  stream.on("chunk", (chunk) => {
    for (const choice of chunk.choices) annotations.push(...(choice.delta.annotations ?? []));
  });
  const whole = await stream.finalChatCompletion();
  messages.push(whole.choices[0].message);
  say(`chat ${number}`, { whole, annotations });
}

let previous_response_id;
for (const [number, input] of questions.entries()) {
  const stream = client.responses.stream({ model, input, previous_response_id });
  let words = "";
  stream.on("response.output_text.delta", (event) => {
    words += event.delta;
  });
  const whole = await stream.finalResponse();
  previous_response_id = whole.id;
  say(`response ${number}`, { whole, words });
}

const failing = async (call) => call.then(() => "no error", (error) => error.constructor.name);
const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sfk_nobody_nothing", maxRetries: 0 });
say("errors", [
  await failing(stranger.models.list()),
  await failing(client.models.retrieve("nobody")),
  await failing(client.responses.create({ model: "nobody", input: "x" })),
  await failing(client.chat.completions.create({ model, messages: [] })),
]);
