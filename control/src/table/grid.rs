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
        self.rows.push((span, cells.into_iter().map(Into::into).collect()));
    }

    /// Lines without trailing blanks.
    pub(super) fn text(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for (span, cells) in &self.rows {
            let start = out.len();
            for (index, cell) in cells.iter().enumerate() {
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

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(|(span, cells)| cells.len() + span - 1).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for (span, cells) in &self.rows {
            let start = if *span > 1 { 1 } else { 0 };
            for (index, cell) in cells.iter().enumerate().skip(start) {
                let width = &mut widths[index + span - 1];
                *width = cell.chars().count().max(*width);
            }
        }
        // A spanning cell that is too long widens the first column, where the addresses are.
        for (span, cells) in self.rows.iter().filter(|(span, _)| *span > 1) {
            let lacking = cells[0].chars().count().saturating_sub(room(&widths[..*span]));
            widths[0] += lacking;
        }
        widths
    }
}

/// Columns side by side with a blank between them.
fn room(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + widths.len() - 1
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
