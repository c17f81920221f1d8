//! What attributes are called: OpenTelemetry's semantic conventions
//! for HTTP and messaging (<https://opentelemetry.io/docs/specs/semconv/>), and ours beside them.

/// `POST`.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// The path's pattern.
pub const HTTP_ROUTE: &str = "http.route";
/// The answer's status.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The path.
pub const URL_PATH: &str = "url.path";
/// `http` or `https`.
pub const URL_SCHEME: &str = "url.scheme";
/// Whose service is called.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// A closed set of words, where something failed.
pub const ERROR_TYPE: &str = "error.type";

/// [`RABBITMQ`].
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// What OpenTelemetry calls the broker.
pub const RABBITMQ: &str = "rabbitmq";
/// The queue; messages go through the default exchange, whose routing key it is.
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
/// `publish` or `process`.
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
/// `send` or `process`.
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
/// The webhook's id.
pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
/// Bytes of the body.
pub const MESSAGING_MESSAGE_BODY_SIZE: &str = "messaging.message.body.size";

/// The configured source, as in logs.
pub const WEBHOOK_SOURCE: &str = "webhook.source";
/// The webhook's id, as in logs.
pub const WEBHOOK_ID: &str = "webhook.id";
/// The provider's name for what happened, as in logs.
pub const WEBHOOK_TOPIC: &str = "webhook.topic";
/// How it ended, as in logs.
pub const OUTCOME: &str = "outcome";
/// How often it was tried before (a webhook), or is tried now (an effect), as in logs.
pub const ATTEMPT: &str = "attempt";
/// The configured effect, as in logs.
pub const EFFECT: &str = "effect";
/// What the idempotency key is made from, as in logs.
pub const EFFECT_KEY: &str = "key";
