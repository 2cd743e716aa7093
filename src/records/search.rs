//! Searches whole chunks for what a record must have, so that most records need not be looked at.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use regex_automata::{Input, meta, util};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, Look};

/// What is looked for.
#[derive(Debug, Clone)]
pub enum Needle {
    /// Bytes.
    Bytes(Box<Finder<'static>>),
    /// What matches.
    Pattern(Regex),
    /// What matches, found without looking for a literal first.
    Scan(Box<meta::Regex>),
}

impl Needle {
    /// These bytes.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(Box::new(Finder::new(bytes).into_owned()))
    }

    /// Bytes of memory that a thread holds to look for it.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        match self {
            Self::Bytes(_) => 0,
            Self::Pattern(_) | Self::Scan(_) => Pattern::STATE,
        }
    }

    /// Whether it is in `bytes`.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(finder) => finder.find(bytes).is_some(),
            Self::Pattern(regex) => regex.is_match(bytes),
            Self::Scan(regex) => regex.is_match(bytes),
        }
    }

    /// The offset of a byte of the first match that begins at `at` or behind: every other match ends at that byte or
    /// behind it.
    fn find(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let end = match self {
            Self::Bytes(finder) => return finder.find(&bytes[at..]).map(|found| at + found),
            Self::Pattern(regex) => regex.shortest_match_at(bytes, at),
            Self::Scan(regex) => {
                let found = regex.search_half(&Input::new(bytes).range(at..).earliest(true));
                found.map(|found| found.offset())
            }
        };
        // The match may have begun records before: a later one may be the first that has a match of its own.
        end.map(|end| at.max(end.saturating_sub(1)))
    }
}

/// A search for the records that have one of several needles. Records without any are skipped at the speed of the search.
#[derive(Debug, Clone)]
pub struct Search {
    needles: Vec<Needle>,
    /// Where each was found last in this chunk; [`usize::MAX`] if it is not there any more.
    found: Vec<usize>,
}

impl Search {
    /// A search for `needles`, of which there is at least one.
    #[must_use]
    pub fn new(needles: Vec<Needle>) -> Self {
        let found = vec![0; needles.len()];
        Self { needles, found }
    }

    /// Begins a chunk.
    pub fn begin(&mut self) {
        self.found.fill(0);
    }

    /// The offset of a byte in the first record from `at` on that may have a needle, in a chunk of whole records where a
    /// record begins at `at`; `None` if none has. `at` never falls within a chunk.
    pub fn candidate(&mut self, chunk: &[u8], at: usize) -> Option<usize> {
        for (needle, found) in self.needles.iter().zip(&mut self.found) {
            if *found <= at {
                *found = needle.find(chunk, at).unwrap_or(usize::MAX);
            }
        }
        self.found.iter().copied().min().filter(|found| *found < chunk.len())
    }
}

/// A pattern for single records, and for a whole chunk of them at once where it has the same meaning there.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Matches in one record.
    pub regex: Regex,
    /// What is looked for in many records.
    pub needle: Needle,
    /// Whether it can be looked for in many records at once.
    pub spans_records: bool,
    /// Whether it depends on where a text begins or ends.
    pub has_anchors: bool,
}

impl Pattern {
    /// What the states of an automaton that is built as it is needed may take, in bytes; it begins anew then.
    const AUTOMATON: usize = 256 << 10;
    /// Bytes of memory that each thread holds to look for it: an automaton forwards, and one backwards.
    pub const STATE: u64 = 2 * Self::AUTOMATON as u64;

    /// Compiles a regular expression of the Rust regex crate; `^` and `$` match at the ends of a record.
    ///
    /// # Errors
    /// Why it is none, in one line.
    pub fn compile(text: &str) -> Result<Self, String> {
        let in_one_line = |error: String| {
            let last = error.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        };
        let mut builder = RegexBuilder::new(text);
        let regex = builder.multi_line(true).dfa_size_limit(Self::AUTOMATON).build();
        let regex = regex.map_err(|error| in_one_line(error.to_string()))?;
        let parsed = ParserBuilder::new().multi_line(true).utf8(false).build().parse(text);
        let parsed = parsed.map_err(|error| in_one_line(error.to_string()))?;
        let looks = parsed.properties().look_set();
        let needle = match ends_in_one_byte(&parsed).then(|| scanner(text)).flatten() {
            Some(scanner) => Needle::Scan(Box::new(scanner)),
            None => Needle::Pattern(regex.clone()),
        };
        Ok(Self {
            regex,
            needle,
            spans_records: !looks.contains(Look::Start) && !looks.contains(Look::End),
            has_anchors: looks.contains_anchor(),
        })
    }
}

/// Whether the last byte of each match is the only literal that the regex crate would look for. It would stop at each
/// such byte and go back from there, which takes several times as long as going through all bytes if it is common.
fn ends_in_one_byte(pattern: &Hir) -> bool {
    let prefixes = Extractor::new().extract(pattern);
    let suffixes = Extractor::new().kind(ExtractKind::Suffix).extract(pattern);
    let has_prefix = prefixes.min_literal_len().is_some_and(|length| length > 0);
    let suffix = suffixes.longest_common_suffix();
    !has_prefix && suffix.is_some_and(|suffix| suffix.len() == 1)
}

/// A search that looks for no literal.
fn scanner(pattern: &str) -> Option<meta::Regex> {
    let syntax = util::syntax::Config::new().multi_line(true).utf8(false);
    let options = meta::Config::new()
        .auto_prefilter(false)
        .utf8_empty(false)
        .hybrid_cache_capacity(Pattern::AUTOMATON);
    let mut builder = meta::Regex::builder();
    builder.syntax(syntax).configure(options).build(pattern).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The records that a search finds and that match.
    fn found<'a>(pattern: &Pattern, chunk: &'a str) -> Vec<&'a str> {
        let mut search = Search::new(vec![pattern.needle.clone()]);
        search.begin();
        let (mut at, mut records) = (0, Vec::new());
        while at < chunk.len()
            && let Some(candidate) = search.candidate(chunk.as_bytes(), at)
        {
            let start = chunk[at..candidate].rfind('\n').map_or(at, |newline| at + newline + 1);
            let end = chunk[start..].find('\n').map_or(chunk.len(), |newline| start + newline);
            let record = &chunk[start..end];
            if pattern.regex.is_match(record.as_bytes()) {
                records.push(record);
            }
            at = end + 1;
        }
        records
    }

    proptest! {
        #[test]
        fn search_finds_what_each_record_has(
            pattern in prop_oneof![
                r"[ab.]{1,3}", r"[\^]?[ab][$]?", Just(r"[^a]b".to_owned()), Just(r"a\s*b".to_owned()), Just("a*".to_owned()),
                Just("^$".to_owned()), Just(r"b[^c]*c".to_owned()), Just(r"\bab\b".to_owned()), Just(r"[a-z]+ a".to_owned()),
                Just(r"\s*c".to_owned()),
            ],
            chunk in r"([abc ]{0,4}\n){0,8}",
        ) {
            let pattern = Pattern::compile(&pattern).expect("a pattern");
            prop_assert!(pattern.spans_records);
            let expected: Vec<&str> = chunk.lines().filter(|line| pattern.regex.is_match(line.as_bytes())).collect();
            prop_assert_eq!(found(&pattern, &chunk), expected);
        }
    }

    #[test]
    fn anchors_of_the_haystack_do_not_span_records() {
        for (text, spans, anchors) in [
            ("a", true, false),
            ("^a", true, true),
            (r"\Aa", false, true),
            (r"a\b", true, false),
        ] {
            let pattern = Pattern::compile(text).expect("a pattern");
            assert_eq!((pattern.spans_records, pattern.has_anchors), (spans, anchors), "{text}");
        }
        assert_eq!(Pattern::compile("a(").expect_err("open"), "unclosed group");
    }
}
