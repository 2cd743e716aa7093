//! `throttle`: limits the rate.

use std::sync::Arc;
use std::time::Instant;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::Problem;
use crate::flow::{Chunk, Inlet, Outlet, Wait, block_on};
use crate::grammar::Throughput;
use crate::graph::Port;
use crate::platform::sharpen_timers;
use crate::stage::{
    Context, Conversion, Mismatch, Outcome, PassThrough, RateControl, RateUnit, Resume, Stage, TransformPlan, Work,
};

mod pace;

use pace::Pace;

/// The definition of `throttle`.
pub static THROTTLE: Definition = Definition {
    name: "throttle",
    role: Role::Transform,
    topic: Topic::Control,
    summary: "pass bytes or records at a steady rate",
    details: "Starts without a burst, and a pause of the source or the sink earns none, unless burst= allows it. The mean \
              is exact: what a late timer held back is caught up, at most 4 % above the rate. The rate can be changed while it runs: with + and - in the live view, or \
              with `highwater ctl PID set throttle rate=5MB/s`; bytes stay bytes, and records stay records.",
    params: &[
        Param {
            name: "rate",
            kind: Kind::Rate,
            place: Place::Positional,
            required: true,
            default: None,
            help: "bytes or records per second",
        },
        Param {
            name: "burst",
            kind: Kind::Size,
            place: Place::Named,
            required: false,
            default: Some("0"),
            help: "how much a pause may earn, passed at once afterwards",
        },
    ],
    examples: &[
        Example {
            text: "read big.iso | throttle 1MB/s | write tcp://127.0.0.1:9000",
            about: "send a file without filling the line",
        },
        Example {
            text: "read run.jsonl | lines | throttle 500records/s | write tcp://127.0.0.1:9000",
            about: "replay lines at a steady rate",
        },
    ],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let (rate, unit, slowest) = match args.required_rate("rate") {
        Throughput::Bytes(rate) => (rate, RateUnit::Bytes, "byte per second: 1/s"),
        Throughput::Records(rate) => (rate, RateUnit::Records, "record per second: 1records/s"),
    };
    if rate == 0 {
        let problem = Problem::at(args.span_of("rate"), "a rate of 0 lets nothing pass");
        return Err(problem.help(format!("the slowest rate is 1 {slowest}")));
    }
    Ok(Box::new(Throttle {
        rate_control: Arc::new(RateControl::new(rate, unit)),
        burst: args.size("burst").unwrap_or(0),
    }))
}

struct Throttle {
    rate_control: Arc<RateControl>,
    /// In what is counted.
    burst: u64,
}

impl TransformPlan for Throttle {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self
    }

    fn pass_through(&self) -> Option<&dyn PassThrough> {
        Some(self)
    }

    fn keeps_positions(&self) -> bool {
        true
    }

    fn resume(&mut self) -> Result<&mut dyn Resume, &'static str> {
        Ok(self)
    }

    fn rate_control(&self) -> Option<&Arc<RateControl>> {
        Some(&self.rate_control)
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        (self.rate_control.unit() == RateUnit::Records).then_some(self)
    }
}

/// Where it counts records, it needs some.
impl Conversion for Throttle {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_records(input).map(|()| input)
    }
}

impl PassThrough for Throttle {}

impl Resume for Throttle {
    fn effect(&self) -> Option<String> {
        None
    }
}

impl Stage for Throttle {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        Work::Thread(Box::new(move || self.run(input, out, context)))
    }
}

impl Throttle {
    /// On a thread of its own: the runtime's timers count milliseconds, and in one of those a fast stream moves more
    /// than a link holds.
    fn run(self, mut input: Inlet, out: Outlet, context: Context) -> Outcome {
        sharpen_timers();
        let mut valve = Valve {
            pace: Pace::new(self.rate_control.rate(), self.burst, Instant::now()),
            counts_records: self.rate_control.unit() == RateUnit::Records,
            rate_control: self.rate_control,
            out,
            context,
        };
        loop {
            let chunk = match input.try_receive() {
                Some(chunk) => chunk,
                None => {
                    let Some(chunk) = input.receive_blocking()? else { break };
                    valve.pace.paused_until(Instant::now());
                    chunk
                }
            };
            valve.pass(chunk)?;
        }
        valve.out.finish();
        Ok(())
    }
}

/// The output link and its pace.
struct Valve {
    pace: Pace,
    rate_control: Arc<RateControl>,
    counts_records: bool,
    out: Outlet,
    context: Context,
}

impl Valve {
    /// Passes a chunk, cut into pieces if it is larger than what may pass at once. A record passes whole.
    fn pass(&mut self, mut chunk: Chunk) -> Outcome {
        loop {
            self.pace.set_rate(self.rate_control.rate(), Instant::now);
            let quantum = self.pace.quantum();
            let (piece, count) = if self.counts_records {
                (chunk.length_of_records(quantum as u64), quantum)
            } else {
                let piece = chunk.whole_records_within(quantum);
                (piece, piece)
            };
            if piece == chunk.len() {
                break;
            }
            self.wait_for(count as u64)?;
            let pauses = self.out.times_full();
            block_on(self.out.forward_front(&mut chunk, piece))?;
            self.resume_after(pauses);
        }
        self.wait_for(if self.counts_records {
            chunk.records()
        } else {
            chunk.len() as u64
        })?;
        let pauses = self.out.times_full();
        block_on(self.out.forward(chunk))?;
        self.resume_after(pauses);
        Ok(())
    }

    /// If the sink paused us since the count was `pauses`, that time earns nothing.
    fn resume_after(&mut self, pauses: u64) {
        if self.out.times_full() != pauses {
            self.pace.paused_until(Instant::now());
        }
    }

    /// Waits until `count` bytes or records may pass.
    fn wait_for(&mut self, count: u64) -> Outcome {
        let now = Instant::now();
        let due = self.pace.take(count, now);
        if due > now {
            let _throttling = self.context.meter.wait(Wait::Throttling);
            self.context.cancel.wait_until(due)?;
        }
        Ok(())
    }
}
