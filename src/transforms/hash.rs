//! `hash`: the checksum of the stream.

use std::sync::Arc;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{self, Failure, Problem, Stop, brief};
use crate::flow::{Inlet, Outlet, block_on};
use crate::stage::{Context, Hashed, MemoryUse, Outcome, PassThrough, Resume, SavedStates, Stage, TransformPlan, Work};

mod algorithm;
mod sums;

use algorithm::{Algorithm, Hasher};

/// The definition of `hash`.
pub static HASH: Definition = Definition {
    name: "hash",
    role: Role::Transform,
    topic: Topic::Control,
    summary: "compute a checksum of the stream, and check it",
    details: "Passes the bytes through and prints their checksum on standard error at the end, also with -q: ALGO, \
              HEX and LABEL, with two spaces between. If a later stage ended the stream early (`take`), it prints \
              `not whole` instead of a checksum.\n\nWith expect= a different checksum is exit code 10, and the file \
              that was to be written stays as it was. expect=@FILE looks the label up in a file as sha256sum, \
              sha256sum --tag, b3sum or openssl dgst writes it; where that holds only one sum, no label is needed, \
              and a bare digest needs none. `./a` and `a` are the same label.",
    params: &[
        Param {
            name: "algo",
            kind: Kind::Choice(Algorithm::NAMES),
            place: Place::Positional,
            required: false,
            default: Some("sha256"),
            help: "the algorithm; crc32c and md5 detect accidents, not forgeries",
        },
        Param {
            name: "expect",
            kind: Kind::Text,
            place: Place::Named,
            required: false,
            default: None,
            help: "the expected checksum: HEX, ALGO:HEX, or @FILE with it",
        },
        Param {
            name: "label",
            kind: Kind::Text,
            place: Place::Named,
            required: false,
            default: None,
            help: "what to call the stream, here and in files of sums; - unless given",
        },
        Param {
            name: "to",
            kind: Kind::Endpoint(&[]),
            place: Place::Named,
            required: false,
            default: None,
            help: "a file to write the sum to, as sha256sum does, once the sink has everything",
        },
    ],
    examples: &[
        Example {
            text: "read big.iso | hash label=big.iso to=SHA256SUMS | write copy.iso",
            about: "copy a file and note its sum",
        },
        Example {
            text: "read big.iso | hash label=big.iso expect=@SHA256SUMS | write copy.iso",
            about: "copy it only if its sum is the one that was noted",
        },
    ],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let name = args.choice("algo").unwrap_or_default();
    let algorithm = Algorithm::named(name).unwrap_or(Algorithm::Sha256);
    let refused = |message: String| Problem::at(args.span_of("expect"), message);
    let expected = match args.text("expect") {
        None => None,
        Some(text) => Some(match text.strip_prefix('@') {
            Some("") => return Err(refused("the file's name is missing".to_owned()).help(NAMED_WITH_AT)),
            Some(file) => Expected::In(file.to_owned()),
            None => Expected::Hex(algorithm.check_digest(text).map_err(|why| {
                let message = format!("`{}` is not a {} sum: {why}", brief(text.as_bytes()), algorithm.name());
                refused(message).help(NAMED_WITH_AT)
            })?),
        }),
    };
    let to = args.endpoint("to").map(<[u8]>::to_vec);
    Ok(Box::new(Hash {
        algorithm,
        label: args.text("label").map(str::to_owned),
        expected,
        to,
        saved: None,
    }))
}

const NAMED_WITH_AT: &str = "a file that holds the sum is named with @: expect=@SHA256SUMS";

/// The expected checksum.
enum Expected {
    /// This one, in lower case.
    Hex(String),
    /// The one in the file of that name.
    In(String),
}

struct Hash {
    algorithm: Algorithm,
    label: Option<String>,
    expected: Option<Expected>,
    /// The path of the file that the checksum is written to.
    to: Option<Vec<u8>>,
    /// Where it saves its state, if another run may continue.
    saved: Option<Arc<SavedStates>>,
}

impl TransformPlan for Hash {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn pass_through(&self) -> Option<&dyn PassThrough> {
        Some(self)
    }

    fn resume(&mut self) -> Result<&mut dyn Resume, &'static str> {
        if self.algorithm.has_state() {
            Ok(self)
        } else {
            Err("its state cannot be saved; that of sha256, sha512, crc32c and md5 can")
        }
    }

    fn side_file(&self) -> Option<(&'static str, &[u8])> {
        self.to.as_deref().map(|path| ("to", path))
    }
}

impl PassThrough for Hash {}

impl MemoryUse for Hash {
    fn state_bytes(&self) -> u64 {
        self.saved.as_ref().map_or(0, |_| SavedStates::MEMORY)
    }
}

impl Resume for Hash {
    fn effect(&self) -> Option<String> {
        Some(format!("hash {}", self.algorithm.name()))
    }

    fn prepare(&mut self) -> Option<Arc<SavedStates>> {
        Some(self.saved.insert(Arc::default()).clone())
    }
}

impl Stage for Hash {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        Work::Thread(Box::new(move || self.run(input, out, &context)))
    }
}

impl Hash {
    fn run(self, mut input: Inlet, mut out: Outlet, context: &Context) -> Outcome {
        let (expected, label) = self.expectation()?;
        let mut sum = Sum {
            hasher: self.algorithm.hasher(),
            bytes: 0,
        };
        if let Some(state) = self.saved.as_ref().and_then(|saved| saved.start())
            && !sum.restore(&state)
        {
            let why = "the journal has no valid state of it";
            return Err(Failure::because(error::Kind::Integrity, "cannot go on", why).into());
        }
        let passed = pass(&mut input, &mut out, &mut sum, self.saved.as_deref());
        let Sum { hasher, bytes } = sum;
        let hex = passed.is_ok().then(|| hasher.hex());
        context.findings.say(Hashed {
            algo: self.algorithm.name().into(),
            hex: hex.clone(),
            label: label.clone(),
            bytes,
        });
        passed?;
        let hex = hex.unwrap_or_default();
        if let Some(expected) = expected.filter(|expected| *expected != hex) {
            let why = format!("it is {hex}, expected {expected}");
            return Err(Failure::because(error::Kind::Integrity, "the sum differs", why).into());
        }
        if let Some(file) = &context.side_file {
            file.append(sums::line(&hex, &label).as_bytes(), &context.cancel)?;
            file.finish()?;
        }
        out.finish();
        Ok(())
    }

    /// The expected checksum, if any, and the label.
    fn expectation(&self) -> Result<(Option<String>, String), Failure> {
        let label = || self.label.clone().unwrap_or_else(|| "-".to_owned());
        Ok(match &self.expected {
            None => (None, label()),
            Some(Expected::Hex(hex)) => (Some(hex.clone()), label()),
            Some(Expected::In(file)) => {
                let found = sums::look_up(file, self.algorithm, self.label.as_deref())?;
                let label = self.label.clone().or(found.label);
                (Some(found.hex), label.unwrap_or_else(|| "-".to_owned()))
            }
        })
    }
}

/// The checksum of what has passed.
struct Sum {
    hasher: Hasher,
    bytes: u64,
}

impl Sum {
    /// Its state: the number of bytes, and that of the hasher.
    fn state(&self) -> Vec<u8> {
        [&self.bytes.to_le_bytes()[..], &self.hasher.state().unwrap_or_default()].concat()
    }

    /// Continues from such a state; returns false if it cannot be one.
    fn restore(&mut self, state: &[u8]) -> bool {
        state.split_first_chunk().is_some_and(|(bytes, state)| {
            self.bytes = u64::from_le_bytes(*bytes);
            self.hasher.restore(state)
        })
    }
}

fn pass(input: &mut Inlet, out: &mut Outlet, sum: &mut Sum, saved: Option<&SavedStates>) -> Result<(), Stop> {
    while let Some(mut chunk) = input.receive_blocking()? {
        sum.hasher.update(chunk.as_slice());
        sum.bytes += chunk.len() as u64;
        if let (Some(saved), Some(position)) = (saved, chunk.position())
            && !saved.save(position, || sum.state())
        {
            chunk.unmark();
        }
        block_on(out.forward(chunk))?;
    }
    Ok(())
}
