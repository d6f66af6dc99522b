// Says while typing what is wrong with a user name; the hub checks again with the same rules.

const form = document.querySelector("[data-signup]");
const input = form.querySelector("#username");
const place = form.querySelector("#username-error");
const words = place.dataset;

function whyNot(text) {
  const name = text.normalize("NFKC").trim().toLowerCase();
  if (name === "") return "";
  if (!/^[a-z0-9]/.test(name)) return words.begin;
  const odd = [...name].find((character) => !/[a-z0-9._@-]/.test(character));
  if (odd === " ") return words.spaces;
  if (odd !== undefined) return words.odd.replace("#", odd);
  if (name.length > 48) return words.long.replace("#", String(name.length));
  return "";
}

function check() {
  const problem = whyNot(input.value);
  place.textContent = problem;
  input.toggleAttribute("aria-invalid", false);
  if (problem) input.setAttribute("aria-invalid", "true");
  input.setCustomValidity(problem);
}

input.addEventListener("input", check);
