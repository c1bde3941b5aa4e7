"use strict";
// Shows a job as it goes on: asks for the part of the page that changes, until the job has ended.
{
  const LEAST_MS = 1500;
  const live = document.getElementById("live");
  const told = document.getElementById("told");
  const state = () => live.firstElementChild;
  let shown = "";

  const show = (html) => {
    if (html === shown) return;
    shown = html;
    const open = [...live.querySelectorAll("details[open]")].map((each) => each.id);
    const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
    const before = state().dataset.state;
    live.innerHTML = html;
    showLocalTimes(live);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus();
    // Only what matters is read aloud, not every step.
    if (state().dataset.state !== before) told.textContent = `The job: ${state().dataset.state}.`;
  };

  const follow = async () => {
    while ("live" in state().dataset) {
      const began = performance.now();
      try {
        const answer = await fetch(live.dataset.address, { credentials: "same-origin" });
        if (answer.status === 401 || answer.status === 403 || answer.redirected) {
          location.reload();
          return;
        }
        if (answer.ok) show(await answer.text());
      } catch {
        // The engine may be starting again; the page asks on.
      }
      // A job of very many steps takes the engine longer to tell, so it is asked less often.
      const took = performance.now() - began;
      await new Promise((resume) => setTimeout(resume, Math.max(LEAST_MS, 20 * took)));
    }
  };
  follow();
}
