//! `tee`: copies one stream into several pipelines.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::Problem;
use crate::flow::{Inlet, Outlet};
use crate::stage::{Branch, BranchPlan, Branches, Context, Fan, Work};

/// The definition of `tee`.
pub static TEE: Definition = Definition {
    name: "tee",
    role: Role::Branch,
    summary: "send the stream into other pipelines as well",
    details: "Each pipeline in parentheses is a branch: it gets every byte and ends in a sink of its own. What follows \
              `tee` gets every byte, too; where nothing follows, there is no main output. All branches share the \
              memory of the stream: nothing is copied, and how far a branch lags behind is what its link holds. The \
              slowest branch governs the speed of all.\n\nEither all outputs are there at the end or none: files are \
              put in their places once every branch has all of its bytes and everything else is through. With \
              on-failure=continue a branch that fails is rolled back alone, and the run continues and ends with its exit \
              code; with optional=true, too, with 0. With detach=5s a branch that holds the others up \
              for so long is rolled back, and the rest continues. That concerns the branches, not what follows `tee`. Branches may \
              hold other stages, and `tee` again. Where the shell's own words are stages, each branch is one word: \
              highwater read big.iso :: tee 'gzip | write big.gz' :: write copy.iso.",
    params: &[
        Param {
            name: "branch",
            kind: Kind::Pipeline,
            place: Place::Groups,
            required: true,
            default: None,
            help: "a pipeline that gets the stream as well, and ends in a sink",
        },
        Param {
            name: "when-full",
            kind: Kind::Choice(&[WAIT, DROP]),
            place: Place::Named,
            required: false,
            default: Some(WAIT),
            help: "whether a full branch holds the others up, or loses records; bytes are never dropped",
        },
        Param {
            name: "on-failure",
            kind: Kind::Choice(&[ABORT, CONTINUE]),
            place: Place::Named,
            required: false,
            default: Some(ABORT),
            help: "whether a branch that fails ends the run, or the others go on",
        },
        Param {
            name: "optional",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "exit with 0 although a branch failed; the others go on",
        },
        Param {
            name: "detach",
            kind: Kind::Duration,
            place: Place::Named,
            required: false,
            default: None,
            help: "detach a branch that accepts nothing for so long: exit 8 at the end, or 0 with optional=true",
        },
    ],
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

const WAIT: &str = "wait";
const DROP: &str = "drop";
const ABORT: &str = "abort";
const CONTINUE: &str = "continue";

fn plan(args: &Args) -> Result<Box<dyn BranchPlan>, Problem> {
    let are_optional = args.flag("optional");
    let aborts = args.choice("on-failure") == Some(ABORT);
    if are_optional && aborts && args.is_given("on-failure") {
        let problem = Problem::at(
            args.span_of("optional"),
            "the failure of an optional branch does not end the run",
        );
        return Err(problem.help("leave out on-failure=abort or optional=true"));
    }
    if args.choice("when-full") == Some(DROP) {
        let why = "only whole records can be dropped, and these are bytes";
        let problem = Problem::at(args.span_of("when-full"), why);
        return Err(problem.help("leave it out, or detach a branch that is full for too long, as in detach=5s"));
    }
    let detach = args.duration("detach");
    if detach.is_some_and(|limit| limit.is_zero()) {
        let problem = Problem::at(args.span_of("detach"), "no branch could ever wait for its sink");
        return Err(problem.help("give it some time, as in detach=5s"));
    }
    Ok(Box::new(Tee(Branches {
        count: args.pipelines(),
        go_on: are_optional || !aborts,
        are_optional,
        detach,
    })))
}

struct Tee(Branches);

impl BranchPlan for Tee {
    fn branches(&self) -> Branches {
        self.0
    }

    fn make(self: Box<Self>) -> Box<dyn Branch> {
        self
    }
}

impl Branch for Tee {
    fn start(self: Box<Self>, mut input: Inlet, out: Vec<Outlet>, context: Context) -> Work {
        Work::Task(Box::pin(async move {
            let mut fan = Fan::new(out);
            if let Some(limit) = self.0.detach {
                fan = fan.detaching(self.0.count, limit, context.notices);
            }
            while let Some(chunk) = fan.receive(&mut input).await? {
                fan.send(chunk).await?;
            }
            fan.finish();
            Ok(())
        }))
    }
}
