//! A live picture on a terminal: lines that are redrawn in place, and text that is printed above them.

use crate::machine::{Outbox, Stream};

/// The picture on the terminal.
#[derive(Debug)]
pub struct LivePicture {
    columns: usize,
    rows: usize,
    drawn: Vec<String>,
}

impl LivePicture {
    /// Returns an empty picture for a terminal of this size, in columns and rows.
    pub fn new((columns, rows): (u16, u16)) -> LivePicture {
        LivePicture { columns: columns.into(), rows: rows.into(), drawn: Vec::new() }
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        (self.columns, self.rows) = (columns.into(), rows.into());
    }

    /// Draws these lines, if they differ from the present ones. Lines that do not fit are counted in the last line.
    pub fn draw(&mut self, lines: &[String], out: &mut Outbox) {
        let room = self.rows.saturating_sub(1).max(2);
        let left = if lines.len() > room { lines.len() - (room - 1) } else { 0 };
        let mut fit: Vec<String> = lines[..lines.len() - left].iter().map(|line| self.cut(line)).collect();
        if left > 0 {
            fit.push(self.cut(&format!("... and {left} more")));
        }
        if fit != self.drawn {
            let erased = self.erase();
            self.drawn = fit;
            self.put(erased, "", out);
        }
    }

    /// Prints text above the picture.
    pub fn above(&self, text: &str, out: &mut Outbox) {
        self.put(self.erase(), text, out);
    }

    fn cut(&self, line: &str) -> String {
        line.chars().take(self.columns.saturating_sub(1).max(1)).collect()
    }

    fn erase(&self) -> String {
        match self.drawn.len() {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }

    fn put(&self, mut text: String, above: &str, out: &mut Outbox) {
        text.push_str(above);
        for line in &self.drawn {
            text.push_str(line);
            text.push('\n');
        }
        out.print(Stream::Out, text);
    }
}

/// Returns rows of cells as lines, each column as wide as its widest cell.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Effect;

    fn printed(out: &mut Outbox) -> String {
        let text = out.drain().map(|effect| match effect {
            Effect::Print { bytes, .. } => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        });
        text.collect()
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_picture_takes_the_place_of_the_last_one() {
        let (mut picture, mut out) = (LivePicture::new((80, 24)), Outbox::new());
        picture.draw(&lines(&["a", "b"]), &mut out);
        assert_eq!(printed(&mut out), "a\nb\n");
        picture.draw(&lines(&["a", "b"]), &mut out);
        assert_eq!(printed(&mut out), "", "nothing is new");
        picture.above("text\n", &mut out);
        assert_eq!(printed(&mut out), "\x1b[2A\r\x1b[Jtext\na\nb\n");
        picture.draw(&lines(&["c"]), &mut out);
        assert_eq!(printed(&mut out), "\x1b[2A\r\x1b[Jc\n");
    }

    #[test]
    fn a_picture_is_no_larger_than_its_terminal() {
        let (mut picture, mut out) = (LivePicture::new((5, 4)), Outbox::new());
        picture.draw(&lines(&["a long line", "b", "c", "d"]), &mut out);
        assert_eq!(printed(&mut out), "a lo\nb\n... \n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cells() {
        let rows = [lines(&["node", "state"]), lines(&["a", "owner"]), lines(&["longer", ""])];
        assert_eq!(table(&rows), ["node    state", "a       owner", "longer"]);
    }
}
