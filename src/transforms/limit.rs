//! `limit`: a stream that is longer than it may be is an error.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::{self, Failure, Problem};
use crate::flow::{Inlet, Outlet};
use crate::grammar::format_size;
use crate::stage::{Context, Outcome, Stage, TransformPlan, Work};

/// The definition of `limit`.
pub static LIMIT: Definition = Definition {
    name: "limit",
    role: Role::Transform,
    summary: "fail once more than so many bytes have come",
    details: "A guard against streams that never end, for example behind a decoder. A stream of exactly that size passes \
              whole; at the first byte more the run fails with exit code 7, and a file that was to be written stays as it \
              was. `take` ends such a stream quietly instead.",
    params: &[Param {
        name: "size",
        kind: Kind::Size,
        place: Place::Positional,
        required: true,
        default: None,
        help: "how many bytes may come",
    }],
    examples: &[Example {
        text: "read upload.gz | gunzip | limit 100MiB | write upload",
        about: "decompress what a stranger sent, but not a bomb",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let most = args.required_size("size");
    Ok(Box::new(Limit { most, left: most }))
}

struct Limit {
    most: u64,
    /// Bytes that may still come.
    left: u64,
}

impl TransformPlan for Limit {
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        // One byte more tells that the limit was reached.
        let most = self.most.saturating_add(1);
        Some(output.map_or(most, |output| output.min(most)))
    }

    fn make(self: Box<Self>, _: u64) -> Box<dyn Stage> {
        self
    }
}

impl Stage for Limit {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, _: Context) -> Work {
        Work::Task(Box::pin(self.run(input, out)))
    }
}

impl Limit {
    async fn run(mut self: Box<Self>, mut input: Inlet, mut out: Outlet) -> Outcome {
        while let Some(mut chunk) = input.receive().await? {
            let count = usize::try_from(self.left).map_or(chunk.len(), |left| left.min(chunk.len()));
            let is_over = count < chunk.len();
            chunk.truncate(count);
            self.left -= count as u64;
            // What may pass goes first: a `take` behind may be content with it.
            out.forward(chunk).await?;
            if is_over {
                let why = format!("more than {} came", format_size(self.most));
                return Err(Failure::because(error::Kind::Limit, "over the limit", why).into());
            }
        }
        out.finish();
        Ok(())
    }
}
