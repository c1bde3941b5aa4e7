"use strict";
// Adds a copy button to each snippet, if the browser allows access to the clipboard.
if (navigator.clipboard) {
  for (const snippet of document.querySelectorAll(".snippet")) {
    const button = document.createElement("button");
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(snippet.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Copy failed: select the code";
      }
    });
    snippet.after(button);
  }
}
