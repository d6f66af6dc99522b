// A join code on the projector: full screen, Escape to go back, and how many have joined.

const place = document.querySelector("[data-count]");
const back = document.querySelector("[data-back]");
const full = document.querySelector("[data-full]");
const everySeconds = 3;

function tell({ uses, works }) {
  let text = uses === 0 ? place.dataset.none : uses === 1 ? place.dataset.one : place.dataset.many;
  if (!works) text = place.dataset.over;
  text = text.replace("#", String(uses));
  if (place.textContent.trim() !== text) place.textContent = text;
}

async function look() {
  if (!document.hidden) {
    try {
      const token = document.querySelector('[name="_xsrf"]').value;
      const answer = await fetch(place.dataset.count, {
        redirect: "error", cache: "no-store", headers: { "X-XSRFToken": token },
      });
      if (answer.ok) tell(await answer.json());
    } catch {
      // The next look may succeed; the code stays where everybody sees it.
    }
  }
  setTimeout(look, everySeconds * 1000);
}

if (document.fullscreenEnabled) {
  full.hidden = false;
  full.addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen();
  });
}

// In full screen the browser takes the first Escape for itself.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.fullscreenElement) location.assign(back.href);
});

setTimeout(look, everySeconds * 1000);
