// The history: how many are ticked, and older pictures as one scrolls on.

import { byId } from "./js/dom.js";

function selection(form) {
  const boxes = () => [...form.querySelectorAll("[name=upload]")];
  const all = byId("select-all");
  const count = () => boxes().filter((box) => box.checked).length;
  const show = () => {
    byId("selected").textContent = count() ? `${count()} selected` : "Tick pictures to delete them.";
    byId("delete-selected").disabled = !count();
    all.textContent = count() === boxes().length ? "Select none" : "Select all on this page";
  };
  all.addEventListener("click", () => {
    const tick = count() < boxes().length;
    for (const box of boxes()) box.checked = tick;
    show();
  });
  form.addEventListener("change", show);
  addEventListener("pageshow", show); // the browser keeps ticks when one comes back
  show();
  return show;
}

// The page that "Older" leads to is put below this one; its months go under the headings that are there already.
function scrollOn(show) {
  const pictures = byId("pictures");
  const append = (page) => {
    for (const section of page.querySelectorAll("#pictures > .month")) {
      const same = pictures.querySelector(`[data-month="${section.dataset.month}"] > .grid`);
      if (same) same.append(...section.querySelectorAll(".grid > li"));
      else pictures.append(section);
    }
  };
  const older = () => document.querySelector(".pages [rel=next]");
  const watcher = new IntersectionObserver(async (entries) => {
    const link = older();
    if (!link || link.dataset.loading || !entries.some((entry) => entry.isIntersecting)) return;
    link.dataset.loading = "1";
    try {
      const response = await fetch(link.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!page.getElementById("pictures")) throw new Error("no history");
      append(page);
      const next = page.querySelector(".pages [rel=next]");
      if (next) link.replaceWith(next);
      else link.remove();
      show();
      watch();
    } catch {
      watcher.disconnect(); // the link is still there
    }
  }, { rootMargin: "600px" });
  const watch = () => {
    watcher.disconnect();
    if (older()) watcher.observe(older());
  };
  watch();
}

if (byId("selection")) scrollOn(selection(byId("selection")));
