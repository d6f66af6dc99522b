// Follows a class on its way into the archive, until it is there.

// The hub answers scripts only if they know the page's token: other pages of this host don't.
async function look() {
  const part = document.querySelector("[data-moving]");
  if (!part) return;
  if (!document.hidden) {
    const token = document.querySelector('[name="_xsrf"]').value;
    const answer = await fetch(location.href, {
      redirect: "error", cache: "no-store", headers: { "X-XSRFToken": token },
    }).catch(() => null);
    if (answer?.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(part.id);
      if (!fresh || !("moving" in fresh.dataset)) {
        location.reload();
        return;
      }
      if (fresh.textContent !== part.textContent) part.replaceWith(document.adoptNode(fresh));
    } else if (answer) {
      // The class is gone, and with it this page.
      location.assign(document.querySelector("a.back")?.href ?? location.href);
      return;
    }
  }
  setTimeout(look, 2000);
}

setTimeout(look, 2000);
