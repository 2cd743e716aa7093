//! `take`: the first bytes, then a quiet end.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::Problem;
use crate::flow::{Inlet, Outlet};
use crate::stage::{Context, Outcome, Stage, TransformPlan, Work};

/// The definition of `take`.
pub static TAKE: Definition = Definition {
    name: "take",
    role: Role::Transform,
    summary: "pass the first bytes and end, quietly",
    details: "What comes before is stopped; that is no failure. A stream that is shorter passes whole.",
    params: &[Param {
        name: "size",
        kind: Kind::Size,
        place: Place::Positional,
        required: true,
        default: None,
        help: "how many bytes to pass",
    }],
    examples: &[Example {
        text: "read /dev/urandom | take 1MiB | write noise",
        about: "a file of random bytes",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(Take {
        left: args.required_size("size"),
    }))
}

struct Take {
    /// Bytes still to pass.
    left: u64,
}

impl TransformPlan for Take {
    fn ends_early(&self) -> bool {
        true
    }

    fn make(self: Box<Self>, _: u64) -> Box<dyn Stage> {
        self
    }
}

impl Stage for Take {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, _: Context) -> Work {
        Work::Task(Box::pin(self.run(input, out)))
    }
}

impl Take {
    async fn run(mut self: Box<Self>, mut input: Inlet, mut out: Outlet) -> Outcome {
        while self.left > 0 {
            let Some(mut chunk) = input.receive().await? else { break };
            let count = usize::try_from(self.left).map_or(chunk.len(), |left| left.min(chunk.len()));
            chunk.truncate(count);
            self.left -= count as u64;
            out.forward(chunk).await?;
        }
        out.finish();
        Ok(())
    }
}
