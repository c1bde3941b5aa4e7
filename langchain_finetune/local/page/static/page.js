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
