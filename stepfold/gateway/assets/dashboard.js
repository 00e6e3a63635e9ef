// Keys, and the step that an address names. Everything else works without this file.
(() => {
  "use strict";
  const typing = (target) => target.closest("input, select, textarea, [contenteditable]") !== null;
  const rows = () => [...document.querySelectorAll("main [data-row]")].filter((row) => row.checkVisibility());
  const AGAIN_MS = 2000;
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
  window.addEventListener("hashchange", openTarget);
  openTarget();
})();
