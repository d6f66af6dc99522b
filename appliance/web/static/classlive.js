// Keeps a class page up to date by one stream: numbers change in place, nothing moves by itself, and
// whoever listens to the page hears the summary now and then.

const form = document.getElementById("class-form");
const table = form.querySelector("[data-table]");
const rows = new Map([...form.querySelectorAll("tr[data-user]")].map((row) => [row.dataset.user, row]));
const known = new Map();
const words = form.dataset;
const language = document.documentElement.lang || "en";
const announceEachMs = 30000;
const hiddenMs = 60000;

function unit(name, digits) {
  return new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits });
}

const megabytes = unit("megabyte", 0);
const fewGigabytes = unit("gigabyte", 1);
const gigabytes = unit("gigabyte", 0);
const decimal = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });

function size(count) {
  if (count < 1024) return megabytes.format(count);
  return (count < 10240 ? fewGigabytes : gigabytes).format(count / 1024);
}

function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// One row

function memory(one) {
  if (one.memory_mb === null) return "";
  if (!one.memory_limit_mb) return size(one.memory_mb);
  return words.of.replace("{used}", size(one.memory_mb)).replace("{limit}", size(one.memory_limit_mb));
}

function disk(one) {
  if (one.disk_mb === null) return "";
  if (!one.disk_limit_mb) return size(one.disk_mb);
  return words.of.replace("{used}", size(one.disk_mb)).replace("{limit}", size(one.disk_limit_mb));
}

function detail(one) {
  if (one.queue_position) return words.place.replace("#", one.queue_position);
  if (one.near === "memory") return words.nearMemory;
  if (one.near === "cpu") return words.nearCpu;
  if (one.near === "disk") return one.disk_percent >= 100 ? words.fullDisk : words.nearDisk;
  if (one.memory_kills) return words.memoryOut.replace("#", one.memory_kills);
  if (!one.idle_minutes) return "";
  const idle = words.idle.replace("#", one.idle_minutes);
  if (!one.stops) return idle;
  const time = new Date(one.stops).toLocaleTimeString("de", { hour: "2-digit", minute: "2-digit" });
  return `${idle}, ${words.stops.replace("#", time)}`;
}

function level(cell, percent) {
  const bar = cell.querySelector(".bar");
  bar.toggleAttribute("hidden", percent === null);
  bar.classList.toggle("near", (percent ?? 0) >= 85);
  bar.querySelector(".level").setAttribute("width", String(percent ?? 0));
}

function buttons(row, one) {
  const granted = one.visit?.state === "granted";
  const shown = {
    open: granted,
    end: granted,
    asked: one.visit?.state === "asked",
    ask: one.state === "ready" && !one.visit,
    start: one.account === "active" && ["stopped", "failed"].includes(one.state),
    stop: ["starting", "ready"].includes(one.state),
  };
  const focused = row.querySelector("[data-do]:focus");
  for (const button of row.querySelectorAll("[data-do]")) button.hidden = !shown[button.dataset.do];
  // Whoever was on a button that is gone stays in the row.
  if (focused?.hidden) (row.querySelector(".do a:not([hidden]), .do button:not([hidden])") ?? row.querySelector("input")).focus();
}

function update(row, one) {
  const presence = row.querySelector("[data-presence]");
  put(presence, one.here ? words.here : words.away);
  presence.classList.toggle("here", one.here);
  row.classList.toggle("is-here", one.here);
  row.classList.toggle("near", Boolean(one.near));
  const state = row.querySelector("[data-state]");
  put(state, words[one.state]);
  if (state.className !== `state ${one.state}`) state.className = `state ${one.state}`;
  put(row.querySelector("[data-detail]"), detail(one));
  const used = row.querySelector("[data-memory]");
  put(used, memory(one));
  level(used.parentElement, one.memory_percent);
  const busy = row.querySelector("[data-cpu]");
  put(busy, one.cores === null ? "" : words.cores.replace("#", decimal.format(one.cores)));
  level(busy.parentElement, one.cpu_percent);
  const kept = row.querySelector("[data-disk]");
  if (kept) {
    put(kept, disk(one));
    level(kept.parentElement, one.disk_percent);
  }
  buttons(row, one);
}

// Which rows are shown, and in which order

const tests = {
  all: () => true,
  here: (one) => one.here,
  running: (one) => ["starting", "ready"].includes(one.state),
  near: (one) => Boolean(one.near),
  away: (one) => !one.here,
};
const orders = {
  "name": (one) => [one.name],
  "full-name": (one) => [(one.full_name || one.name).toLocaleLowerCase(language)],
  "state": (one) => [["failed", "starting", "ready", "stopping", "stopped"].indexOf(one.state)],
  "memory": (one) => [-(one.memory_mb ?? 0)],
  "cpu": (one) => [-(one.cores ?? 0)],
  "disk": (one) => [-(one.disk_mb ?? 0)],
};

function isHeld(row) {
  return row.contains(document.activeElement) || row.querySelector("input").checked;
}

function show(row, one, chosen) {
  const fits = tests[words.show](one);
  // What somebody is about to use isn't taken away, unless they chose to see others.
  if (!fits && !chosen && isHeld(row)) return;
  row.hidden = !fits;
  if (!fits) row.querySelector("input").checked = false;
}

function showAll(chosen) {
  for (const [name, row] of rows) if (known.has(name)) show(row, known.get(name), chosen);
  form.querySelector("[data-nobody]").hidden = [...rows.values()].some((row) => !row.hidden);
  count();
}

function sort(key) {
  const value = (row) => [...orders[key](known.get(row.dataset.user)), row.dataset.user];
  const all = [...rows.values()].filter((row) => known.has(row.dataset.user));
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  all.sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    return compare(left[0], right[0]) || compare(left[1], right[1]);
  });
  table.tBodies[0].append(...all);
}

function remember(name, value, first) {
  const address = new URL(location.href);
  if (value === first) address.searchParams.delete(name);
  else address.searchParams.set(name, value);
  history.replaceState(null, "", address);
  const action = new URL(form.action);
  action.search = address.search;
  form.action = action.href;
}

// Choosing

const chosen = form.querySelector("[data-chosen]");
const all = form.querySelector("[data-all]");

function boxes() {
  return [...rows.values()].filter((row) => !row.hidden).map((row) => row.querySelector("input"));
}

function count() {
  const marked = boxes().filter((box) => box.checked).length;
  const pattern = marked === 0 ? chosen.dataset.none : marked === 1 ? chosen.dataset.one : chosen.dataset.many;
  put(chosen, pattern.replace("#", String(marked)));
  all.checked = marked > 0 && marked === boxes().length;
  all.indeterminate = marked > 0 && !all.checked;
}

// The stream

let source = null;
let summary = "";
let announced = Date.now();

function summarize(counts) {
  const filters = { ...counts, all: counts.students, away: counts.students - counts.here };
  for (const link of document.querySelectorAll("[data-show]")) {
    const place = link.querySelector(".count");
    if (place) put(place, String(filters[link.dataset.show]));
  }
  const place = document.querySelector("[data-summary]");
  const numbers = [counts.students, counts.here, counts.running, counts.near];
  let index = 0;
  // The words were made for other numbers; where the language has a word for one, a reload says it.
  const text = place.textContent.trim().replace(/\s+/g, " ").replace(/\d+/g, () => String(numbers[index++]));
  put(place, text);
  if (text !== summary && Date.now() - announced > announceEachMs) {
    announced = Date.now();
    put(document.querySelector("[data-announce]"), text);
  }
  summary = text;
}

function hear({ data }) {
  const event = JSON.parse(data);
  summarize(event.counts);
  let isNew = false;
  for (const one of event.changed) {
    const row = rows.get(one.name);
    if (!row) isNew = true;
    else {
      known.set(one.name, one);
      update(row, one);
    }
  }
  for (const name of event.gone) {
    const row = rows.get(name);
    if (row && !isHeld(row)) row.remove();
    rows.delete(name);
    known.delete(name);
  }
  showAll(false);
  // Newcomers have no row yet; whoever is about to do something isn't disturbed.
  if (isNew && !busy()) location.reload();
}

function busy() {
  return document.getElementById("text").value !== "" || boxes().some((box) => box.checked) || form.contains(document.activeElement);
}

function connect() {
  const token = form.querySelector('[name="_xsrf"]').value;
  source = new EventSource(`${form.dataset.class}?_xsrf=${encodeURIComponent(token)}`);
  const lost = document.querySelector("[data-lost]");
  source.addEventListener("open", () => {
    lost.hidden = true;
  });
  source.addEventListener("message", hear);
  source.addEventListener("error", () => {
    lost.hidden = false;
    // A stream that the hub refused won't come back by itself; the page says how things stand.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  });
}

if (table) {
  let leaving = 0;
  connect();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) {
      leaving = setTimeout(() => {
        source.close();
        source = null;
      }, hiddenMs);
    } else if (!source) connect();
  });
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    count();
  });
  form.addEventListener("change", count);
  // In a form the Enter key presses the first button, which nobody means by it on a box.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches('input[type="checkbox"]')) event.preventDefault();
  });
  for (const link of document.querySelectorAll("[data-shows] a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      words.show = link.dataset.show;
      mark(link);
      remember("show", words.show, "all");
      showAll(true);
    });
  }
  for (const link of document.querySelectorAll("[data-views] a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      mark(link);
      table.className = `live ${link.dataset.view}`;
      remember("view", link.dataset.view, "table");
    });
  }
  document.querySelector("[data-no-script]").hidden = true;
  document.getElementById("sort").addEventListener("change", ({ target }) => {
    remember("sort", target.value, "name");
    sort(target.value);
  });
  count();
}

function mark(link) {
  for (const one of link.closest("ul").querySelectorAll("a")) one.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
}
