"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  const light = matchMedia("(prefers-color-scheme: light)"), printing = matchMedia("print");
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
  const write = {
    money: value => grouped.format(value),
    percent: value => (100 * value).toFixed(2) + " %",
    price: value => String(+value.toPrecision(7)),
    number: value => String(+value.toPrecision(4)),
  };
  // Per least distance of two marks: how a mark is written, and what is added below where a year, or a day, begins.
  const day = 86400, none = [null, null, null, null];
  const dates = [
    [365 * day, "{YYYY}", null, ...none, null, 1], [28 * day, "{MMM}", "\n{YYYY}", ...none, null, 1],
    [day, "{D} {MMM}", "\n{YYYY}", ...none, null, 1], [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  ];
  const dashes = [[6, 4], [2, 3], [10, 3, 2, 3], [1, 4]];
  const roles = {
    own: () => ({ stroke: colour("--own"), width: 1.6 }),
    fall: () => ({ stroke: colour("--fall"), width: 1, fill: colour("--down2") }),
    range: () => ({ stroke: colour("--rule"), width: 1 }),
    benchmark: place => ({ stroke: colour("--b" + (1 + (place - 1) % 4)), width: 1.3, dash: dashes[(place - 1) % 4] }),
  };

  // Entries point the way they bet, exits are squares; a line from one to the other is solid where it won.
  // The more trades are in sight the smaller the marks, so that the price stays visible.
  function marks(trades) {
    return chart => {
      const { ctx, bbox } = chart, { min, max } = chart.scales.x;
      const seen = trades.filter(([begin, end]) => end >= min && begin <= max);
      const size = devicePixelRatio * Math.max(1.4, Math.min(4.5, bbox.width / devicePixelRatio / (4 * seen.length || 1)));
      const won = colour("--good"), lost = colour("--bad");
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      for (const [begin, end, paid, got, side, win] of seen) {
        const x1 = chart.valToPos(begin, "x", true), x2 = chart.valToPos(end, "x", true);
        const y1 = chart.valToPos(paid, "y", true), y2 = chart.valToPos(got, "y", true);
        ctx.strokeStyle = ctx.fillStyle = win ? won : lost;
        ctx.lineWidth = devicePixelRatio;
        ctx.setLineDash(win ? [] : [3, 3]);
        ctx.beginPath(); ctx.moveTo(x1, y1); ctx.lineTo(x2, y2); ctx.stroke();
        ctx.setLineDash([]);
        ctx.beginPath();
        ctx.moveTo(x1, y1 - side * size); ctx.lineTo(x1 - size, y1 + side * size); ctx.lineTo(x1 + size, y1 + side * size);
        ctx.closePath(); ctx.fill();
        ctx.strokeRect(x2 - size / 2, y2 - size / 2, size, size);
      }
      ctx.restore();
    };
  }

  function options(spec, place) {
    const timed = spec.kind !== "epochs", ink = colour("--soft"), rule = colour("--rule"), said = write[spec.unit];
    const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 }, font: "12px system-ui, sans-serif" };
    const size = { width: place.clientWidth, height: place.clientHeight };
    const moment = seconds => new Date(1000 * seconds).toISOString().slice(0, 16).replace("T", " ");
    const named = timed ? { label: "UTC", value: (_, v) => v == null ? "–" : moment(v) } : { label: "Epoch" };
    return {
      ...size, tzDate: seconds => uPlot.tzDate(new Date(1000 * seconds), "Etc/UTC"), pxAlign: false,
      scales: { x: { time: timed } }, cursor: timed ? { sync: { key: "time" }, points: { show: spec.kind !== "price" } } : {},
      legend: { live: true, markers: { width: 2 } },
      axes: [{ ...axis, space: 70, ...(timed ? { values: dates } : {}) }, { ...axis, size: place.clientWidth < 500 ? 68 : 84, values: (_, all) => all.map(v => v == null ? "" : said(v)) }],
      series: [named, ...spec.series.map((one, i) => ({
        label: one.label, ...roles[one.role](i), points: { show: false }, value: (_, v) => v == null ? "–" : said(v) }))],
      bands: spec.kind === "price" ? [{ series: [1, 2], fill: colour("--rule") }] : [],
      hooks: spec.trades ? { draw: [marks(spec.trades)] } : {},
    };
  }

  const drawn = new Map();
  function draw(place) {
    const spec = specs[place.dataset.chart];
    drawn.get(place)?.destroy();
    place.style.height = "";
    const wanted = options(spec, place);
    const chart = new uPlot(wanted, [spec.x, ...spec.series.map(one => one.y)], place);
    drawn.set(place, chart);
    place.style.height = "auto"; // the legend stands below the canvas
    place.dataset.drawn = place.clientWidth;
  }

  const places = [...document.querySelectorAll(".chart")];
  places.forEach(draw);
  const redraw = () => places.forEach(draw);
  light.addEventListener("change", redraw);
  printing.addEventListener("change", redraw);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 100); });

  document.getElementById("record-details").addEventListener("toggle", () => {
    const text = document.getElementById("record-text");
    text.textContent ||= JSON.stringify(JSON.parse(document.getElementById("operation").textContent), null, 2);
  });
})();
