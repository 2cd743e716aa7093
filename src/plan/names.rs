//! Names of a sub-pipeline's outputs that differ from run to run: `{position}`, `{n}` and `{time:FORMAT}` in them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use rustix::fs::FileType;

use crate::error::{Failure, Kind, Problem, shown};
use crate::grammar::{Argument, Call, Script, Word};
use crate::platform::files;
use crate::stage::RunLabel;

/// Digits of a position, so that names sort as positions do.
const DIGITS: usize = 16;

/// The pipeline of a batch, whose names are made for each run.
#[derive(Debug)]
pub struct Names {
    script: Script,
    /// The last number that was given out, and its folder.
    last: Mutex<Option<(PathBuf, u64)>>,
}

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Position,
    Number,
    Time(String),
}

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A regular file, or none yet.
    File,
    /// An object of a store.
    Object,
    /// A connection, a device, or something else that can be written to again.
    Other,
}

impl Place {
    fn of(name: &[u8]) -> Self {
        if name.starts_with(b"s3://") {
            return Self::Object;
        }
        let has_scheme = name.starts_with(b"unix") || name.windows(3).any(|three| three == b"://");
        let path = Path::new(std::ffi::OsStr::from_bytes(name.strip_prefix(b"file:").unwrap_or(name)));
        let is_special = files::stat(path).is_ok_and(|found| {
            let kind = FileType::from_raw_mode(found.st_mode);
            !kind.is_file() && !kind.is_dir()
        });
        if has_scheme || name == b"-" || is_special {
            Self::Other
        } else {
            Self::File
        }
    }

    /// The parameter that keeps it from replacing what exists.
    fn keeps(self) -> Option<(&'static [u8], &'static [u8])> {
        match self {
            Self::File => Some((b"clobber", b"false")),
            Self::Object => Some((b"if-absent", b"true")),
            Self::Other => None,
        }
    }
}

impl Names {
    /// The names of a script.
    ///
    /// # Errors
    /// If a template is invalid, or an output has the same name in every run.
    pub fn new(mut script: Script) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        writes(&mut script.calls, &mut |call| problems.extend(prepare(call).err()));
        let names = Self {
            script,
            last: Mutex::default(),
        };
        if problems.is_empty() { Ok(names) } else { Err(problems) }
    }

    /// Whether the runs have an output in common: a file that is appended to, or a place that has no name of its own for each.
    pub fn share_output(&self) -> bool {
        let mut is_shared = false;
        writes(&mut self.script.clone().calls, &mut |call| {
            let appends = value(call, b"append").is_some_and(|(value, _)| value != b"false");
            let is_other = name_of(call).is_some_and(|word| Place::of(&word.bytes) == Place::Other);
            is_shared |= appends || is_other;
        });
        is_shared
    }

    /// The script as it is written.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The script of a run that is only planned.
    pub fn planned(&self) -> Script {
        let mut script = self.script.clone();
        writes(&mut script.calls, &mut |call| {
            if let Some(word) = name_of(call) {
                word.bytes = made(&parts(word).unwrap_or_default(), RunLabel::PLANNED, 1);
            }
        });
        script
    }

    /// The script of one run. Folders of its files that are missing are made.
    ///
    /// # Errors
    /// If a folder cannot be made or read.
    pub fn of(&self, label: RunLabel) -> Result<Script, Failure> {
        let mut script = self.script.clone();
        let mut failed = None;
        writes(&mut script.calls, &mut |call| {
            if let Some(word) = name_of(call) {
                match self.name(word, label) {
                    Ok(name) => word.bytes = name,
                    Err(failure) => failed = Some(failure),
                }
            }
        });
        failed.map_or(Ok(script), Err)
    }

    fn name(&self, word: &Word, label: RunLabel) -> Result<Vec<u8>, Failure> {
        let parts = parts(word).unwrap_or_default();
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Ok(word.bytes.clone());
        }
        let name = made(&parts, label, 0);
        if Place::of(&name) != Place::File {
            return Ok(name);
        }
        let path = PathBuf::from(OsString::from_vec(
            name.strip_prefix(b"file:").unwrap_or(&name).to_vec(),
        ));
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let failed = |error| {
            let operation = format!("cannot make the folder {}", shown(folder.as_os_str().as_bytes()));
            Failure::io(Kind::Sink, operation, error)
        };
        files::make_folders(folder).map_err(failed)?;
        if !parts.contains(&Part::Number) {
            return Ok(name);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let given = last
            .as_ref()
            .filter(|(of, _)| of == folder)
            .map_or(0, |(_, number)| *number);
        let number = 1 + given.max(largest(&parts, label, folder).map_err(failed)?);
        *last = Some((folder.to_owned(), number));
        Ok(made(&parts, label, number))
    }
}

/// The largest number in the names of a folder that these parts could have made; 0 if there is none.
fn largest(parts: &[Part], label: RunLabel, folder: &Path) -> std::io::Result<u64> {
    let at = parts
        .iter()
        .position(|part| *part == Part::Number)
        .unwrap_or(parts.len());
    let last = |name: Vec<u8>| name.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let before = last(made(&parts[..at], label, 0));
    let after = made(&parts[(at + 1).min(parts.len())..], label, 0);
    let mut largest = 0;
    for path in files::entries(folder)? {
        let name = path.file_name().unwrap_or_default();
        let digits = name
            .as_bytes()
            .strip_prefix(&before[..])
            .and_then(|rest| rest.strip_suffix(&after[..]));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        largest = largest.max(number.unwrap_or(0));
    }
    Ok(largest)
}

fn made(parts: &[Part], label: RunLabel, number: u64) -> Vec<u8> {
    let mut name = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => name.extend_from_slice(text),
            Part::Position => name.extend(format!("{:0DIGITS$}", label.position.0).into_bytes()),
            Part::Number => name.extend(number.to_string().into_bytes()),
            Part::Time(format) => {
                let mut text = String::new();
                // The format was checked.
                let _ = write!(text, "{}", DateTime::<Utc>::from(label.begun).format(format));
                name.extend(text.into_bytes());
            }
        }
    }
    name
}

/// Calls `act` with each `write`, those in branches included.
fn writes(calls: &mut [Call], act: &mut dyn FnMut(&mut Call)) {
    for call in calls {
        for argument in &mut call.arguments {
            if let Argument::Group(group) = argument {
                writes(&mut group.calls, act);
            }
        }
        if call.name.bytes == b"write" {
            act(call);
        }
    }
}

fn name_of(call: &mut Call) -> Option<&mut Word> {
    call.arguments.iter_mut().find_map(|argument| match argument {
        Argument::Positional(word) => Some(word),
        Argument::Named { key, value, .. } if key.bytes == b"path" => Some(value),
        Argument::Named { .. } | Argument::Group(_) => None,
    })
}

fn value<'c>(call: &'c Call, name: &[u8]) -> Option<(&'c [u8], Range<usize>)> {
    call.arguments.iter().find_map(|argument| match argument {
        Argument::Named { key, value, span } if key.bytes == name => Some((&value.bytes[..], span.clone())),
        _ => None,
    })
}

/// Checks the name of an output, and sees to it that a run never replaces what another has made.
fn prepare(call: &mut Call) -> Result<(), Problem> {
    let Some(word) = name_of(call) else { return Ok(()) };
    let (span, parts, place) = (word.span.clone(), parts(word)?, Place::of(&word.bytes));
    if place == Place::Other {
        return Ok(());
    }
    if let Some(at) = parts.iter().position(|part| *part == Part::Number) {
        let is_last = parts[at..].iter().all(|part| match part {
            Part::Text(text) => !text.contains(&b'/'),
            Part::Time(format) => !format.contains('/'),
            Part::Position | Part::Number => true,
        });
        if place == Place::Object || !is_last {
            let problem = Problem::at(span, "{n} is for the last part of a file's path");
            return Err(problem.help("{position} and {time:FORMAT} can stand anywhere"));
        }
    }
    let appends = value(call, b"append").is_some_and(|(value, _)| value != b"false");
    let differs = |part: &Part| !matches!(part, Part::Text(_));
    if !appends && !parts.iter().any(differs) {
        let problem = Problem::at(span, "every batch would have this name");
        let help = "put {position}, {n} or {time:FORMAT} into it, as in logs/{time:%Y-%m-%d}/{position}.gz; or give append=true";
        return Err(problem.help(help));
    }
    let Some((key, keeps)) = place.keeps().filter(|_| !appends && !parts.contains(&Part::Position)) else {
        return Ok(());
    };
    match value(call, key) {
        Some((value, _)) if value == keeps => {}
        Some((_, span)) => {
            let problem = Problem::at(span, "a batch never replaces what another has made");
            return Err(
                problem.help("only a name with {position} may be replaced: by the same batch, if it comes again")
            );
        }
        None => {
            let word = |bytes: &[u8]| Word {
                bytes: bytes.to_vec(),
                span: call.span.clone(),
            };
            let argument = Argument::Named {
                key: word(key),
                value: word(keeps),
                span: call.span.clone(),
            };
            call.arguments.push(argument);
        }
    }
    Ok(())
}

/// The parts of a name. Other braces are text.
fn parts(word: &Word) -> Result<Vec<Part>, Problem> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    let mut rest = &word.bytes[..];
    while let Some(byte) = rest.first() {
        let known = template(rest).map_err(|(message, help)| Problem::at(word.span.clone(), message).help(help))?;
        if let Some((part, length)) = known {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
            rest = &rest[length..];
        } else {
            text.push(*byte);
            rest = &rest[1..];
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// The template at the beginning of a text, and its length.
fn template(text: &[u8]) -> Result<Option<(Part, usize)>, (String, String)> {
    for (name, part) in [(&b"{position}"[..], Part::Position), (b"{n}", Part::Number)] {
        if text.starts_with(name) {
            return Ok(Some((part, name.len())));
        }
    }
    let Some(rest) = text.strip_prefix(b"{time") else {
        return Ok(None);
    };
    let example = || "write it as strftime takes it, in UTC: {time:%Y-%m-%d}".to_owned();
    let end = rest.iter().position(|byte| *byte == b'}');
    let format = end.and_then(|end| std::str::from_utf8(rest[..end].strip_prefix(b":")?).ok());
    let Some(format) = format.filter(|format| !format.is_empty()) else {
        return Err(("{time} has no format".to_owned(), example()));
    };
    if StrftimeItems::new(format).any(|item| item == Item::Error) {
        return Err((format!("`{format}` is no format of a time"), example()));
    }
    let length = b"{time:".len() + format.len() + 1;
    Ok(Some((Part::Time(format.to_owned()), length)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::flow::Position;
    use crate::grammar::parse;

    fn names(text: &str) -> Result<Names, Vec<Problem>> {
        Names::new(parse(text.as_bytes()).0)
    }

    /// The text of the script of a run.
    fn run(names: &Names, position: u128) -> String {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let label = RunLabel {
            position: Position(position),
            begun,
        };
        let script = names.of(label).expect("made");
        let calls: Vec<_> = script.calls.iter().map(Call::normalised).collect();
        String::from_utf8(calls.join(&b" | "[..])).expect("text")
    }

    #[test]
    fn names_are_made_for_each_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().display();
        let by_time = names(&format!("gzip | write {at}/{{time:%Y-%m-%d}}/{{position}}.gz")).expect("valid");
        assert_eq!(
            run(&by_time, 42),
            format!("gzip | write {at}/2023-11-14/0000000000000042.gz")
        );
        assert!(folder.path().join("2023-11-14").is_dir());
        for name in ["a7.b", "a12.b", "a99", "99.b"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let numbered = names(&format!("write {at}/a{{n}}.b")).expect("valid");
        for number in [13, 14] {
            assert_eq!(run(&numbered, 0), format!("write {at}/a{number}.b clobber=false"));
        }
        let object = names("write s3://bucket/{time:%H}").expect("valid");
        assert_eq!(run(&object, 0), "write s3://bucket/22 if-absent=true");
        let same = "tee (write /dev/null) | write tcp://127.0.0.1:9";
        assert_eq!(run(&names(same).expect("valid"), 0), same);
    }

    #[test]
    fn wrong_names_are_refused() {
        for (text, why) in [
            ("write a", "every batch would have this name"),
            ("tee (write a) | write b{n}", "every batch would have this name"),
            ("write a{time}", "{time} has no format"),
            ("write a{time:%Q}", "`%Q` is no format of a time"),
            ("write {n}/a", "{n} is for the last part of a file's path"),
            ("write s3://bucket/{n}", "{n} is for the last part of a file's path"),
            (
                "write a{n} clobber=true",
                "a batch never replaces what another has made",
            ),
        ] {
            let problems = names(text).expect_err(text);
            assert_eq!(problems[0].message, why, "{text}");
        }
        for text in [
            "write a append=true",
            "write {other}{n}",
            "write path={position} clobber=true",
        ] {
            names(text).expect(text);
        }
    }
}
