// Keeps the card of the own server up to date: fetches this page again and takes its card.

// The hub answers scripts only if they know the page's token: other pages of this host don't.
function fetchAgain() {
  const token = document.querySelector('[name="_xsrf"]').value;
  return fetch(location.href, { redirect: "error", cache: "no-store", headers: { "X-XSRFToken": token } });
}

const failureLimit = 5;
let failures = 0;

async function refresh() {
  const card = document.getElementById("server");
  if (!document.hidden && !card.contains(document.activeElement?.closest("details") ?? null)) {
    try {
      const answer = await fetchAgain();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("server");
      if (!answer.ok || !fresh) throw new Error(String(answer.status));
      failures = 0;
      replace(card, fresh);
    } catch {
      failures += 1;
    }
  }
  plan();
}

function replace(card, fresh) {
  if (card.outerHTML === fresh.outerHTML) return;
  const focused = card.contains(document.activeElement) ? document.activeElement.textContent.trim() : null;
  const open = card.querySelector("details")?.open ?? false;
  const before = card.querySelector("#server-title").textContent;
  card.replaceWith(document.adoptNode(fresh));
  const now = fresh.querySelector("#server-title").textContent;
  if (now !== before) document.querySelector("[data-announce]").textContent = now;
  if (open) fresh.querySelector("details")?.setAttribute("open", "");
  if (focused === null) return;
  const same = [...fresh.querySelectorAll("a, button, summary")].find((one) => one.textContent.trim() === focused);
  (same ?? fresh.querySelector("a, button"))?.focus();
}

function plan() {
  if (failures >= failureLimit) return;  // until somebody looks again, below
  const seconds = Number(document.getElementById("server").dataset.live);
  setTimeout(refresh, seconds * 1000 * 2 ** failures);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden || failures < failureLimit) return;
  failures = 0;
  plan();
});

plan();
