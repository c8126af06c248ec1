// The API's documentation: trying out, and copying code. Without a token it speaks for the visitor's own session.

import { copy } from "./js/copy.js";

const docs = document.querySelector(".api");
const token = document.getElementById("token");

for (const element of docs.querySelectorAll(".control, .copy, .field.try")) element.hidden = false;

const dataUrl = (file) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });

// What JSON says for a field; labels may be text, parted by commas or lines.
async function valueOf(input) {
  if (input.type === "file") return dataUrl(input.files[0]);
  return ["number", "yes", "object"].includes(input.dataset.input) ? JSON.parse(input.value) : input.value;
}

function formOf(inputs) {
  const body = new FormData();
  for (const input of inputs) {
    if (input.type === "file") for (const file of input.files) body.append(input.name, file);
    else body.append(input.name, input.value);
  }
  return body;
}

async function jsonOf(inputs) {
  const body = {};
  for (const input of inputs) {
    const path = input.name.split(".");
    const last = path.pop();
    const inner = path.reduce((object, name) => (object[name] ??= {}), body);
    inner[last] = await valueOf(input);
  }
  return JSON.stringify(body);
}

async function requestOf(form) {
  const headers = { "X-CSRFToken": docs.dataset.csrf };
  if (token.value) headers.Authorization = `Bearer ${token.value.trim()}`;
  const said = [...form.querySelectorAll("[data-where]")].filter((input) => input.value);
  const of = (where) => said.filter((input) => input.dataset.where === where);
  let path = form.dataset.path;
  for (const input of of("path")) path = path.replace(`{${input.name}}`, encodeURIComponent(input.value.trim()));
  for (const input of of("header")) headers[input.name] = input.value;
  const query = new URLSearchParams(of("query").map((input) => [input.name, input.value]));
  const options = { method: form.dataset.method, headers };
  if (form.dataset.body === "form") options.body = formOf(of("body"));
  if (form.dataset.body === "json") {
    headers["Content-Type"] = "application/json";
    options.body = await jsonOf(of("body"));
  }
  return [query.size ? `${path}?${query}` : path, options];
}

async function tryOut(form) {
  const answer = form.querySelector(".answer");
  const button = form.querySelector("button");
  answer.hidden = false;
  answer.textContent = "Waiting…";
  button.disabled = true;
  try {
    const response = await fetch(...(await requestOf(form)));
    const text = await response.text();
    const json = /json/.test(response.headers.get("Content-Type") ?? "") && text;
    answer.textContent = `${response.status} ${response.statusText}\n\n${json ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
  } catch (error) {
    answer.textContent = `No answer: ${error.message}`;
  } finally {
    button.disabled = false;
  }
}

async function copyOut(button) {
  try {
    await copy(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text to copy it";
  }
  setTimeout(() => (button.textContent = "Copy"), 3000);
}

docs.addEventListener("submit", (event) => {
  event.preventDefault();
  tryOut(event.target);
});
docs.addEventListener("click", ({ target }) => {
  if (target.matches(".copy")) copyOut(target);
  if (target.matches(".contents-folded a")) target.closest("details").open = false;
});
