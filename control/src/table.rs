//! What `uvs show` prints for people: aligned text without colours, numbers to the right, made to fit the terminal it is printed on.
//!
//! Services and conns look as ipvsadm prints them, because that is what the reader knows. Counts of more than six digits are shortened
//! (1234K); who needs them exactly asks for JSON.

mod conns;
mod counters;
mod grid;
mod places;
mod rates;
mod services;
#[cfg(test)]
mod tests;

pub use conns::ConnTable;
pub use counters::{drops, workers};
pub use places::{neighbors, ports, routes, version};
pub use rates::rates;
pub use services::services;

/// Width of the terminal that standard output is; `None`: it is a file or a pipe, where lines may be as long as they like.
pub fn terminal_columns() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// A count in at most six characters: "999999", "1234K", "56789M".
fn count(number: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if number < 1_000_000 {
        return number.to_string();
    }
    let mut scaled = number / 1000;
    let mut unit = 0;
    while scaled >= 100_000 {
        scaled /= 1000;
        unit += 1;
    }
    format!("{scaled}{}", UNITS[unit])
}
