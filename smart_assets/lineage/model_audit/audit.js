(async () => {
  const HEIGHT = 24, SPARE = 20;
  const packed = Uint8Array.from(atob(document.getElementById("rows").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { columns, values } = JSON.parse(await new Response(stream).text());
  const total = values[0].length;
  const view = document.getElementById("view"), space = document.getElementById("space");
  const body = document.getElementById("body"), count = document.getElementById("count");
  const search = document.getElementById("search");
  let order = [...Array(total).keys()], sorted = null, rising = true;
  const text = (value) => (value === null ? "" : typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(6) : String(value));
  const heads = columns.map((name, at) => {
    const head = document.createElement("button");
    head.textContent = name;
    head.onclick = () => {
      rising = sorted === at ? !rising : true;
      sorted = at;
      refresh();
    };
    document.getElementById("heads").append(head);
    return head;
  });
  const draw = () => {
    const first = Math.max(0, Math.floor(view.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(order.length, first + Math.ceil(view.clientHeight / HEIGHT) + 2 * SPARE);
    const rows = [];
    for (let at = first; at < last; at++) {
      const row = document.createElement("div");
      row.className = "row";
      row.style.top = `${at * HEIGHT}px`;
      for (const column of values) {
        const cell = document.createElement("span");
        cell.textContent = cell.title = text(column[order[at]]);
        row.append(cell);
      }
      rows.push(row);
    }
    body.replaceChildren(...rows);
  };
  const refresh = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    order = [];
    for (let row = 0; row < total; row++) {
      const line = words.length ? columns.map((_, at) => text(values[at][row])).join("\u0001").toLowerCase() : "";
      if (words.every((word) => line.includes(word))) order.push(row);
    }
    if (sorted !== null) {
      const column = values[sorted];
      const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : text(a).localeCompare(text(b)));
      order.sort((a, b) => (rising ? 1 : -1) * compare(column[a], column[b]) || a - b);
    }
    heads.forEach((head, at) => (head.dataset.sort = at === sorted ? (rising ? "↑" : "↓") : ""));
    count.textContent = `${order.length.toLocaleString("en")} of ${total.toLocaleString("en")} rows`;
    space.style.height = `${order.length * HEIGHT}px`;
    view.scrollTop = 0;
    draw();
  };
  let waiting;
  search.oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 150);
  };
  view.onscroll = () => requestAnimationFrame(draw);
  addEventListener("resize", draw);
  refresh();
})();
