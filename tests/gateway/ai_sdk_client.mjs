// The npm package `ai`, as a page has it: what it makes of a gateway, told as lines of JSON.
//
//   node ai_sdk_client.mjs NODE_MODULES URL KEY talk|resume
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, url, key, what] = process.argv.slice(2);
const about = JSON.parse(readFileSync(join(modules, "ai", "package.json"), "utf8"));
const entry = about.exports["."].import ?? about.exports["."].default;
const { DefaultChatTransport, readUIMessageStream } = await import(
  pathToFileURL(join(modules, "ai", entry.default ?? entry))
);

const transport = new DefaultChatTransport({
  api: `${url}/v1/ai-sdk`,
  headers: { Authorization: `Bearer ${key}` },
});
const user = (id, text) => ({ id, role: "user", parts: [{ type: "text", text }] });
const say = (name, value) => console.log(JSON.stringify({ name, value }));
const text = (message) =>
  message.parts.filter((part) => part.type === "text").map((part) => part.text).join("|");

async function send(chatId, messages, trigger = "submit-message", abortSignal = undefined) {
  return transport.sendMessages({ chatId, messages, trigger, messageId: undefined, abortSignal });
}

async function whole(stream) {
  let last, states = 0;
  const onError = (error) => say("error", String(error.message ?? error));
  for await (const message of readUIMessageStream({ stream, onError })) {
    last = message;
    states += 1;
  }
  return { ...last, states };
}

say("version", about.version);
if (what === "talk") {
  const question = user("u1", "Can I get my money back for order 17?");
  const first = await whole(await send("talk", [question]));
  say("first", first);
  const messages = [question, first, user("u2", "And now?")];
  say("second", await whole(await send("talk", messages)));
  say("again", await whole(await send("talk", messages)));
  say("anew", await whole(await send("talk", messages, "regenerate-message")));
  say("rest", await transport.reconnectToStream({ chatId: "talk" }));
} else {
  const leaving = new AbortController();
  const stream = await send(
    "resume", [user("u1", "Can I get my money back?")], "submit-message", leaving.signal,
  );
  try {
    for await (const message of readUIMessageStream({ stream, terminateOnError: true })) {
      if (text(message).includes("Order 17 has")) leaving.abort();
    }
  } catch (error) {
    say("left", String(error.name));
  }
  const again = await transport.reconnectToStream({ chatId: "resume" });
  say("back", again !== null);
  say("whole", await whole(again));
}
