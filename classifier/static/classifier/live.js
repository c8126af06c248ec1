// A result: ranks again while labels are edited or the square is moved. The server keeps nothing of it.

import { ask } from "./js/live_ask.js";
import { chips } from "./js/live_chips.js";
import { square, told } from "./js/live_square.js";

const form = document.getElementById("relabel-form");
const live = document.getElementById("live");
if (form) {
  const place = square(async (where, target) => {
    if (await ask({ form, where, target })) told(where);
  });
  // What is ranked for good is what was ranked in passing.
  form.addEventListener("formdata", ({ formData }) => {
    for (const [name, value] of Object.entries(place.chosen() ?? {})) formData.set(name, value);
  });
  if (live) chips(live, form, () => place.chosen());
}
