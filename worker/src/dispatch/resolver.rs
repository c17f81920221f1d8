//! Name resolution for calls that must not reach private networks.
//!
//! The addresses that are checked are the ones that are connected to, so a name that changes its answer in between
//! (DNS rebinding) gains nothing. It is not asked about hosts that are addresses already: those are checked when the
//! configuration is read, and there are no redirects that could bring new ones.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use shared::address::is_public;

/// Resolves names, and forgets the addresses that are not of the public internet.
pub(super) struct PublicResolver;

/// A name that leads into a private network only, or nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address outside of private networks; say allow_private = true if that is meant")]
struct NotPublic;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}
