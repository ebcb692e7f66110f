"use strict";
// The page that the server makes is fetched again and its middle put in place of this one's, so
// there is one way to show a figure and it works without this script, too.
const every = 2000;
const lost = document.getElementById("lost");
// What was opened or closed by hand stays so; the server decides on the rest.
const chosen = new Map();
addEventListener("click", (event) => {
  const details = event.target.closest?.("summary")?.parentElement;
  if (details?.id) chosen.set(details.id, !details.open);
});
// A link to what is folded unfolds it, and all around it.
function unfold() {
  const target = document.getElementById(location.hash.slice(1));
  for (let around = target; around; around = around.parentElement?.closest("details")) {
    if (around.localName !== "details") continue;
    around.open = true;
    if (around.id) chosen.set(around.id, true);
  }
  target?.scrollIntoView();
}
addEventListener("hashchange", unfold);
async function refresh() {
  const selecting = !(document.getSelection()?.isCollapsed ?? true);
  if (document.hidden || selecting) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = document.adoptNode(next.querySelector("main"));
    for (const [id, open] of chosen) {
      const same = main.querySelector("#" + CSS.escape(id));
      if (same) same.open = open;
    }
    const focused = document.activeElement?.id;
    document.querySelector("main").replaceWith(main);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    document.title = next.title;
    lost.hidden = true;
  } catch {
    lost.hidden = false;
    document.title = "✗ no answer · poolwatch";
  }
}
(async () => {
  unfold();
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, every));
    await refresh();
  }
})();
