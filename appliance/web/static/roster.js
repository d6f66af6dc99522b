// Comforts of rosters and cards: printing, choosing many, and what a file is before it is sent.

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

for (const select of document.querySelectorAll("[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

for (const button of document.querySelectorAll("[data-without-scripts]")) {
  button.hidden = true;
}

// Better told before fifty megabytes are on their way.
for (const input of document.querySelectorAll('input[type="file"][data-most]')) {
  const place = document.getElementById(input.dataset.told);
  input.addEventListener("change", () => {
    const isTooLarge = [...input.files].some((file) => file.size > Number(input.dataset.most));
    input.setCustomValidity(isTooLarge ? input.dataset.tooLarge : "");
    place.textContent = isTooLarge ? input.dataset.tooLarge : "";
  });
}

for (const all of document.querySelectorAll("[data-all-of]")) {
  const boxes = [...document.querySelectorAll(`input[name="${all.dataset.allOf}"]`)];
  const chosen = document.querySelector("[data-chosen]");
  const count = () => {
    const marked = boxes.filter((box) => box.checked).length;
    const { none, one, many } = chosen.dataset;
    chosen.textContent = (marked === 0 ? none : marked === 1 ? one : many).replace("#", String(marked));
    all.checked = marked > 0 && marked === boxes.length;
    all.indeterminate = marked > 0 && !all.checked;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    count();
  });
  for (const box of boxes) box.addEventListener("change", count);
  count();
}
