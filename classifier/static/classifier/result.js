// A result: copy, share, and go from one to the next with the arrow keys.

import { recall } from "./js/batch.js";
import { copy } from "./js/copy.js";
import { byId } from "./js/dom.js";

function copyButton(button) {
  const source = byId(button.dataset.copy);
  const share = source.id === "share" && navigator.share && matchMedia("(pointer: coarse)").matches;
  if (share) button.textContent = "Share";
  button.addEventListener("click", async () => {
    try {
      if (share) return await navigator.share({ title: document.title, url: source.value });
      await copy(source.value ?? source.textContent);
      byId("copied").textContent = source.id === "share" ? "Link copied." : "JSON copied.";
    } catch (error) {
      if (error.name !== "AbortError") byId("copied").textContent = "This browser does not allow copying; select the text instead.";
    }
  });
}

// Among several that were sent together: their order, and a way back to the list.
function amongOthers(nav) {
  const ids = recall().map(({ id }) => id);
  const place = ids.findIndex((id) => location.pathname === `/uploads/${id}/`);
  if (place < 0 || ids.length < 2) return;
  const [before, after] = nav.querySelectorAll("a[rel]");
  const lead = (link, id, text) => {
    link.hidden = !id;
    if (id) link.href = `/uploads/${id}/`;
    link.querySelector(".text").textContent = text;
  };
  lead(before, ids[place - 1], "Previous");
  lead(after, ids[place + 1], "Next");
  const list = nav.querySelector(".place");
  list.href = "/#batch";
  list.textContent = `${place + 1} of ${ids.length}`;
  nav.hidden = false;
}

function arrowKeys(nav) {
  addEventListener("keydown", (event) => {
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    const typing = event.target.closest?.("input, textarea, select, [contenteditable], pre");
    if (!rel || typing || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    nav.querySelector(`a[rel=${rel}]:not([hidden])`)?.click();
  });
}

document.querySelectorAll("[data-copy]").forEach(copyButton);
const nav = byId("neighbours");
if (nav) {
  amongOthers(nav);
  arrowKeys(nav);
}
