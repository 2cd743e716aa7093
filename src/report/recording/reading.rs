//! Reads a recording line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::Share;
use crate::error::shown;
use crate::graph::Id;
use crate::view::json::{SCHEMA, Stats};
use crate::view::record::{CheckEnd, CheckSample, Header};

use super::{Body, Check, Level, Point, Recording, Run, Trouble};

/// The longest line of a recording: enough for a thousand stages.
const LONGEST: u64 = 1 << 20;

/// How a recording begins.
const BEGINNING: &str =
    "a recording begins with {\"schema\":1,\"event\":\"run\",…}, as `highwater --record FILE` writes it";

/// Reads the recording at `path`. A last line without its newline was torn by a kill or a full disk; it is left out
/// where it is not whole.
///
/// # Errors
/// If the file cannot be read or is not a recording, with the line and what is expected.
pub fn read(path: &Path) -> Result<Recording, Trouble> {
    let file_name = shown(path.as_os_str().as_encoded_bytes());
    let file = File::open(path).map_err(|error| Trouble::unreadable(&file_name, None, error))?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    from(BufReader::new(file), &file_name, &shown(name.as_encoded_bytes()))
}

/// Reads a recording from `input`: `file` is what troubles name, and `name` is what the report calls it.
fn from(input: impl BufRead, file: &str, name: &str) -> Result<Recording, Trouble> {
    let mut lines = Lines { input, file, number: 0 };
    let Some(first) = lines.next()? else {
        return Err(Trouble::wrong(file, None, format!("it is empty; {BEGINNING}")));
    };
    let header = header(&lines, &first)?;
    let body = match header.event.as_ref() {
        "check" => Body::Check(check(&mut lines)?),
        _ => Body::Run(run(&mut lines)?),
    };
    Ok(Recording {
        name: name.to_owned(),
        header,
        body,
    })
}

/// The lines of a recording, counted.
struct Lines<'a, R> {
    input: R,
    file: &'a str,
    number: usize,
}

/// A line without its newline.
struct Line {
    bytes: Vec<u8>,
    /// Whether it had none, as the last line of a killed program may.
    is_open: bool,
}

/// What every line has in common.
#[derive(Deserialize)]
struct Tag {
    event: String,
    #[serde(default)]
    elapsed_s: Value,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(&mut self) -> Result<Option<Line>, Trouble> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(LONGEST + 1).read_until(b'\n', &mut bytes);
        self.number += 1;
        read.map_err(|error| Trouble::unreadable(self.file, Some(self.number), error))?;
        if bytes.len() as u64 > LONGEST {
            return Err(self.wrong(format!("a line is longer than 1 MiB; {BEGINNING}")));
        }
        let is_open = bytes.pop_if(|last| *last == b'\n').is_none();
        Ok((!bytes.is_empty() || !is_open).then_some(Line { bytes, is_open }))
    }

    fn wrong(&self, what: impl Into<String>) -> Trouble {
        Trouble::wrong(self.file, Some(self.number), what)
    }

    /// The next line that is an object with an event; a torn last line is left out.
    fn next_event(&mut self) -> Result<Option<(Tag, Line)>, Trouble> {
        loop {
            let Some(line) = self.next()? else { return Ok(None) };
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Tag>(&line.bytes) {
                Ok(tag) => return Ok(Some((tag, line))),
                Err(_) if line.is_open => return Ok(None),
                Err(error) => {
                    let why = said(&error);
                    return Err(self.wrong(format!("{why}; every line is one JSON object that has an \"event\"")));
                }
            }
        }
    }

    /// The object on the current line.
    fn object<T: DeserializeOwned>(&self, line: &Line, what: &str) -> Result<T, Trouble> {
        serde_json::from_slice(&line.bytes).map_err(|error| self.wrong(format!("{}; {what}", said(&error))))
    }

    /// Checks that time advances.
    fn check_time(&self, before: Option<f64>, tag: &Tag) -> Result<(), Trouble> {
        /// A hundred years.
        const LONGEST_RUN: f64 = 3.2e9;
        let Some(now) = tag.elapsed_s.as_f64() else {
            return Ok(());
        };
        if !(0.0..=LONGEST_RUN).contains(&now) {
            return Err(self.wrong(format!("elapsed_s is {now}; it is the seconds since the start")));
        }
        let before = before.unwrap_or(0.0);
        if now < before {
            return Err(self.wrong(format!(
                "elapsed_s is {now} after {before}; samples stand in the order of time, one recording in a file"
            )));
        }
        Ok(())
    }
}

/// The parser's message without its own line number.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.clone(), |at| {
        let column = error.column();
        let kind = if error.is_data() {
            String::new()
        } else {
            format!(" at column {column}")
        };
        format!("{}{kind}", &text[..at])
    })
}

fn header<R: BufRead>(lines: &Lines<'_, R>, line: &Line) -> Result<Header<'static>, Trouble> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
        event: String,
    }
    let version: Version = lines.object(line, BEGINNING)?;
    if version.schema != SCHEMA {
        let theirs = version.schema;
        let what = format!("its schema is {theirs}; this highwater reads schema {SCHEMA}, a newer one may read it");
        return Err(lines.wrong(what));
    }
    match version.event.as_str() {
        "run" | "check" => lines.object(line, BEGINNING),
        "end" | "sample" => {
            let what = format!("it has no header, as if written by --stats or --progress json; {BEGINNING}");
            Err(lines.wrong(what))
        }
        other => Err(lines.wrong(format!("the event is \"{}\"; {BEGINNING}", shown(other.as_bytes())))),
    }
}

fn run<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<Run, Trouble> {
    let mut points: Vec<Point> = Vec::new();
    let mut last: Option<Stats<'static>> = None;
    while let Some((tag, line)) = lines.next_event()? {
        let event = tag.event.as_str();
        if event != "sample" && event != "end" {
            continue;
        }
        if last.as_ref().is_some_and(|last| last.exit.is_some()) {
            return Err(lines.wrong("there is more behind the end object; a file holds one recording"));
        }
        lines.check_time(points.last().map(|point| point.at), &tag)?;
        let stats: Stats<'static> = lines.object(&line, "a sample has the fields of the stats object")?;
        if event == "end" && stats.exit.is_none() {
            return Err(lines.wrong("missing field `exit`; the end object says how the run ended"));
        }
        check_shape(lines, last.as_ref(), &stats)?;
        points.push(point(&stats, event == "sample"));
        last = Some(stats);
    }
    match last {
        Some(last) => Ok(Run { points, last }),
        None => Err(Trouble::wrong(
            lines.file,
            None,
            "there is no sample behind the header; the run was killed before its first one",
        )),
    }
}

/// All samples are of one pipeline, in which each link joins two neighbours.
fn check_shape<R: BufRead>(lines: &Lines<'_, R>, before: Option<&Stats<'_>>, stats: &Stats<'_>) -> Result<(), Trouble> {
    let stages = stats.stages.len();
    if let Some(before) = before
        && (before.stages.len(), before.links.len()) != (stages, stats.links.len())
    {
        let what = format!(
            "it has {stages} stages and {} links, the line before {} and {}",
            stats.links.len(),
            before.stages.len(),
            before.links.len()
        );
        return Err(lines.wrong(format!("{what}; all samples are of one chain")));
    }
    if let Some(link) = stats.links.iter().find(|link| link.from.max(link.to) >= stages) {
        let what = format!(
            "a link joins the stages {} and {}, and there are {stages}",
            link.from, link.to
        );
        return Err(lines.wrong(format!("{what}, counted from 0")));
    }
    if let Some(bottleneck) = stats
        .bottleneck
        .as_ref()
        .filter(|bottleneck| bottleneck.stage >= stages)
    {
        let what = format!("the bottleneck is stage {}, and there are {stages}", bottleneck.stage);
        return Err(lines.wrong(format!("{what}, counted from 0")));
    }
    Ok(())
}

fn point(stats: &Stats<'_>, has_shares: bool) -> Point {
    let graph = stats.graph();
    let sinks = graph.sinks().filter_map(|sink| stats.stages.get(sink.number()));
    Point {
        at: stats.run.elapsed.as_secs_f64(),
        rss: stats.run.rss,
        held: stats.run.buffered.saturating_add(stats.run.state),
        bytes_in: stats.stages.first().map_or(0, |source| source.sample.bytes_in),
        bytes_out: sinks.map(|sink| sink.sample.bytes_out).sum(),
        // The shares of the end object are of the whole run.
        shares: stats
            .stages
            .iter()
            .map(|stage| stage.sample.share.as_ref().filter(|_| has_shares).map(shares))
            .collect(),
        ended: stats.stages.iter().map(|stage| stage.sample.ended).collect(),
        links: stats
            .links
            .iter()
            .map(|link| Level {
                buffered: link.sample.levels.buffered,
                records: link.sample.levels.load().records,
                times_full: link.sample.levels.times_full,
                drains: link.sample.levels.drains,
            })
            .collect(),
        bottleneck: stats.bottleneck.as_ref().map(|bottleneck| bottleneck.stage),
    }
}

/// Busy, backpressured and idle, which add up to the whole.
pub fn shares(share: &Share) -> [f64; 3] {
    let busy = share.busy.clamp(0.0, 1.0);
    let backpressured = share.backpressured.clamp(0.0, 1.0 - busy);
    [busy, backpressured, 1.0 - busy - backpressured]
}

fn check<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<Check, Trouble> {
    let mut samples: Vec<CheckSample> = Vec::new();
    let mut end: Option<CheckEnd<'static>> = None;
    while let Some((tag, line)) = lines.next_event()? {
        let before = samples.last().map(|sample| sample.elapsed_s);
        match tag.event.as_str() {
            "check-sample" | "check-end" if end.is_some() => {
                return Err(lines.wrong("there is more behind the end object; a file holds one recording"));
            }
            "check-sample" => {
                let what = "a check's sample has elapsed_s, rss_bytes, memory_bytes, disk_bytes, accepted_bytes, \
                            returned_bytes and backlog_bytes";
                lines.check_time(before, &tag)?;
                let sample: CheckSample = lines.object(&line, what)?;
                samples.push(sample);
            }
            "check-end" => {
                let what = "a check's end has elapsed_s, verdict, sentence and exit";
                lines.check_time(before, &tag)?;
                end = Some(lines.object(&line, what)?);
            }
            _ => {}
        }
    }
    if samples.is_empty() && end.is_none() {
        let what = "there is no sample behind the header; the check was killed before its first one";
        return Err(Trouble::wrong(lines.file, None, what));
    }
    Ok(Check { samples, end })
}

#[cfg(test)]
mod tests;
