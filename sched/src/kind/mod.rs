//! The registry: every scheduler by the name `ipvsadm` knows it by. A new scheduler is a file and a line.

pub mod cache;
mod dh;
mod fo;
mod lblc;
pub mod lblcr;
mod lc;
mod mh;
mod none;
mod nq;
mod ovf;
mod rr;
mod sed;
mod sh;
mod twos;
mod wlc;
mod wrr;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::order::Least;
use crate::{Change, Flow, Moment, Scheduler, Servers, Settings};

schedulers! {
    /// Each in turn.
    Rr = "rr" => rr::Rr,
    /// Each in turn, as often as its weight says.
    Wrr = "wrr" => wrr::Wrr,
    /// The fewest conns.
    Lc = "lc" => Least<lc::Lc>,
    /// The fewest conns for its weight.
    Wlc = "wlc" => Least<wlc::Wlc>,
    /// The same server for a destination, while it is not too busy.
    Lblc = "lblc" => lblc::Lblc,
    /// The least busy of a destination's set of servers; the set grows and shrinks.
    Lblcr = "lblcr" => lblcr::Lblcr,
    /// By destination address.
    Dh = "dh" => dh::Dh,
    /// By client address.
    Sh = "sh" => sh::Sh,
    /// The shortest expected delay.
    Sed = "sed" => Least<sed::Sed>,
    /// An idle server, else the shortest expected delay.
    Nq = "nq" => Least<nq::Nq>,
    /// By client address, and a server that goes moves few clients of others.
    Mh = "mh" => mh::Mh,
    /// The heaviest server that is up.
    Fo = "fo" => Least<fo::Fo>,
    /// The heaviest server until it has as many active conns as weight, then the next.
    Ovf = "ovf" => Least<ovf::Ovf>,
    /// Two by lot, the less busy of them.
    Twos = "twos" => twos::Twos,
    /// Nobody.
    NoOne = "none" => none::NoOne,
}

/// A name no scheduler has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("scheduler {found:?}: must be one of {}", Kind::ALL.map(Kind::name).join(" "))]
pub struct UnknownScheduler {
    /// The name that was given.
    pub found: String,
}

impl FromStr for Kind {
    type Err = UnknownScheduler;

    fn from_str(name: &str) -> Result<Self, UnknownScheduler> {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownScheduler { found: name.to_owned() })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Makes the enum of kinds, and one type that is any of their schedulers: a pick costs a jump, not a pointer, and the
/// old and the new scheduler of a service meet with their own types.
macro_rules! schedulers {
    ($($(#[$what:meta])* $kind:ident = $name:literal => $scheduler:ty,)+) => {
        /// The schedulers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$what])* $kind,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: [Kind; [$($name),+].len()] = [$(Kind::$kind),+];

            /// The name that `ipvsadm` and the config file use.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)+
                }
            }
        }

        /// The scheduler of some kind.
        pub enum AnyScheduler {
            $(
                #[allow(missing_docs)]
                $kind($scheduler),
            )+
        }

        impl AnyScheduler {
            pub fn new(kind: Kind, servers: &Servers, settings: &Settings) -> Self {
                match kind {
                    $(Kind::$kind => Self::$kind(<$scheduler>::new(servers, settings)),)+
                }
            }

            pub fn pick(&mut self, servers: &Servers, flow: &Flow, at: &Moment) -> Option<usize> {
                match self {
                    $(Self::$kind(scheduler) => scheduler.pick(servers, flow, at),)+
                }
            }

            pub fn load_changed(&mut self, servers: &Servers, index: usize) {
                match self {
                    $(Self::$kind(scheduler) => scheduler.load_changed(servers, index),)+
                }
            }

            pub fn inherit(&mut self, old: &mut Self, was: &Servers, is: &Servers, change: Change) {
                match (self, old) {
                    $((Self::$kind(new), Self::$kind(old)) => new.inherit(old, was, is, change),)+
                    _ => {} // Another scheduler starts fresh.
                }
            }
        }
    };
}
use schedulers;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_one_to_one() {
        assert_eq!(Kind::ALL.len(), 15);
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!(
            "wcl".parse::<Kind>().unwrap_err().to_string(),
            "scheduler \"wcl\": must be one of rr wrr lc wlc lblc lblcr dh sh sed nq mh fo ovf twos none"
        );
    }
}
