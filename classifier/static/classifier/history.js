// The history: how many are ticked.

import { byId } from "./js/dom.js";

function selection(form) {
  const boxes = [...form.querySelectorAll("[name=upload]")];
  const all = byId("select-all");
  const count = () => boxes.filter((box) => box.checked).length;
  const show = () => {
    byId("selected").textContent = count() ? `${count()} selected` : "Tick pictures to delete them.";
    byId("delete-selected").disabled = !count();
    all.textContent = count() === boxes.length ? "Select none" : "Select all on this page";
  };
  all.addEventListener("click", () => {
    const tick = count() < boxes.length;
    for (const box of boxes) box.checked = tick;
    show();
  });
  form.addEventListener("change", show);
  addEventListener("pageshow", show); // the browser keeps ticks when one comes back
  show();
}

if (byId("selection")) selection(byId("selection"));
