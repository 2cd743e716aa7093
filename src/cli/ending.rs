//! What is reported when a run is over.

use std::process::ExitCode;

use crate::engine::{Ending, Snapshot};
use crate::error::{Kind, shown};
use crate::grammar::human_size;
use crate::platform;
use crate::stage::Hashed;
use crate::view::{Progress, json, say, say_exactly, summary};

use super::audience::Audience;
use super::options::RunOptions;
use super::stats::StatsFile;

/// Reports how a run ended in all outputs, and returns its exit code. If a signal ended it, the process ends by that
/// signal instead.
pub fn conclude(
    ending: &Ending,
    snapshot: Option<&Snapshot>,
    audience: &mut Audience,
    stats: Option<StatsFile>,
    options: &RunOptions,
) -> ExitCode {
    let exit = json::Exit {
        code: ending.exit_code(),
        error: error_line(ending),
    };
    let end = json::end(snapshot, &ending.outputs, &exit);
    audience.end_recording(&end);
    let stats_follow = options.stats.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if audience.progress() == Progress::Json && !stats_follow {
        say_exactly(&end);
    }
    for hashed in snapshot.iter().flat_map(|snapshot| &snapshot.hashes) {
        if hashed.hex.is_some() || ending.is_good() {
            say_exactly(&checksum_line(hashed));
        }
    }
    for url in snapshot.iter().flat_map(|snapshot| &snapshot.urls) {
        say_exactly(&format!("{url}\n"));
    }
    for stage in snapshot.iter().flat_map(|snapshot| snapshot.stages.values()) {
        let dropped = stage.records.map_or(0, |records| records.dropped);
        if dropped > 0 {
            say(&format!("highwater: {}: {}\n", stage.text, dropped_line(dropped)));
        }
    }
    for line in &ending.left_behind {
        say(&format!("highwater: {line}\n"));
    }
    if ending.drained_by.is_some() && ending.signal.is_some() {
        say("highwater: rolled back what was not committed\n");
    }
    let reader_left = ending
        .failure
        .as_ref()
        .is_some_and(|(_, failure)| failure.kind() == Kind::ReaderLeft);
    if let Some(error) = exit.error.as_ref().filter(|_| !reader_left) {
        say(&format!("highwater: {error}\n"));
    }
    if let Some(snapshot) = snapshot.filter(|_| options.wants_summary() && !reader_left) {
        let (is_good, columns) = (ending.is_good(), summary::columns());
        say(&summary::text(snapshot, is_good, options.style(), columns));
    }
    let stats = stats.map_or(Ok(()), |stats| stats.write(&end));
    if let Err(failure) = &stats {
        say(&format!("highwater: {failure}\n"));
    }
    if let Some(signal) = ending.signal.or(ending.drained_by.filter(|_| ending.is_good())) {
        platform::end_as(signal);
    }
    match (exit.code, stats) {
        (0, Err(failure)) => ExitCode::from(failure.kind().exit_code()),
        (code, _) => ExitCode::from(code),
    }
}

/// `write out.gz: cannot write: No space left on device (after 12.0 MiB)`
fn error_line(ending: &Ending) -> Option<String> {
    let (stage, failure) = ending.failure.as_ref()?;
    let stage = stage.as_ref().map_or_else(String::new, |stage| format!("{stage}: "));
    let after = failure
        .bytes_before()
        .map_or_else(String::new, |bytes| format!(" (after {})", human_size(bytes)));
    Some(format!("{stage}{failure}{after}"))
}

/// `3 records were dropped, because a branch was full`
fn dropped_line(count: u64) -> String {
    let records = if count == 1 { "record was" } else { "records were" };
    format!("{count} {records} dropped, because a branch was full")
}

/// `ALGO  HEX  LABEL`, with a newline; if a reader ended the stream early, `not whole` stands in place of the checksum.
fn checksum_line(hashed: &Hashed) -> String {
    let hex = hashed.hex.as_deref().unwrap_or("not whole");
    format!("{}  {hex}  {}\n", hashed.algo, shown(hashed.label.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stays_on_its_line() {
        let hashed = Hashed {
            algo: "crc32c".into(),
            hex: Some("e3069283".to_owned()),
            label: "a\nb".to_owned(),
            bytes: 9,
        };
        assert_eq!(checksum_line(&hashed), "crc32c  e3069283  a\\nb\n");
        let cut = Hashed { hex: None, ..hashed };
        assert_eq!(checksum_line(&cut), "crc32c  not whole  a\\nb\n");
    }
}
