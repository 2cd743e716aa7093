//! `tee`: copies one stream into several pipelines.

use std::ops::Range;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::Problem;
use crate::flow::{Inlet, Outlet};
use crate::graph::Port;
use crate::stage::{Branch, BranchPlan, Branches, Context, Fan, Work};

/// The definition of `tee`.
pub static TEE: Definition = Definition {
    name: "tee",
    role: Role::Branch,
    topic: Topic::Split,
    summary: "send the stream into other pipelines as well",
    details: "Each pipeline in parentheses is a branch: it gets every byte and ends in a sink of its own. What follows \
              `tee` gets every byte, too; where nothing follows, there is no main output. All branches share the \
              memory of the stream: nothing is copied, and how far a branch lags behind is what its link holds. The \
              slowest branch governs the speed of all.\n\nEither all outputs are there at the end or none: files are \
              put in their places once every branch has all of its bytes and everything else is through. With \
              on-failure=continue a branch that fails is rolled back alone, and the run continues and ends with its exit \
              code; with optional=true, too, with 0. With detach=5s a branch that holds the others up \
              for so long is rolled back, and the rest continues. Where records flow, when-full=drop lets a branch whose link is full lose \
              whole records; they are counted. All that concerns the branches, not what follows `tee`. Branches may \
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
        Example {
            text: "read run.jsonl | lines | tee when-full=drop (write tcp://127.0.0.1:9000) | write copy.jsonl",
            about: "keep every line, and show a reader as many as it can take",
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
    let detach = args.duration("detach");
    if detach.is_some_and(|limit| limit.is_zero()) {
        let problem = Problem::at(args.span_of("detach"), "no branch could ever wait for its sink");
        return Err(problem.help("give it some time, as in detach=5s"));
    }
    let drops = (args.choice("when-full") == Some(DROP)).then(|| args.span_of("when-full"));
    if drops.is_some() && detach.is_some() {
        let problem = Problem::at(
            args.span_of("detach"),
            "a branch that loses records never holds the others up",
        );
        return Err(problem.help("leave out detach= or when-full=drop"));
    }
    Ok(Box::new(Tee {
        branches: Branches {
            count: args.pipelines(),
            go_on: are_optional || !aborts,
            are_optional,
            detach,
        },
        drops,
    }))
}

struct Tee {
    branches: Branches,
    /// Where it says that full branches lose records, if it does.
    drops: Option<Range<usize>>,
}

impl BranchPlan for Tee {
    fn branches(&self) -> Branches {
        self.branches
    }

    fn takes(&self, input: Port) -> Result<(), Problem> {
        match &self.drops {
            Some(span) if !input.has_records() => {
                let why = "only whole records can be dropped, and these are bytes";
                Err(Problem::at(span.clone(), why).help(
                    "put `lines` or `from-json` before `tee`, or detach a branch that is full for too long, as in \
                     detach=5s",
                ))
            }
            _ => Ok(()),
        }
    }

    fn make(self: Box<Self>) -> Box<dyn Branch> {
        self
    }
}

impl Branch for Tee {
    fn start(self: Box<Self>, mut input: Inlet, out: Vec<Outlet>, context: Context) -> Work {
        Work::Task(Box::pin(async move {
            let mut fan = Fan::new(out);
            let count = self.branches.count;
            if let Some(limit) = self.branches.detach {
                fan = fan.detaching(count, limit, context.notices);
            }
            if self.drops.is_some() {
                fan = fan.dropping(count, context.meter);
            }
            while let Some(chunk) = fan.receive(&mut input).await? {
                fan.send(chunk).await?;
            }
            fan.finish();
            Ok(())
        }))
    }
}
