// Keys, and the step that an address names. Everything else works without this file.
(() => {
  "use strict";
  const typing = (target) => target.closest("input, select, textarea, [contenteditable]") !== null;
  const rows = () => [...document.querySelectorAll("main [data-row]")].filter((row) => row.checkVisibility());
  const AGAIN_MS = 2000, LOOK_MS = 60000;
  let going = 0;

  function focusable(row) {
    return row.matches("a, summary") ? row : row.querySelector("a");
  }

  function move(by) {
    const all = rows();
    if (!all.length) return;
    const active = document.activeElement;
    const at = all.findIndex((row) => row.classList.contains("here") || row.contains(active));
    const next = all[Math.min(Math.max(at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by, 0), all.length - 1)];
    all.forEach((row) => row.classList.toggle("here", row === next));
    const target = focusable(next);
    if (target) target.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function openTarget() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.querySelector(":scope > details");
    if (details) details.open = true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form) {
      event.target.form.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (going && /^[1-9]$/.test(event.key)) {
      going = 0;
      const link = document.querySelectorAll(".side nav a")[event.key - 1];
      if (link) link.click();
      return;
    }
    going = 0;
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "g") going = 1;
    else if (event.key === "/") {
      const search = document.querySelector("input[type=search], textarea");
      if (!search) {
        location.href = document.querySelectorAll(".side nav a")[1].href;
        return;
      }
      event.preventDefault();
      search.focus();
      if (search.select) search.select();
    } else if (event.key === "?") document.getElementById("keys").showModal();
  });
  const nav = document.querySelector(".side nav");
  const here = nav && nav.querySelector("[aria-current]");
  if (here) {
    const [shown, whole] = [here.getBoundingClientRect(), nav.getBoundingClientRect()];
    nav.scrollLeft += shown.left - whole.left - (whole.width - shown.width) / 2;
  }

  // The extension comes back when a stream ends, but not when the first answer was none.
  function connectAgain({ target }) {
    const place = target.getAttribute && target.getAttribute("hx-sse:connect");
    if (!place) return;
    setTimeout(() => {
      if (target.isConnected && !(target._htmx && target._htmx.sse)) htmx.ajax("GET", place, { source: target });
    }, AGAIN_MS * (0.5 + Math.random()));
  }

  document.addEventListener("htmx:error", connectAgain);
  document.addEventListener("htmx:response:error", connectAgain);

  // A page connects when it is first seen: a browser has six connections to a host, and a dozen tabs
  // opened behind this one would take them all. It says when it is not up to date, and looks again
  // now and then, because "6 min ago" is not true for long.
  const live = document.getElementById("live");
  function keepUp() {
    const note = Object.assign(document.createElement("p"), { className: "trouble", hidden: true });
    note.setAttribute("role", "status");
    live.after(note);
    const tell = (on, what) => document.addEventListener(on, (event) => {
      if (event.target !== live) return;
      if (event.detail && event.detail.status === 401) return location.reload();
      if (!note.hidden) return;
      note.textContent = `Not up to date since ${new Date().toISOString().slice(11, 19)} UTC: ${what} It is tried again.`;
      note.hidden = false;
    });
    for (const on of ["htmx:sse:error", "htmx:error", "htmx:response:error"]) tell(on, "the connection is lost.");
    tell("away", "nobody keeps the views (`stepfold serve` does).");
    for (const on of ["htmx:sse:after:connection", "back"]) live.addEventListener(on, () => {
      if (!note.hidden) htmx.trigger(live, "again");
      note.hidden = true;
    });
    const seen = () => { if (!document.hidden) htmx.trigger(live, "seen"); };
    document.addEventListener("visibilitychange", seen);
    document.addEventListener("DOMContentLoaded", () => setTimeout(seen));
    setInterval(() => { if (!document.hidden && note.hidden) htmx.trigger(live, "again"); }, LOOK_MS);
  }
  if (live) keepUp();

  // What is put in anew comes without the sign of the row where the keys are.
  document.addEventListener("htmx:after:swap", () => {
    const row = rows().find((each) => each.contains(document.activeElement));
    if (row && document.activeElement !== document.body) row.classList.add("here");
  });

  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest && event.target.closest("time[datetime]");
    if (!time || time.title.includes(" here")) return;
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.title += `, ${at.toLocaleString()} here`;
  });

  function sort(head, table) {
    const at = head.cellIndex;
    const said = (row) => row.cells[at].dataset.v ?? row.cells[at].textContent.trim();
    const all = [...table.tBodies[0].rows];
    const isNumber = all.every((row) => !Number.isNaN(Number(said(row))));
    const down = head.ariaSort ? head.ariaSort === "ascending" : isNumber;
    const order = (a, b) => (isNumber ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
    const empty = (text) => text === "" || text === "–";
    all.sort((one, two) => {
      const [a, b] = [said(one), said(two)];
      return empty(a) - empty(b) || (down ? order(b, a) : order(a, b));
    });
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...all);
  }

  document.querySelectorAll(".sheet table").forEach((table) => {
    if (table.tBodies[0].rows.length < 2) return;
    for (const head of table.tHead.rows[0].cells) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(head, table));
    }
  });

  window.addEventListener("hashchange", openTarget);
  openTarget();
})();
