// The square that the model sees: dragged in the picture, resized by its corners, moved by the sliders.
// Another script may exchange the figure, so everything is looked up when it is needed.

import { byId } from "./dom.js";

const PAUSE = 200; // ms without a move
const NEAR = 28; // pixels of the screen around a corner that take hold of it

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

// What the model saw, under the picture, and a way to keep the ranking of that.
export function told({ x, y, side }) {
  const caption = document.querySelector("#seen figcaption");
  caption.textContent = `${caption.dataset.who} saw only this square: ${side} × ${side} of the picture’s pixels, ${x} from the left and ${y} from the top.`;
  const keep = byId("square-keep");
  for (const [name, value] of Object.entries({ x, y, side })) keep.elements[name].value = value;
  keep.hidden = false;
}

export function square(rank) {
  let [moved, timer, hold] = [false, 0, null];
  const inputs = () => byId("square-form").elements;
  const now = () => ({ x: Number(inputs().x.value), y: Number(inputs().y.value), side: Number(inputs().side.value) });

  const move = ({ x, y, side }) => {
    const form = byId("square-form");
    const [width, height] = [Number(form.dataset.width), Number(form.dataset.height)];
    side = clamp(Math.round(side), Number(form.elements.side.min), Math.min(width, height));
    form.elements.side.value = side;
    form.elements.x.value = clamp(Math.round(x), 0, width - side);
    form.elements.y.value = clamp(Math.round(y), 0, height - side);
    draw(now(), width, height);
    document.querySelector("#seen .heat")?.remove(); // it was of another square
    document.querySelector("#seen figcaption").textContent = "Looking at this square…";
    byId("square-keep").hidden = true;
    moved = true;
    clearTimeout(timer);
    timer = setTimeout(() => rank(now(), "square-result"), PAUSE);
  };

  document.addEventListener("input", (event) => { if (event.target.form?.id === "square-form") move(now()); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-square]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    byId("square").open = true;
    const [x, y, side] = link.dataset.square.split(" ").map(Number);
    move({ x, y, side });
  });

  document.addEventListener("pointerdown", (event) => {
    const frame = event.target.closest?.("#seen .frame");
    if (!frame || !byId("square")?.open || event.button) return;
    event.preventDefault();
    const [at, scale] = [point(event, frame), unit(frame)];
    hold = { at, from: now(), corner: corner(at, now(), NEAR * scale), pointer: event.pointerId };
    frame.setPointerCapture(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!hold || event.pointerId !== hold.pointer) return;
    const at = point(event, event.target.closest(".frame") ?? document.querySelector("#seen .frame"));
    move(hold.corner ? resized(hold, at) : { ...hold.from, x: hold.from.x + at.x - hold.at.x, y: hold.from.y + at.y - hold.at.y });
  });
  for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => { hold = null; });

  return { chosen: () => (moved && byId("square")?.open ? now() : null) };
}

// From the screen to the picture's own pixels, wherever the picture lies in its frame.
const matrix = (frame) => frame.querySelector("svg").getScreenCTM().inverse();
const unit = (frame) => matrix(frame).a;
const point = (event, frame) => new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix(frame));

function corner(at, { x, y, side }, near) {
  for (const right of [0, 1]) {
    for (const low of [0, 1]) {
      if (Math.hypot(at.x - x - right * side, at.y - y - low * side) < near) return { right, low };
    }
  }
  return null;
}

// The corner across stays where it is; the square grows by the larger of both ways, as far as the picture goes.
function resized({ from, corner: { right, low } }, at) {
  const form = byId("square-form");
  const [fixedX, fixedY] = [from.x + (right ? 0 : from.side), from.y + (low ? 0 : from.side)];
  const room = Math.min(right ? form.dataset.width - fixedX : fixedX, low ? form.dataset.height - fixedY : fixedY);
  const asked = Math.max((right ? 1 : -1) * (at.x - fixedX), (low ? 1 : -1) * (at.y - fixedY));
  const side = clamp(asked, Number(form.elements.side.min), room);
  return { x: right ? fixedX : fixedX - side, y: low ? fixedY : fixedY - side, side };
}

// As crop_paths on the server.
function draw({ x, y, side }, width, height) {
  const [inset, arm] = [0.015 * side, 0.13 * side];
  const [left, top, right, bottom] = [x + inset, y + inset, x + side - inset, y + side - inset];
  const corners = [[left, arm, top, arm], [left, arm, bottom, -arm], [right, -arm, top, arm], [right, -arm, bottom, -arm]]
    .map(([a, across, b, down]) => `M${a} ${b + down}V${b}H${a + across}`).join("");
  const figure = byId("seen");
  figure.querySelector(".outside").setAttribute("d", `M0 0h${width}v${height}h-${width}zM${x} ${y}h${side}v${side}h-${side}z`);
  for (const mark of figure.querySelectorAll(".mark, .mark-under")) mark.setAttribute("d", corners);
}
