// Before the first paint: the theme that the person chose, if one was. Without a choice the system's counts.
(function () {
  "use strict";
  try {
    var theme = localStorage.getItem("theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch (_blocked) {
    // Without storage there is no choice to remember.
  }
})();
