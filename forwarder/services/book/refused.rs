//! What control's edits are refused for.

/// Why an edit was refused; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The service is there already.
    #[error("service already exists")]
    ServiceExists,
    /// There is no such service.
    #[error("no such service")]
    NoService,
    /// The real server is there already.
    #[error("real server already exists")]
    ServerExists,
    /// There is no such real server.
    #[error("no such real server")]
    NoServer,
    /// No room.
    #[error("too many services or real servers")]
    Full,
    /// Steer is fixed while a service lives.
    #[error("steer cannot change while the service has conns; remove it, and add it again when they have ended")]
    SteerIsFixed,
    /// Another service's conns would be lost.
    #[error(
        "another service that takes, or took, such flows is steered otherwise; steer it alike, or wait until its conns have ended"
    )]
    SteeredOtherwise,
    /// A reply that does not say which worker owns its flow.
    #[error("a service with steer = \"tuple\" takes no nat servers: their replies do not name the VIP")]
    NatByTuple,
}
