// Swagger UI on our own description. A person is logged in by their session; what acts wants a token ("Authorize"), since
// this page repeats no form's token.
window.addEventListener("load", function () {
  "use strict";
  window.SwaggerUIBundle({
    url: "/api/v1/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    presets: [window.SwaggerUIBundle.presets.apis],
  });
});
