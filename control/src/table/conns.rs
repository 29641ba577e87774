//! Conns as `ipvsadm -Lnc` prints them, with the local address of FullNAT behind. A list may have a million rows and is printed while it
//! arrives, so columns only ever grow: from the kernel tool's widths to the longest cell seen so far. Addresses that do not fit
//! beside each other on the terminal stand below each other.

use std::fmt::Write;

use crate::show::Conn;

const TITLES: [&str; 7] = ["pro", "expire", "state", "source", "virtual", "destination", "local"];
/// The first of the four addresses.
const ADDRESSES: usize = 3;

/// The table of `uvs show conns`, made a few conns at a time.
#[derive(Clone, Debug)]
pub struct ConnTable {
    columns: usize,
    widths: [usize; 7],
    titled: bool,
}

impl ConnTable {
    /// An empty table for a terminal of so many columns, if it is one.
    pub fn within(columns: Option<usize>) -> ConnTable {
        ConnTable { columns: columns.unwrap_or(usize::MAX), widths: [3, 6, 11, 18, 18, 18, 0], titled: false }
    }

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
            let mut titles = TITLES.map(str::to_owned);
            let all: usize = self.widths.iter().map(|width| width + 1).sum();
            if self.widths[6] == 0 && all + titles[6].len() > self.columns {
                // Perhaps nobody has a local address: no line for that alone.
                titles[6].clear();
            }
            self.line(&titles, &mut out);
        }
        rows.iter().for_each(|row| self.line(row, &mut out));
        out
    }

    fn line(&self, cells: &[String; 7], out: &mut String) {
        let margin: usize = self.widths[..ADDRESSES].iter().map(|width| width + 1).sum();
        let mut start = out.len();
        for (place, (cell, width)) in cells.iter().zip(self.widths).enumerate() {
            // By the column, not by the cell, so that rows stay below each other.
            if place > ADDRESSES && !cell.is_empty() && out.len() - start + width.max(cell.len()) > self.columns {
                end_line(start, out);
                start = out.len();
                write!(out, "{:margin$}", "").expect("a string takes everything");
            }
            write!(out, "{cell:width$} ").expect("a string takes everything");
        }
        end_line(start, out);
    }
}

fn end_line(start: usize, out: &mut String) {
    out.truncate(start + out[start..].trim_end().len());
    out.push('\n');
}

fn cells(conn: &Conn) -> [String; 7] {
    [
        conn.protocol.name().into(),
        format!("{:02}:{:02}", conn.expires_s / 60, conn.expires_s % 60),
        conn.state.to_string(),
        conn.client.to_string(),
        conn.vip.to_string(),
        conn.server.to_string(),
        conn.local.map_or(String::new(), |local| local.to_string()),
    ]
}
