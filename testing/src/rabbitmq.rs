//! RabbitMQ's users, by its management API.

use reqwest::{Client, Method};
use url::Url;
use uuid::Uuid;

use crate::services::setting;

/// A user of the broker who may do everything; removed by [`User::remove`].
pub struct User {
    name: String,
    password: String,
}

impl User {
    /// Makes one with a password.
    pub async fn with_password(password: &str) -> Self {
        let user = Self { name: format!("test-{}", Uuid::new_v4().simple()), password: password.to_owned() };
        let all = serde_json::json!({ "configure": ".*", "write": ".*", "read": ".*" });
        user.api(Method::PUT, &["users", &user.name], serde_json::json!({ "password": password, "tags": "" })).await;
        user.api(Method::PUT, &["permissions", "/", &user.name], all).await;
        user
    }

    /// The broker's address for this user.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        let mut url = Url::parse(&setting("AMQP_URL")).unwrap();
        url.set_username(&self.name).unwrap();
        url.set_password(Some(&self.password)).unwrap();
        url.into()
    }

    /// Takes the user away, and ends its connections.
    pub async fn remove(self) {
        self.api(Method::DELETE, &["users", &self.name], serde_json::Value::Null).await;
    }

    async fn api(&self, method: Method, path: &[&str], body: serde_json::Value) {
        let mut url = Url::parse(&setting("RABBITMQ_API_URL")).unwrap();
        url.path_segments_mut().unwrap().push("api").extend(path);
        Client::new().request(method, url).json(&body).send().await.unwrap().error_for_status().unwrap();
    }
}
