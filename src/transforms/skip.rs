//! `skip`: all but the first bytes.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::Problem;
use crate::flow::{Inlet, Outlet};
use crate::stage::{Context, Outcome, Stage, TransformPlan, Work};

/// The definition of `skip`.
pub static SKIP: Definition = Definition {
    name: "skip",
    role: Role::Transform,
    summary: "drop the first bytes and pass the rest",
    details: "Right behind a source that can seek, nothing is read that is not passed.",
    params: &[Param {
        name: "size",
        kind: Kind::Size,
        place: Place::Positional,
        required: true,
        default: None,
        help: "how many bytes to drop",
    }],
    examples: &[Example {
        text: "read disk.img | skip 1MiB | take 64KiB | write slice",
        about: "cut a piece out of a file",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(Skip {
        left: args.required_size("size"),
    }))
}

struct Skip {
    /// Bytes still to drop.
    left: u64,
}

impl TransformPlan for Skip {
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        output?.checked_add(self.left)
    }

    fn leading_skip(&self) -> u64 {
        self.left
    }

    fn make(mut self: Box<Self>, skipped: u64) -> Box<dyn Stage> {
        self.left -= skipped;
        self
    }
}

impl Stage for Skip {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, _: Context) -> Work {
        Work::Task(Box::pin(self.run(input, out)))
    }
}

impl Skip {
    async fn run(mut self: Box<Self>, mut input: Inlet, mut out: Outlet) -> Outcome {
        while let Some(mut chunk) = input.receive().await? {
            let count = usize::try_from(self.left).map_or(chunk.len(), |left| left.min(chunk.len()));
            chunk.advance(count);
            self.left -= count as u64;
            out.forward(chunk).await?;
        }
        out.finish();
        Ok(())
    }
}
