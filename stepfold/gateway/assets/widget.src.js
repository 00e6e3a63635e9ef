/*
 * The chat widget: <stepfold-chat token="sfv_…">, or one script tag with data-token-url.
 *
 * widget.js is made from this file by widget.build.mjs. Nothing here writes HTML, evaluates text or
 * sets a style attribute, so that a page with the strictest policy can hold it.
 *
 * What is shown is one object, `state`, kept in sessionStorage together with the id of the last
 * event: both are of before an event or both of after it. So a page that is loaded again goes on by
 * Last-Event-ID, and shows each word once.
 */
(() => {
  const script = document.currentScript;
  const AGAIN_MS = 3000;
  const SPOKEN_MS = 7000;

  const WORDS = {
    title: "Chat",
    open: "Chat with us",
    close: "Close",
    fresh: "New conversation",
    hello: "Hello! How can we help?",
    label: "Your message",
    send: "Send",
    stop: "Stop",
    you: "You",
    agent: "Assistant",
    thinking: "Thinking…",
    unsent: "Not sent.",
    retry: "Try again",
    lost: "Connection lost. Trying again…",
    out: "Signed out. Load this page again.",
    source: "Source",
    read: "Open document",
    good: "Helpful",
    bad: "Not helpful",
    hand_off: "Handed over to a person",
    "retrieval.requested": "Searching…",
    "retrieval.returned": "Searched",
    "retrieval.failed": "Search failed",
    "tool.requested": "Using {}…",
    "tool.returned": "Used {}",
    "tool.failed": "{} failed",
    "tool.refused": "{} is not permitted",
    "tool.unknown": "{} may have failed",
    "code.requested": "Running code…",
    "approval.requested": "Waiting for approval of {}",
    "approval.granted": "{} is approved",
    "approval.denied": "{} is not approved",
    "approval.expired": "{} is not approved in time",
    "turn.abandoned": "Failed. Try again.",
    "turn.cancelled": "Stopped.",
    "conversation.stopped": "Conversation ended.",
  };

  /** What stands on a button in place of its word. */
  const SIGNS = { close: "✕", fresh: "+", send: "↑", stop: "■" };

  const STYLE = css`
    :host {
      --accent: light-dark(#4338ca, #a5b4fc);
      --on-accent: light-dark(#fff, #18181f);
      --surface: light-dark(#fff, #18181f);
      --text: light-dark(#18181f, #eee);
      --muted: color-mix(in srgb, var(--text) 70%, var(--surface));
      --line: color-mix(in srgb, var(--text) 15%, var(--surface));
      position: fixed;
      inset-block-end: 20px;
      inset-inline-end: 20px;
      z-index: 99;
      color-scheme: light dark;
      font: 15px/1.5 system-ui;
      color: var(--text);
    }
    [hidden] { display: none!important; }
    * { box-sizing: border-box; margin: 0; padding: 0; overflow-wrap: anywhere; }
    button, textarea { font: inherit; color: inherit; background: none; border: 0; padding: 6px; }
    button { min-width: 36px; border-radius: 99px; cursor: pointer; }
    a, b, [aria-pressed=true] { color: var(--accent); font-weight: 700; }
    .open, .send, .you p { background: var(--accent); color: var(--on-accent); }
    .open { padding: 14px 18px; }
    .panel, dialog { background: var(--surface); color: inherit; border: 1px solid var(--line); border-radius: 16px; box-shadow: 0 6px 20px #0003; }
    .panel { display: flex; overflow: hidden; width: 400px; height: min(640px, 100dvh - 40px); }
    .panel, .list, .agent, ul { display: flex; flex-direction: column; gap: 6px; }
    .head, .row, form { display: flex; gap: 6px; align-items: center; }
    .head { padding: 6px 18px; border-block-end: 1px solid var(--line); }
    h2 { flex: 1; font-size: 16px; }
    .log { flex: 1; overflow: auto; display: flex; flex-direction: column-reverse; outline-offset: -6px; }
    .list { padding: 18px; gap: 14px; margin-block-end: auto; }
    p { white-space: pre-wrap; }
    .you { align-self: end; max-width: 90%; }
    .you p { padding: 6px 14px; border-radius: 16px; }
    small, li { font-size: 13px; color: var(--muted); list-style: none; }
    li::before { content: "…"; display: inline-block; width: 20px; }
    li.ok::before { content: "✓"; }
    li.bad::before { content: "✕"; }
    @keyframes run { to { opacity: .5; } }
    .fault { color: light-dark(#b00, #faa); }
    sup { line-height: 0; }
    sup button { min-width: 0; margin: -6px -4px; }
    .row { flex-wrap: wrap; }
    .row button { padding: 2px 14px; border: 1px solid var(--line); font-size: 13px; }
    .note { padding: 0 18px; }
    form { margin: 14px; padding: 6px; border: 1px solid var(--muted); border-radius: 20px; }
    form:focus-within { outline: 2px solid var(--accent); }
    textarea { flex: 1; font-size: 16px; resize: none; max-height: 140px; field-sizing: content; outline: 0; padding-inline: 14px; }
    ::placeholder { color: var(--muted); opacity: 1; }
    dialog { margin: auto; width: min(400px, 90vw); }
    dialog > * { margin: 0 18px 18px; }
    dialog p, .hand { border-inline-start: 3px solid var(--accent); padding-inline: 14px; }
    dialog .head { margin-inline: 0; }
    .spoken { position: absolute; height: 1px; overflow: hidden; clip-path: inset(50%); }
    @media (max-width: 480px) {
      .panel { position: fixed; inset: 0; width: auto; height: auto; border-radius: 0; }
    }
    @media (prefers-reduced-motion: no-preference) { .run { animation: 1s infinite alternate run; } }
  `;

  function css(parts) {
    return parts[0];
  }

  /** An element, made of "name.part" and its properties. A handler that gives false would forbid what
   * the browser does of itself.
   */
  function make(named, given, ...inside) {
    const [name, part] = named.split(".");
    const element = Object.assign(document.createElement(name), given);
    if (part) element.className = element.part = part;
    element.append(...inside.filter(Boolean));
    return element;
  }

  function anchor(href, text) {
    return make("a", { href, target: "_blank" }, text);
  }

  function identity() {
    return crypto.getRandomValues(new Uint32Array(4)).join("-");
  }

  /** A widget in `host`, until what it returns is called. */
  function begin(host) {
    const option = (name) => host.getAttribute(name);
    const words = { ...WORDS, ...JSON.parse(option("strings")) };
    const gateway = new URL(option("gateway") || script?.src || "/", location);
    const place = "stepfold VERSION " + gateway.host + option("visitor") + host.id;
    const nodes = new WeakMap();
    let state, hearing, flushing;

    // -- the gateway ------------------------------------------------------------------------------

    async function request(path, body, headers, signal) {
      const url = option("token-url");
      for (let again = 0; ; again++) {
        // The page's own server vouches for the visitor: it has the key, we get a token.
        if (url && (again || !host.token)) host.token = (await (await fetch(url, { method: "POST" })).json()).token;
        const answer = await fetch(gateway.origin + "/v1/conversations" + path, {
          method: body ? "POST" : "GET",
          headers: { Authorization: "Bearer " + (host.token || option("token")), "Content-Type": "application/json", ...headers },
          body: body && JSON.stringify(body),
          signal,
        });
        if (answer.ok) return answer;
        if (answer.status != 401 || !url || again) throw answer;
      }
    }

    /** Send what is not sent yet, in order; the same id is the same message, however often it is sent. */
    async function flush() {
      if (flushing) return;
      flushing = 1;
      for (const item of state.items) {
        if (item.sent || item.fault || item.turn) continue;
        try {
          const post = async (path, body, id) => (await request(path, body, { "Idempotency-Key": id })).json();
          state.conversation ||= (await post("", {}, (state.id ||= identity()))).conversation;
          state.want = (await post(`/${state.conversation}/messages`, { text: item.text }, item.id)).position;
          item.sent = 1;
        } catch ({ status }) {
          item.fault = status == 401 ? "out" : "unsent";
          if (status == 404) state.conversation = state.id = state.last = "";
        }
        draw(item);
        save();
      }
      flushing = 0;
      hear();
    }

    async function hear() {
      if (hearing || !state.conversation) return;
      const here = (hearing = new AbortController());
      while (here == hearing) {
        try {
          const answer = await request(`/${state.conversation}/events?until=rest`, null, state.last && { "Last-Event-ID": state.last }, here.signal);
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          for (let rest = "", chunk; !(chunk = await reader.read()).done; ) {
            const frames = (rest + chunk.value).split("\n\n");
            rest = frames.pop();
            notes.textContent = "";
            frames.forEach(take);
            save();
          }
          if (state.rest >= state.want) hearing = 0;
        } catch ({ status }) {
          if (here != hearing) return;
          if (status == 404 || status == 422) return clear();
          notes.textContent = status == 401 ? words.out : words.lost;
          if (status == 401) return leave();
        }
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS * Math.random()));
      }
    }

    /** One event of the stream. */
    function take(frame) {
      const [, id, event, json] = /id: (.*)\nevent: (.*)\ndata: (.*)/.exec(frame) || [];
      if (!event) return;
      const data = JSON.parse(json);
      if (event == "step") step(data.kind, data.event);
      else if (event == "rest") {
        state.rest = data.position;
        notes.textContent = words["conversation." + data.standing];
      } else heard(data);
      state.last = id;
    }

    /** Words; without text, that those of this call are taken back. */
    function heard({ turn, call, text = "" }) {
      const item = answer(turn, call);
      if (!text) item.text = "";
      if (!text || call != item.call) aside(item);
      item.call = call;
      item.text += text;
      speak(item, /^[^]*[.!?。！？\n]\s/);
      draw(item);
    }

    /** What was said before tools were asked is no part of the answer. */
    function aside(item) {
      if (item.text) item.steps.push({ text: item.text });
      item.text = "";
      item.spoken = 0;
    }

    /** The answer of a turn. Who takes back the words of a call may not know its turn. */
    function answer(turn, call) {
      return state.items.find((item) => (turn ? item.turn == turn : item.call == call)) || add({ turn, text: "", steps: [] });
    }

    function step(kind, { turn, call, name, text, message, citations, outcome }) {
      if (kind == "message.received") {
        const said = state.items.find((each) => each.id == message) || add({ id: message, text });
        said.sent = 1;
        said.fault = 0;
        draw(said);
      }
      if (!turn) return;
      const item = answer(turn);
      if (kind == "response.given") {
        if (!text.startsWith(item.text)) item.spoken = 0;
        item.text = text;
        item.cites = citations || [];
        item.hand = outcome == "hand_off" && words.hand_off;
        finish(item, item.hand);
      } else if (/abandoned|cancelled/.test(kind)) finish(item, words[(item.fault = kind)]);
      else if (call && words[kind]) {
        let work = item.steps.find((each) => each.call == call);
        if (!work) {
          aside(item);
          item.steps.push((work = { call }));
        }
        work.name = name || work.name || "";
        work.text = words[kind].replace("{}", work.name.replace(/[_-]/g, " "));
        work.how = /requested/.test(kind) ? "run" : /returned|granted/.test(kind) ? "ok" : "bad";
        if (work.how != "ok") say(work.text);
      }
      draw(item);
    }

    function finish(item, said) {
      item.over = 1;
      item.steps = item.steps.filter((each) => each.how != "run");
      speak(item, /^[^]+/);
      say(said);
    }

    // -- what is kept -----------------------------------------------------------------------------

    function save() {
      stop.hidden = !(state.want > state.rest);
      try {
        sessionStorage[place] = JSON.stringify(state);
      } catch {}
    }

    function begun(kept) {
      state = { items: [], want: 0, rest: 0, ...kept };
      list.replaceChildren(make("p", { dir: "auto" }, words.hello));
      state.items.forEach(draw);
      save();
    }

    // -- what is seen and heard -------------------------------------------------------------------

    /** To whoever listens to the screen: whole sentences, each once, gone when they are spoken. */
    function speak(item, pattern) {
      const [said] = pattern.exec(item.text.slice(item.spoken)) || [""];
      item.spoken += said.length;
      say(said);
    }

    function say(text) {
      const said = make("p", 0, text);
      if (text) spoken.append(said);
      setTimeout(() => said.remove(), SPOKEN_MS);
    }

    function button(name, onclick, given) {
      return make("button." + name, { ariaLabel: words[name], onclick, ...given }, SIGNS[name] || words[name]);
    }

    function add(item) {
      state.items.push(item);
      draw(item);
      return item;
    }

    function draw(item) {
      const before = nodes.get(item);
      const node = drawn(item);
      nodes.set(item, node);
      if (before?.isConnected) before.replaceWith(node);
      else {
        list.append(node);
        log.scrollTop = 0;
      }
    }

    function drawn(item) {
      const { turn, over, steps = [], text, cites, hand, fault } = item;
      const who = turn ? "agent" : "you";
      const again = () => {
        field.focus();
        item.fault = 0;
        draw(item);
        flush();
      };
      const shown = [...steps];
      if (turn && !over && !text && !steps.some((each) => each.how == "run")) shown.push({ text: words.thinking, how: "run" });
      return make(
        "div." + who,
        { role: "group", ariaLabel: words[who] },
        shown[0] && make("ul", 0, ...shown.map((each) => make("li." + each.how, { dir: "auto" }, each.text))),
        hand && make("b.hand", 0, hand),
        text && make("p", { dir: "auto" }, ...rich(text, cites)),
        fault && make("small.fault", 0, words[fault], !turn && make("button", { onclick: again }, make("u", 0, words.retry))),
        cites?.[0] && make("div.row", 0, ...cites.map((cite, n) => source(cite, n, 1))),
        cites && option("feedback") != "off" && rated(item),
      );
    }

    function rated(item) {
      const rate = (rating) => {
        item.rating = rating;
        draw(item);
        nodes.get(item).querySelector("button." + rating)?.focus();
        save();
        return rating && request(`/${state.conversation}/feedback`, { turn: item.turn, rating }).catch(() => rate(0));
      };
      return make("div.row", 0, ...["good", "bad"].map((rating) => button(rating, () => rate(rating), { ariaPressed: item.rating == rating })));
    }

    /** The little of Markdown that answers are written in, as nodes; sources have their number behind
     * the words that they stand for. */
    function rich(text, cites = []) {
      cites.forEach(({ quote }, n) => (text = text.replace(quote, `$&\0${n}\0`).replace(/(\0\d+\0)(["”».,]+)/, "$2$1")));
      return text.split(/(\0\d+\0|\*\*.+?\*\*|\[.+?\]\(https?:\S+?\)|https?:[^\s)]+[\w/])/).map((part, n) => {
        if (n % 2 == 0) return part;
        const inside = part.slice(1, -1);
        if (part < " ") return make("sup", 0, source(cites[inside], +inside));
        if (part[0] == "*") return make("strong", 0, inside.slice(1, -1));
        const [name, url] = inside.split("](");
        return url ? anchor(url, name) : anchor(part, part);
      });
    }

    function source(cite, n, named) {
      const { document: id, quote } = cite;
      const title = cite.title || id.replace(/\.\w+$/, "").replace(/[_-]/g, " ");
      const url = option("document-url")?.replace("{}", encodeURI(id)) || id;
      const show = () => {
        dialog.replaceChildren(
          make("div.head", 0, make("h2", { dir: "auto" }, title), button("close", () => dialog.close())),
          make("p", { dir: "auto" }, quote),
          /^https?:/.test(url) ? anchor(url + "#:~:text=" + encodeURIComponent(quote), words.read) : "",
        );
        dialog.ariaLabel = title;
        dialog.showModal();
      };
      return make("button.source", { onclick: show, ariaLabel: `${words.source} ${n + 1} ${title}` }, make("b", 0, n + 1), named && make("span", { dir: "auto" }, " " + title));
    }

    // -- what people do ---------------------------------------------------------------------------

    function open(quietly) {
      panel.hidden = !(launcher.hidden = state.open = 1);
      if (quietly != true) field.focus();
      flush();
      save();
    }

    function close() {
      panel.hidden = !(launcher.hidden = state.open = 0);
      launcher.focus();
      save();
    }

    /** Forget the conversation here, as on signing out; the next message begins another. */
    function clear() {
      leave();
      notes.textContent = "";
      begun({ open: state.open });
    }

    /** Say something, as if the contact had written it. */
    function ask(text) {
      add({ text, id: identity() });
      save();
      flush();
    }

    function submit(event) {
      event.preventDefault();
      const text = field.value.trim();
      field.value = "";
      field.focus();
      if (text) ask(text);
    }

    function leave() {
      hearing?.abort();
      hearing = null;
    }

    const launcher = button("open", open);
    const list = make("div.list");
    const log = make("div.log", { role: "log", ariaLive: "off", ariaLabel: words.title, tabIndex: 0 }, list);
    const notes = make("small.note", { role: "status" });
    const field = make("textarea", {
      rows: 1,
      dir: "auto",
      placeholder: words.label,
      ariaLabel: words.label,
      onkeydown(event) {
        if (event.key == "Enter" && !event.shiftKey && event.keyCode != 229) submit(event);
      },
    });
    const stop = button("stop", () => {
      field.focus();
      request(`/${state.conversation}/cancel`, {}).catch(() => 0);
    }, { type: "button" });
    const panel = make(
      "section.panel",
      { ariaLabel: words.title, hidden: true, onkeydown: (event) => void (event.key == "Escape" && close()) },
      make("div.head", 0, make("h2", { dir: "auto" }, words.title), button("fresh", () => field.focus(clear())), button("close", close)),
      log,
      notes,
      make("form", { onsubmit: submit }, field, stop, button("send")),
    );
    const dialog = make("dialog", { onclick: (event) => void (event.target == dialog && dialog.close()) });
    const spoken = make("div.spoken", { ariaLive: "polite" });
    const root = host.shadowRoot || host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replace(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.replaceChildren(launcher, panel, dialog, spoken);

    let kept;
    try {
      kept = JSON.parse(sessionStorage[place]);
    } catch {}
    begun(kept);
    Object.assign(host, { open, close, clear, ask });
    if (state.open) open(true);
    else flush();
    return leave;
  }

  function embed() {
    const element = make("stepfold-chat");
    for (const { name, value } of script.attributes) element.setAttribute(name.replace("data-", ""), value);
    document.body.append(element);
  }

  customElements.define(
    "stepfold-chat",
    class extends HTMLElement {
      connectedCallback() {
        this.leave = begin(this);
      }
      disconnectedCallback() {
        this.leave();
      }
    },
  );
  if (script?.dataset.tokenUrl) {
    if (document.body) embed();
    else addEventListener("DOMContentLoaded", embed);
  }
})();
