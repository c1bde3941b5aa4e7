"use strict";
// Follows a job: reloads the changing part of the page until the job has ended.
{
  const MIN_INTERVAL_MS = 1500;
  const FOCUSABLE = "a, button, summary";
  const live = document.getElementById("live");
  const announcement = document.getElementById("announcement");
  const state = () => live.firstElementChild;
  let shown = [];

  // Replaces a section, and keeps the focus and which details are open.
  const replace = (old, section) => {
    const open = [...old.querySelectorAll("details")].map((each) => each.open);
    const focused = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    showLocalTimes(section);
    old.replaceWith(section);
    section.querySelectorAll("details").forEach((each, index) => (each.open = open[index] ?? false));
    if (focused >= 0) section.querySelectorAll(FOCUSABLE)[focused]?.focus();
  };

  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    const sections = [...fresh.children];
    const texts = sections.map((section) => section.outerHTML);
    const before = state().dataset.state;
    state().dataset.state = fresh.dataset.state;
    state().toggleAttribute("data-live", "live" in fresh.dataset);
    [...state().children].forEach((old, index) => {
      if (texts[index] !== shown[index]) replace(old, sections[index]);
    });
    shown = texts;
    // Screen readers announce only changes of the status, not every step.
    if (fresh.dataset.state !== before) announcement.textContent = `Job ${fresh.dataset.state}.`;
  };

  const follow = async () => {
    while ("live" in state().dataset) {
      const began = performance.now();
      try {
        const response = await fetch(live.dataset.address);
        if (response.status === 401 || response.status === 403 || response.redirected) {
          location.reload();
          return;
        }
        if (response.ok) show(await response.text());
      } catch {
        // The engine may be restarting; keep trying.
      }
      // Jobs with many steps take the engine longer to render, so they are reloaded less often.
      const duration = performance.now() - began;
      await new Promise((resume) => setTimeout(resume, Math.max(MIN_INTERVAL_MS, 20 * duration)));
    }
  };
  follow();
}
