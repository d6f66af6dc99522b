// Keeps the page's servers up to date: fetches the page again and takes those parts of it.

// The hub answers scripts only if they know the page's token: other pages of this host don't.
function fetchAgain() {
  const token = document.querySelector('[name="_xsrf"]').value;
  return fetch(location.href, { redirect: "error", cache: "no-store", headers: { "X-XSRFToken": token } });
}

const failureLimit = 5;
let failures = 0;

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetchAgain();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok || !page.getElementById("server")) throw new Error(String(answer.status));
      failures = 0;
      for (const part of document.querySelectorAll("#server, [data-live-part]")) {
        const fresh = page.getElementById(part.id);
        if (fresh) replace(part, fresh);
      }
    } catch {
      failures += 1;
    }
  }
  plan();
}

function label(control) {
  return control.getAttribute("aria-label") ?? control.textContent.trim();
}

function replace(part, fresh) {
  if (part.outerHTML === fresh.outerHTML) return;
  // Somebody is reading the lines in it.
  if (document.activeElement?.closest("details") && part.contains(document.activeElement)) return;
  const focused = part.contains(document.activeElement) ? label(document.activeElement) : null;
  const open = part.querySelector("details")?.open ?? false;
  const before = part.querySelector("h2")?.textContent;
  part.replaceWith(document.adoptNode(fresh));
  const now = fresh.querySelector("h2")?.textContent;
  const isState = fresh.id === "server";
  if (isState && now !== before) document.querySelector("[data-announce]").textContent = now;
  if (open) fresh.querySelector("details")?.setAttribute("open", "");
  if (focused === null) return;
  const same = [...fresh.querySelectorAll("a, button, summary")].find((one) => label(one) === focused);
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
