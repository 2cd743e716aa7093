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
    details: "What comes before is stopped; that is no failure. A stream that is shorter passes whole.\n\nNo more of \
              the source is read than is needed: what follows on a shared standard input (a file, a pipe or a connection) \
              is left for the next reader. This also holds behind stages that pass bytes on unchanged: skip, limit, \
              buffer, throttle and hash. How much input a decoder or an encoder needs for its first bytes is not known \
              beforehand: behind one of them more is read than is needed, and it is not given back.",
    params: &[Param {
        name: "size",
        kind: Kind::Size,
        place: Place::Positional,
        required: true,
        default: None,
        help: "how many bytes to pass",
    }],
    examples: &[
        Example {
            text: "read /dev/urandom | take 1MiB | write noise",
            about: "a file of random bytes",
        },
        Example {
            text: "take 512 | write header",
            about: "the first block of standard input; the rest is left for the next command",
        },
    ],
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
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        Some(output.map_or(self.left, |output| output.min(self.left)))
    }

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
