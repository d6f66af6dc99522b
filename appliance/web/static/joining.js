// Comforts of the joining page: choose all, counts, and a list of who waits that follows by itself.

const everySeconds = 5;
const failureLimit = 5;
let failures = 0;

function words(place, count) {
  const pattern = count === 0 ? place.dataset.none : count === 1 ? place.dataset.one : place.dataset.many;
  place.textContent = pattern.replace("#", String(count));
}

function boxes(form) {
  return [...form.querySelectorAll('input[name="user"]')];
}

function prepare() {
  const form = document.querySelector("[data-choose]");
  if (!form) return;
  const all = form.querySelector("[data-all]");
  const count = () => {
    const marked = boxes(form).filter((box) => box.checked).length;
    words(form.querySelector("[data-chosen]"), marked);
    all.checked = marked > 0 && marked === boxes(form).length;
    all.indeterminate = marked > 0 && !all.checked;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes(form)) box.checked = all.checked;
    count();
  });
  form.addEventListener("change", count);
  count();
}

// The hub answers scripts only if they know the page's token: other pages of this host don't.
function fetchAgain() {
  const token = document.querySelector('[name="_xsrf"]').value;
  const address = location.pathname.replace(/\/codes$/, "");
  return fetch(address, { redirect: "error", cache: "no-store", headers: { "X-XSRFToken": token } });
}

function swap(part, fresh) {
  const marked = new Set(boxes(part).filter((box) => box.checked).map((box) => box.value));
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.getAttribute("aria-label") ?? focused.textContent);
  part.replaceWith(fresh);
  for (const box of boxes(fresh)) box.checked = marked.has(box.value);
  prepare();
  if (!focused) return;
  const same = [...fresh.querySelectorAll("button, input")].find(
    (one) => (one.getAttribute("aria-label") ?? one.textContent) === key,
  );
  (same ?? document.getElementById("main")).focus();
}

function names(part) {
  return boxes(part).map((box) => box.value).join("\n");
}

async function look() {
  const part = document.querySelector("[data-follow]");
  if (!document.hidden) {
    try {
      const answer = await fetchAgain();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-follow]");
      if (!answer.ok || !fresh) throw new Error(String(answer.status));
      failures = 0;
      if (names(part) !== names(fresh)) swap(part, document.adoptNode(fresh));
    } catch {
      failures += 1;
    }
  }
  if (failures < failureLimit) setTimeout(look, everySeconds * 1000);
}

prepare();
setTimeout(look, everySeconds * 1000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden || failures < failureLimit) return;
  failures = 0;
  look();
});
