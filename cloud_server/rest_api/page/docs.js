// Swagger UI on this server's own description. A token that is entered stays in this tab.

SwaggerUIBundle({
  dom_id: "#api",
  url: "openapi.json",
  deepLinking: true,
  // Else a badge is loaded from a validator on the web, which is told this server's address.
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
