"use strict";
// Shows a job as it goes on: asks for the part of the page that changes, until the job has ended.
{
  const LEAST_MS = 1500;
  const REACHED = "a, button, summary";
  const live = document.getElementById("live");
  const told = document.getElementById("told");
  const state = () => live.firstElementChild;
  let shown = [];

  // Puts a new section in the place of an old one; what was open or had the focus keeps it.
  const renew = (old, section) => {
    const open = [...old.querySelectorAll("details")].map((each) => each.open);
    const focused = [...old.querySelectorAll(REACHED)].indexOf(document.activeElement);
    showLocalTimes(section);
    old.replaceWith(section);
    section.querySelectorAll("details").forEach((each, place) => (each.open = open[place] ?? false));
    if (focused >= 0) section.querySelectorAll(REACHED)[focused]?.focus();
  };

  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    const sections = [...fresh.children];
    const texts = sections.map((section) => section.outerHTML);
    const before = state().dataset.state;
    state().dataset.state = fresh.dataset.state;
    state().toggleAttribute("data-live", "live" in fresh.dataset);
    [...state().children].forEach((old, place) => {
      if (texts[place] !== shown[place]) renew(old, sections[place]);
    });
    shown = texts;
    // Only what matters is read aloud, not every step.
    if (fresh.dataset.state !== before) told.textContent = `The job: ${fresh.dataset.state}.`;
  };

  const follow = async () => {
    while ("live" in state().dataset) {
      const began = performance.now();
      try {
        const answer = await fetch(live.dataset.address);
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
