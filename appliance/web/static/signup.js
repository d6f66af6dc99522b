// Says while typing what is wrong with a user name; the hub checks again with the same rules.

const form = document.querySelector("[data-signup]");
const input = form.querySelector("#username");
const place = form.querySelector("#username-error");

function whyNot(text) {
  const name = text.normalize("NFKC").trim().toLowerCase();
  if (name === "") return "";
  if (!/^[a-z0-9]/.test(name)) return "Begin with a letter from a to z or a digit.";
  const odd = [...name].find((character) => !/[a-z0-9._@-]/.test(character));
  if (odd === " ") return "A user name can't contain spaces; write a dot or a hyphen instead.";
  if (odd !== undefined) return `A user name can't contain “${odd}”.`;
  if (name.length > 48) return `It has ${name.length} characters, and 48 is the most.`;
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
