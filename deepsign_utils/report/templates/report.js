/* Runs in the head, so that a remembered theme is there before the first paint. */
"use strict";
const root = document.documentElement;
const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* a private window */ } };
const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
if (recall("deepsign-theme")) root.dataset.theme = recall("deepsign-theme");

function themeSwitch() {
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ||
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = isDark() ? "Light mode" : "Dark mode"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember("deepsign-theme", root.dataset.theme);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
}

function codeSwitch() {
  const button = document.getElementById("code");
  if (!button) return;
  button.addEventListener("click", () => {
    const show = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", show);
    document.querySelectorAll("details.code").forEach((details) => { details.open = show; });
  });
}

function menu() {
  const button = document.getElementById("menu");
  const open = (yes) => button.setAttribute("aria-expanded", yes);
  button.addEventListener("click", () => open(button.getAttribute("aria-expanded") !== "true"));
  document.querySelector(".rail").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && button.getAttribute("aria-expanded") === "true") { open(false); button.focus(); }
  });
  document.querySelectorAll("#contents a").forEach((a) => a.addEventListener("click", () => open(false)));
}

/* The chapter in view is the last one whose top has passed the upper third of the window. */
function whereAmI() {
  const links = new Map([...document.querySelectorAll("nav > ol > li > a")]
    .map((a) => [document.getElementById(a.hash.slice(1)), a]));
  const mark = () => {
    let current = null;
    links.forEach((a, section) => {
      a.removeAttribute("aria-current");
      if (section.getBoundingClientRect().top < innerHeight / 3) current = a;
    });
    current?.setAttribute("aria-current", "true");
  };
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();
}

/* "12.3 % [10.1, 14.6]" sorts by 12.3, text by the alphabet, what is missing goes last. */
function sortable(table) {
  const body = table.tBodies[0];
  const text = (row, column) => row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [a, b].map((s) => parseFloat(s.replace(/,/g, "").replace("−", "-")));
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (!cell.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const empty = (s) => ["", "–", "NaN", "None", "<NA>"].includes(s);
      const rows = [...body.rows].sort((p, q) => {
        const [a, b] = [text(p, column), text(q, column)];
        if (empty(a) || empty(b)) return empty(a) - empty(b);
        return (down ? -1 : 1) * compare(a, b);
      });
      body.append(...rows);
    });
  });
}

function viewer() {
  const dialog = document.getElementById("viewer");
  const image = document.createElement("img");
  dialog.querySelector(".stage").append(image);
  const show = (figure) => {
    const source = figure.querySelector("img");
    image.src = source.src;
    image.alt = source.alt;
    document.getElementById("viewer-caption").textContent = figure.querySelector("figcaption").textContent;
    dialog.showModal();
  };
  document.querySelectorAll("figure").forEach((figure) => {
    figure.querySelector(".enlarge").hidden = false;
    figure.querySelector(".picture").addEventListener("click", () => show(figure));
  });
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

/* What scrolls sideways can be reached and named by the keyboard; what does not is no stop. */
function reachable(box) {
  const scrolls = box.scrollWidth > box.clientWidth + 1;
  if (!scrolls) {
    ["tabindex", "role", "aria-label"].forEach((name) => box.removeAttribute(name));
    return;
  }
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", box.tagName === "PRE" ? "Text, scrolls sideways" : "Table, scrolls sideways");
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("#menu, .switches").forEach((part) => { part.hidden = false; });
  root.classList.add("js");
  themeSwitch();
  codeSwitch();
  menu();
  whereAmI();
  viewer();
  document.querySelectorAll("table[data-sortable]").forEach(sortable);
  const boxes = new ResizeObserver((entries) => entries.forEach((entry) => reachable(entry.target)));
  document.querySelectorAll(".scroll, pre").forEach((box) => boxes.observe(box));
  addEventListener("beforeprint", () =>
    document.querySelectorAll("details:not(.code)").forEach((details) => { details.open = true; }));
});
