"use strict";
(() => {
  const all = (root, what) => Array.from(root.querySelectorAll(what));

  // What a cell of a heat map says, in words: on pointing, on focus, and on a first tap.
  for (const table of all(document, ".heat")) {
    const out = table.closest("section").querySelector(".readout");
    let told = null;
    const tell = (event) => {
      const cell = event.target.closest("[data-about]");
      if (cell && out) { out.textContent = cell.dataset.about; }
      return cell;
    };
    table.addEventListener("mouseover", tell);
    table.addEventListener("focusin", tell);
    table.addEventListener("click", (event) => {
      const cell = tell(event);
      if (cell && event.pointerType === "touch" && told !== cell) { event.preventDefault(); }
      told = cell;
    });
  }

  // Tables that sort by a column.
  for (const table of all(document, "table.tensors")) {
    const heads = all(table, "thead th"), body = table.tBodies[0], first = Array.from(body.rows);
    heads.forEach((head, column) => {
      const kind = head.dataset.sort;
      if (kind !== "text" && kind !== "number") { return; }
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        const start = kind === "number" ? "descending" : "ascending";
        const next = was === null ? start : was === "ascending" ? "descending" : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const value = (row) => {
          const text = row.cells[column].dataset.v;
          return text === undefined || text === "" ? NaN : Number(text);
        };
        const rows = first.slice();
        if (kind === "text") {
          if (sign < 0) { rows.reverse(); }
        } else {
          const keyed = rows.map((row, at) => [value(row), at, row]);
          keyed.sort((a, b) => Number.isNaN(a[0]) - Number.isNaN(b[0])
            || sign * (a[0] - b[0]) || a[1] - b[1]);
          keyed.forEach((item, at) => { rows[at] = item[2]; });
        }
        body.replaceChildren(...rows);
      });
    });
  }

  // Tables whose rows can be searched by name.
  for (const tools of all(document, ".tools")) {
    const input = tools.querySelector("input"), count = tools.querySelector(".count");
    const table = tools.nextElementSibling.querySelector("tbody");
    if (!input || table.rows.length < 12) { continue; }
    tools.hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      let shown = 0;
      for (const row of table.rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        shown += !row.hidden;
      }
      count.textContent = wanted ? `${shown} of ${table.rows.length}` : "";
    });
  }
})();
