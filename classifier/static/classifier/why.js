// "Why?" without leaving the page: fetches the same page with the heat map in it and exchanges what differs.
"use strict";
{
  const region = document.querySelector(".result");
  const exchange = (page, selector) => {
    for (const [index, old] of [...document.querySelectorAll(selector)].entries()) {
      const fresh = page.querySelectorAll(selector)[index];
      if (fresh) old.replaceWith(fresh);
    }
  };
  region?.addEventListener("click", async (event) => {
    const link = event.target.closest("a.why, .seen figcaption a[href$='#seen']");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    region.setAttribute("aria-busy", "true");
    link.classList.add("waiting");
    try {
      const response = await fetch(link.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!page.querySelector("#seen")) throw new Error("not a result");
      exchange(page, "#seen");
      exchange(page, ".result .why");
      history.replaceState(null, "", link.href);
      document.getElementById("seen").scrollIntoView({ block: "nearest" });
    } catch {
      location.assign(link.href); // the plain way says what is wrong
    } finally {
      region.removeAttribute("aria-busy");
      link.classList.remove("waiting");
    }
  });
}
