//! Rows of cells, aligned. The first cell of a row may span several columns, as a service's words do above its servers; that, for ten
//! thousand services in linear time, is why this is not a table crate (tabled's spans took minutes in a debug build).

/// A table in the making.
#[derive(Debug, Default)]
pub(super) struct Grid {
    rows: Vec<(usize, Vec<String>)>,
    /// Columns of numbers.
    right: Vec<usize>,
}

impl Grid {
    /// A grid with these columns aligned to the right.
    pub(super) fn new(right: impl IntoIterator<Item = usize>) -> Grid {
        Grid { rows: Vec::new(), right: right.into_iter().collect() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.spanning(1, cells);
    }

    /// A row whose first cell takes the room of the first `span` columns.
    pub(super) fn spanning(&mut self, span: usize, cells: impl IntoIterator<Item = impl Into<String>>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        debug_assert!(!cells.is_empty(), "a row has a first cell");
        self.rows.push((span, cells));
    }

    /// Lines without trailing blanks.
    pub(super) fn text(&self) -> String {
        self.text_within(None)
    }

    /// The same in so many columns: a first cell that leaves too little room for the others has a line of its own, and they
    /// follow below it, each in its column. (In IPv6 two addresses side by side fill a terminal.)
    pub(super) fn text_within(&self, columns: Option<usize>) -> String {
        let (widths, first_max) = self.widths(columns);
        let mut out = String::new();
        for (span, cells) in &self.rows {
            let alone = cells[0].chars().count() > room(&widths[..*span]).min(first_max(*span));
            if alone {
                out.extend([&cells[0], "\n"]);
                if cells.len() == 1 {
                    continue;
                }
            }
            let start = out.len();
            for (index, cell) in cells.iter().enumerate() {
                let cell = if alone && index == 0 { "" } else { cell };
                let (column, width) = match index {
                    0 => (0, room(&widths[..*span])),
                    _ => (index + span - 1, widths[index + span - 1]),
                };
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                let right = index > 0 && self.right.contains(&column);
                let (before, after) = if right { (pad.as_str(), "") } else { ("", pad.as_str()) };
                out.extend([before, cell, after, " "]);
            }
            out.truncate(start + out[start..].trim_end().len());
            out.push('\n');
        }
        out
    }

    /// The columns' widths, and how long a first cell of a span may be.
    fn widths(&self, columns: Option<usize>) -> (Vec<usize>, impl Fn(usize) -> usize) {
        let count = self.rows.iter().map(|(span, cells)| cells.len() + span - 1).max().unwrap_or(0);
        let mut widths = vec![0; count];
        for (span, cells) in &self.rows {
            for (index, cell) in cells.iter().enumerate().skip(1) {
                let width = &mut widths[index + span - 1];
                *width = cell.chars().count().max(*width);
            }
        }
        let others: Vec<usize> = widths.iter().map(|width| width + 1).collect();
        let total = columns.unwrap_or(usize::MAX);
        let first_max = move |span: usize| match others.len() > span {
            // What stands behind the span; the first column's own width is not known yet, and is 0 here.
            true => total.saturating_sub(others[span..].iter().sum()),
            false => total,
        };
        for (span, cells) in &self.rows {
            let length = cells[0].chars().count();
            // A spanning cell that is too long widens the first column, where the addresses are.
            let lacking = length.saturating_sub(if *span > 1 { room(&widths[..*span]) } else { widths[0] });
            let widened = widths[0] + lacking;
            if length <= first_max(*span) && room(&widths[..]) - widths[0] + widened <= total {
                widths[0] = widened;
            }
        }
        (widths, first_max)
    }
}

/// Columns side by side with a blank between them.
fn room(widths: &[usize]) -> usize {
    (widths.iter().sum::<usize>() + widths.len()).saturating_sub(1)
}

/// Lines of at most `width` characters, broken between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.extend([" ", word]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
