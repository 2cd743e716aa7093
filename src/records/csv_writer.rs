//! JSON objects as rows of CSV.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::json::{Members, content, decode, decode_anew, is_plain, name_is};
use super::{Fault, MOST_COLUMNS};

/// Writes JSON objects as rows of CSV.
#[derive(Debug)]
pub struct CsvWriter {
    delimiter: u8,
    /// The names of the columns; those of the first record if none are given.
    columns: Option<Vec<Vec<u8>>>,
    /// Whether the names were written.
    has_header: bool,
    /// The value of each column in the current record.
    values: Vec<Option<Range<usize>>>,
    decoded: Vec<u8>,
}

impl CsvWriter {
    /// How many records of the largest size it holds: the names of the columns, a text without its escapes, and a row,
    /// which may have twice the length.
    pub const RECORDS: u64 = 4;
    /// Bytes that it holds besides: for each column its name's place, its value's, and a delimiter of a row.
    pub const STATE: u64 = (MOST_COLUMNS * (size_of::<Option<Range<usize>>>() + size_of::<Vec<u8>>() + 1)) as u64;

    /// A writer of these columns.
    #[must_use]
    pub fn new(delimiter: u8, columns: Option<Vec<Vec<u8>>>) -> Self {
        Self {
            delimiter,
            columns,
            has_header: false,
            values: Vec::new(),
            decoded: Vec::new(),
        }
    }

    /// Appends a record as a row; before the first one the names of the columns. Of members with the same name the last
    /// one counts; a missing one and `null` are an empty field, an object or an array is its JSON.
    ///
    /// # Errors
    /// If it is no object or has a member that is no column; then nothing is written.
    pub fn write(&mut self, record: &[u8], rows: &mut Vec<u8>) -> Result<(), Fault> {
        self.find(record)?;
        self.write_header(rows);
        // The most that it can be: an object in a field doubles its quotes.
        rows.reserve_exact(2 * record.len() + self.values.len() + "\"\"\n".len());
        let is_alone = self.values.len() == 1;
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                rows.push(self.delimiter);
            }
            let value = value.clone().map_or(&b"null"[..], |value| &record[value]);
            let text = match content(value) {
                // The content of a string has neither quotes nor line ends without a backslash.
                Some(content) if memchr2(b'\\', self.delimiter, content).is_none() && !is_alone => {
                    rows.extend_from_slice(content);
                    continue;
                }
                Some(content) if is_plain(content) => content,
                Some(content) => {
                    decode_anew(content, &mut self.decoded);
                    &self.decoded
                }
                None if value == b"null" => b"",
                None => value,
            };
            write_field(text, self.delimiter, is_alone, rows);
        }
        rows.push(b'\n');
        Ok(())
    }

    /// Appends the names of the columns, unless that was done or they are not known.
    pub fn write_header(&mut self, rows: &mut Vec<u8>) {
        let Some(columns) = self.columns.as_ref().filter(|_| !self.has_header) else {
            return;
        };
        self.has_header = true;
        rows.reserve_exact(columns.iter().map(|name| 2 * name.len() + 3).sum());
        for (index, name) in columns.iter().enumerate() {
            if index > 0 {
                rows.push(self.delimiter);
            }
            write_field(name, self.delimiter, columns.len() == 1, rows);
        }
        rows.push(b'\n');
    }

    /// Finds the value of each column.
    fn find(&mut self, record: &[u8]) -> Result<(), Fault> {
        let fault = |at, why: String| Err(Fault { at, why: why.into() });
        if record.trim_ascii_start().first() != Some(&b'{') {
            return fault(0, "only an object is a row".to_owned());
        }
        if self.columns.is_none() {
            let mut columns: Vec<Vec<u8>> = Vec::new();
            for member in Members::new(record, 0) {
                if columns.len() == MOST_COLUMNS {
                    return fault(member.name.start, format!("it has more than {MOST_COLUMNS} members"));
                }
                let mut name = Vec::new();
                decode(&record[member.name], &mut name);
                columns.push(name);
            }
            let mut seen = std::collections::HashSet::new();
            columns.retain(|name| seen.insert(name.clone()));
            self.columns = Some(columns);
        }
        let columns = self.columns.as_deref().unwrap_or_default();
        self.values.clear();
        self.values.resize(columns.len(), None);
        // Members are usually in the order of the columns.
        let mut likely = 0;
        for member in Members::new(record, 0) {
            let name = &record[member.name.clone()];
            let is = |column: &Vec<u8>| name_is(name, column);
            if !columns.get(likely).is_some_and(is) {
                let Some(found) = columns.iter().position(is) else {
                    let name = String::from_utf8_lossy(name);
                    return fault(member.name.start, format!("`{name}` is not among the columns"));
                };
                likely = found;
            }
            self.values[likely] = Some(member.value);
            likely += 1;
        }
        Ok(())
    }
}

/// Appends one field, in quotes if it needs them; an empty one alone in its row does, or the row would be blank.
fn write_field(field: &[u8], delimiter: u8, is_alone: bool, rows: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || *byte == delimiter;
    if !(field.iter().any(is_special) || is_alone && field.is_empty()) {
        return rows.extend_from_slice(field);
    }
    rows.push(b'"');
    let mut rest = field;
    while let Some(at) = memchr(b'"', rest) {
        rows.extend_from_slice(&rest[..=at]);
        rows.push(b'"');
        rest = &rest[at + 1..];
    }
    rows.extend_from_slice(rest);
    rows.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows of these records, and the faults of those that are none.
    fn written(columns: Option<&[&str]>, records: &[&str]) -> (String, Vec<String>) {
        let columns = columns.map(|columns| columns.iter().map(|name| name.as_bytes().to_vec()).collect());
        let mut writer = CsvWriter::new(b',', columns);
        let (mut rows, mut faults) = (Vec::new(), Vec::new());
        for record in records {
            let row = writer.write(record.as_bytes(), &mut rows);
            faults.extend(row.err().map(|fault| fault.why.into_owned()));
        }
        (String::from_utf8(rows).expect("UTF-8"), faults)
    }

    #[test]
    fn first_record_names_the_columns() {
        let records = [
            r#"{"a":1.50,"b":"x, \"y\"","c":null}"#,
            r#"{"c":true,"a":{"d":[1, 2]}}"#,
            r#"{"b":"line\nbreak","\u0061":1,"a":2}"#,
        ];
        let rows = "a,b,c\n1.50,\"x, \"\"y\"\"\",\n\"{\"\"d\"\":[1, 2]}\",,true\n2,\"line\nbreak\",\n";
        assert_eq!(written(None, &records), (rows.to_owned(), vec![]));
        assert_eq!(written(None, &[r#"{"a":1,"a":2}"#]).0, "a\n2\n");
    }

    #[test]
    fn unknown_member_is_a_fault() {
        let (rows, faults) = written(Some(&["b", "a"]), &[r#"{"a":1}"#, r#"{"x":1}"#, "[1]", r#"{"b":2}"#]);
        assert_eq!(rows, "b,a\n,1\n2,\n");
        assert_eq!(faults, ["`x` is not among the columns", "only an object is a row"]);
    }

    proptest! {
        #[test]
        fn rows_are_read_back(rows in proptest::collection::vec(proptest::collection::vec(r#"[a-c,"\r\n é]{0,6}"#, 2), 1..4), alone: bool) {
            let width = if alone { 1 } else { 2 };
            let names = &["x", "y"][..width];
            let records: Vec<String> = rows
                .iter()
                .map(|row| {
                    let members = names.iter().zip(row).map(|(name, text)| ((*name).to_owned(), text.as_str().into()));
                    serde_json::Value::Object(members.collect()).to_string()
                })
                .collect();
            let (text, faults) = written(None, &records.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert!(faults.is_empty());
            let read = ::csv::Reader::from_reader(text.as_bytes()).into_records();
            let read: Vec<::csv::StringRecord> = read.map(|row| row.expect("a row")).collect();
            let expected: Vec<Vec<&String>> = rows.iter().map(|row| row[..width].iter().collect()).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
