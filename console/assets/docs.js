// Swagger UI on our own description. A person is logged in by their session; what acts wants a token ("Authorize"), since
// this page repeats no form's token.
window.addEventListener("load", function () {
  "use strict";
  var chosen = document.documentElement.dataset.theme;
  var dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("dark-mode", dark);
  window.SwaggerUIBundle({
    url: "/api/v1/openapi.json",
    dom_id: "#swagger-ui",
    // A link within each operation's button would be two things to press in one.
    deepLinking: false,
    validatorUrl: null,
    presets: [window.SwaggerUIBundle.presets.apis],
  });
});
