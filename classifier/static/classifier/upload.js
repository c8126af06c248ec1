// The form that takes pictures, on the home page and below results.

import { byId } from "./js/dom.js";
import { chooseLabels } from "./js/labels.js";
import { Uploader } from "./js/uploader.js";

const form = byId("upload-form");
const uploads = new Uploader(form);
const root = document.documentElement;
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

byId("image").multiple = true;
for (const input of [byId("image"), byId("camera")]) {
  input.addEventListener("change", () => {
    uploads.add([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
}

addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  root.classList.add("dragging");
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  root.classList.remove("dragging");
  if (!hasFiles(event)) return;
  event.preventDefault();
  uploads.add([...event.dataTransfer.files]);
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  uploads.add(files);
});
addEventListener("beforeunload", (event) => { if (uploads.running && !uploads.leaving) event.preventDefault(); });

// Links to the form open the chooser at once where the form is on the page.
for (const link of document.querySelectorAll("a[data-choose]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    byId("image").click();
  });
}

document.querySelectorAll("div.label-fields").forEach(chooseLabels);
if (location.hash === "#batch") uploads.restore();
