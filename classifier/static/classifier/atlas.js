// The map: a look at the picture under the pointer or the focus, zoom by wheel and buttons, drag to move.
"use strict";
{
  const atlas = document.getElementById("atlas");
  const svg = atlas?.querySelector("svg");
  const peek = document.getElementById("peek");
  const picture = new Image(128, 128);
  picture.alt = "";
  peek?.prepend(picture);
  const show = (link) => {
    const circle = link.firstElementChild.getBoundingClientRect();
    const frame = atlas.getBoundingClientRect();
    picture.src = link.getAttribute("href") + "thumbnail";
    peek.querySelector("span").textContent = link.getAttribute("aria-label");
    peek.hidden = false;
    const left = circle.right - frame.left + 8;
    peek.style.left = `${left + peek.offsetWidth > frame.width ? circle.left - frame.left - peek.offsetWidth - 8 : left}px`;
    peek.style.top = `${Math.max(4, Math.min(circle.top - frame.top, frame.height - peek.offsetHeight - 4))}px`;
  };
  const over = (event) => {
    const link = event.target.closest?.("a");
    if (link) show(link);
    else peek.hidden = true;
  };
  const zoom = (factor, x, y) => {
    const box = svg.viewBox.baseVal;
    const whole = svg.dataset.whole.split(" ").map(Number);
    const width = Math.min(whole[2], Math.max(whole[2] / 40, box.width * factor));
    const scale = width / box.width;
    move(x - (x - box.x) * scale, y - (y - box.y) * scale, width, box.height * scale);
    svg.style.setProperty("--zoomed", String(width / whole[2] + 1 / 7));
    peek.hidden = true;
  };
  const move = (x, y, width, height) => {
    const whole = svg.dataset.whole.split(" ").map(Number);
    const within = (value, most) => Math.max(0, Math.min(value, most));
    svg.setAttribute("viewBox", [within(x, whole[2] - width), within(y, whole[3] - height), width, height].join(" "));
  };
  if (svg) {
    svg.dataset.whole = svg.getAttribute("viewBox");
    for (const kind of ["pointerover", "focusin"]) svg.addEventListener(kind, over);
    if (svg.contains(document.activeElement)) show(document.activeElement); // focused before this script came
    atlas.addEventListener("pointerleave", () => { peek.hidden = true; });
    document.querySelector(".zoom").addEventListener("click", (event) => {
      const box = svg.viewBox.baseVal;
      if (event.target.dataset.zoom) zoom(Number(event.target.dataset.zoom), box.x + box.width / 2, box.y + box.height / 2);
    });
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls; a pinch on a trackpad comes with ctrlKey
      event.preventDefault();
      const box = svg.viewBox.baseVal;
      const frame = svg.getBoundingClientRect();
      const [x, y] = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
      zoom(event.deltaY > 0 ? 1.15 : 0.87, box.x + x * box.width, box.y + y * box.height);
    }, { passive: false });
    let from = null;
    svg.addEventListener("pointerdown", (event) => { from = event.target.closest("a") ? null : event; });
    svg.addEventListener("pointermove", (event) => {
      if (!from || !event.buttons) return;
      const box = svg.viewBox.baseVal;
      const scale = box.width / svg.getBoundingClientRect().width;
      move(box.x - event.movementX * scale, box.y - event.movementY * scale, box.width, box.height);
    });
  }
}
