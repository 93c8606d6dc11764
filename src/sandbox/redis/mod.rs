//! Redis's own protocol on the platform's one port: enough for clients that read how the server stands.
//!
//! It must not hold keys. Invariant: nobody is told anything before the password of the sandbox was given.

mod info;
mod resp;
mod session;

pub(crate) use session::serve;

/// The host by which it is reached.
pub(crate) const HOST: &str = "redis.production";
/// Its port, as clients name it.
pub(crate) const PORT: u16 = 6379;
/// The first byte of whatever a client sends: an array. HTTP begins with a letter, PostgreSQL with a zero.
pub(crate) const FIRST: u8 = b'*';
