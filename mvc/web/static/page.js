"use strict";
(() => {
  const all = (root, what) => Array.from(root.querySelectorAll(what));

  // What a cell of a heat map says, in words: on pointing, on focus, and on a first tap.
  for (const table of all(document, ".heat:not(.drift)")) {
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

  // The heat map of a fleet: another distance, another order, and a way through by arrow keys.
  const fleet = document.querySelector("table.drift");
  if (fleet) {
    const data = JSON.parse(document.getElementById("data").textContent);
    const tools = document.querySelector(".drift-tools"), levels = 12, decades = 5;
    const pick = (id) => document.getElementById(id);
    const out = document.querySelector(".readout"), head = fleet.tHead.rows[0];
    const heads = Array.from(head.cells).slice(1), total = fleet.tBodies[0].rows[0];
    const rows = Array.from(fleet.tBodies[0].rows).slice(1);
    const cells = rows.map((row) => Array.from(row.cells).slice(1));
    const totals = Array.from(total.cells).slice(1);
    const words = Object.fromEntries(Array.from(pick("metric").options, (o) => [o.value, o.text]));
    const figure = (x) => x === null ? "–" : x === 0 ? "0"
      : Math.abs(x) >= 1e-3 && Math.abs(x) < 100 ? String(Number(x.toPrecision(2)))
        : x.toExponential(1).replace("e+", "e");
    const at = (metric, layer, version) => layer < 0
      ? data.versions[version].total[metric] : data.versions[version].layers[metric][layer];
    let versions = data.versions.map((_, n) => n), layers = rows.map((_, n) => n);

    const scale = (metric) => {
      let low = Infinity, high = 0;
      for (const version of data.versions) {
        for (const x of [version.total[metric], ...version.layers[metric]]) {
          if (x !== null && x > 0) { low = Math.min(low, x); high = Math.max(high, x); }
        }
      }
      low = Math.min(Math.max(low, high * 10 ** -decades), high / 10);
      return { low, high, level: (x) => !x || x < 0 ? 0 : 1 + Math.min(levels - 1, Math.max(0,
        Math.floor(levels * Math.log(x / low) / Math.log(high / low)))) };
    };
    const draw = () => {
      const metric = pick("metric").value, colours = scale(metric);
      const paint = (cell, x) => {
        cell.className = "h" + colours.level(x);
        cell.firstElementChild.textContent = figure(x);
      };
      totals.forEach((cell, n) => paint(cell, at(metric, -1, n)));
      cells.forEach((row, layer) => row.forEach((cell, n) => paint(cell, at(metric, layer, n))));
      const far = (x) => x === null ? -1 : x;
      const most = (layer) => Math.max(...data.versions.map((v) => far(v.layers[metric][layer])));
      versions = data.versions.map((_, n) => n);
      layers = rows.map((_, n) => n);
      if (pick("order").value === "name") {
        const names = heads.map((th) => th.firstElementChild.textContent);
        versions.sort((a, b) => names[a].localeCompare(names[b], "en", { numeric: true }));
      } else {
        versions.sort((a, b) => far(at(metric, -1, b)) - far(at(metric, -1, a)) || a - b);
      }
      if (pick("layers").value === "far") {
        const greatest = layers.map(most);
        layers.sort((a, b) => greatest[b] - greatest[a] || a - b);
      }
      head.replaceChildren(head.cells[0], ...versions.map((n) => heads[n]));
      total.replaceChildren(total.cells[0], ...versions.map((n) => totals[n]));
      rows.forEach((row, layer) =>
        row.replaceChildren(row.cells[0], ...versions.map((n) => cells[layer][n])));
      fleet.tBodies[0].replaceChildren(total, ...layers.map((n) => rows[n]));
      const ends = all(document, ".legend > span:not([class])");
      if (ends.length === 2 && colours.high) {
        ends[0].textContent = figure(colours.low);
        ends[1].textContent = figure(colours.high);
      }
    };
    const tell = (event) => {
      const cell = event.target.closest("td");
      if (!cell) { return; }
      const version = versions[cell.cellIndex - 1];
      const layer = cell.parentElement === total ? -1 : layers[cell.parentElement.rowIndex - 2];
      const numbers = Object.keys(words).map((m) => `${words[m]} ${figure(at(m, layer, version))}`);
      const where = cell.parentElement.cells[0].textContent;
      const who = heads[version].firstElementChild.textContent;
      out.textContent = [who, where, ...numbers].join(" · ");
    };
    fleet.addEventListener("mouseover", tell);
    fleet.addEventListener("click", tell);
    fleet.addEventListener("focusin", tell);
    fleet.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      const cell = event.target.closest("td"), move = step[event.key];
      if (!cell || !move) { return; }
      const row = fleet.rows[cell.parentElement.rowIndex + move[0]];
      const next = row && row.cells[cell.cellIndex + move[1]];
      if (next && next.tagName === "TD") {
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
        event.preventDefault();
      }
    });
    for (const id of ["metric", "order", "layers"]) { pick(id).addEventListener("change", draw); }
    tools.hidden = false;
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
    if (!input) { continue; }
    const table = tools.nextElementSibling.querySelector("tbody");
    if (table.rows.length < 12) { continue; }
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
