// What the pages do beyond links and forms: times in the viewer's zone, the theme, keys, selections.
// Everything here is a comfort: without scripts, pages are read and forms are sent all the same.
(function () {
  "use strict";

  var dateTime = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  // Times come as UTC and are shown in the viewer's zone; the exact one is the tooltip.
  function localise(root) {
    root.querySelectorAll("time[datetime]:not([data-local])").forEach(function (element) {
      var moment = new Date(element.dateTime);
      if (isNaN(moment)) return;
      element.title = element.dateTime;
      element.dataset.local = "";
      element.textContent = dateTime.format(moment);
    });
    // A form's time is the viewer's, too; what is sent is UTC.
    root.querySelectorAll("input[type=datetime-local][data-utc]").forEach(function (input) {
      var moment = new Date(input.dataset.utc);
      input.removeAttribute("data-utc");
      if (isNaN(moment)) return;
      var shifted = new Date(moment.getTime() - moment.getTimezoneOffset() * 60000);
      input.value = shifted.toISOString().slice(0, 19);
    });
  }

  function toggleTheme() {
    var root = document.documentElement;
    var dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch (_blocked) {
      // Then it lasts for this page.
    }
    document.dispatchEvent(new Event("themechange"));
  }

  // Rows of a list, one after the other.
  function step(by) {
    var links = Array.prototype.slice.call(document.querySelectorAll("main a.row-link"));
    if (!links.length) return;
    var at = links.indexOf(document.activeElement);
    var next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
    links[next].focus();
  }

  var going = false;
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    var target = event.target;
    if (target.closest && target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (going) {
      going = false;
      var link = document.querySelector('[data-key="g ' + CSS.escape(event.key) + '"]');
      if (link) link.click();
      return;
    }
    if (event.key === "g") {
      going = true;
      setTimeout(function () { going = false; }, 1500);
    } else if (event.key === "/") {
      var search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "t") toggleTheme();
  }

  // Who does not see the verdict is told when it changes, and not every two seconds: numbers and ages count for nothing.
  function announcer() {
    var place = document.getElementById("announced");
    if (!place) return function () {};
    var told = null;
    return function () {
      var verdict = document.getElementById("verdict");
      if (!verdict) return;
      var words = [verdict.querySelector(".headline")].concat(Array.prototype.slice.call(verdict.querySelectorAll(".concerns li")))
        .map(function (element) { return element.textContent.replace(/\s+/g, " ").trim(); });
      var known = words.map(function (text) { return text.replace(/\d[\d.,]*( (s|min|h|d|kB|MB|B)\b)?/g, ""); }).join("\n");
      // The page itself is read when it is opened.
      if (told !== null && known !== told) place.textContent = words.join(". ");
      told = known;
    };
  }

  // A part that is loaded by itself and is not: what is shown is not how things are, least of all that all is fine.
  var heardAt = new Date();
  function onAnswer(event) {
    var silent = document.getElementById("silent");
    var answer = event.detail.xhr;
    // The page goes elsewhere, or is loaded anew.
    if (answer.getResponseHeader("HX-Redirect") || answer.getResponseHeader("HX-Refresh")) return;
    if (event.detail.successful) {
      heardAt = new Date();
      document.body.classList.remove("unheard");
      if (silent) silent.remove();
    } else if (!silent) {
      silent = document.createElement("p");
      silent.id = "silent";
      silent.className = "note bad";
      silent.setAttribute("role", "alert");
      var asksAgain = /every/.test(event.detail.elt.getAttribute("hx-trigger"));
      silent.textContent = "The console does not answer, or cannot. What is shown is of " + dateTime.format(heardAt) +
        (asksAgain ? "." : ": load the page again.");
      document.getElementById("main").prepend(silent);
      document.body.classList.add("unheard");
    }
  }

  // Of a list with check boxes: all, and how many.
  function onCheck(event) {
    var all = event.target.closest("[data-check-all]");
    var form = event.target.closest("form");
    if (!form) return;
    if (all) {
      form.querySelectorAll("input[type=checkbox][name=key], input[type=checkbox][name=id]").forEach(function (box) {
        box.checked = all.checked;
      });
    }
    var count = form.querySelectorAll("input[type=checkbox][name=key]:checked, input[type=checkbox][name=id]:checked").length;
    var told = form.querySelector("[data-checked]");
    if (told) told.textContent = count + " selected";
  }

  // Beside each date, which is named like it with "_at" behind, is a field that takes how long ago, or an instant.
  function besides(date) {
    return date.form.elements[date.name.replace(/_at$/, "")];
  }

  // A moment is entered in one of the two.
  function onInput(event) {
    var field = event.target;
    if (!field.form || !field.value) return;
    if (field.type === "datetime-local") besides(field).value = "";
    else if (field.form.elements[field.name + "_at"]) field.form.elements[field.name + "_at"].value = "";
  }

  // Whether a form acts on what is selected, and nothing is.
  function nothingSelected(form) {
    var told = form.querySelector("[data-checked]");
    var scope = form.querySelector("[name=scope]:checked");
    if (!told || (scope && scope.value !== "chosen") || form.querySelector("tbody input[type=checkbox]:checked")) return false;
    told.textContent = "nothing is selected";
    return true;
  }

  // The viewer's date as the instant that it is; empty fields are left out of the address.
  function onSubmit(event) {
    if (nothingSelected(event.target)) {
      event.preventDefault();
      return;
    }
    event.target.querySelectorAll("input[type=datetime-local]").forEach(function (date) {
      if (!date.value) return;
      besides(date).value = new Date(date.value).toISOString().replace(/\.\d+Z$/, "Z");
      date.disabled = true;
    });
    if (event.target.method === "get") {
      event.target.querySelectorAll("input, select").forEach(function (field) {
        if (!field.value) field.disabled = true;
      });
    }
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("change", onCheck);
  document.addEventListener("input", onInput);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("htmx:configRequest", function (event) {
    event.detail.headers["x-csrf-token"] = document.body.dataset.csrf || "";
  });
  document.addEventListener("htmx:afterRequest", onAnswer);
  var announce = announcer();
  document.addEventListener("htmx:afterSettle", function (event) {
    localise(event.target);
    announce();
  });
  // Coming back by the browser's own button, forms are as they were.
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form :disabled[name]").forEach(function (field) { field.disabled = false; });
    document.querySelectorAll("input[type=datetime-local]").forEach(function (date) {
      if (date.value) besides(date).value = "";
    });
  });
  var theme = document.getElementById("theme");
  if (theme) theme.addEventListener("click", toggleTheme);
  localise(document);
  announce();
})();
