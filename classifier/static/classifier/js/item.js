// One picture in the list: on its way, done, or refused.

import { byId, say } from "./dom.js";
import { preview } from "./pictures.js";

const ALONE = 640; // pixels of a preview
const AMONG_OTHERS = 160;
const BARS = 3;

const percent = (score) => `${(100 * score).toFixed(0)} %`;

export class Item {
  // `file` of one to be sent, or `record` of one that was: {id, name, predictions, fits}
  constructor({ file, record, alone = false }) {
    this.file = file;
    this.name = file?.name ?? record.name;
    this.element = byId("queue-item").content.firstElementChild.cloneNode(true);
    const part = (selector) => this.element.querySelector(selector);
    Object.assign(this, { state: part(".state"), bar: part("progress"), bars: part(".bars"), link: part(".name") });
    Object.assign(this, { shot: part(".shot"), again: part("button"), score: part(".score"), fit: part(".fit") });
    this.link.textContent = this.name || "Picture";
    this.bar.setAttribute("aria-label", `Progress of ${this.name}`);
    if (file) {
      preview(file, part("canvas"), alone ? ALONE : AMONG_OTHERS);
      this.show("Waiting");
    } else {
      this.#thumbnail(record.id);
      this.succeed(record);
    }
    byId("queue").append(this.element);
  }

  get failed() {
    return this.element.classList.contains("failed");
  }

  // share: of the upload, 0 to 1; null while there is nothing to measure; undefined for no bar
  show(text, share) {
    this.state.textContent = text;
    this.bar.hidden = share === undefined;
    if (share == null) this.bar.removeAttribute("value");
    else this.bar.value = 100 * share;
  }

  succeed({ id, predictions, fits }) {
    this.record = { id, name: this.name, fits, predictions: predictions.slice(0, BARS).map(({ label, score }) => ({ label, score })) };
    const [top] = predictions;
    this.link.href = `/uploads/${id}/`;
    this.link.setAttribute("aria-label", `See result for ${this.name}`);
    if (!top) return this.fail("Could not be classified");
    this.show(fits === false ? "None of the labels fits well" : "");
    this.element.classList.toggle("unfit", fits === false);
    this.score.textContent = percent(top.score);
    this.fit.textContent = { true: "fits", false: "no" }[fits] ?? "";
    this.bars.replaceChildren(...this.record.predictions.map((prediction) => this.#row(prediction)));
    this.bars.hidden = false;
    if (this.file) say(`${this.name}: ${top.label}, ${percent(top.score)}`);
  }

  fail(text, mayRetry) {
    this.element.classList.add("failed");
    this.show(text);
    this.again.hidden = !mayRetry;
    this.again.setAttribute("aria-label", `Try again with ${this.name}`);
    say(`${this.name}: ${text}`);
  }

  retry() {
    this.element.classList.remove("failed");
    this.again.hidden = true;
    this.show("Waiting");
  }

  #row({ label, score }) {
    const row = byId("queue-bar").content.firstElementChild.cloneNode(true);
    const [name, share] = row.querySelectorAll("span");
    name.textContent = label;
    share.textContent = percent(score);
    row.querySelector("rect").setAttribute("width", (100 * score).toFixed(2));
    return row;
  }

  #thumbnail(id) {
    const picture = document.createElement("img");
    Object.assign(picture, { src: `/uploads/${id}/thumbnail`, alt: "", loading: "lazy" });
    this.shot.replaceChildren(picture);
  }
}
