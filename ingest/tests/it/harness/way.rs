//! Other ways to the broker than the straight one.

use std::net::SocketAddr;

use super::setting;

/// The broker's address by way of another one, and `host:port` of the broker itself.
pub(crate) fn by_way_of(address: SocketAddr) -> (String, String) {
    let url = setting("AMQP_URL");
    let (credentials, rest) = url.rsplit_once('@').unwrap();
    let (target, vhost) = rest.split_once('/').unwrap();
    (format!("{credentials}@{address}/{vhost}"), target.to_owned())
}

/// An address where nobody listens, or did not a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
