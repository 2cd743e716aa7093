//! Where a stream of rows may be cut, so that each part is a transaction.

use memchr::{memchr, memchr2};

/// Counts the rows of a stream, so many a batch.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    rows: u64,
    /// Lines that the batch still takes.
    left: u64,
    is_csv: bool,
    /// In a quoted field of CSV, where a newline ends no row.
    is_quoted: bool,
    /// Behind a backslash of the text format, which makes the next byte a part of the value.
    is_escaped: bool,
}

impl Batches {
    /// Batches of `rows` rows, of which the first has `head` lines more. Rows of CSV end outside of quotes; all others at a
    /// newline that follows no backslash (PostgreSQL documentation, COPY: "Text Format"), as those of JSON do, too.
    pub fn new(rows: u64, head: u64, is_csv: bool) -> Self {
        Self {
            rows,
            left: rows.saturating_add(head),
            is_csv,
            is_quoted: false,
            is_escaped: false,
        }
    }

    /// The rows of a batch.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the batch has all its rows.
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Begins the next batch.
    pub fn begin(&mut self) {
        self.left = self.rows;
    }

    /// How many of these bytes belong to the batch.
    pub fn fitting(&self, bytes: &[u8]) -> usize {
        let mut scan = *self;
        scan.scan(bytes)
    }

    /// Goes on behind bytes that belong to the batch.
    pub fn pass(&mut self, bytes: &[u8]) {
        self.scan(bytes);
    }

    /// Goes on to the end of the batch or of the bytes; returns how many it has passed.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while self.left > 0 && at < bytes.len() {
            if std::mem::take(&mut self.is_escaped) {
                at += 1;
                continue;
            }
            let rest = &bytes[at..];
            let found = match (self.is_csv, self.is_quoted) {
                (true, true) => memchr(b'"', rest),
                (true, false) => memchr2(b'"', b'\n', rest),
                (false, _) => memchr2(b'\\', b'\n', rest),
            };
            let Some(found) = found else { return bytes.len() };
            match rest[found] {
                b'\n' => self.left -= 1,
                b'"' => self.is_quoted = !self.is_quoted,
                _ => self.is_escaped = true,
            }
            at += found + 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of `text`, whatever the sizes of the pieces in which it comes.
    fn parts(text: &str, rows: u64, head: u64, is_csv: bool) -> Vec<String> {
        let cut = |size: usize| {
            let mut batches = Batches::new(rows, head, is_csv);
            let mut parts = vec![String::new()];
            for piece in text.as_bytes().chunks(size) {
                let mut piece = piece;
                while !piece.is_empty() {
                    if batches.is_full() {
                        batches.begin();
                        parts.push(String::new());
                    }
                    let (now, later) = piece.split_at(batches.fitting(piece));
                    batches.pass(now);
                    parts
                        .last_mut()
                        .expect("one")
                        .push_str(std::str::from_utf8(now).expect("ASCII"));
                    piece = later;
                }
            }
            parts
        };
        let whole = cut(text.len());
        for size in 1..text.len() {
            assert_eq!(cut(size), whole, "pieces of {size}");
        }
        whole
    }

    #[test]
    fn newlines_in_values_end_no_row() {
        let csv = "h\n1,\"a\nb\"\"\n\"\n2,\n3,x\n";
        assert_eq!(parts(csv, 2, 1, true), ["h\n1,\"a\nb\"\"\n\"\n2,\n", "3,x\n"]);
        assert_eq!(parts(csv, 2, 0, true), ["h\n1,\"a\nb\"\"\n\"\n", "2,\n3,x\n"]);
        let text = "1\ta\\\nb\n2\tc\\\\\n3\td";
        assert_eq!(parts(text, 1, 0, false), ["1\ta\\\nb\n", "2\tc\\\\\n", "3\td"]);
    }
}
