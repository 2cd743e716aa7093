//! Words and bars → stages.

use std::ops::Range;

use super::lexer::{Lexeme, Token, lex};
use super::{Call, Script};
use crate::error::Problem;

/// Reads a whole pipeline.
///
/// The script holds every stage that could be read; it is right only where no problem comes with it. A stage with an
/// unclosed quote is left out, because what it would have been is not known.
#[must_use]
pub fn parse(text: &[u8]) -> (Script, Vec<Problem>) {
    let (tokens, mut problems) = lex(text);
    let mut stages = Stages::new("|");
    for token in tokens {
        match token {
            Token::Bar(at) => stages.separator(at..at + 1),
            Token::Word(word) => stages.word(word),
        }
    }
    let calls = stages.finish(text.len(), &mut problems);
    let script = Script {
        text: text.to_vec(),
        calls,
    };
    (script, problems)
}

/// Gathers words into calls, and sees where a stage is missing. Both ways of writing a chain go through it.
pub(super) struct Stages {
    mark: &'static str,
    calls: Vec<Call>,
    current: Vec<Lexeme>,
    before: Option<Range<usize>>,
    problems: Vec<Problem>,
}

impl Stages {
    /// `mark` is how the separator is written.
    pub(super) fn new(mark: &'static str) -> Self {
        Self {
            mark,
            calls: Vec::new(),
            current: Vec::new(),
            before: None,
            problems: Vec::new(),
        }
    }

    pub(super) fn word(&mut self, word: Lexeme) {
        self.current.push(word);
    }

    pub(super) fn separator(&mut self, span: Range<usize>) {
        if self.current.is_empty() {
            self.problems.push(self.no_stage(&span));
        }
        self.end_stage();
        self.before = Some(span);
    }

    /// Ends the last stage; `text_length` is in bytes. Gives the calls, and adds what was wrong to `problems`.
    pub(super) fn finish(mut self, text_length: usize, problems: &mut Vec<Problem>) -> Vec<Call> {
        match self.before.take() {
            _ if !self.current.is_empty() => {}
            Some(before) => self.problems.push(
                Problem::at(before, format!("no stage after `{}`", self.mark))
                    .help("take it away, or write a stage behind it"),
            ),
            // Where there was something else wrong, that is why nothing is left.
            None if problems.is_empty() => {
                let help = format!(
                    "write stages with `{}` between them; `highwater stages` lists them",
                    self.mark
                );
                let problem = Problem::at(0..text_length, "the pipeline is empty").help(help);
                self.problems.push(problem);
            }
            None => {}
        }
        self.end_stage();
        problems.append(&mut self.problems);
        self.calls
    }

    fn no_stage(&self, separator: &Range<usize>) -> Problem {
        let mark = self.mark;
        match &self.before {
            None => Problem::at(separator.clone(), format!("no stage before `{mark}`"))
                .help("take it away, or write a stage before it"),
            Some(before) => Problem::at(
                before.start..separator.end,
                format!("no stage between `{mark}` and `{mark}`"),
            )
            .help(format!("one `{mark}` joins two stages")),
        }
    }

    fn end_stage(&mut self) {
        let words = std::mem::take(&mut self.current);
        if words.iter().any(|word| !word.whole) {
            return;
        }
        let mut words = words.into_iter();
        let Some(Lexeme { word: name, .. }) = words.next() else {
            return;
        };
        let arguments: Vec<_> = words.map(Lexeme::into_argument).collect();
        let end = arguments.last().map_or(name.span.end, |last| last.span().end);
        self.calls.push(Call {
            span: name.span.start..end,
            name,
            arguments,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ChainError;
    use proptest::prelude::*;
    use snapbox::{IntoData, str};

    #[track_caller]
    fn refused(text: &str, expected: snapbox::data::Inline) {
        let (script, problems) = parse(text.as_bytes());
        let error = ChainError {
            text: script.text,
            problems,
        };
        snapbox::assert_data_eq!(error.to_string(), expected.raw());
    }

    fn names(text: &str) -> Vec<Vec<u8>> {
        parse(text.as_bytes())
            .0
            .calls
            .into_iter()
            .map(|call| call.name.bytes)
            .collect()
    }

    #[test]
    fn bars_part_stages() {
        let (script, problems) = parse(b"read a|gzip  level=9\n| write b");
        assert_eq!(problems, []);
        let spans: Vec<_> = script.calls.iter().map(|call| call.span.clone()).collect();
        assert_eq!(spans, [0..6, 7..20, 23..30]);
    }

    #[test]
    fn an_empty_pipeline_is_refused() {
        refused(
            "",
            str![[r#"
error: the pipeline is empty
  |
1 |
  | ^
  |
  = help: write stages with `|` between them; `highwater stages` lists them
"#]],
        );
        refused(
            "  ",
            str![[r#"
error: the pipeline is empty
  |
1 |   
  | ^^
  |
  = help: write stages with `|` between them; `highwater stages` lists them
"#]],
        );
    }

    #[test]
    fn a_missing_stage_is_refused() {
        refused(
            "| gzip",
            str![[r#"
error: no stage before `|`
  |
1 | | gzip
  | ^
  |
  = help: take it away, or write a stage before it
"#]],
        );
        refused(
            "gzip |",
            str![[r#"
error: no stage after `|`
  |
1 | gzip |
  |      ^
  |
  = help: take it away, or write a stage behind it
"#]],
        );
        refused(
            "gzip || gunzip",
            str![[r#"
error: no stage between `|` and `|`
  |
1 | gzip || gunzip
  |      ^^
  |
  = help: one `|` joins two stages
"#]],
        );
        refused(
            "|",
            str![[r#"
error: no stage before `|`
  |
1 | |
  | ^
  |
  = help: take it away, or write a stage before it

error: no stage after `|`
  |
1 | |
  | ^
  |
  = help: take it away, or write a stage behind it
"#]],
        );
    }

    #[test]
    fn everything_is_reported_at_once_and_the_rest_is_kept() {
        refused(
            "| read (a) || gzip 'x",
            str![[r#"
error: no stage before `|`
  |
1 | | read (a) || gzip 'x
  | ^
  |
  = help: take it away, or write a stage before it

error: `(` is reserved
  |
1 | | read (a) || gzip 'x
  |        ^ not quoted
  |
  = help: parentheses in a word are quoted: `'(a)'`

error: no stage between `|` and `|`
  |
1 | | read (a) || gzip 'x
  |            ^^
  |
  = help: one `|` joins two stages

error: a quote `'` is never closed
  |
1 | | read (a) || gzip 'x
  |                    ^ opened here
  |
  = help: close it, or write `\'` for the character itself
"#]],
        );
        assert_eq!(
            names("| read (a) || gunzip | gzip 'x"),
            [b"read".to_vec(), b"gunzip".to_vec()]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (script, problems) = parse(&text);
            for call in &script.calls {
                prop_assert!(call.span.end <= text.len());
                prop_assert!(call.arguments.iter().all(|argument| argument.span().end <= text.len()));
            }
            let _ = ChainError { text: script.text, problems }.to_string();
        }

        #[test]
        fn any_marks_are_read_without_a_panic(text in r#"[ab=|()'"\\ \n]{0,40}"#) {
            let (script, problems) = parse(text.as_bytes());
            prop_assert!(!problems.is_empty() || !script.calls.is_empty());
            prop_assert!(script.calls.iter().all(|call| call.span.end <= text.len()));
        }
    }
}
