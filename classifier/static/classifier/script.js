// Makes the pages quicker to use; each of them works without it.
"use strict";

document.documentElement.classList.add("js");

const AT_ONCE = 2; // uploads on their way at a time
const MOST = 12; // pictures taken in one go
const TRIES = 8; // while the server says it is busy
const KEEP_BYTES = 1e6; // smaller files are sent as they are
const SHORT_SIDE = 896; // pixels that a scaled photo keeps: four times what CLIP looks at
const PREVIEW_SIDE = 640; // pixels

const byId = (id) => document.getElementById(id);
const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

function say(text) {
  byId("announcement").textContent = text;
}

// --- Pictures: scale, send, follow -----------------------------------------------------------------------------

// A large photo scaled down, upright, as JPEG; the file itself where that gains nothing or cannot be done here.
async function smaller(file) {
  if (file.size <= KEEP_BYTES || !/^image\/(jpeg|png|webp|bmp)$/.test(file.type)) return file;
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = SHORT_SIDE / Math.min(bitmap.width, bitmap.height);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * Math.min(1, scale));
    canvas.height = Math.round(bitmap.height * Math.min(1, scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    if (scale >= 1 || (file.type !== "image/jpeg" && transparent(context, canvas))) return file;
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    return blob && blob.size < file.size ? new File([blob], file.name, { type: blob.type }) : file;
  } catch {
    return file; // what this browser cannot read, the server may
  }
}

// On a canvas: an <img> would need a policy that allows blob: addresses. One at a time, since a photo is large unpacked.
let previews = Promise.resolve();

async function preview(file, canvas) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, PREVIEW_SIDE / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    canvas.hidden = false;
  } catch {
    // what this browser cannot read goes without
  }
}

function transparent(context, { width, height }) {
  const { data } = context.getImageData(0, 0, width, height);
  for (let alpha = 3; alpha < data.length; alpha += 4) if (data[alpha] < 255) return true;
  return false;
}

// POST one picture; resolves to {status, body, retryAfter}, status 0 where the server was not reached.
// XMLHttpRequest and not fetch, which does not tell how much has been sent.
function post(form, file, progress) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    const fields = new FormData();
    fields.append("image", file, file.name);
    for (const name of ["label_set", "labels", "template"]) {
      if (form.elements[name]?.value) fields.append(name, form.elements[name].value);
    }
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
    request.timeout = 180000; // ms
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onload = () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* a page and not JSON: the status says enough */ }
      done({ status: request.status, body, retryAfter: Number(request.getResponseHeader("Retry-After")) || 2 });
    };
    request.onerror = request.ontimeout = () => done({ status: 0, body: {} });
    request.send(fields);
  });
}

function reason({ status, body }) {
  if (body.detail) return body.detail;
  if (status === 0) return "The server could not be reached. Check the connection and try again.";
  if (status === 403) return "This page was open too long. Reload it and send the picture again.";
  if (status === 413) return "This file is too large.";
  return `The server could not take it (error ${status}).`;
}

class Item {
  constructor(file) {
    this.file = file;
    this.element = byId("queue-item").content.firstElementChild.cloneNode(true);
    const part = (selector) => this.element.querySelector(selector);
    Object.assign(this, { state: part(".state"), bar: part("progress"), link: part("a"), again: part("button") });
    part(".name").textContent = file.name;
    this.bar.setAttribute("aria-label", `Progress of ${file.name}`);
    previews = previews.then(() => preview(file, part("canvas")));
    this.show("Waiting");
    byId("queue").append(this.element);
  }

  // share: of the upload, 0 to 1; null while there is nothing to measure; undefined for no bar
  show(text, share) {
    this.state.textContent = text;
    this.bar.hidden = share === undefined;
    if (share == null) this.bar.removeAttribute("value");
    else this.bar.value = 100 * share;
  }

  succeed(record) {
    const [top] = record.predictions;
    this.done = true;
    this.show(top ? `${top.label}, ${(100 * top.score).toFixed(0)} %` : "Could not be classified");
    this.link.href = new URL(record.url).pathname;
    this.link.setAttribute("aria-label", `See result for ${this.file.name}`);
    this.link.hidden = false;
    say(`${this.file.name}: ${this.state.textContent}`);
  }

  fail(text, mayRetry) {
    this.element.classList.add("failed");
    this.show(text);
    this.again.hidden = !mayRetry;
    this.again.setAttribute("aria-label", `Try again with ${this.file.name}`);
    say(`${this.file.name}: ${text}`);
  }
}

class Uploader {
  constructor(form) {
    this.form = form;
    this.items = [];
    this.waiting = [];
    this.running = 0;
    this.known = form.dataset.known === "1" ? Promise.resolve() : null;
  }

  // Pictures sent side by side by a newcomer would each bring a cookie of their own, and the last one would win. So the
  // empty form goes first: its answer brings the cookie that marks all of them as this visitor's.
  greet() {
    this.known ??= fetch(this.form.action, {
      method: "POST",
      headers: { Accept: "application/json", "X-CSRFToken": this.form.elements.csrfmiddlewaretoken.value },
    })
      .then(({ status }) => { if (status >= 500) this.known = null; })
      .catch(() => { this.known = null; });
    return this.known;
  }

  add(files) {
    const room = MOST - this.items.filter((item) => !item.done && !item.element.classList.contains("failed")).length;
    const taken = [...files].slice(0, room);
    const left = files.length - taken.length;
    this.problem(left ? `Only ${MOST} pictures go at a time; ${left} ${left === 1 ? "was" : "were"} left out.` : "");
    for (const file of taken) {
      const item = new Item(file);
      item.again.onclick = () => this.retry(item);
      this.items.push(item);
      this.waiting.push(item);
    }
    byId("queue").classList.toggle("single", this.items.length === 1);
    if (taken.length) say(taken.length === 1 ? `Sending ${taken[0].name}` : `Sending ${taken.length} pictures`);
    if (taken.length) byId("queue").scrollIntoView({ block: "nearest" });
    this.greet().then(() => this.next());
  }

  problem(text) {
    const element = byId("upload-problem");
    element.hidden = !text;
    element.textContent = text;
  }

  retry(item) {
    item.element.classList.remove("failed");
    item.again.hidden = true;
    item.show("Waiting");
    this.waiting.push(item);
    this.greet().then(() => this.next());
  }

  next() {
    while (this.waiting.length && this.running < AT_ONCE) {
      this.running += 1;
      this.send(this.waiting.shift()).finally(() => {
        this.running -= 1;
        this.next();
      });
    }
  }

  async send(item) {
    item.show("Preparing", null);
    const file = await smaller(item.file);
    const limit = Number(this.form.dataset.maxMb);
    if (file.size > 1e6 * limit) {
      // The server would say so, too, but only once it had all of it.
      return item.fail(`This file is ${(file.size / 1e6).toFixed(1)} MB; the limit is ${limit} MB.`);
    }
    for (let tries = 1; ; tries += 1) {
      item.show("Uploading", 0);
      const answer = await post(this.form, file, (share) => {
        if (share < 1) item.show(`Uploading ${Math.floor(100 * share)} %`, share);
        else item.show("Classifying", null);
      });
      if (answer.status === 201) return this.finish(item, answer.body);
      if (![429, 503].includes(answer.status) || tries === TRIES) {
        const labels = /#(bad-labels|label-set-not-ready)$/.test(answer.body.type); // others may be chosen
        return item.fail(reason(answer), labels || answer.status === 0 || answer.status === 429 || answer.status >= 500);
      }
      item.show("The server is busy; waiting for a free place", null);
      await wait(Math.min(answer.retryAfter, 60));
    }
  }

  finish(item, record) {
    item.succeed(record);
    if (this.items.length > 1) return;
    this.leaving = true;
    location.assign(item.link.href);
  }
}

function uploader(form) {
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
}

// --- Results: copy and share -------------------------------------------------------------------------------------

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // pages not served over https have no clipboard
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function copyButton(button) {
  const source = byId(button.dataset.copy);
  const share = source.id === "share" && navigator.share && matchMedia("(pointer: coarse)").matches;
  if (share) button.textContent = "Share";
  button.addEventListener("click", async () => {
    try {
      if (share) return await navigator.share({ title: document.title, url: source.value });
      await copy(source.value ?? source.textContent);
      byId("copied").textContent = source.id === "share" ? "Link copied." : "JSON copied.";
    } catch (error) {
      if (error.name !== "AbortError") byId("copied").textContent = "This browser does not allow copying; select the text instead.";
    }
  });
}

// --- History: how many are ticked -----------------------------------------------------------------------------------

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

if (byId("upload-form")) uploader(byId("upload-form"));
if (byId("selection")) selection(byId("selection"));
document.querySelectorAll("[data-copy]").forEach(copyButton);
for (const time of document.querySelectorAll("time")) {
  time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
