// Draws what a table on the page says, so that a picture never says anything else.
(() => {
  "use strict";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shown = {
    money: (value) => (value >= 100 ? "$" + value.toFixed(0) : value >= 1 ? "$" + value.toFixed(2) : value ? "$" + value.toPrecision(2) : "$0"),
    ms: (value) => (value >= 1000 ? +(value / 1000).toPrecision(3) + " s" : Math.round(value) + " ms"),
    number: new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 }).format,
  };

  function column(table, name) {
    return [...table.tBodies[0].rows].map((row) => {
      const cell = [...row.cells].find((each) => each.dataset.c === name);
      return cell ? cell.dataset.v : "";
    });
  }

  // Bars of one place stand side by side.
  function beside(index, all) {
    if (all === 1) return { size: [0.6, 48] };
    const width = 0.8 / all;
    return { disp: {
      x0: { unit: 1, values: (plot) => plot.data[0].map((at) => at - 0.4 + index * width) },
      size: { unit: 1, values: (plot) => plot.data[0].map(() => width) },
    } };
  }

  const number = (text) => (text === "" || text === undefined ? null : Number(text));
  const moment = (text) => (/^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text.length === 10 ? text + "T00:00:00Z" : text.replace(" ", "T") + (/(Z|[+-]\d\d:?\d\d)$/.test(text) ? "" : "Z")) / 1000 : NaN);

  function draw(figure) {
    const table = document.getElementById(figure.dataset.plot);
    if (!table) return figure.remove();
    const names = figure.dataset.y.split(",");
    const along = column(table, figure.dataset.x);
    const times = along.map(moment);
    const isTime = times.every((each) => !Number.isNaN(each));
    const numbers = along.map(Number);
    const isNumber = !isTime && along.every((each) => each !== "") && numbers.every((each) => !Number.isNaN(each));
    const at = isTime ? times : isNumber ? numbers : along.map((_, index) => index);
    const order = at.map((_, index) => index).sort((a, b) => at[a] - at[b]);
    const pick = (values) => order.map((index) => values[index]);
    const say = shown[figure.dataset.kind] || shown.number;
    const lines = ["--link", "--warn", "--good", "--bad", "--soft", "--ink"];
    const apart = !isTime && !isNumber;
    const few = apart || (at.length <= 31 && names.length === 1);
    const canvas = figure.querySelector(".canvas");
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const daily = isTime && along.every((each) => each.length === 10);
    const day = new Intl.DateTimeFormat("en", { timeZone: "UTC", day: "numeric", month: "short" });
    const thin = Math.ceil(at.length / Math.max(Math.floor(canvas.clientWidth / 64), 2));
    const days = { ...axis, size: 32, splits: () => [...at].sort((a, b) => a - b).filter((_, index) => index % thin === 0), values: (_, splits) => splits.map((stamp) => day.format(stamp * 1000)) };
    const bottom = daily ? days : isTime || isNumber ? axis : { ...axis, splits: () => at, values: (_, splits) => splits.map((index) => (along[index] || "").slice(0, 14)) };
    const plot = new uPlot({
      width: canvas.clientWidth, height: 210,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
      scales: { x: { time: isTime, range: few ? (_, low, high) => { const room = at.length > 1 ? (high - low) / (at.length - 1) / 1.5 : 1; return [low - room, high + room]; } : undefined } , y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
      axes: [bottom, { ...axis, size: 64, values: (_, splits) => splits.map(say) }],
      legend: { live: false, show: names.length > 1 },
      series: [{}, ...names.map((name, index) => ({
        label: name.replace(/_(ms|usd)$/, ""), stroke: colour(lines[index % lines.length]), width: 2,
        fill: few ? colour(lines[index % lines.length]) : undefined,
        paths: few ? uPlot.paths.bars(beside(index, names.length)) : undefined, points: { show: at.length < 40 && !few },
      }))],
    }, [pick(at), ...names.map((name) => pick(column(table, name).map(number)))], canvas);
    new ResizeObserver(() => plot.setSize({ width: canvas.clientWidth, height: 210 })).observe(canvas);
  }

  const all = () => document.querySelectorAll("figure[data-plot]").forEach((figure) => {
    figure.querySelector(".canvas").replaceChildren();
    draw(figure);
  });
  all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
})();
