//! `tee`: one stream into several pipelines.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::Problem;
use crate::flow::{Inlet, Outlet};
use crate::stage::{Branch, BranchPlan, Context, Fan, Work};

/// The definition of `tee`.
pub static TEE: Definition = Definition {
    name: "tee",
    role: Role::Branch,
    summary: "send the stream into other pipelines as well",
    details: "Each pipeline in parentheses is a branch: it gets every byte and ends in a sink of its own. What follows \
              `tee` gets every byte, too; where nothing follows, there is no main output. All branches share the \
              memory of the stream: nothing is copied, and how far a branch lags behind is what its link holds. The \
              slowest branch governs the speed of all.\n\nEither all outputs are there at the end or none: files are \
              put in their places once every branch has all of its bytes and everything else is through. Branches may \
              hold other stages, and `tee` again. Where the shell's own words are stages, each branch is one word: \
              highwater read big.iso :: tee 'gzip | write big.gz' :: write copy.iso.",
    params: &[Param {
        name: "branch",
        kind: Kind::Pipeline,
        place: Place::Groups,
        required: true,
        default: None,
        help: "a pipeline that gets the stream as well, and ends in a sink",
    }],
    examples: &[
        Example {
            text: "read big.iso | tee (gzip | write big.iso.gz) | write copy.iso",
            about: "read once, write a copy and a compressed one, or neither",
        },
        Example {
            text: "read big.iso | tee (write copy.iso) (hash sha256 | write tcp://127.0.0.1:9000)",
            about: "a copy here and one elsewhere, and the sum of what was sent",
        },
    ],
    build: Build::Branch(plan),
};

fn plan(_: &Args) -> Result<Box<dyn BranchPlan>, Problem> {
    Ok(Box::new(Tee))
}

struct Tee;

impl BranchPlan for Tee {
    fn make(self: Box<Self>) -> Box<dyn Branch> {
        self
    }
}

impl Branch for Tee {
    fn start(self: Box<Self>, mut input: Inlet, out: Vec<Outlet>, _: Context) -> Work {
        Work::Task(Box::pin(async move {
            let mut fan = Fan::new(out);
            while let Some(chunk) = input.receive().await? {
                fan.send(chunk).await?;
            }
            fan.finish();
            Ok(())
        }))
    }
}
