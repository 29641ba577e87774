//! What is kept in order so that no pick walks thousands of servers. Each of these is told of one changed server in
//! O(log servers) and answers in O(1) or O(log servers).

mod least;
mod reach;
mod share;
mod slack;

pub use least::{Least, Measure, Ratio};
pub use reach::Reach;
pub use share::Share;
pub use slack::Slack;
