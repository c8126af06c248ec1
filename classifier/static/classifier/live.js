// A result: ranks again while labels are edited or the square is moved. The server keeps nothing of it.

import { ask } from "./js/live_ask.js";
import { chips } from "./js/live_chips.js";
import { square } from "./js/live_square.js";

const form = document.getElementById("relabel-form");
const live = document.getElementById("live");
if (form) {
  const place = square((where, target) => ask({ form, where, target }));
  if (live) chips(live, form, () => place.chosen());
}
