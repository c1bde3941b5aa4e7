"use strict";
// Converts times from UTC to local time.
function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.valueOf())) {
      time.title = time.textContent;
      time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    }
  }
}
showLocalTimes(document);

for (const button of document.querySelectorAll("[data-select-all]")) {
  const boxes = [...button.form.querySelectorAll("input[type=checkbox][name=run]")];
  button.hidden = false;
  button.addEventListener("click", () => {
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
  });
}

// A vote updates only its own cell, so that selected runs stay selected.
document.addEventListener("submit", async (event) => {
  const button = event.submitter;
  const cell = button?.closest("td[id]");
  if (!event.target.matches("[data-in-place]") || !cell) return;
  event.preventDefault();
  const body = new URLSearchParams([[button.name, button.value]]);
  const name = button.getAttribute("aria-label");
  let response;
  try {
    response = await fetch(button.formAction, { method: "POST", body });
  } catch {
    const fault = document.createElement("p");
    fault.className = "fault";
    fault.setAttribute("role", "alert");
    fault.textContent = "The engine is unreachable.";
    cell.querySelector(".fault")?.remove();
    cell.append(fault);
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.getElementById(cell.id);
  if (!fresh) {
    location.reload();
    return;
  }
  cell.replaceWith(fresh);
  for (const each of fresh.querySelectorAll("button")) {
    if (each.getAttribute("aria-label") === name) each.focus();
  }
});
