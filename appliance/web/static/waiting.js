// Asks how it stands with a sign-up, and goes on when its owner is let in or turned away.

const form = document.querySelector("[data-waiting]");
const said = document.querySelector("[data-said]");
const pauseSeconds = 4;
const longestPauseSeconds = 60;
let failures = 0;

async function look() {
  if (!document.hidden) {
    try {
      const token = form.querySelector('[name="_xsrf"]').value;
      const answer = await fetch(form.dataset.stage, { cache: "no-store", headers: { "X-XSRFToken": token } });
      if (!answer.ok) throw new Error(String(answer.status));
      const { stage } = await answer.json();
      failures = 0;
      if (stage !== form.dataset.waiting) {
        if (stage === "approved") said.textContent = said.dataset.approved;
        form.submit();
        return;
      }
    } catch {
      failures += 1;
    }
  }
  setTimeout(look, Math.min(longestPauseSeconds, pauseSeconds * 2 ** failures) * 1000);
}

if (form.dataset.waiting === "approved") form.submit();
else setTimeout(look, pauseSeconds * 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) failures = 0;
});
