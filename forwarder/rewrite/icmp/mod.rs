//! ICMP and ICMPv6: errors that the director makes, echo that it answers, and other people's errors about conns,
//! which it translates as it does the conns' packets.

mod echo;
mod error;
mod redirect;
mod translate;

pub use echo::echo_reply;
pub use error::{Cause, ERROR_BYTES_MAX, error, may_answer};
pub use redirect::{redirect_v4, redirect_v6};
pub use translate::{Quoted, Translation, quoted, translate};

#[cfg(test)]
mod tests;
