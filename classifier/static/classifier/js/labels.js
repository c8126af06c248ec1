// The labels to rank against: a set puts labels of one's own out of use, and what is chosen stands in the address.

const LONGEST = 1500; // characters of an address that is still passed on everywhere

export function chooseLabels(fields) {
  const set = fields.querySelector("select");
  const own = fields.querySelector("fieldset");
  const choice = fields.closest(".labels-choice");
  const show = () => {
    const chosen = Boolean(set?.value);
    own.hidden = own.disabled = chosen;
    if (choice) tell(choice, set, own);
  };
  fields.addEventListener("input", show);
  addEventListener("pageshow", show); // the browser keeps what was typed when one comes back
  show();
}

function tell(choice, set, own) {
  const [labels, template] = own.querySelectorAll("textarea, input");
  const asked = set?.value ? { label_set: set.value } : { labels: labels.value.trim(), template: template.value.trim() };
  const said = asked.label_set ?? asked.labels.split(/[,\n]+/).map((label) => label.trim()).filter(Boolean).join(", ");
  choice.querySelector(".chosen").textContent = said ? `: ${said.length > 60 ? `${said.slice(0, 60)}…` : said}` : "";
  choice.nextElementSibling.hidden = !said;
  if (location.pathname !== "/") return;
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value)).toString();
  const address = said && query.length < LONGEST ? `/?${query}` : "/";
  history.replaceState(history.state, "", address + location.hash);
}
