//! `to-csv`: JSON records to rows of CSV.

use memchr::memchr;

use crate::catalog::{Args, Build, Definition, Example, Role, Topic};
use crate::error::{Problem, Stop};
use crate::flow::{Chunk, Outlet};
use crate::graph::Port;
use crate::records::CsvWriter;
use crate::stage::{
    Context, Conversion, MemoryUse, Mismatch, OnThread, Outcome, RecordBound, RecordRoom, Stage, Transform,
    TransformPlan, Want,
};

use super::framing::{BAD, COLUMNS, DELIMITER, Faults, Policy, REJECT, columns, delimiter};
use super::gathered::Gathered;

/// The definition of `to-csv`.
pub static TO_CSV: Definition = Definition {
    name: "to-csv",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "JSON records to bytes: rows of CSV",
    details: "The first row has the names of the columns: those of columns=, or else of the members of the first record. \
              Strings are written as their texts, in quotes where they need them; numbers, true and false as they are; \
              null and a missing member as an empty field; an object or an array as its JSON. A record that is no object \
              or has a member that is no column is bad.",
    params: &[COLUMNS, DELIMITER, BAD, REJECT],
    examples: &[Example {
        text: "read people.csv | from-csv | select name | to-csv delimiter=tab | write names.tsv",
        about: "one column of a table, in another format",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(ToCsv {
        writer: CsvWriter::new(delimiter(args)?, columns(args)?),
        policy: Policy::of(args),
        largest: 0,
    }))
}

struct ToCsv {
    writer: CsvWriter,
    policy: Policy,
    /// Bytes of the largest record, once that is known.
    largest: u64,
}

impl TransformPlan for ToCsv {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        Box::new(OnThread(move |context: &Context| Writing {
            writer: self.writer,
            faults: Faults::new(self.policy, context),
            rows: Vec::new(),
            gathered: Gathered::default(),
            offset: 0,
        }))
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: RecordBound::Upstream,
            held: CsvWriter::RECORDS,
        })
    }

    fn settle_records(&mut self, _: Port, largest: u64) {
        self.largest = largest;
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }

    fn side_file(&self) -> Option<(&'static str, &[u8])> {
        self.policy.side_file()
    }
}

impl MemoryUse for ToCsv {
    fn state_bytes(&self) -> u64 {
        (CsvWriter::RECORDS * self.largest).saturating_add(CsvWriter::STATE + ROWS as u64 + self.policy.state_bytes())
    }
}

impl Conversion for ToCsv {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_json(input).map(|()| Port::Bytes)
    }
}

/// Bytes of rows that are passed on together.
const ROWS: usize = 16 << 10;

struct Writing {
    writer: CsvWriter,
    faults: Faults,
    /// Rows that were not passed on yet.
    rows: Vec<u8>,
    gathered: Gathered,
    /// Bytes of the records before.
    offset: u64,
}

impl Writing {
    fn put_rows(&mut self, out: &mut Outlet) -> Outcome {
        self.gathered.put(&self.rows, out)?;
        self.rows.clear();
        Ok(())
    }
}

impl Transform for Writing {
    fn transform(&mut self, chunk: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let end = (length + 1).min(rest.len());
            match self.writer.write(&rest[..length], &mut self.rows) {
                Ok(()) => {
                    self.faults.count(1);
                    if self.rows.len() >= ROWS {
                        self.put_rows(out)?;
                    }
                }
                Err(fault) => {
                    self.faults.bad(&fault, self.offset)?;
                    self.faults.keep(&rest[..end])?;
                }
            }
            self.offset += end as u64;
            rest = &rest[end..];
        }
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        self.put_rows(out)?;
        Ok(self.gathered.send(out)?)
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        self.writer.write_header(&mut self.rows);
        self.put_rows(out)?;
        self.faults.finish()?;
        Ok(self.gathered.send(out)?)
    }
}
