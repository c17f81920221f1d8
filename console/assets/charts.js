// The overview's charts: drawn by uPlot from /api/v1/overview/series, every five seconds.
(function () {
  "use strict";

  var places = Array.prototype.slice.call(document.querySelectorAll("[data-chart]"));
  if (!places.length || typeof uPlot === "undefined") return;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // What each chart draws: a field of the answer, its name and its colour.
  var kinds = {
    rates: [["received", "received", "--series-1"], ["processed", "processed", "--series-2"], ["refused", "refused", "--series-3"]],
    latency: [["p50_ms", "p50", "--series-2"], ["p95_ms", "p95", "--series-1"], ["p99_ms", "p99", "--series-3"]],
    ready: [["ready", "waiting", "--series-1"]],
    trouble: [["duplicates", "duplicates", "--series-2"], ["retried", "retried", "--series-1"], ["parked", "parked", "--series-3"]],
    spool: [["spool_files", "files", "--series-1"]],
  };

  // As the viewer writes a time of day.
  var timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  function times(_plot, moments) {
    return moments.map(function (seconds) { return timeOfDay.format(new Date(seconds * 1000)); });
  }

  // A value between two that are missing is no line: it is shown as a point.
  function alone(plot, series) {
    var values = plot.data[series];
    var found = [];
    values.forEach(function (value, at) {
      if (value != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
    });
    return found.length ? found : null;
  }

  var charts = [];
  var last = null;

  function size(place) {
    return { width: Math.max(place.clientWidth, 120), height: 150 };
  }

  function build() {
    charts.forEach(function (chart) { chart.plot.destroy(); });
    charts = places.map(function (place) {
      var lines = kinds[place.dataset.chart];
      var axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
      var options = Object.assign(size(place), {
        padding: [8, 8, 0, 0],
        cursor: { y: false, points: { size: 5 } },
        legend: { live: false },
        // The whole quarter of an hour, also while there is but a minute of history.
        scales: { x: { range: function (_plot, _min, max) { return [max - 900, max]; } }, y: { range: function (_plot, _min, max) { return [0, Math.max(max * 1.1, 1)]; } } },
        axes: [Object.assign({ space: 60, size: 28, values: times }, axis), Object.assign({ size: 44, space: 28 }, axis)],
        series: [{}].concat(lines.map(function (line) {
          return {
            label: line[1], stroke: colour(line[2]), width: 1.5, spanGaps: false, points: { show: false, filter: alone, size: 4, fill: colour(line[2]) },
            value: function (_plot, value) { return value == null ? "–" : Math.round(value * 10) / 10; },
          };
        })),
      });
      return { lines: lines, place: place, plot: new uPlot(options, [[]].concat(lines.map(function () { return []; })), place) };
    });
    if (last) draw(last);
  }

  function draw(series) {
    charts.forEach(function (chart) {
      chart.plot.setData([series.at].concat(chart.lines.map(function (line) { return series[line[0]]; })));
    });
  }

  function fetchOnce() {
    if (document.hidden) return;
    fetch("/api/v1/overview/series?minutes=15", { credentials: "same-origin" })
      .then(function (answer) { return answer.ok ? answer.json() : null; })
      .then(function (series) {
        if (!series) return;
        last = series;
        draw(series);
      })
      .catch(function () { /* the page says when the console is away */ });
  }

  build();
  fetchOnce();
  setInterval(fetchOnce, 5000);
  addEventListener("resize", function () {
    charts.forEach(function (chart) { chart.plot.setSize(size(chart.place)); });
  });
  document.addEventListener("themechange", build);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
})();
