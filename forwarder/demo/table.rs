//! The demo's table: what was asked of each real server and what it got. On a terminal that is large enough it is redrawn in place;
//! elsewhere a line now and then says how far we are, and the table comes once, at the end.

use std::io::{self, IsTerminal, Write};

use control::show;
use rustix::termios::tcgetwinsize;

use super::network::SERVER_NAMES;
use super::plan::{SERVERS, Service, method_word};
use super::shares::{Promise, listing_of, percent};

const HEAD: [&str; 10] =
    ["service", "scheduler", "method", "server", "weight", "conns", "packets in", "packets out", "asked", "got"];
/// Columns up to here are words, aligned left; the rest are numbers.
const WORD_COLUMNS: usize = 4;
const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// Everything the table shows.
pub struct State<'a> {
    /// The services of the demo.
    pub services: &'a [Service],
    /// What the director says of them.
    pub listing: &'a [show::Service],
    /// What their schedulers promise.
    pub promises: &'a [Promise],
    /// How many answers each server of each service gave.
    pub got: &'a [[u64; SERVERS]],
}

/// Where the table is drawn.
#[derive(Debug)]
pub struct Screen {
    in_place: bool,
    colours: bool,
    lines_drawn: usize,
}

impl Screen {
    /// Standard output, for a table of `services`.
    pub fn for_services(services: usize) -> Screen {
        let terminal = io::stdout().is_terminal();
        let lines = services * SERVERS + 5;
        let size = tcgetwinsize(io::stdout()).ok().filter(|_| terminal);
        let large = size.is_some_and(|size| usize::from(size.ws_row) > lines && size.ws_col >= 100);
        Screen { in_place: large, colours: terminal && std::env::var_os("NO_COLOR").is_none(), lines_drawn: 0 }
    }

    /// Draws the table over the last one, if this is a terminal that can.
    pub fn redraw(&mut self, state: &State, progress: &str) {
        if self.in_place {
            self.put(state, progress);
        }
    }

    /// Says how far we are, where the table cannot be redrawn.
    pub fn step(&mut self, progress: &str) {
        if !self.in_place {
            println!("  {progress}");
        }
    }

    /// Draws the table for the last time.
    pub fn finish(&mut self, state: &State, progress: &str) {
        self.put(state, progress);
    }

    fn put(&mut self, state: &State, progress: &str) {
        let mut text = if self.lines_drawn > 0 { format!("\x1b[{}A", self.lines_drawn) } else { String::new() };
        let mut lines = vec![String::new()];
        lines.extend(render(state, self.colours));
        lines.extend([String::new(), format!("  {progress}")]);
        for line in &lines {
            text += line;
            text += if self.in_place { "\x1b[K\n" } else { "\n" };
        }
        self.lines_drawn = lines.len();
        // A reader that has gone away is no reason to stop before all is taken down.
        let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    }
}

fn render(state: &State, colours: bool) -> Vec<String> {
    let paint = |colour: &'static str| if colours { (colour, PLAIN) } else { ("", "") };
    let rows: Vec<([String; 10], bool)> =
        state.services.iter().enumerate().flat_map(|(at, service)| service_rows(state, at, service)).collect();
    let mut widths = HEAD.map(|head| head.chars().count());
    for (cells, _) in &rows {
        cells.iter().zip(&mut widths).for_each(|(cell, width)| *width = (*width).max(cell.chars().count()));
    }
    let (bold, plain) = paint(BOLD);
    let mut lines = vec![format!("{bold}{}{plain}", line(&HEAD.map(String::from), &widths))];
    for (cells, matches) in &rows {
        let (colour, plain) = if *matches { paint(GREEN) } else { ("", "") };
        lines.push(format!("{colour}{}{plain}", line(cells, &widths)));
    }
    lines
}

/// One row per real server; true if it got what was asked.
fn service_rows(state: &State, at: usize, service: &Service) -> Vec<([String; 10], bool)> {
    let told = listing_of(state.listing, service);
    let asked = state.promises[at].shares();
    let got = percent(state.got[at]);
    let row = |server: &super::plan::RealServer| {
        let index = server.index;
        let address = service.family().server(index);
        let told = told.and_then(|told| told.servers.iter().find(|told| told.address.ip() == address));
        let traffic = told.map(|told| told.traffic).unwrap_or_default();
        let first = |word: &str| if index == service.servers[0].index { word.to_owned() } else { String::new() };
        // The director does not see the answers of DR and TUN.
        let outbound = if service.keeps_vip() { "direct".to_owned() } else { traffic.out_packets.to_string() };
        let cells = [
            first(&service.vip.to_string()),
            first(service.scheduler),
            first(method_word(service.method)),
            SERVER_NAMES[index].to_owned(),
            server.weight.to_string(),
            traffic.conns.to_string(),
            traffic.in_packets.to_string(),
            outbound,
            format!("{:.1} %", asked[index]),
            format!("{:.1} %", got[index]),
        ];
        (cells, traffic.conns > 0 && state.promises[at].kept(asked[index], got[index]))
    };
    service.servers.iter().map(row).collect()
}

fn line(cells: &[String; 10], widths: &[usize; 10]) -> String {
    let cell = |(at, (text, &width)): (usize, (&String, &usize))| {
        if at < WORD_COLUMNS { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    let cells: Vec<String> = cells.iter().zip(widths).enumerate().map(cell).collect();
    format!("  {}", cells.join("  "))
}
