// Comforts of the admin pages: choose all, counts, and rows that follow starts and stops.

// The hub answers scripts only if they know the page's token: other pages of this host don't.
function fetchAgain() {
  const token = document.querySelector('[name="_xsrf"]').value;
  return fetch(location.href, { redirect: "error", cache: "no-store", headers: { "X-XSRFToken": token } });
}

function words(place, count) {
  const pattern = count === 0 ? place.dataset.none : count === 1 ? place.dataset.one : place.dataset.many;
  place.textContent = pattern.replace("#", String(count));
}

const form = document.querySelector("[data-rows]");
if (form) {
  const chosen = form.querySelector("[data-chosen]");
  const all = form.querySelector("[data-all]");
  const boxes = () => [...form.querySelectorAll('input[name="user"]')];
  const count = () => {
    const marked = boxes().filter((box) => box.checked).length;
    words(chosen, marked);
    all.checked = marked > 0 && marked === boxes().length;
    all.indeterminate = marked > 0 && !all.checked;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    count();
  });
  form.addEventListener("change", count);
  count();
  chooseRanges(form, boxes, count);
  moveByKeys(form);
  followMoves(form, boxes, count);
}

// With Shift, all between the box that was chosen last and this one become as this one.
function chooseRanges(form, boxes, count) {
  let last = null;
  form.addEventListener("click", (event) => {
    const box = event.target.closest?.('input[name="user"]');
    if (!box) return;
    const all = boxes();
    const from = all.findIndex((one) => one.value === last);
    if (event.shiftKey && from >= 0) {
      const to = all.indexOf(box);
      for (const one of all.slice(Math.min(from, to), Math.max(from, to) + 1)) one.checked = box.checked;
      count();
    }
    last = box.value;
  });
}

// Arrows go from row to row within a column; Space chooses and Enter opens, as everywhere.
function moveByKeys(form) {
  form.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest("tbody tr");
    if (!step || !row || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
    const kind = event.target.matches("input") ? "input" : event.target.matches("a") ? "a" : "button";
    const goal = next?.querySelector(kind) ?? next?.querySelector("input");
    if (!goal) return;
    event.preventDefault();
    goal.focus();
  });
}

const find = document.querySelector("[data-find]");
if (find) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (event.key !== "/" || typing || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    find.focus();
    find.select();
  });
}

function followMoves(form, boxes, count) {
  const look = async () => {
    const rows = form.querySelector("#user-rows");
    if (!document.hidden && "moving" in rows.dataset) {
      const answer = await fetchAgain().catch(() => null);
      if (answer?.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("user-rows");
        if (fresh) swap(rows, document.adoptNode(fresh));
      }
    }
    setTimeout(look, 2000);
  };
  const swap = (rows, fresh) => {
    const marked = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
    const focused = rows.contains(document.activeElement) ? document.activeElement : null;
    const key = focused?.getAttribute("aria-label") ?? focused?.textContent;
    rows.replaceWith(fresh);
    for (const box of boxes()) box.checked = marked.has(box.value);
    count();
    if (!focused) return;
    const row = [...fresh.querySelectorAll("a, button, input")];
    row.find((one) => (one.getAttribute("aria-label") ?? one.textContent) === key)?.focus();
  };
  setTimeout(look, 2000);
}
