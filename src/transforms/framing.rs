//! `lines`, `from-json`, `from-csv` and `from-sse`: bytes to records.

use crate::catalog::{Args, Kind, Param, Place};
use crate::graph::Port;
use crate::records::Framer;
use crate::stage::{Conversion, MemoryUse, Mismatch, OnThread, RecordBound, RecordRoom, Stage, TransformPlan};

mod csv;
mod driver;
mod faults;
mod json;
mod lines;
mod sse;

pub use csv::{COLUMNS, DELIMITER, FROM_CSV, columns, delimiter};
use faults::LONG;
pub use faults::{BAD, Faults, Policy, REJECT};
pub use json::FROM_JSON;
pub use lines::LINES;
pub use sse::FROM_SSE;

use driver::Framing;

/// The parameters that all of them have.
const MAX_RECORD: Param = Param {
    name: "max-record",
    kind: Kind::Size,
    place: Place::Named,
    required: false,
    default: None,
    help: "the largest record, with its line end; 1 MiB unless given, less under a small --memory",
};

/// The plan of a stage that makes records of bytes.
struct FramingPlan<M> {
    /// Makes the framer for records of at most so many bytes.
    make: M,
    /// What it sends.
    port: Port,
    bound: RecordBound,
    /// Bytes of the largest record, once that is known.
    largest: u64,
    /// How many records of that size it holds.
    held: u64,
    /// Bytes that it holds besides.
    state: u64,
    policy: Policy,
}

impl<M> FramingPlan<M> {
    fn new(args: &Args, port: Port, make: M) -> Self {
        let bound = args.size("max-record");
        Self {
            make,
            port,
            bound: bound.map_or(RecordBound::Open, |bytes| RecordBound::Given(bytes.max(1))),
            largest: 0,
            // The part of a record that a chunk has cut, and a record that is written anew.
            held: 2,
            state: 0,
            policy: Policy::of(args),
        }
    }
}

impl<F: Framer + 'static, M: Fn(usize) -> F + Send + 'static> TransformPlan for FramingPlan<M> {
    fn keeps_positions(&self) -> bool {
        // Others may need what came before: a header, the beginning of a value or of an event.
        self.port == Port::Lines
    }

    fn make(self: Box<Self>) -> Box<dyn Stage> {
        let limit = usize::try_from(self.largest).unwrap_or(usize::MAX);
        let framer = (self.make)(limit);
        Box::new(OnThread(move |context: &_| {
            Framing::new(framer, limit, self.policy, context)
        }))
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: self.bound,
            held: self.held,
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

impl<M: Send> MemoryUse for FramingPlan<M> {
    fn state_bytes(&self) -> u64 {
        (self.held * self.largest).saturating_add(self.state + self.policy.state_bytes())
    }
}

impl<M: Send> Conversion for FramingPlan<M> {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_bytes(input).map(|()| self.port)
    }
}
