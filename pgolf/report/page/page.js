"use strict";

// Sorts a table by a column when its heading is clicked; numbers by their data-value.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const table = button.closest("table");
    const column = [...heading.parentNode.children].indexOf(heading);
    const isAscending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.children[column];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
    };
    const order = (one, other) => {
      const [a, b] = [key(one), key(other)];
      const found = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return isAscending ? found : -found;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(order));
  });
}

// Opens the evidence that a link or a point of a plot leads to.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  const folded = target?.closest("details");
  if (!folded) return;
  folded.open = true;
  folded.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();

// Shows the values of the mark that is pointed at. All text is set as text: names are untrusted.
const tip = document.getElementById("tip");
function showTip(_handler, event, _item, values) {
  tip.hidden = values == null || values === "";
  if (tip.hidden) return;
  tip.replaceChildren(
    ...Object.entries(values).flatMap(([title, value]) => {
      const [term, definition] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = title;
      definition.textContent = value;
      return [term, definition];
    }),
  );
  const { width, height } = tip.getBoundingClientRect();
  const isBelow = event.clientY - height - 14 < 0;
  tip.style.left = `${Math.max(4, Math.min(event.clientX - width / 2, innerWidth - width - 4))}px`;
  tip.style.top = `${isBelow ? event.clientY + 18 : event.clientY - height - 14}px`;
}

// Draws the plot of a figure. Expressions are interpreted, because the page's policy forbids to evaluate code.
async function draw(figure, config) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const runtime = vega.parse(vegaLite.compile(spec, { config }).spec, null, { ast: true });
  const view = new vega.View(runtime, {
    container: figure.querySelector(".plot"),
    expr: vegaInterpreter.expressionInterpreter,
    hover: true,
    renderer: "svg",
    tooltip: showTip,
  });
  await view.runAsync();
  for (const entry of figure.querySelectorAll("[data-picks]")) {
    const pick = (name) => view.signal("picked", name).runAsync();
    entry.addEventListener("pointerenter", () => pick(entry.dataset.picks));
    entry.addEventListener("focus", () => pick(entry.dataset.picks));
    entry.addEventListener("pointerleave", () => pick(""));
    entry.addEventListener("blur", () => pick(""));
  }
}

const config = JSON.parse(document.getElementById("config").textContent);
// One task each, so that a page with many plots can be read and scrolled while they are drawn.
for (const figure of document.querySelectorAll("figure")) setTimeout(draw, 0, figure, config);
