//! x
mod answers;
mod kit;
mod methods;
mod neighbors;
mod network;
mod states;
