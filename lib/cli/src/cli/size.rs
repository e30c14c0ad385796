//! Numbers and tables for people.

/// Bytes in decimal units, as registries and disks count: `12.3 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if value < 9.995 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Lays rows out in columns, two spaces apart, without trailing blanks.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut columns = Columns::new(head);
    rows.iter().for_each(|row| columns.fit(row));
    let lines = rows.iter().map(|row| columns.line(row));
    std::iter::once(columns.line(head)).chain(lines).collect()
}

/// The widths of a table's columns, for tables that are too long to be held: all rows are fitted
/// first, and made again to be written.
pub struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// As wide as the head.
    pub fn new(head: &[&str]) -> Columns {
        Columns { widths: head.iter().map(|cell| cell.chars().count()).collect() }
    }

    /// At least as wide as this row.
    pub fn fit(&mut self, row: &[String]) {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// A row as a line.
    pub fn line<S: AsRef<str>>(&self, row: &[S]) -> String {
        let mut out = String::new();
        for (cell, width) in row.iter().zip(&self.widths) {
            let cell = cell.as_ref();
            out.push_str(cell);
            let blanks = (width + 2).saturating_sub(cell.chars().count());
            out.extend(std::iter::repeat_n(' ', blanks));
        }
        format!("{}\n", out.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (12_345, "12.3 kB"),
            (999_950, "1.00 MB"),
            (626_000_000, "626.0 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn columns() {
        let rows = vec![
            vec!["a".to_owned(), "long cell".to_owned()],
            vec!["bbb".to_owned(), String::new()],
        ];
        assert_eq!(table(&["X", "Y"], &rows), "X    Y\na    long cell\nbbb\n");
    }
}
