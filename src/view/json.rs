//! The stats object: one JSON object a line, as the contract has it.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::engine::{Moment, Snapshot};
use crate::stage::Hashed;

use super::fields::{Field, LINK, RUN, STAGE};

/// How a run ended, for the end object.
#[derive(Debug, Clone, Serialize)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// The one error, as standard error has it without the program's name.
    pub error: Option<String>,
}

/// The version of this format. A field may be added without a new one.
const SCHEMA: u32 = 1;

/// One sample of a running chain, with its newline.
#[must_use]
pub fn sample(snapshot: &Snapshot) -> String {
    line(snapshot, None)
}

/// The end object, with its newline. A run that ended before its stages were started has no snapshot.
#[must_use]
pub fn end(snapshot: Option<&Snapshot>, exit: &Exit) -> String {
    match snapshot {
        Some(snapshot) => line(snapshot, Some(exit)),
        None => line(&nothing(), Some(exit)),
    }
}

/// What there is to see of a run whose stages were not started.
fn nothing() -> Snapshot {
    Snapshot {
        moment: Moment::Ended,
        lane: "linked",
        elapsed: Duration::ZERO,
        rss: 0,
        rss_peak: 0,
        buffered: 0,
        buffered_peak: 0,
        pool_free: 0,
        state: 0,
        limit: 0,
        expected: None,
        bottleneck: None,
        stages: Vec::new(),
        links: Vec::new(),
        hashes: Vec::new(),
    }
}

fn line(snapshot: &Snapshot, exit: Option<&Exit>) -> String {
    // A map of numbers and strings always has a JSON form.
    let mut text = serde_json::to_string(&Stats { snapshot, exit }).unwrap_or_default();
    text.push('\n');
    text
}

/// The whole object.
struct Stats<'a> {
    snapshot: &'a Snapshot,
    exit: Option<&'a Exit>,
}

impl Serialize for Stats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let snapshot = self.snapshot;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        let event = match snapshot.moment {
            Moment::Running => "sample",
            Moment::Ended => "end",
        };
        map.serialize_entry("event", event)?;
        numbers(&mut map, RUN, snapshot, 0)?;
        let bottleneck = snapshot.bottleneck.map(|stage| Bottleneck {
            stage,
            name: snapshot.stages[stage].name,
        });
        map.serialize_entry("bottleneck", &bottleneck)?;
        let stages = (0..snapshot.stages.len()).map(|at| Stage { snapshot, at });
        map.serialize_entry("stages", &stages.collect::<Vec<_>>())?;
        let links = (0..snapshot.links.len()).map(|from| Link { snapshot, from });
        map.serialize_entry("links", &links.collect::<Vec<_>>())?;
        map.serialize_entry("lane", snapshot.lane)?;
        let hashes = snapshot.hashes.iter().map(Hash::of);
        map.serialize_entry("hashes", &hashes.collect::<Vec<_>>())?;
        if let Some(exit) = self.exit {
            map.serialize_entry("exit", exit)?;
        }
        map.end()
    }
}

/// The numbers of a table, at one place of the snapshot.
fn numbers<M: SerializeMap>(map: &mut M, fields: &[Field], snapshot: &Snapshot, at: usize) -> Result<(), M::Error> {
    fields
        .iter()
        .try_for_each(|field| map.serialize_entry(field.key, &(field.get)(snapshot, at)))
}

#[derive(Serialize)]
struct Bottleneck {
    stage: usize,
    name: &'static str,
}

struct Stage<'a> {
    snapshot: &'a Snapshot,
    at: usize,
}

impl Serialize for Stage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stage = &self.snapshot.stages[self.at];
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("index", &self.at)?;
        map.serialize_entry("name", stage.name)?;
        map.serialize_entry("text", &stage.text)?;
        if !stage.listening.is_empty() {
            map.serialize_entry("listening", &stage.listening)?;
        }
        numbers(&mut map, STAGE, self.snapshot, self.at)?;
        map.end()
    }
}

struct Link<'a> {
    snapshot: &'a Snapshot,
    from: usize,
}

impl Serialize for Link<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", &self.from)?;
        map.serialize_entry("to", &(self.from + 1))?;
        numbers(&mut map, LINK, self.snapshot, self.from)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Hash<'a> {
    algo: &'static str,
    hex: Option<&'a str>,
    label: &'a str,
    bytes: u64,
}

impl<'a> Hash<'a> {
    fn of(hashed: &'a Hashed) -> Self {
        Self {
            algo: hashed.algo,
            hex: hashed.hex.as_deref(),
            label: &hashed.label,
            bytes: hashed.bytes,
        }
    }
}
