// Asks for a ranking that is not kept, and shows it beside the one before.

const SVG = "http://www.w3.org/2000/svg";
const asking = new Map(); // where the answer goes: how to stop the question that it overtakes

// What the page shows as the ranking that was stored.
export const stored = () =>
  [...document.querySelectorAll(".predictions li")].map((line) => ({
    label: line.querySelector(".label").textContent,
    score: parseFloat(line.querySelector("rect").getAttribute("width")) / 100,
  }));

export async function ask({ form, where, target, before = stored(), caption = "In this square, beside the ranking that is kept" }) {
  asking.get(target)?.abort();
  const stop = new AbortController();
  asking.set(target, stop);
  const element = document.getElementById(target);
  element.setAttribute("aria-busy", "true");
  const body = new FormData(form);
  for (const [name, value] of Object.entries(where ?? {})) body.set(name, value);
  try {
    const response = await fetch(form.action.replace(/relabel.*$/, "live"), {
      method: "POST",
      body,
      headers: { Accept: "application/json" },
      signal: stop.signal,
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail ?? "The server does not answer just now.");
    show(element, before, answer.predictions, caption);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") return null;
    const told = error instanceof SyntaxError || error instanceof TypeError ? "The server does not answer just now." : error.message;
    element.replaceChildren(Object.assign(document.createElement("p"), { className: "error", textContent: told }));
    return null;
  } finally {
    if (asking.get(target) === stop) element.removeAttribute("aria-busy");
  }
}

function show(element, before, now, caption) {
  const old = new Map(before.map(({ label, score }) => [label, score]));
  const fresh = new Map(now.map(({ label, score }) => [label, score]));
  const table = document.createElement("table");
  table.className = "versus";
  table.append(Object.assign(document.createElement("caption"), { textContent: caption }));
  const head = table.createTHead().insertRow();
  for (const text of ["Label", "Before", "Now"]) head.append(cell("th", text, { scope: "col" }));
  const rows = table.createTBody();
  for (const label of new Set([...fresh.keys(), ...old.keys()])) {
    const row = rows.insertRow();
    row.append(cell("th", label, { scope: "row" }), bar(old.get(label), "old"), bar(fresh.get(label), "new"));
  }
  element.replaceChildren(table);
}

const cell = (name, text, more) => Object.assign(document.createElement(name), { textContent: text, ...more });

function bar(score, className) {
  const where = cell("td", score === undefined ? "–" : `${(100 * score).toFixed(1)} %`, { className });
  if (score === undefined) return where;
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of [["class", "bar"], ["viewBox", "0 0 100 1"], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) {
    svg.setAttribute(name, value);
  }
  const rect = document.createElementNS(SVG, "rect");
  rect.setAttribute("width", (100 * score).toFixed(2));
  rect.setAttribute("height", "1");
  svg.append(rect);
  where.append(svg);
  return where;
}
