//! Rows of CSV as JSON objects.

use std::borrow::Cow;
use std::collections::HashSet;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr_iter, memchr3};

use super::framer::ByteOrderMark;
use super::json::{encode, encode_content, is_number};
use super::{Fault, Framer, Record, Step};

/// How CSV is read. RFC 4180 with what real files have: a byte order mark, any line ends, a last line without one,
/// blank lines, quotes within a field.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// What separates fields.
    pub delimiter: u8,
    /// Whether the first row has the names of the columns.
    pub has_header: bool,
    /// The names of the columns, in place of those of the first row. Without either, columns are numbered from 1.
    pub columns: Option<Vec<Vec<u8>>>,
    /// Whether a field that is a number, `true`, `false` or `null` becomes that instead of a string.
    pub infers_types: bool,
}

/// The most columns of a file.
pub(super) const MOST_COLUMNS: usize = 4096;

/// Frames rows of CSV, and makes a JSON object of each: its members are the columns.
#[derive(Debug)]
pub struct CsvRows {
    mark: ByteOrderMark,
    delimiter: u8,
    reader: Box<Reader>,
    infers_types: bool,
    /// The first row has names that are to be skipped or used.
    is_at_header: bool,
    /// What is written before each field.
    names: Option<Vec<Vec<u8>>>,
    limit: usize,
    /// Bytes of the row that were given to the reader.
    read: usize,
    /// The fields of a row with quotes so far, without them.
    fields: Vec<u8>,
    filled: usize,
    /// Where each field of the row ends.
    ends: Vec<usize>,
    ended: usize,
}

impl CsvRows {
    /// A framer for rows of at most `limit` bytes.
    #[must_use]
    pub fn new(options: &CsvOptions, limit: usize) -> Self {
        let mut reader = ReaderBuilder::new().delimiter(options.delimiter).build();
        begin_rows(&mut reader);
        Self {
            mark: ByteOrderMark::default(),
            delimiter: options.delimiter,
            reader: Box::new(reader),
            infers_types: options.infers_types,
            is_at_header: options.has_header,
            names: options
                .columns
                .as_ref()
                .map(|columns| prefixes(columns.iter().map(Vec::as_slice), options.infers_types)),
            limit,
            read: 0,
            fields: Vec::new(),
            filled: 0,
            ends: Vec::new(),
            ended: 0,
        }
    }

    /// Reads a row that is whole and has no quotes: its fields are where they stand. Returns the offset behind it.
    fn read_plain(&mut self, bytes: &[u8]) -> Option<usize> {
        let length = memchr3(b'"', b'\r', b'\n', bytes)?;
        let behind = match &bytes[length..] {
            [b'\n', ..] => length + 1,
            [b'\r', b'\n', ..] => length + 2,
            _ => return None,
        };
        let mut ends = memchr_iter(self.delimiter, &bytes[..length]).chain([length]);
        self.ended = ends
            .by_ref()
            .zip(&mut self.ends)
            .map(|(end, place)| *place = end)
            .count();
        if ends.next().is_some() || self.ended == self.ends.len() {
            self.ended = 0;
            return None;
        }
        Some(behind)
    }

    /// Reads on in the row; returns the offset behind it once it is whole.
    fn read(&mut self, bytes: &[u8], is_last: bool) -> Result<Option<usize>, Fault> {
        let mut closes = false;
        loop {
            let input = if closes { b"\n" } else { &bytes[self.read..] };
            // To the reader an empty slice is the end of the stream.
            if input.is_empty() {
                if !is_last {
                    return Ok(None);
                }
                closes = true;
                continue;
            }
            let (fields, ends) = (&mut self.fields[self.filled..], &mut self.ends[self.ended..]);
            let (result, read, filled, ended) = self.reader.read_record(input, fields, ends);
            self.filled += filled;
            self.ended += ended;
            if !closes {
                self.read += read;
            }
            match result {
                ReadRecordResult::InputEmpty if closes => return Err(fault("a quote is never closed")),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    if self.fields.len() >= self.limit {
                        return Ok(None);
                    }
                    let length = (self.fields.len() * 2).max(4 << 10).min(self.limit);
                    self.fields.resize(length, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    let most = self.columns().map_or(MOST_COLUMNS, |columns| columns + 1);
                    if self.ends.len() >= most {
                        return Err(self.ragged());
                    }
                    self.ends.resize((self.ends.len() * 2).max(16).min(most), 0);
                }
                ReadRecordResult::Record | ReadRecordResult::End => return Ok(Some(self.read)),
            }
        }
    }

    fn begin_row(&mut self) {
        (self.read, self.filled, self.ended) = (0, 0, 0);
    }

    fn columns(&self) -> Option<usize> {
        let names = self.names.as_ref().filter(|_| !self.is_at_header)?;
        Some(names.len())
    }

    fn ragged(&self) -> Fault {
        let count = self.ended;
        match self.columns() {
            None => fault(format!("it has more than {MOST_COLUMNS} fields")),
            Some(columns) if count > columns => fault(format!("it has more fields than there are columns, {columns}")),
            Some(columns) => fault(format!("it has too few fields: {count} for {columns} columns")),
        }
    }

    /// Takes the row as the names of the columns, if none are given.
    fn read_header(&mut self) -> Result<(), Fault> {
        if self.names.is_none() {
            let names: Vec<&[u8]> = fields(&self.fields, &self.ends[..self.ended], 0).collect();
            let mut seen = HashSet::new();
            for name in &names {
                if !seen.insert(name) {
                    let name = String::from_utf8_lossy(name);
                    return Err(fault(format!(
                        "two columns are named `{name}`; columns= can name them otherwise"
                    )));
                }
            }
            self.names = Some(prefixes(names.into_iter(), self.infers_types));
        }
        self.is_at_header = false;
        Ok(())
    }

    /// Writes the row as an object. Its fields are in `text`, `gap` bytes apart; without it in those that were read.
    fn write_row(&mut self, text: Option<(&[u8], usize)>, made: &mut Record) -> Result<(), Fault> {
        if self.names.is_none() {
            let numbers: Vec<String> = (1..=self.ended).map(|number| number.to_string()).collect();
            self.names = Some(prefixes(numbers.iter().map(String::as_bytes), self.infers_types));
        }
        if self.columns() != Some(self.ended) {
            return Err(self.ragged());
        }
        let (text, gap) = text.unwrap_or((&self.fields, 0));
        let fields = fields(text, &self.ends[..self.ended], gap);
        for (name, field) in self.names.iter().flatten().zip(fields) {
            made.extend(name);
            if !self.infers_types {
                encode_content(field, |bytes| made.extend(bytes));
            } else if matches!(field, b"true" | b"false" | b"null") || is_number(field) {
                made.extend(field);
            } else {
                encode(field, |bytes| made.extend(bytes));
            }
        }
        made.extend(if self.infers_types { b"}\n" } else { b"\"}\n" });
        Ok(())
    }
}

/// The fields of `text` that end at these offsets, and stand `gap` bytes apart.
fn fields<'a>(text: &'a [u8], ends: &'a [usize], gap: usize) -> impl Iterator<Item = &'a [u8]> {
    let starts = std::iter::once(0).chain(ends.iter().map(move |end| end + gap));
    starts.zip(ends).map(|(start, end)| &text[start..*end])
}

/// What stands before each field of an object whose members have these names: `,"name":`, with a brace instead of the first
/// comma, and with the quotes of the fields unless some have none.
fn prefixes<'a>(names: impl Iterator<Item = &'a [u8]>, infers_types: bool) -> Vec<Vec<u8>> {
    let prefix = |(index, name)| {
        let mut prefix: Vec<u8> = match (index, infers_types) {
            (0, _) => b"{".to_vec(),
            (_, true) => b",".to_vec(),
            (_, false) => b"\",".to_vec(),
        };
        encode(name, |bytes| prefix.extend_from_slice(bytes));
        prefix.extend_from_slice(if infers_types { b":" } else { b":\"" });
        prefix
    };
    names.enumerate().map(prefix).collect()
}

/// Makes it read a row next. It drops a byte order mark from the first bytes that it gets, and those may be anywhere in the
/// stream: plain rows are read without it. So its first is a blank line, which is no row.
fn begin_rows(reader: &mut Reader) {
    reader.reset();
    let (result, ..) = reader.read_record(b"\n", &mut [0], &mut [0]);
    debug_assert_eq!(result, ReadRecordResult::InputEmpty);
}

fn fault(why: impl Into<Cow<'static, str>>) -> Fault {
    Fault { at: 0, why: why.into() }
}

impl Framer for CsvRows {
    fn step(&mut self, bytes: &[u8], is_last: bool, made: &mut Record) -> Step {
        if let Some(step) = self.mark.step(bytes, is_last) {
            return step;
        }
        if self.read == 0 {
            let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if blank > 0 {
                return Step::Skipped { end: blank };
            }
        }
        let is_fresh = self.read == 0 && !self.is_at_header;
        let plain = is_fresh.then(|| self.read_plain(bytes)).flatten();
        let read = plain.map_or_else(|| self.read(bytes, is_last), |end| Ok(Some(end)));
        let row = read.and_then(|end| {
            let Some(end) = end else { return Ok(Step::Incomplete) };
            if let Err(error) = str::from_utf8(&bytes[..end]) {
                let at = error.valid_up_to();
                return Err(Fault {
                    at,
                    ..fault("it is not UTF-8")
                });
            }
            if self.is_at_header {
                self.read_header()?;
                return Ok(Step::Skipped { end });
            }
            self.write_row(plain.map(|_| (bytes, 1)), made)?;
            Ok(Step::Made { end })
        });
        match row {
            Ok(Step::Incomplete) => return Step::Incomplete,
            // The reader is at the beginning of a row.
            Ok(_) => self.begin_row(),
            Err(_) => self.restart(),
        }
        row.unwrap_or_else(Step::Bad)
    }

    fn restart(&mut self) {
        begin_rows(&mut self.reader);
        self.begin_row();
    }

    fn state_bytes(&self) -> u64 {
        (MOST_COLUMNS * size_of::<usize>()) as u64
    }
}
