// Shows and hides passwords, and says how strong a new one is. Pages work without it.

for (const box of document.querySelectorAll("[data-password]")) {
  const input = box.querySelector("input");
  const button = box.querySelector("button");
  button.hidden = false;
  const show = (visible) => {
    input.type = visible ? "text" : "password";
    button.setAttribute("aria-pressed", String(visible));
    button.textContent = visible ? button.dataset.hide : button.dataset.show;
  };
  button.addEventListener("click", () => {
    show(input.type === "password");
    input.focus();
  });
  // Password managers and the browser's own store look for a field of type password.
  input.form.addEventListener("submit", () => show(false));
  if (input.dataset.strength) watchStrength(input);
}

function watchStrength(input) {
  const text = document.getElementById(input.dataset.strength);
  const meter = text.parentElement;
  const name = input.form.querySelector('[name="username"]');
  let asking;
  const show = (level, words) => {
    meter.dataset.level = level;
    text.textContent = words;
  };
  const update = () => {
    clearTimeout(asking);
    meter.hidden = input.value === "";
    const [level, words, missing] = judge(input.value, Number(input.getAttribute("minlength") ?? 1), name?.value ?? "");
    show(level, text.dataset[words].replace("#", String(missing)));
    if (level === 1 && words !== "named") return;
    asking = setTimeout(async () => {
      const typed = input.value;
      const refusal = await refusalOf(input, name?.value ?? "");
      if (refusal === null || typed !== input.value) return;
      if (refusal) show(1, refusal);
      else if (words === "named") show(2, text.dataset.weak);
    }, 400);
  };
  input.addEventListener("input", update);
  name?.addEventListener("input", update);
}

// What the hub would say to it, such as that everybody uses it; null if it can't be asked.
async function refusalOf(input, name) {
  try {
    const answer = await fetch(input.dataset.judge, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-XSRFToken": input.form.querySelector('[name="_xsrf"]').value },
      body: JSON.stringify({ password: input.value, username: name }),
    });
    return answer.ok ? (await answer.json()).refusal : null;
  } catch {
    return null;
  }
}

// How strong it is, and which of the words beside the field say so.
function judge(password, least, name) {
  const characters = [...password.normalize("NFC")];
  const missing = least - characters.length;
  if (missing === 1) return [1, "shortOne"];
  if (missing > 1) return [1, "shortMany", missing];
  if (new TextEncoder().encode(password.normalize("NFC")).length > 72) return [1, "long"];
  if (name.length > 2 && password.toLowerCase().includes(name.toLowerCase())) return [1, "named"];
  const different = new Set(characters).size;
  const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\p{Nd}/u, /[^\p{L}\p{Nd}]/u].filter((kind) => kind.test(password)).length;
  const score = Math.min(characters.length, different * 1.6) + kinds * 1.5;
  if (different < 5 || score < 12) return [2, "weak"];
  if (score < 17) return [3, "good"];
  return [4, "strong"];
}
