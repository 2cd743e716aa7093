//! Ends a run: waits for the stages, determines the one error, rolls outputs back or keeps them, and tells the sources.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Failure, Kind};
use crate::graph::{Id, NodeId};
use crate::stage::{Settle, Settled};

use super::Ending;
use super::commit::Fate;
use super::interrupt::{Cause, Interrupt};
use super::running::Run;
use super::start::commit;
use super::verdict::Loss;

/// How long a stage may take to stop after a signal. Every wait ends at once; only a disk that does not respond or an
/// overloaded machine takes longer.
const GRACE: Duration = Duration::from_millis(50);
/// The same after a failure, where no user waits for it.
const LONG_GRACE: Duration = Duration::from_secs(2);
/// What is said of a stage that a second signal left behind.
const NOT_WAITED_FOR: &str = "not waited for";

impl Run {
    /// Waits for the remaining stages, determines how the run ended, rolls a failed run back, and tells the sources.
    pub async fn end(mut self, cause: Option<Ending>, interrupt: &mut Interrupt) -> Ending {
        let is_signalled = cause.as_ref().is_some_and(|ending| ending.signal.is_some());
        if self.verdict.missing().next().is_some() {
            // Before the time runs: without a bound, the contents of links take a while to be freed.
            self.stop();
        }
        let mut left_behind = Vec::new();
        self.wait_for_stages(is_signalled, &mut left_behind, interrupt).await;
        let mut ending = match cause {
            // A signal or a deadline that comes after the sinks have committed changes nothing any more.
            Some(cause) if !self.verdict.is_whole() => cause,
            _ => self.decide(),
        };
        let mut is_committed = ending.is_good();
        if is_committed && let Err(late) = self.commit_side_files(interrupt).await {
            ending = late;
            is_committed = false;
        }
        let losses = self.verdict.take_losses();
        if !is_committed || !losses.is_empty() {
            self.roll_back(&mut left_behind, interrupt).await;
            let lost = self.stages.iter();
            let lost = lost.filter(|(node, _)| !is_committed || self.verdict.is_lost(*node));
            let side_files = lost.filter_map(|(_, stage)| stage.side_file.as_ref());
            let failures = side_files.filter_map(|file| file.roll_back().err());
            left_behind.extend(failures.map(|failure| failure.to_string()));
        }
        self.count_losses(losses, &mut ending, &mut left_behind);
        let how = ending.settled();
        ending.outputs = self.commits.fates(&self.verdict);
        let has_sent = |node: NodeId| self.watch.stages[node].meter.bytes_out() > 0;
        if !left_behind.is_empty() || self.commits.may_remain(has_sent) {
            ending.failure = ending.failure.map(|(stage, failure)| (stage, failure.lasting()));
        }
        left_behind.extend(self.kept_outputs(&ending, is_committed));
        let told = settle(&self.settles, how, interrupt).await;
        let text = &self.watch.stages[Id::numbered(0)].text;
        match told {
            Ok(true) => {}
            // What is noted for a later run is a part of the result.
            Ok(false) if ending.is_good() && self.settles.iter().any(|source| source.is_acknowledged()) => {
                let why = "it did not note in time what is durable: that may come again";
                let failure = Failure::because(Kind::Timeout, "cannot end", why);
                ending.failure = Some((Some(text.clone()), failure));
            }
            Ok(false) => left_behind.push("the source was not told in time how the run ended".to_owned()),
            Err(failure) if ending.is_good() => ending.failure = Some((Some(text.clone()), failure)),
            Err(failure) => {
                let is_said = |(_, said): &(Option<String>, Failure)| said.to_string() == failure.to_string();
                if !ending.failure.as_ref().is_some_and(is_said) {
                    left_behind.push(format!("{text}: {failure}"));
                }
            }
        }
        left_behind.append(&mut ending.left_behind);
        ending.left_behind = left_behind;
        ending
    }

    /// The first lost branch that is not optional makes the run fail; each of the others gets a line.
    fn count_losses(&self, losses: Vec<Loss>, ending: &mut Ending, left_behind: &mut Vec<String>) {
        for loss in losses {
            let text = &self.watch.stages[loss.node].text;
            if ending.is_good() && !loss.is_optional {
                ending.failure = Some((Some(text.clone()), loss.failure));
            } else {
                left_behind.push(format!("{text}: {}", loss.failure));
            }
        }
    }

    /// Waits for the remaining stages, up to their time limit.
    async fn wait_for_stages(&mut self, is_signalled: bool, left_behind: &mut Vec<String>, interrupt: &mut Interrupt) {
        let grace = if is_signalled { GRACE } else { LONG_GRACE };
        let allowances = self.verdict.missing().map(|node| self.stages[node].cancel.allowance());
        let grace = tokio::time::sleep(grace + allowances.max().unwrap_or_default());
        tokio::pin!(grace);
        let mut is_committing = false;
        while self.verdict.missing().next().is_some() {
            tokio::select! {
                Some((node, outcome)) = self.reports.recv() => {
                    self.take_report(node, outcome);
                }
                () = &mut grace => {
                    // From now on each output is committed or never will be. If one is, its completion is worth waiting
                    // for.
                    let what = match self.roll_back(left_behind, interrupt).await {
                        Some(true) if !std::mem::replace(&mut is_committing, true) => {
                            grace.as_mut().reset(tokio::time::Instant::now() + LONG_GRACE);
                            continue;
                        }
                        Some(_) => "did not stop in time; left alone",
                        None => NOT_WAITED_FOR,
                    };
                    left_behind.extend(self.missing(what));
                    break;
                }
                // A second signal means to leave at once.
                Cause::Signal(_) = interrupt.next() => {
                    left_behind.extend(self.missing(NOT_WAITED_FOR));
                    break;
                }
            }
        }
    }

    /// Rolls back what is not committed; returns whether an output is committed, or `None` if another signal ended that.
    async fn roll_back(&self, left_behind: &mut Vec<String>, interrupt: &mut Interrupt) -> Option<bool> {
        tokio::select! {
            biased;
            is_committed = self.commits.roll_back(left_behind) => Some(is_committed),
            () = interrupt.signalled() => None,
        }
    }

    /// A line for each stage that has not stopped.
    fn missing(&self, what: &str) -> Vec<String> {
        let stages = self.verdict.missing().map(|node| &self.watch.stages[node].text);
        stages.map(|text| format!("{text}: {what}")).collect()
    }

    /// A line for each output of a failed run, or of a lost branch, that could not be rolled back any more, where there is
    /// another one.
    fn kept_outputs(&self, ending: &Ending, is_committed: bool) -> Vec<String> {
        if ending.outputs.len() < 2 {
            return Vec::new();
        }
        let is_kept =
            |(node, fate): &&(NodeId, Fate)| *fate == Fate::Committed && (!is_committed || self.verdict.is_lost(*node));
        let kept = ending.outputs.iter().filter(is_kept);
        let texts = kept.map(|(node, _)| &self.watch.stages[*node].text);
        let failed = ending.failure.as_ref().and_then(|(stage, _)| stage.as_ref());
        texts
            .filter(|text| Some(*text) != failed)
            .map(|text| format!("{text}: was complete before, and stays"))
            .collect()
    }

    /// Commits the side files, now that the sinks have committed. A disk that does not respond must not keep a user who
    /// wants to leave, so a thread waits for it.
    async fn commit_side_files(&self, interrupt: &mut Interrupt) -> Result<(), Ending> {
        let kept = self.stages.iter().filter(|(node, _)| !self.verdict.is_lost(*node));
        for (node, stage) in kept {
            let Some(file) = &stage.side_file else { continue };
            let text = &self.watch.stages[node].text;
            tokio::select! {
                committed = commit(node, file.clone(), stage.cancel.clone()) => {
                    committed.map_err(|failure| Ending::failed(Some(text.clone()), failure))?;
                }
                cause = interrupt.next() => {
                    let mut ending = cause.ending();
                    ending.left_behind.push(format!("{text}: {NOT_WAITED_FOR}"));
                    return Err(ending);
                }
            }
        }
        Ok(())
    }

    fn decide(&mut self) -> Ending {
        let is_whole = self.verdict.is_whole();
        match self.verdict.take_failure() {
            Some((node, failure)) => Ending::failed(Some(self.watch.stages[node].text.clone()), failure),
            None if is_whole => Ending::default(),
            None => {
                let why = "a sink stopped, and no stage said why";
                Ending::failed(None, Failure::because(Kind::Bug, "a bug in highwater", why))
            }
        }
    }
}

/// Tells each source. A source that takes too long, or is interrupted by a signal, is abandoned; returns whether all
/// were told in time.
///
/// # Errors
/// What the first one says that could not do what it has to.
pub async fn settle(sources: &[Arc<dyn Settle>], how: Settled, interrupt: &mut Interrupt) -> Result<bool, Failure> {
    let Some(limit) = sources.iter().map(|source| source.limit()).max() else {
        return Ok(true);
    };
    let told = async {
        let mut first = Ok(true);
        for source in sources {
            // On a task of its own, so that a panic in it ends nothing else.
            match tokio::spawn(source.clone().settle(how)).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => first = first.and(Err(failure)),
                Err(error) => tracing::error!("a source failed when it was told how the run ended: {error}"),
            }
        }
        first
    };
    tokio::select! {
        biased;
        in_time = tokio::time::timeout(limit, told) => in_time.unwrap_or(Ok(false)),
        () = interrupt.signalled() => Ok(false),
    }
}
