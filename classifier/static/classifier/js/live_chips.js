// Labels as chips, one with the form's own field: each change ranks again, beside what was there before.

import { ask, stored } from "./live_ask.js";
import { byId } from "./dom.js";

const PAUSE = 250; // ms without a change
const CAPTION = "These labels, beside those before";

export function chips(live, form, where) {
  const [list, field] = [byId("live-chips"), form.elements.labels];
  let [before, now, timer, last] = [stored(), null, 0, ""];

  const labels = () => field.value.split(/[,\n]+/).map((label) => label.trim()).filter(Boolean);
  const chosen = () => form.elements.label_set?.value;

  const rank = async () => {
    const asked = JSON.stringify([chosen(), labels(), form.elements.template.value, where()]);
    if (asked === last || (!chosen() && labels().length < 2)) return;
    last = asked;
    const answer = await ask({ form, where: where(), target: "live-result", before, caption: CAPTION });
    if (!answer) {
      last = ""; // the same may be asked again
      return;
    }
    now = answer.predictions;
    byId("live-pin").hidden = false;
    byId("live-said").textContent = `Ranked in ${Math.round(1000 * answer.seconds)} ms; not kept.`;
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(rank, PAUSE);
  };

  const write = () => {
    field.value = [...list.querySelectorAll("input")].map((input) => input.value.trim()).filter(Boolean).join(", ");
    soon();
  };
  const chip = (text) => {
    const item = document.createElement("li");
    const input = Object.assign(document.createElement("input"), { type: "text", value: text, maxLength: 200, size: Math.max(6, text.length) });
    const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
    const name = () => {
      input.setAttribute("aria-label", `Label ${[...list.children].indexOf(item) + 1}`);
      remove.setAttribute("aria-label", `Remove ${input.value || "this label"}`);
    };
    input.addEventListener("input", () => { write(); name(); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") add();
      if (event.key === "Backspace" && !input.value) drop(event);
    });
    const drop = (event) => {
      event.preventDefault();
      const beside = item.previousElementSibling ?? item.nextElementSibling;
      item.remove();
      write();
      (beside?.querySelector("input") ?? byId("live-add")).focus();
    };
    remove.addEventListener("click", drop);
    item.append(input, remove);
    list.append(item);
    name();
    return input;
  };
  const add = () => chip("").focus();
  const read = () => list.replaceChildren() ?? labels().forEach(chip);

  field.addEventListener("input", () => { read(); soon(); });
  form.addEventListener("input", (event) => { if (event.target !== field) soon(); });
  byId("live-add").addEventListener("click", add);
  byId("live-start").addEventListener("click", () => {
    if (chosen()) {
      form.elements.label_set.value = "";
      form.elements.label_set.dispatchEvent(new Event("input", { bubbles: true })); // brings the field back
    }
    field.value = stored().map(({ label }) => label.replaceAll(",", "")).join(", ");
    read();
    soon();
  });
  byId("live-pin").addEventListener("click", () => {
    before = now;
    byId("live-said").textContent = "What you change next is shown beside these.";
  });
  read();
}
