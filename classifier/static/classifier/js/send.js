// What goes to the server, and what its answers mean. Every answer is {status, body, retryAfter}; status 0 where the
// server was not reached.

const LABELS = ["label_set", "labels", "template"];

// The labels as they are to be sent: nothing of a field that another choice has put out of use.
export function labelsOf(form) {
  const fields = LABELS.map((name) => form.elements[name]).filter((field) => field?.value && !field.matches(":disabled"));
  return fields.map((field) => [field.name, field.value]);
}

// Asked before pictures are sent: makes a newcomer known, so that pictures sent side by side do not each bring a cookie
// of their own, and says what would be wrong with every picture. Resolves to an answer that is a problem, or to null.
export async function ask(form) {
  try {
    const response = await fetch(form.dataset.ready, {
      method: "POST",
      headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
      body: new URLSearchParams(labelsOf(form)),
    });
    if (!response.ok) return { status: response.status, body: {} };
    const { problem } = await response.json();
    return problem && { status: problem.status, body: problem };
  } catch {
    return { status: 0, body: {} };
  }
}

// POST one picture. XMLHttpRequest and not fetch, which does not tell how much has been sent.
export function post(form, file, progress) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    const fields = new FormData();
    fields.append("image", file, file.name);
    for (const [name, value] of labelsOf(form)) fields.append(name, value);
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

const of = (body, ...codes) => codes.some((code) => body.type?.endsWith(`#${code}`));

export const aboutLabels = ({ body }) => of(body, "bad-labels", "label-set-not-ready", "text-unsupported");
export const passes = ({ status, body }) => status === 429 || (status === 503 && !of(body, "model-unavailable", "model-error"));
export const mayRetry = (answer) => aboutLabels(answer) || [0, 403, 429].includes(answer.status) || answer.status >= 500;

export function reason({ status, body }) {
  if (body.detail) return body.detail;
  if (status === 0) return "The server could not be reached. Check the connection and try again.";
  if (status === 403) return "This page was open too long. Reload it and send the picture again.";
  if (status === 413) return "This file is too large.";
  if (status === 503) return "The server is busy or starting.";
  return `The server could not take it (error ${status}).`;
}

// The reason without its advice to come back, where the script does so by itself.
export const reasonToWait = (answer) => reason(answer).replace(/\s*Try again in [^.]*\.$/, "");
