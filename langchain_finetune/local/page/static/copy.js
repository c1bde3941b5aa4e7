"use strict";
// Puts a button beside each snippet, where the browser lets a page write to the clipboard.
if (navigator.clipboard) {
  for (const snippet of document.querySelectorAll(".snippet")) {
    const button = document.createElement("button");
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(snippet.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "The browser refuses: select the lines";
      }
    });
    snippet.after(button);
  }
}
