// Materials of a class: files go up one by one with a bar each, and lists follow what is under way.

const token = document.querySelector('[name="_xsrf"]')?.value;

// Uploads. Without scripts the form sends all files at once.

const form = document.querySelector("[data-upload]");
if (form) {
  const card = form.closest(".card");
  const chosen = form.querySelector('input[type="file"]');
  form.querySelector(".drop-hint").hidden = false;
  form.addEventListener("submit", (event) => {
    if (chosen.files.length === 0) return;  // the hub says what to do
    event.preventDefault();
    sendAll([...chosen.files]);
  });
  let inside = 0;
  card.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    inside += 1;
    card.classList.add("over");
  });
  card.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside -= 1;
    if (inside <= 0) card.classList.remove("over");
  });
  card.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  card.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside = 0;
    card.classList.remove("over");
    sendAll([...event.dataTransfer.files]);
  });
}

function hasFiles(event) {
  return [...event.dataTransfer.types].includes("Files");
}

async function sendAll(files) {
  const button = form.querySelector("button");
  const list = form.querySelector(".sent");
  const folder = form.querySelector('[name="folder"]').value;
  list.replaceChildren();
  button.disabled = true;
  let failed = 0;
  for (const file of files) {
    const line = document.createElement("li");
    const text = document.createElement("span");
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    text.textContent = form.dataset.sending.replace("#", () => file.name);
    bar.setAttribute("aria-label", text.textContent);
    line.append(text, bar);
    list.append(line);
    const trouble = await send(file, folder, (part) => {
      bar.value = part;
    });
    bar.remove();
    failed += trouble === null ? 0 : 1;
    text.textContent =
      trouble === null
        ? form.dataset.stored.replace("#", () => file.name)
        : form.dataset.failed.replace("#", () => file.name) + trouble;
    text.className = trouble === null ? "" : "wrong";
  }
  button.disabled = false;
  if (failed) return;
  const goal = new URL(location.href);
  const clean = folder.replace(/^[ /]+|[ /]+$/g, "");
  if (clean) goal.searchParams.set("folder", clean);
  else goal.searchParams.delete("folder");
  location.assign(goal);
}

// Resolves to null, or to why the file wasn't taken.
function send(file, folder, tell) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ folder, name: file.name });
    request.open("POST", `${form.action}?${query}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-XSRFToken", token);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) tell(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(null);
      else resolve(reason(request));
    });
    request.addEventListener("error", () => resolve(form.dataset.lost));
    request.send(file);
  });
}

function reason(request) {
  try {
    return JSON.parse(request.responseText).message;
  } catch {
    return `${request.status} ${request.statusText}`;
  }
}

// Lists. The hub answers scripts only if they know the page's token: other pages of this host don't.

const pauseMilliseconds = 1500;
let failures = 0;

async function refresh() {
  if (!document.hidden) {
    try {
      const headers = { "X-XSRFToken": token };
      const answer = await fetch(location.href, { redirect: "error", cache: "no-store", headers });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      failures = 0;
      for (const part of document.querySelectorAll("[data-live-part]")) {
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
  const focused = part.contains(document.activeElement) ? label(document.activeElement) : null;
  part.replaceWith(document.adoptNode(fresh));
  if (focused === null) return;
  const same = [...fresh.querySelectorAll("a, button, summary")].find((one) => label(one) === focused);
  same?.focus();
}

function plan() {
  if (failures > 5 || !document.querySelector("[data-moving]")) return;
  setTimeout(refresh, pauseMilliseconds * 2 ** failures);
}

plan();
