//! What a write may be asked for beyond writing: to be read back, and to be gone on with.

use crate::catalog::Args;
use crate::error::Problem;

use super::super::journal::Journal;
use super::super::{Endpoint, Existing, Writing};
use super::account::Account;

/// Which care is taken of the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Care {
    /// Whether everything is read back.
    pub verify: bool,
    /// After how many bytes each a checkpoint is noted, if another run may go on.
    pub resume: Option<u64>,
}

/// What a kill costs at most to be written again, where the user says nothing: a second or so of a fast disk.
const CHECKPOINT: u64 = 64 << 20;

impl Care {
    /// Reads the parameters, and refuses what they cannot be together, or with the place that is written.
    pub fn of(args: &Args, endpoint: &dyn Endpoint, writing: Writing) -> Result<Self, Problem> {
        let resumes = args.flag("resume");
        if args.is_given("checkpoint") && !resumes {
            let problem = Problem::at(args.span_of("checkpoint"), "without resume=true there is no journal");
            return Err(problem.help("add resume=true, or leave checkpoint= out"));
        }
        let checkpoint = args.size("checkpoint").unwrap_or(CHECKPOINT);
        if checkpoint == 0 {
            let problem = Problem::at(
                args.span_of("checkpoint"),
                "a checkpoint needs at least a byte behind the last one",
            );
            return Err(problem.help("each one waits for the disk: 1MiB is little, 1GiB is much"));
        }
        let care = Self {
            verify: args.flag("verify"),
            resume: resumes.then_some(checkpoint),
        };
        for (name, wanted) in [("verify", care.verify), ("resume", resumes)] {
            if !wanted {
                continue;
            }
            let refused = |why: String, help: String| Err(Problem::at(args.span_of(name), why).help(help));
            if let Err(what) = endpoint.regular_file() {
                let why = format!("{name}=true needs a regular file, and this is {what}");
                return refused(why, format!("write to a file, or leave {name}=true out"));
            }
            if writing.existing == Existing::Append {
                let why = format!("{name}=true needs a file of its own, append=true writes behind another");
                return refused(why, "leave one of them out".to_owned());
            }
            if writing.existing == Existing::Empty {
                let why = format!("{name}=true needs a file of its own, in-place=true writes to one that is there");
                return refused(why, "leave one of them out".to_owned());
            }
            if !writing.sync {
                let why = format!("{name}=true needs what is on the disk, sync=false does not wait for it");
                return refused(why, "leave one of them out".to_owned());
            }
        }
        Ok(care)
    }

    /// Whether the bytes are nobody's concern once they are written.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// What has to be known of the bytes.
    pub fn account(self, journal: Option<Journal>) -> Option<Account> {
        (!self.is_none()).then(|| Account::new(self.verify, journal, self.resume.unwrap_or(u64::MAX)))
    }
}
