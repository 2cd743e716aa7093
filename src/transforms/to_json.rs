//! `to-json`: JSON records to bytes.

use memchr::memchr;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{Problem, Stop};
use crate::flow::{Chunk, Outlet, block_on};
use crate::graph::Port;
use crate::stage::{Conversion, Mismatch, OnThread, Outcome, Stage, Transform, TransformPlan, Want};

use super::gathered::Gathered;

/// The definition of `to-json`.
pub static TO_JSON: Definition = Definition {
    name: "to-json",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "JSON records to bytes: JSON Lines, or one array",
    details: "JSON Lines are what records are already, so without array=true nothing changes but that what follows takes \
              bytes. An array has each record on a line of its own.",
    params: &[Param {
        name: "array",
        kind: Kind::Flag,
        place: Place::Named,
        required: false,
        default: Some("false"),
        help: "whether to write one array",
    }],
    examples: &[Example {
        text: "read people.csv | from-csv types=infer | to-json array=true | write people.json",
        about: "a table as an array of objects",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(ToJson {
        is_array: args.flag("array"),
    }))
}

struct ToJson {
    is_array: bool,
}

impl TransformPlan for ToJson {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        if self.is_array {
            Box::new(OnThread(|_: &_| Array::default()))
        } else {
            Box::new(OnThread(|_: &_| Bare))
        }
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }
}

impl Conversion for ToJson {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_json(input).map(|()| Port::Bytes)
    }
}

/// Passes the bytes of records on.
struct Bare;

impl Transform for Bare {
    fn transform(&mut self, chunk: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        block_on(out.forward_records(chunk, 0))?;
        Ok(Want::More)
    }

    fn finish(self: Box<Self>, _: &mut Outlet) -> Outcome {
        Ok(())
    }
}

/// Writes records as the items of an array.
#[derive(Default)]
struct Array {
    gathered: Gathered,
    has_items: bool,
}

impl Transform for Array {
    fn transform(&mut self, chunk: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            self.gathered.put(if self.has_items { b",\n" } else { b"[\n" }, out)?;
            self.gathered.put(&rest[..end], out)?;
            self.has_items = true;
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        Ok(self.gathered.send(out)?)
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        self.gathered
            .put(if self.has_items { b"\n]\n" } else { b"[]\n" }, out)?;
        Ok(self.gathered.send(out)?)
    }
}
