//! Whole networks in one process: the real control side and the real pipeline, cables instead of NICs, a virtual clock. No
//! root, no device, no sleep. Every turn of every test asserts the accounting identity, and every test ends with a look
//! whether each real server is counted the conns that the table has for it (see `kit`).

mod answers;
mod bursts;
mod defense;
mod differences;
mod errors;
mod exhaustion;
mod flood;
mod floods;
mod fragments;
mod generator;
mod host;
mod hostile;
mod kit;
mod marks;
mod methods;
mod mtu;
mod neighbors;
mod network;
mod orphans;
mod own_server;
mod persistence;
mod rates;
mod reload;
mod removal;
mod reuse;
mod routing;
mod rss;
mod scheduled;
mod sctp;
mod services;
mod show;
mod states;
mod steering;
mod tools;
mod vlans;
mod ways;
mod workers;
