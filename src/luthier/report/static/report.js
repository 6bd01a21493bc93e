"use strict";
(() => {
  const svgName = "http://www.w3.org/2000/svg";
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const plots = [...document.querySelectorAll("svg.plot")];
  const decimals = (value) => (Math.abs(value) < 10 ? 4 : Math.abs(value) < 1000 ? 2 : 0);
  const written = (value) => value.toLocaleString("en", { maximumFractionDigits: decimals(value) });
  const place = ([low, high, start, stop], value) => start + ((value - low) / (high - low)) * (stop - start);
  const element = (name, className) => {
    const made = document.createElementNS(svgName, name);
    made.setAttribute("class", className);
    return made;
  };
  const text = (parent, tag, content) => {
    const made = document.createElement(tag);
    made.textContent = content;
    parent.append(made);
  };

  /* The point of a series nearest to a step; points are in order of steps. */
  const nearest = (points, step) => {
    let low = 0;
    let high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < step) low = middle;
      else high = middle;
    }
    return step - points[low][0] <= points[high][0] - step ? points[low] : points[high];
  };

  /* One step is read in every chart at once, since all share the steps. */
  const readers = plots.map((plot) => {
    const chart = data[Number(plot.dataset.chart)];
    const line = element("path", "cursor");
    const dots = chart.series.map((series) => element("circle", "cursor-dot " + series.style));
    for (const dot of dots) dot.setAttribute("r", "4");
    const marks = document.createElementNS(svgName, "g");
    marks.append(line, ...dots);
    const readout = plot.parentElement.querySelector(".readout");
    const show = (step) => {
      const across = place(chart.x, step);
      line.setAttribute("d", `M${across} ${chart.y[3]}V${chart.y[2]}`);
      readout.replaceChildren(`${chart.unit} ${step.toLocaleString("en")}`);
      chart.series.forEach((series, index) => {
        const [at, value] = nearest(series.points, step);
        const down = place(chart.y, value);
        dots[index].setAttribute("cx", place(chart.x, at));
        dots[index].setAttribute("cy", Math.max(chart.y[3], down));
        readout.append(` · ${series.name} `);
        text(readout, "b", written(value));
        if (at !== step) readout.append(` at ${at.toLocaleString("en")}`);
      });
      readout.classList.add("live");
      if (!marks.parentNode) plot.append(marks);
    };
    const hide = () => {
      readout.classList.remove("live");
      marks.remove();
    };
    return { plot, chart, show, hide };
  });
  let current = 0;
  const showAll = (step) => {
    current = step;
    for (const reader of readers) reader.show(step);
  };
  const hideAll = () => readers.forEach((reader) => reader.hide());
  for (const { plot, chart } of readers) {
    const steps = [...new Set(chart.series.flatMap((series) => series.points.map((point) => point[0])))];
    steps.sort((a, b) => a - b);
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const across = ((event.clientX - box.left) / box.width) * plot.viewBox.baseVal.width;
      const [low, high, start, stop] = chart.x;
      const step = low + ((across - start) / (stop - start)) * (high - low);
      showAll(nearest(steps.map((at) => [at]), step)[0]);
    });
    plot.addEventListener("pointerleave", hideAll);
    plot.addEventListener("blur", hideAll);
    plot.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const index = steps.indexOf(nearest(steps.map((at) => [at]), current)[0]) + move;
      showAll(steps[Math.min(Math.max(index, 0), steps.length - 1)]);
    });
  }

  /* Tables that sort by any column; numbers as numbers, a dash last. */
  const key = (row, column) => {
    const shown = row.cells[column].textContent.trim();
    const number = Number(shown.replaceAll(",", "").replace("−", "-"));
    return shown === "–" ? null : Number.isNaN(number) ? shown : number;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  };
  const sort = (table, heading, column) => {
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const keyed = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
    keyed.sort(([a], [b]) => (a === null || b === null || ascending ? compare(a, b) : compare(b, a)));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if ("fixed" in heading.dataset) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, heading, column));
      heading.append(button);
    });
  }

  /* Long tables start folded; without this script they are simply long. */
  for (const table of document.querySelectorAll("table.folded")) {
    const button = document.createElement("button");
    const name = () => {
      button.textContent = table.classList.contains("shut") ? `Show all ${table.tBodies[0].rows.length}` : "Show fewer";
    };
    button.type = "button";
    button.className = "unfold";
    button.addEventListener("click", () => {
      table.classList.toggle("shut");
      name();
    });
    table.classList.add("shut");
    name();
    table.parentElement.after(button);
  }

  /* Where the clipboard is refused the text is selected instead, ready for a key press. */
  const copy = async (code, button) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  };
  for (const block of document.querySelectorAll(".code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", () => copy(block.querySelector("code"), button));
    block.prepend(button);
  }
})();
