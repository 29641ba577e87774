//! Conns as `ipvsadm -Lnc` prints them, with the local address of FullNAT behind. A list may have a million rows and is printed while it
//! arrives, so columns only ever grow: from the kernel tool's widths to the longest cell seen so far.

use std::fmt::Write;

use super::services::protocol;
use crate::show::Conn;

const TITLES: [&str; 7] = ["pro", "expire", "state", "source", "virtual", "destination", "local"];

/// The table of `uvs show conns`, made a few conns at a time.
#[derive(Clone, Debug)]
pub struct ConnTable {
    widths: [usize; 7],
    titled: bool,
}

impl Default for ConnTable {
    fn default() -> ConnTable {
        ConnTable { widths: [3, 6, 11, 18, 18, 18, 0], titled: false }
    }
}

impl ConnTable {
    /// Lines for these conns; the first call's begin with the titles.
    pub fn lines(&mut self, conns: &[Conn]) -> String {
        let rows: Vec<[String; 7]> = conns.iter().map(cells).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.len().max(*width);
            }
        }
        let mut out = String::new();
        if !self.titled {
            self.titled = true;
            self.line(&TITLES.map(str::to_owned), &mut out);
        }
        rows.iter().for_each(|row| self.line(row, &mut out));
        out
    }

    fn line(&self, cells: &[String; 7], out: &mut String) {
        let start = out.len();
        for (cell, width) in cells.iter().zip(self.widths) {
            write!(out, "{cell:width$} ").expect("a string takes everything");
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }
}

fn cells(conn: &Conn) -> [String; 7] {
    [
        protocol(conn.protocol).into(),
        format!("{:02}:{:02}", conn.expires_s / 60, conn.expires_s % 60),
        conn.state.to_string(),
        conn.client.to_string(),
        conn.vip.to_string(),
        conn.server.to_string(),
        conn.local.map_or(String::new(), |local| local.to_string()),
    ]
}
