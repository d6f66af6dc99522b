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
  const update = () => {
    meter.hidden = input.value === "";
    const [level, words] = judge(input.value, Number(input.getAttribute("minlength") ?? 1), name?.value ?? "");
    meter.dataset.level = level;
    text.textContent = words;
  };
  input.addEventListener("input", update);
  name?.addEventListener("input", update);
}

function judge(password, least, name) {
  const characters = [...password.normalize("NFC")];
  const missing = least - characters.length;
  if (missing === 1) return [1, "Too short: 1 more character."];
  if (missing > 1) return [1, `Too short: ${missing} more characters.`];
  if (new TextEncoder().encode(password.normalize("NFC")).length > 72) {
    return [1, "Too long: 72 bytes is the most; accented letters and symbols count as 2 to 4."];
  }
  if (name.length > 2 && password.toLowerCase().includes(name.toLowerCase())) {
    return [1, "It contains your user name."];
  }
  const different = new Set(characters).size;
  const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\p{Nd}/u, /[^\p{L}\p{Nd}]/u].filter((kind) => kind.test(password)).length;
  const score = Math.min(characters.length, different * 1.6) + kinds * 1.5;
  if (different < 5 || score < 12) return [2, "Weak: easy to guess. More words make it better."];
  if (score < 17) return [3, "Good."];
  return [4, "Strong."];
}
