// Several pictures: how many are done, sorting, the table as CSV, and finding the list again after a look at a result.

import { byId } from "./dom.js";

const KEY = "batch"; // in sessionStorage: the records in the order shown
const FACTS = {
  order: (item) => item.order,
  name: (item) => item.name.toLowerCase(),
  label: (item) => item.record?.predictions[0]?.label.toLowerCase(),
  score: (item) => item.record?.predictions[0]?.score,
  fits: (item) => (item.record ? Number(item.record.fits ?? -1) : undefined),
};
const LARGE_FIRST = ["score", "fits"]; // at the first click

export function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}

export class Batch {
  constructor(form) {
    this.form = form;
    this.items = [];
    this.by = ["order", 1];
    for (const button of document.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sort(button.dataset.sort));
    }
    byId("batch-csv").addEventListener("click", () => this.download());
  }

  update() {
    const done = this.items.filter((item) => item.record).length;
    const failed = this.items.filter((item) => item.failed).length;
    byId("batch").hidden = this.items.length < 2;
    byId("queue-head").hidden = this.items.length < 2;
    byId("batch-title").textContent = `${done} of ${this.items.length} done${failed ? `, ${failed} not` : ""}`;
    byId("batch-bar").max = this.items.length;
    byId("batch-bar").value = done + failed;
    byId("batch-csv").disabled = !done;
    if (this.items.length > 1) this.keep();
  }

  // What is not done stays at the end.
  sort(name) {
    const [before, way] = this.by;
    const first = LARGE_FIRST.includes(name) ? -1 : 1;
    this.by = name !== before ? [name, first] : way === first ? [name, -first] : ["order", 1];
    const [fact, sign] = [FACTS[this.by[0]], this.by[1]];
    this.items.sort((a, b) => {
      const [left, right] = [fact(a), fact(b)];
      if (left === right) return a.order - b.order;
      if (left === undefined || right === undefined) return left === undefined ? 1 : -1;
      return sign * (left < right ? -1 : 1);
    });
    for (const item of this.items) byId("queue").append(item.element);
    for (const button of document.querySelectorAll("[data-sort]")) {
      const mine = button.dataset.sort === this.by[0];
      if (mine) button.closest("th").setAttribute("aria-sort", this.by[1] > 0 ? "ascending" : "descending");
      else button.closest("th").removeAttribute("aria-sort");
    }
    this.keep();
  }

  keep() {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(this.items.filter((item) => item.record).map((item) => item.record)));
      if (location.hash !== "#batch") history.replaceState(history.state, "", "#batch");
    } catch {
      // without storage the list lasts as long as the page
    }
  }

  async download() {
    const ids = this.items.filter((item) => item.record).map((item) => item.record.id);
    const response = await fetch(this.form.dataset.csv, {
      method: "POST",
      headers: { "X-CSRFToken": this.form.elements.csrfmiddlewaretoken.value },
      body: new URLSearchParams({ uploads: ids.join() }),
    });
    if (!response.ok) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = "pictures.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
