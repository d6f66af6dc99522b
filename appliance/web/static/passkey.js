// Logging in with a passkey, and adding one: the browser talks to the device, the hub checks.
// Without scripts the forms stay hidden; passwords and codes work all the same.

for (const form of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button:not([type])");
    const message = form.querySelector("[data-message]");
    button.disabled = true;
    message.textContent = "";
    try {
      await go(form);
    } catch (error) {
      message.textContent = words(error, form);
      button.disabled = false;
    }
  });
}

async function go(form) {
  const kind = form.dataset.passkey;
  const asked = { second: kind === "second" };
  const password = form.querySelector('[name="password"]');
  if (kind === "register" && password) asked.password = password.value;
  const { key, options } = await send(form, form.dataset.begin, asked);
  const answer = kind === "register"
    ? await navigator.credentials.create({ publicKey: forCreating(options) })
    : await navigator.credentials.get({ publicKey: forGetting(options) });
  const name = form.querySelector('[name="name"]')?.value ?? "";
  const done = await send(form, form.dataset.finish, { ...asked, password: undefined, key, name, answer: plain(answer) });
  const place = new URL(done.location, location.href);
  if (form.dataset.next) place.searchParams.set("next", form.dataset.next);
  // The same page with another fragment would not be fetched again.
  if (place.pathname === location.pathname) {
    history.replaceState(null, "", place);
    location.reload();
  } else {
    location.assign(place);
  }
}

class Refused extends Error {}

async function send(form, url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-XSRFToken": form.querySelector('[name="_xsrf"]').value },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Refused(said.error);
  return said;
}

function words(error, form) {
  if (error instanceof Refused) return error.message;
  if (error.name === "InvalidStateError" && form.dataset.known) return form.dataset.known;
  if (error instanceof DOMException) return form.dataset.cancelled;
  return form.dataset.failed;
}

// What JSON has no bytes for. Browsers learned to do this by themselves, but not all of them yet.

function bytes(text) {
  const padded = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(padded), (character) => character.charCodeAt(0));
}

function text(buffer) {
  const characters = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(characters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

const known = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

function forCreating(options) {
  return {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: known(options.excludeCredentials),
  };
}

function forGetting(options) {
  return { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) };
}

function plain(credential) {
  const sent = credential.response;
  const response = { clientDataJSON: text(sent.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (sent[name]) response[name] = text(sent[name]);
  }
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response };
}
