"use strict";
// Times come as UTC; readers see their own.
function showLocalTimes(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.valueOf())) {
      time.title = time.textContent;
      time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    }
  }
}
showLocalTimes(document);

for (const button of document.querySelectorAll("[data-pick-all]")) {
  const boxes = [...button.form.querySelectorAll("input[type=checkbox][name=run]")];
  button.hidden = false;
  button.addEventListener("click", () => {
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
  });
}

// A vote changes its own cell only, so that picked runs stay picked.
document.addEventListener("submit", async (event) => {
  const button = event.submitter;
  const part = button?.closest("td[id]");
  if (!event.target.matches("[data-in-place]") || !part) return;
  event.preventDefault();
  const said = new URLSearchParams([[button.name, button.value]]);
  const name = button.getAttribute("aria-label");
  let answer;
  try {
    answer = await fetch(button.formAction, { method: "POST", body: said });
  } catch {
    const fault = document.createElement("p");
    fault.className = "fault";
    fault.setAttribute("role", "alert");
    fault.textContent = "The engine can't be reached.";
    part.querySelector(".fault")?.remove();
    part.append(fault);
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(part.id);
  if (!fresh) {
    location.reload();
    return;
  }
  part.replaceWith(fresh);
  for (const each of fresh.querySelectorAll("button")) {
    if (each.getAttribute("aria-label") === name) each.focus();
  }
});
