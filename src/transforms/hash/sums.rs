//! Checksum files as sha256sum and similar tools write and read them.

use std::io::{self, Read};

use rustix::fs::{Mode, OFlags};

use crate::error::{Failure, Kind, brief, shown};
use crate::platform::files;

use super::Algorithm;

/// A checksum in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name that it belongs to; `None` for a bare digest.
    pub label: Option<String>,
    /// In lower case.
    pub hex: String,
}

impl Entry {
    /// The label without a meaningless `./`.
    fn label(&self) -> Option<&str> {
        self.label.as_deref().map(plain)
    }
}

/// `./a` and `a` are the same file.
fn plain(label: &str) -> &str {
    label.trim_start_matches("./")
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

/// Finds a checksum in a file: that of `label`, or the only one.
///
/// # Errors
/// What is wrong with the file.
pub fn look_up(file: &str, algorithm: Algorithm, label: Option<&str>) -> Result<Entry, Failure> {
    /// More checksums than any release has, and still little memory.
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
    let mut found = entries(text, algorithm);
    // A bare digest names no file, so it applies to any label.
    if let Some(label) = label
        && found.iter().any(|entry| entry.label.is_some())
    {
        found.retain(|entry| entry.label() == Some(plain(label)));
    }
    found.dedup_by(|one, other| one.hex == other.hex && one.label() == other.label());
    let name = algorithm.name();
    match (found.len(), label) {
        (1, _) => Ok(found.remove(0)),
        (0, None) => Err(format!("no {name} sum")),
        (0, Some(label)) => Err(format!("no {name} sum for `{}`", brief(label.as_bytes()))),
        (count, None) => Err(format!("{count} sums: say which with label=")),
        (count, Some(label)) => Err(format!("{count} {name} sums for `{}`", brief(label.as_bytes()))),
    }
}

/// The checksums of one algorithm in a file; lines without one are skipped, as the tools do.
fn entries(text: &str, algorithm: Algorithm) -> Vec<Entry> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut spacing = None;
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    lines
        .filter_map(|line| entry(line.trim_start_matches(BLANK), algorithm, &mut spacing))
        .collect()
}

const BLANK: [char; 2] = [' ', '\t'];

/// The separator of digest and name, the same in all lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// A blank, and a second one or `*`: md5sum and similar tools.
    Mode,
    /// One blank: BSD's `md5 -r`.
    Single,
}

/// One line of a file, in any of the forms that `sha256sum --check` reads or openssl writes:
///
/// - `HEX  NAME`, `HEX *NAME`, `HEX NAME`, and `HEX` alone
/// - `ALGO (NAME) = HEX`, `ALGO(NAME)= HEX`
/// - either behind a backslash, with the name escaped
/// - `ALGO:HEX`, with or without a name
///
/// The first line with a digest before its name determines the spacing, as in coreutils: otherwise an added line with
/// another spacing could make ` a` stand for `a`.
fn entry(line: &str, algorithm: Algorithm, spacing: &mut Option<Spacing>) -> Option<Entry> {
    let (line, is_escaped) = line.strip_prefix('\\').map_or((line, false), |rest| (rest, true));
    let (label, hex) = match before_name(line, algorithm, spacing) {
        Some((hex, label)) => (label, hex),
        None => tagged(line, algorithm)?,
    };
    let label = match label {
        Some(label) if is_escaped => Some(unescape(label)?),
        label => label.map(str::to_owned),
    };
    Some(Entry { label, hex })
}

/// The digest at the start of a line, and the name behind it.
fn before_name<'a>(
    line: &'a str,
    algorithm: Algorithm,
    spacing: &mut Option<Spacing>,
) -> Option<(String, Option<&'a str>)> {
    let (digest, rest) = line.split_once(BLANK).unwrap_or((line, ""));
    let hex = algorithm.check_digest(digest).ok()?;
    if rest.trim_end_matches(BLANK).is_empty() {
        return Some((hex, None));
    }
    let label = match (rest.strip_prefix([' ', '*']), *spacing) {
        (Some(label), None | Some(Spacing::Mode)) if !label.is_empty() => {
            *spacing = Some(Spacing::Mode);
            label
        }
        (_, Some(Spacing::Mode)) => return None,
        _ => {
            *spacing = Some(Spacing::Single);
            rest
        }
    };
    Some((hex, Some(label)))
}

/// The digest at the end of a line, and the name before it, in brackets; openssl before version 3 names no algorithm for
/// its standard input.
fn tagged(line: &str, algorithm: Algorithm) -> Option<(Option<&str>, String)> {
    let (name, rest) = line.split_once('(')?;
    let (label, digest) = rest.rsplit_once(')')?;
    let digest = digest.trim_start_matches(BLANK).strip_prefix('=')?;
    let name = name.strip_suffix(' ').unwrap_or(name);
    let is_ours = algorithm.is_called(name) || (name.is_empty() && label == "stdin");
    let hex = algorithm.check_hex(digest.trim_start_matches(BLANK)).ok()?;
    is_ours.then_some((Some(label), hex))
}

/// Reverts the escaping of a name; `None` if no tool would have escaped it so.
fn unescape(label: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = label.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
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
    fn reads_every_common_form() {
        let upper = A.to_uppercase();
        let colons = A
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).expect("digits"));
        let colons = colons.collect::<Vec<_>>().join(":");
        for text in [
            format!("{A}  a b\n"),
            format!("{A} *a b"),
            format!("{A} a b\n"),
            format!("{A}\ta b\n"),
            format!("{A}  a b\r\n"),
            format!("\u{feff}{A}  a b\n"),
            format!(" \t{A}  ./a b\n"),
            format!("MD5 (a b) = {A}\n"),
            format!("MD5(a b)= {A}\r\n"),
            format!("MD5 (a b)={A}\n"),
            format!("\\MD5 (a b) = {A}\n"),
            format!("MD5(a b)= {colons}\n"),
            format!("md5:{A}\n"),
            format!("MD5:{upper}  a b\n"),
            format!("{A}\n"),
            format!("  {upper} \r\n"),
            format!("{A}  a b\n{A}  ./a b\n"),
            format!("# made by hand\n\nSHA256 (a b) = {A}\n{upper}  a b\n{B}  a\n"),
        ] {
            assert_eq!(found(&text, Some("a b")), Ok(A.to_owned()), "{text}");
        }
        assert_eq!(found(&format!("(stdin)= {A}\n"), None), Ok(A.to_owned()));
        assert_eq!(found(&format!("{A}  a b\n"), Some("./a b")), Ok(A.to_owned()));
    }

    #[test]
    fn brackets_in_a_name_are_no_tag() {
        for label in ["a (1)", "(", "MD5 (b) = c", ") = ", "a(b)= c"] {
            assert_eq!(found(&format!("{A}  {label}\n"), Some(label)), Ok(A.to_owned()));
            assert_eq!(found(&format!("MD5 ({label}) = {A}\n"), Some(label)), Ok(A.to_owned()));
        }
    }

    #[test]
    fn spacing_is_settled_by_the_first_line() {
        let text = format!("{A}  a\n{B} b\n");
        assert_eq!(found(&text, Some("b")), Err("no md5 sum for `b`".to_owned()));
        let text = format!("{A} a\n{B}  b\n");
        assert_eq!(found(&text, Some(" b")), Ok(B.to_owned()));
        assert_eq!(found(&text, Some("b")), Err("no md5 sum for `b`".to_owned()));
    }

    #[test]
    fn rejects_what_is_no_sum() {
        for text in [
            format!("SHA1 (a) = {A}\n"),
            format!("sha256:{A}\n"),
            format!("{A}0  a\n"),
            format!("{}  a\n", &A[1..]),
            format!("x{A}  a\n"),
            format!("MD5 (a) {A}\n"),
            format!("MD5 (a = {A}\n"),
            format!("MD5 (a) = {A}x\n"),
            format!("\\{A}  a\\x\n"),
            format!("\\{A}  a\\\n"),
        ] {
            assert_eq!(found(&text, None), Err("no md5 sum".to_owned()), "{text}");
        }
        let text = format!("{A}\n{B}  b\n");
        assert_eq!(found(&text, Some("a")), Err("no md5 sum for `a`".to_owned()));
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
    fn missing_checksum_is_reported() {
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
