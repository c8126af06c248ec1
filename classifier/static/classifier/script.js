// Every page: each works without this, and is quicker to use with it.

document.documentElement.classList.add("js");

// The server writes times in UTC and says so; here they are the reader's.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) {
  time.textContent = local.format(new Date(time.dateTime));
}
