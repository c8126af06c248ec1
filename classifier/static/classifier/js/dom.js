// What several scripts need of the page.

export const byId = (id) => document.getElementById(id);
export const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Told to a screen reader.
export function say(text) {
  byId("announcement").textContent = text;
}
