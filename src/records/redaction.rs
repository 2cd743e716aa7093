//! Replaces what matches one of several patterns.

use std::net::Ipv6Addr;

use regex::bytes::{Match, Regex};

use super::{Needle, Pattern, Record};

/// Patterns, and what replaces their matches.
#[derive(Debug, Clone)]
pub struct Redaction {
    patterns: Vec<Pattern>,
    /// What a match of the pattern has to be besides.
    checks: Vec<fn(&[u8]) -> bool>,
    with: Vec<u8>,
}

/// A pattern with a name: what it matches, and what that has to be besides.
struct Named {
    name: &'static str,
    pattern: &'static str,
    check: fn(&[u8]) -> bool,
}

const NAMED: &[Named] = &[
    Named {
        name: "email",
        pattern: r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}",
        check: |_| true,
    },
    Named {
        name: "ipv4",
        pattern: r"(?-u:\b)(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?-u:\b)",
        check: |_| true,
    },
    Named {
        name: "ipv6",
        pattern: r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*",
        check: is_ipv6,
    },
    Named {
        name: "card",
        pattern: r"(?-u:\b)[0-9](?:[ -]?[0-9]){12,18}(?-u:\b)",
        check: is_card,
    },
    Named {
        name: "phone",
        pattern: r"\+[0-9][0-9 ().-]{6,18}[0-9]|\(?(?-u:\b)[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4}(?-u:\b)",
        check: |_| true,
    },
];

fn is_ipv6(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Whether the digits of a number have the check sum of payment cards (Luhn).
fn is_card(text: &[u8]) -> bool {
    let digits = text.iter().rev().filter(|byte| byte.is_ascii_digit());
    let sum: u32 = digits
        .zip([1, 2].into_iter().cycle())
        .map(|(digit, factor)| {
            let product = u32::from(digit - b'0') * factor;
            product / 10 + product % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

impl Redaction {
    /// Names that stand for a pattern.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|named| named.name)
    }

    /// Replaces what matches nothing so far.
    #[must_use]
    pub fn new(with: &[u8]) -> Self {
        Self {
            patterns: Vec::new(),
            checks: Vec::new(),
            with: with.to_vec(),
        }
    }

    /// Adds a pattern, or the one that the name stands for.
    ///
    /// # Errors
    /// Why it is none, in one line.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let named = NAMED.iter().find(|named| named.name == text);
        let (pattern, check): (_, fn(&[u8]) -> bool) =
            named.map_or((text, |_| true), |named| (named.pattern, named.check));
        self.patterns.push(Pattern::compile(pattern)?);
        self.checks.push(check);
        Ok(())
    }

    /// Bytes of memory that each thread holds besides records.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.patterns.len() as u64 * Pattern::STATE
    }

    /// What a record must have if anything is to be replaced, unless its texts are decoded; `None` if any may be.
    #[must_use]
    pub fn needles(&self, are_texts: bool) -> Option<Vec<Needle>> {
        let can_search = |pattern: &&Pattern| {
            if are_texts {
                !pattern.has_anchors
            } else {
                pattern.spans_records
            }
        };
        let needles = self
            .patterns
            .iter()
            .filter(can_search)
            .map(|pattern| pattern.needle.clone());
        let needles: Vec<Needle> = needles.collect();
        (needles.len() == self.patterns.len()).then_some(needles)
    }

    /// Writes `text` to `made` with every match replaced; returns false, and writes nothing, if there is none. Of matches
    /// that overlap the first counts; of those that begin together that of the pattern added first. An empty match is
    /// none.
    pub fn apply(&self, text: &[u8], made: &mut Record) -> bool {
        let mut next: Vec<_> = (0..self.patterns.len())
            .map(|index| self.find(index, text, 0))
            .collect();
        let mut written = 0;
        while let Some(found) = next.iter().flatten().min_by_key(|found| found.start()) {
            made.extend(&text[written..found.start()]);
            made.extend(&self.with);
            written = found.end();
            for (index, next) in next.iter_mut().enumerate() {
                if next.is_some_and(|next| next.start() < written) {
                    *next = self.find(index, text, written);
                }
            }
        }
        if written > 0 {
            made.extend(&text[written..]);
        }
        written > 0
    }

    fn find<'t>(&self, index: usize, text: &'t [u8], from: usize) -> Option<Match<'t>> {
        let (regex, check): (&Regex, _) = (&self.patterns[index].regex, self.checks[index]);
        let mut at = from;
        while at <= text.len() {
            let found = regex.find_at(text, at)?;
            if !found.is_empty() && check(found.as_bytes()) {
                return Some(found);
            }
            at = found.end().max(at + 1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(patterns: &[&str], text: &str) -> String {
        let mut redaction = Redaction::new(b"*");
        for pattern in patterns {
            redaction.add(pattern).expect("a pattern");
        }
        let mut made = Record::new(1000);
        let is_changed = redaction.apply(text.as_bytes(), &mut made);
        assert_eq!(is_changed, !made.as_slice().is_empty());
        if is_changed {
            String::from_utf8(made.as_slice().to_vec()).expect("UTF-8")
        } else {
            text.to_owned()
        }
    }

    #[test]
    fn named_patterns_find_what_they_name() {
        for (name, text, expected) in [
            ("email", "to jo.e+x@mail.example.org, not a@b", "to *, not a@b"),
            (
                "ipv4",
                "10.0.0.255 but 10.0.0.256 and 1.2.3",
                "* but 10.0.0.256 and 1.2.3",
            ),
            ("ipv6", "::1 fe80::1:2 2001:db8:0:0:0:0:0:1 12:30:45", "* * * 12:30:45"),
            (
                "card",
                "4111 1111 1111 1111 and 4111-1111-1111-1112",
                "* and 4111-1111-1111-1112",
            ),
            (
                "phone",
                "+49 (30) 1234-567 or 555-123-4567, 2024-01-01",
                "* or *, 2024-01-01",
            ),
        ] {
            assert_eq!(redacted(&[name], text), expected, "{name}");
        }
    }

    #[test]
    fn first_of_overlapping_matches_counts() {
        assert_eq!(redacted(&["bc", "ab", "abc"], "abcd abc"), "*cd *c");
        assert_eq!(redacted(&["a*", "[e]mail"], "baab email"), "b*b *");
        assert_eq!(redacted(&["x"], "abc"), "abc");
    }
}
