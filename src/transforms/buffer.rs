//! `buffer`: room for so many bytes between two stages.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::Problem;
use crate::flow::{Inlet, Outlet};
use crate::stage::{Context, Outcome, Stage, TransformPlan, Work};

/// The definition of `buffer`.
pub static BUFFER: Definition = Definition {
    name: "buffer",
    role: Role::Transform,
    summary: "keep so many bytes ready between two stages",
    details: "Evens out a source or a sink that stops now and then. It is a stage whose link holds that much: the link's \
              high-water mark is SIZE, and with low= the stages before it rest until it has drained to that. The memory \
              comes on top of the default ceiling; a ceiling that was given must have room for it.",
    params: &[Param {
        name: "size",
        kind: Kind::Size,
        place: Place::Positional,
        required: true,
        default: None,
        help: "how many bytes to keep; the high-water mark of the link behind, unless high= says otherwise",
    }],
    examples: &[Example {
        text: "read big.iso | buffer 64MiB low=16MiB | write copy.iso",
        about: "read in long stretches, and rest in between",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let size = args.required_size("size");
    if size == 0 {
        let problem = Problem::at(args.span_of("size"), "a buffer of 0 bytes lets nothing pass");
        return Err(problem.help("the least is 1 byte"));
    }
    Ok(Box::new(Buffer { size }))
}

struct Buffer {
    /// Bytes.
    size: u64,
}

impl TransformPlan for Buffer {
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        output
    }

    fn high(&self) -> Option<u64> {
        Some(self.size)
    }

    fn starts_anywhere(&self) -> bool {
        true
    }

    fn make(self: Box<Self>, _: u64) -> Box<dyn Stage> {
        self
    }
}

impl Stage for Buffer {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, _: Context) -> Work {
        Work::Task(Box::pin(pass(input, out)))
    }
}

async fn pass(mut input: Inlet, mut out: Outlet) -> Outcome {
    while let Some(chunk) = input.receive().await? {
        out.forward(chunk).await?;
    }
    out.finish();
    Ok(())
}
