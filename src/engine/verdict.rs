//! The one error of a run.
//!
//! The rule is that of Node's `pipeline()`: the first real error wins, and what its neighbours say because of it never
//! masks it. One thing is added: an error reaches the stages downstream *behind* the bytes that were sent before it, so
//! if one of them is satisfied with those (`take`), it was no error of this run. The exit code never depends on which of
//! the two came first.

use crate::error::{Failure, Stop};
use crate::stage::Outcome;

/// What the engine has to do after a stage has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Wait,
    /// Stop the stages before this one: nobody wants what they have.
    StopBefore(usize),
    /// Stop all of them: the run has failed.
    StopAll,
}

/// Collects the reports of a chain's stages.
#[derive(Debug)]
pub struct Verdict {
    stages: Vec<Standing>,
    /// The failures in the order in which they came, with the index of the stage.
    failures: Vec<(usize, Failure)>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    ends_early: bool,
    report: Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    None,
    Done,
    Stopped,
}

impl Verdict {
    /// A verdict on stages of which it is known whether each may end its input early.
    pub fn new(ends_early: impl IntoIterator<Item = bool>) -> Self {
        let stages = ends_early.into_iter().map(|ends_early| Standing {
            ends_early,
            report: Report::None,
        });
        Self {
            stages: stages.collect(),
            failures: Vec::new(),
        }
    }

    /// The stages that have not reported.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.stages.len()).filter(|at| self.stages[*at].report == Report::None)
    }

    /// Takes a stage's report.
    pub fn report(&mut self, at: usize, outcome: Outcome) -> Next {
        match outcome {
            Ok(()) => {
                self.stages[at].report = Report::Done;
                if self.stages[at].ends_early {
                    self.failures.retain(|(failed, _)| *failed > at);
                    return Next::StopBefore(at);
                }
                Next::Wait
            }
            Err(Stop::Neighbour) => {
                self.stages[at].report = Report::Stopped;
                Next::Wait
            }
            Err(Stop::Failed(failure)) => {
                self.stages[at].report = Report::Stopped;
                let downstream = &self.stages[at + 1..];
                if downstream
                    .iter()
                    .any(|stage| stage.ends_early && stage.report == Report::Done)
                {
                    return Next::Wait;
                }
                self.failures.push((at, failure));
                if downstream
                    .iter()
                    .any(|stage| stage.ends_early && stage.report == Report::None)
                {
                    return Next::Wait;
                }
                Next::StopAll
            }
        }
    }

    /// Whether the last stage has done its work, which it only does at a real end.
    pub fn is_whole(&self) -> bool {
        self.stages.last().is_some_and(|stage| stage.report == Report::Done)
    }

    /// The first real error, with the index of its stage.
    pub fn decide(self) -> Option<(usize, Failure)> {
        self.failures.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn failed(kind: Kind) -> Outcome {
        Err(Failure::because(kind, "cannot", "why").into())
    }

    fn decided(verdict: Verdict) -> Option<(usize, Kind)> {
        verdict.decide().map(|(at, failure)| (at, failure.kind()))
    }

    #[test]
    fn the_first_real_error_wins_over_its_consequences() {
        let mut verdict = Verdict::new([false, false, false]);
        assert_eq!(verdict.report(0, Err(Stop::Neighbour)), Next::Wait);
        assert_eq!(verdict.report(2, failed(Kind::NoSpace)), Next::StopAll);
        assert_eq!(verdict.report(1, failed(Kind::Other)), Next::StopAll);
        assert_eq!(decided(verdict), Some((2, Kind::NoSpace)));
    }

    #[test]
    fn a_fault_behind_what_take_wanted_is_none_whichever_comes_first() {
        let mut fault_first = Verdict::new([false, false, true, false]);
        assert_eq!(fault_first.report(1, failed(Kind::Corrupt)), Next::Wait);
        assert_eq!(fault_first.report(2, Ok(())), Next::StopBefore(2));
        assert_eq!(decided(fault_first), None);
        let mut take_first = Verdict::new([false, false, true, false]);
        assert_eq!(take_first.report(2, Ok(())), Next::StopBefore(2));
        assert_eq!(take_first.report(1, failed(Kind::Corrupt)), Next::Wait);
        assert_eq!(decided(take_first), None);
    }

    #[test]
    fn a_fault_before_what_take_wanted_is_one() {
        let mut verdict = Verdict::new([false, false, true, false]);
        assert_eq!(verdict.report(1, failed(Kind::Corrupt)), Next::Wait);
        assert_eq!(verdict.report(2, Err(Stop::Neighbour)), Next::Wait);
        assert_eq!(verdict.missing().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(decided(verdict), Some((1, Kind::Corrupt)));
        let mut heard_last = Verdict::new([false, false, true, false]);
        assert_eq!(heard_last.report(2, Err(Stop::Neighbour)), Next::Wait);
        assert_eq!(heard_last.report(1, failed(Kind::Corrupt)), Next::StopAll);
        assert_eq!(decided(heard_last), Some((1, Kind::Corrupt)));
    }

    #[test]
    fn a_fault_behind_take_is_one_at_once() {
        let mut verdict = Verdict::new([false, true, false]);
        assert_eq!(verdict.report(2, failed(Kind::Sink)), Next::StopAll);
        assert_eq!(verdict.report(1, Ok(())), Next::StopBefore(1));
        assert_eq!(decided(verdict), Some((2, Kind::Sink)));
    }
}
