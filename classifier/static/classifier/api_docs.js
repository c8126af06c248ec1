// Trying out the API from its documentation. Without a token it speaks for the visitor's own session.
"use strict";

const docs = document.querySelector(".api");
const token = document.getElementById("token");

for (const element of docs.querySelectorAll(".control, .field.try")) element.hidden = false;

function requestOf(form) {
  const headers = { "X-CSRFToken": docs.dataset.csrf };
  if (token.value) headers.Authorization = `Bearer ${token.value.trim()}`;
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const input of form.querySelectorAll("input[data-where]")) {
    if (!input.value) continue;
    if (input.dataset.where === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value.trim()));
    else if (input.dataset.where === "header") headers[input.name] = input.value;
    else query.set(input.name, input.value);
  }
  const options = { method: form.dataset.method, headers };
  const file = form.querySelector("input[type=file]")?.files[0];
  if (form.dataset.body === "form") {
    options.body = new FormData();
    options.body.set("image", file);
  } else if (form.dataset.body === "bytes") {
    headers["Content-Type"] = file.type || "application/octet-stream";
    options.body = file;
  } else if (form.dataset.body === "json") {
    headers["Content-Type"] = "application/json";
    options.body = form.querySelector("textarea").value;
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
    const response = await fetch(...requestOf(form));
    const text = await response.text();
    const json = /json/.test(response.headers.get("Content-Type") ?? "") && text;
    answer.textContent = `${response.status} ${response.statusText}\n\n${json ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
  } catch (error) {
    answer.textContent = `No answer: ${error.message}`;
  } finally {
    button.disabled = false;
  }
}

docs.addEventListener("submit", (event) => {
  event.preventDefault();
  tryOut(event.target);
});
