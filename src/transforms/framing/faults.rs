//! What becomes of records that are too long or bad.

use std::sync::Arc;

use crate::catalog::{Args, Kind, Param, Place};
use crate::error::{self, Failure};
use crate::flow::StageMeter;
use crate::grammar::human_size;
use crate::records::Fault;
use crate::stage::{Cancel, Context, Outcome, SideFile};

const FAIL: &str = "fail";
const SKIP: &str = "skip";

/// What to do with a record that is too long.
pub const LONG: Param = Param {
    name: "long",
    kind: Kind::Choice(&[FAIL, SKIP]),
    place: Place::Named,
    required: false,
    default: Some(FAIL),
    help: "whether a record above max-record ends the run with exit code 7, or is dropped and counted",
};

/// What to do with a record that is none.
pub const BAD: Param = Param {
    name: "bad",
    kind: Kind::Choice(&[FAIL, SKIP]),
    place: Place::Named,
    required: false,
    default: Some(FAIL),
    help: "whether a bad record ends the run with exit code 6, or is dropped and counted",
};

/// Where dropped records go.
pub const REJECT: Param = Param {
    name: "reject",
    kind: Kind::Endpoint(&[]),
    place: Place::Named,
    required: false,
    default: None,
    help: "a file for the records that were dropped, as they came",
};

/// What the user wants to become of such records.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    skips_long: bool,
    skips_bad: bool,
    reject: Option<Vec<u8>>,
}

impl Policy {
    /// The policy of a call; one that makes no records has no `long=`.
    pub fn of(args: &Args) -> Self {
        let skips = |name| args.supports(name) && args.choice(name) == Some(SKIP);
        Self {
            skips_long: skips(LONG.name),
            skips_bad: skips(BAD.name),
            reject: args.endpoint(REJECT.name).map(<[u8]>::to_vec),
        }
    }

    /// The file of the rejected records.
    pub fn side_file(&self) -> Option<(&'static str, &[u8])> {
        self.reject.as_deref().map(|path| (REJECT.name, path))
    }

    /// Bytes held for that file.
    pub fn state_bytes(&self) -> u64 {
        self.reject.as_ref().map_or(0, |_| GATHERED as u64)
    }
}

/// Bytes that are gathered for one write to the file.
const GATHERED: usize = 32 << 10;

/// Counts the records of a stage, and what becomes of those that it cannot take.
pub struct Faults {
    policy: Policy,
    /// Records so far, the bad ones included.
    records: u64,
    meter: Arc<StageMeter>,
    cancel: Arc<Cancel>,
    file: Option<Arc<dyn SideFile>>,
    gathered: Vec<u8>,
}

impl Faults {
    /// No record so far.
    pub fn new(policy: Policy, context: &Context) -> Self {
        Self {
            policy,
            records: 0,
            meter: context.meter.clone(),
            cancel: context.cancel.clone(),
            file: context.side_file.clone(),
            gathered: Vec::new(),
        }
    }

    /// Counts records that are well.
    pub fn count(&mut self, records: u64) {
        self.records += records;
    }

    /// Counts a bad record, which begins at byte `start` of the stream.
    ///
    /// # Errors
    /// If such records are not dropped.
    pub fn bad(&mut self, fault: &Fault, start: u64) -> Outcome {
        let at = start + fault.at as u64;
        self.drop_record(self.policy.skips_bad, || {
            (error::Kind::Corrupt, format!("{} (at byte {at})", fault.why))
        })
    }

    /// Counts a record of more than `limit` bytes, which begins at byte `start` of the stream.
    ///
    /// # Errors
    /// If such records are not dropped.
    pub fn long(&mut self, limit: usize, start: u64) -> Outcome {
        self.drop_record(self.policy.skips_long, || {
            let limit = human_size(limit as u64);
            let why = format!("it is longer than {limit}, which max-record= can raise (at byte {start})");
            (error::Kind::Limit, why)
        })
    }

    fn drop_record(&mut self, is_dropped: bool, why: impl FnOnce() -> (error::Kind, String)) -> Outcome {
        self.records += 1;
        if is_dropped {
            self.meter.add_rejected();
            return Ok(());
        }
        let (kind, why) = why();
        Err(Failure::because(kind, format!("cannot read record {}", self.records), why).into())
    }

    /// Keeps a part of a dropped record, if the user wants that.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&mut self, bytes: &[u8]) -> Outcome {
        if self.file.is_none() {
            return Ok(());
        }
        for piece in bytes.chunks(GATHERED) {
            if self.gathered.len() + piece.len() > GATHERED {
                self.flush()?;
            }
            self.gathered.extend_from_slice(piece);
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome {
        if let Some(file) = &self.file {
            file.append(&self.gathered, &self.cancel)?;
        }
        self.gathered.clear();
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self) -> Outcome {
        self.flush()?;
        self.file.as_ref().map_or(Ok(()), |file| file.finish())
    }
}
