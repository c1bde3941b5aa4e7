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

// Selected runs stay selected from page to page, in this tab, until they are in a dataset.
{
  const read = (name) => JSON.parse(sessionStorage.getItem(name) ?? "[]");
  const said = document.querySelector("[data-picked]");
  const picked = new Set(read("picked"));
  if (location.pathname.startsWith("/ui/datasets/")) read("added").forEach((id) => picked.delete(id));
  sessionStorage.removeItem("added");
  const keep = () => sessionStorage.setItem("picked", JSON.stringify([...picked]));
  keep();
  if (said) {
    const { form } = document.querySelector("[data-select-all]");
    const boxes = [...form.querySelectorAll("input[type=checkbox][name=run]")];
    const note = () => {
      for (const box of boxes) picked[box.checked ? "add" : "delete"](box.value);
      keep();
      const others = picked.size - boxes.filter((box) => box.checked).length;
      said.textContent = `${picked.size} selected${others ? `, ${others} of them on other pages` : ""}`;
    };
    const select = (wanted) => {
      for (const box of boxes) box.checked = wanted;
      note();
    };
    const [all, none] = ["all", "none"].map((name) => form.querySelector(`[data-select-${name}]`));
    all.hidden = none.hidden = false;
    all.addEventListener("click", () => select(true));
    none.addEventListener("click", () => {
      picked.clear();
      select(false);
    });
    for (const box of boxes) box.checked ||= picked.has(box.value);
    form.addEventListener("change", note);
    form.addEventListener("submit", () => {
      form.querySelectorAll("input[type=hidden][name=run]").forEach((each) => each.remove());
      const here = new Set(boxes.map((box) => box.value));
      for (const id of picked) {
        if (here.has(id)) continue;
        const field = Object.assign(document.createElement("input"), { type: "hidden", name: "run", value: id });
        form.append(field);
      }
      sessionStorage.setItem("added", JSON.stringify([...picked]));
    });
    note();
  }
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
