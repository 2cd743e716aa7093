//! Files of sums, as sha256sum and its like write and read them.

use std::io::{self, Read};

use rustix::fs::{Mode, OFlags};

use crate::error::{Failure, Kind, brief, shown};
use crate::platform::files;

use super::Algorithm;

/// A sum that a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is the sum of.
    pub label: String,
    /// In lower case.
    pub hex: String,
}

/// `HEX  LABEL`, with a newline. A label that would break the line is escaped, as the tools do.
pub fn line(hex: &str, label: &str) -> String {
    if label.contains(['\\', '\n', '\r']) {
        let escaped = label.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        format!("\\{hex}  {escaped}\n")
    } else {
        format!("{hex}  {label}\n")
    }
}

/// Looks a sum up in a file: that of `label`, or else the only one.
///
/// # Errors
/// What is wrong with the file.
pub fn look_up(file: &str, algorithm: Algorithm, label: Option<&str>) -> Result<Entry, Failure> {
    /// More sums than any release has, and still nothing to speak of.
    const MOST: u64 = 16 << 20;
    let operation = format!("cannot look up the sum in {}", shown(file.as_bytes()));
    let mut text = Vec::new();
    let opened = files::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let read = opened
        .map_err(io::Error::from)
        .and_then(|fd| files::Stream(fd).take(MOST + 1).read_to_end(&mut text));
    read.map_err(|error| Failure::io(Kind::Source, operation.clone(), error))?;
    let refused = |why: String| Failure::because(Kind::Integrity, operation, why);
    if text.len() as u64 > MOST {
        return Err(refused("it is too large for a file of sums".to_owned()));
    }
    choose(&String::from_utf8_lossy(&text), algorithm, label).map_err(|why| refused(format!("it holds {why}")))
}

fn choose(text: &str, algorithm: Algorithm, label: Option<&str>) -> Result<Entry, String> {
    let mut found: Vec<Entry> = text
        .lines()
        .filter_map(|line| entry(line, algorithm))
        .filter(|entry| label.is_none_or(|label| entry.label == label))
        .collect();
    found.dedup();
    let name = algorithm.name();
    match (found.len(), label) {
        (1, _) => Ok(found.remove(0)),
        (0, None) => Err(format!("no {name} sum")),
        (0, Some(label)) => Err(format!("no {name} sum for `{}`", brief(label.as_bytes()))),
        (count, None) => Err(format!("{count} sums: say which with label=")),
        (count, Some(label)) => Err(format!("{count} {name} sums for `{}`", brief(label.as_bytes()))),
    }
}

/// `HEX  LABEL`, `HEX *LABEL`, the same escaped behind a backslash, or `ALGO (LABEL) = HEX`.
fn entry(line: &str, algorithm: Algorithm) -> Option<Entry> {
    if let Some((name, rest)) = line.split_once(" (") {
        let (label, hex) = rest.rsplit_once(") = ")?;
        return Some(Entry {
            label: label.to_owned(),
            hex: algorithm
                .check_hex(hex)
                .ok()
                .filter(|_| name.eq_ignore_ascii_case(algorithm.name()))?,
        });
    }
    let (line, is_escaped) = line.strip_prefix('\\').map_or((line, false), |rest| (rest, true));
    let (hex, rest) = line.split_once(' ')?;
    let label = rest.strip_prefix([' ', '*'])?;
    Some(Entry {
        label: if is_escaped { unescape(label) } else { label.to_owned() },
        hex: algorithm.check_hex(hex).ok()?,
    })
}

fn unescape(label: &str) -> String {
    let mut plain = String::new();
    let mut rest = label.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                other => other.unwrap_or('\\'),
            },
            c => c,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "900150983cd24fb0d6963f7d28e17f72";
    const B: &str = "00000000000000000000000000000000";

    fn found(text: &str, label: Option<&str>) -> Result<String, String> {
        choose(text, Algorithm::Md5, label).map(|entry| entry.hex)
    }

    #[test]
    fn every_common_form_is_read() {
        for text in [
            format!("{A}  a b\n"),
            format!("{A} *a b"),
            format!("MD5 (a b) = {A}\n"),
            format!(
                "# made by hand\n\nSHA256 (a b) = {A}\n{}  a b\n{B}  a\n",
                A.to_uppercase()
            ),
        ] {
            assert_eq!(found(&text, Some("a b")), Ok(A.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_label_with_a_newline_comes_back() {
        for label in ["a\nb", "a\\nb", "\r", "plain"] {
            let line = line(A, label);
            assert_eq!(line.lines().count(), 1, "{line:?}");
            assert_eq!(found(&line, Some(label)), Ok(A.to_owned()));
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let two = format!("{A}  a\n{B}  b\n");
        assert_eq!(found(&two, None), Err("2 sums: say which with label=".to_owned()));
        assert_eq!(found(&two, Some("c")), Err("no md5 sum for `c`".to_owned()));
        assert_eq!(found("", None), Err("no md5 sum".to_owned()));
        assert_eq!(
            found(&format!("{A}  a\n{B}  a\n"), Some("a")),
            Err("2 md5 sums for `a`".to_owned())
        );
        assert_eq!(found(&format!("{A}  a\n{A}  a\n"), None), Ok(A.to_owned()));
    }
}
