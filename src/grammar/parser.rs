//! Parses words, bars and groups into stages.

use std::ops::Range;

use super::lexer::{Lexeme, Token, lex};
use super::{Argument, Call, Form, Group, Script};
use crate::error::Problem;

/// Parses a whole pipeline.
///
/// The script holds every stage that could be read; it is complete only if there is no problem. A stage with an
/// unclosed quote is left out, because its words are unknown.
#[must_use]
pub fn parse(text: &[u8]) -> (Script, Vec<Problem>) {
    let (tokens, mut problems) = lex(text);
    let mut stages = Stages::new("|");
    for token in tokens {
        match token {
            Token::Bar(at) => stages.separator(at..at + 1),
            Token::Word(word) => stages.word(word),
            Token::Open(at) => stages.open(at),
            Token::Close(at) => stages.close(at),
        }
    }
    let calls = stages.finish(text.len(), &mut problems);
    let script = Script {
        text: text.to_vec(),
        form: Form::Text,
        calls,
    };
    (script, problems)
}

/// Gathers words into calls, and notices missing stages. Both forms of a pipeline use it.
pub(super) struct Stages {
    mark: &'static str,
    level: Level,
    /// The levels around it, the outermost first, each with the place of the `(` that left it.
    around: Vec<(Level, usize)>,
    problems: Vec<Problem>,
}

/// One pipeline while it is being read: the main one, or a group.
#[derive(Default)]
struct Level {
    calls: Vec<Call>,
    current: Vec<Piece>,
    before: Option<Range<usize>>,
}

/// An element of a stage.
enum Piece {
    Word(Lexeme),
    Group(Group),
}

impl Stages {
    /// `mark` is the separator in messages.
    pub(super) fn new(mark: &'static str) -> Self {
        Self {
            mark,
            level: Level::default(),
            around: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn word(&mut self, word: Lexeme) {
        self.level.current.push(Piece::Word(word));
    }

    pub(super) fn separator(&mut self, span: Range<usize>) {
        if self.level.current.is_empty() {
            self.problems.push(self.no_stage(&span));
        }
        self.level.end_stage();
        self.level.before = Some(span);
    }

    /// Begins a group: `(` at this byte.
    fn open(&mut self, at: usize) {
        if self.level.current.is_empty() {
            let problem = Problem::at(at..at + 1, "`(` where a stage's name is expected");
            self.problems
                .push(problem.help("a group is an argument of a stage: `tee (gzip | write a.gz)`"));
        }
        self.around.push((std::mem::take(&mut self.level), at));
    }

    /// Ends a group: its `)` at this byte.
    fn close(&mut self, at: usize) {
        let Some((outer, open)) = self.around.pop() else {
            return;
        };
        let span = open..at + 1;
        let mut group = std::mem::replace(&mut self.level, outer);
        match group.before.take() {
            _ if !group.current.is_empty() => {}
            Some(before) => self.problems.push(self.no_stage_after(before)),
            None => {
                let problem = Problem::at(span.clone(), "the group is empty");
                self.problems
                    .push(problem.help("write a pipeline into it: `(gzip | write a.gz)`"));
            }
        }
        group.end_stage();
        // A group without a stage before it was reported, and belongs to none.
        if !self.level.current.is_empty() {
            let calls = group.calls;
            self.level.current.push(Piece::Group(Group { calls, span }));
        }
    }

    /// Ends the last stage; `text_length` is in bytes. Returns the calls, and adds problems to `problems`.
    pub(super) fn finish(mut self, text_length: usize, problems: &mut Vec<Problem>) -> Vec<Call> {
        let opened = self.around.iter().map(|(_, open)| *open);
        self.problems.extend(opened.map(|open| {
            Problem::at(open..open + 1, "a group `(` is never closed")
                .label("opened here")
                .help("put a `)` behind its last stage, or write `\\(` for the character itself")
        }));
        while !self.around.is_empty() {
            self.level.end_stage();
            let calls = std::mem::take(&mut self.level.calls);
            let Some((outer, open)) = self.around.pop() else { break };
            self.level = outer;
            let span = open..text_length;
            self.level.current.push(Piece::Group(Group { calls, span }));
        }
        match self.level.before.take() {
            _ if !self.level.current.is_empty() => {}
            Some(before) => self.problems.push(self.no_stage_after(before)),
            // If something else is wrong, that is why nothing is left.
            None if problems.is_empty() && self.problems.is_empty() => {
                let help = format!(
                    "write stages with `{}` between them; `highwater stages` lists them",
                    self.mark
                );
                let problem = Problem::at(0..text_length, "the pipeline is empty").help(help);
                self.problems.push(problem);
            }
            None => {}
        }
        self.level.end_stage();
        problems.append(&mut self.problems);
        self.level.calls
    }

    fn no_stage_after(&self, before: Range<usize>) -> Problem {
        Problem::at(before, format!("no stage after `{}`", self.mark)).help("remove it, or write a stage behind it")
    }

    fn no_stage(&self, separator: &Range<usize>) -> Problem {
        let mark = self.mark;
        match &self.level.before {
            None => Problem::at(separator.clone(), format!("no stage before `{mark}`"))
                .help("remove it, or write a stage before it"),
            Some(before) => Problem::at(
                before.start..separator.end,
                format!("no stage between `{mark}` and `{mark}`"),
            )
            .help(format!("one `{mark}` joins two stages")),
        }
    }
}

impl Level {
    fn end_stage(&mut self) {
        let pieces = std::mem::take(&mut self.current);
        let is_whole = |piece: &Piece| matches!(piece, Piece::Group(_) | Piece::Word(Lexeme { whole: true, .. }));
        if !pieces.iter().all(is_whole) {
            return;
        }
        let mut pieces = pieces.into_iter();
        let Some(Piece::Word(Lexeme { word: name, .. })) = pieces.next() else {
            return;
        };
        let arguments = pieces.map(|piece| match piece {
            Piece::Word(word) => word.into_argument(),
            Piece::Group(group) => Argument::Group(group),
        });
        let arguments: Vec<_> = arguments.collect();
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
  = help: remove it, or write a stage before it
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
  = help: remove it, or write a stage behind it
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
  = help: remove it, or write a stage before it

error: no stage after `|`
  |
1 | |
  | ^
  |
  = help: remove it, or write a stage behind it
"#]],
        );
    }

    #[track_caller]
    fn group(text: &str, index: usize) -> Group {
        let (script, problems) = parse(text.as_bytes());
        assert_eq!(problems, []);
        match &script.calls[0].arguments[index] {
            Argument::Group(group) => group.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn groups_are_arguments() {
        let text = "tee (gzip | write a)(write 'b)') x=y ( tee (write c))| write d";
        let stages = group(text, 0).calls.into_iter().map(|call| &text[call.span]);
        assert_eq!(stages.collect::<Vec<_>>(), ["gzip", "write a"]);
        assert_eq!(&text[group(text, 1).span], "(write 'b)')");
        let nested = group(text, 3);
        assert_eq!(&text[nested.calls[0].span.clone()], "tee (write c)");
        let (script, _) = parse(text.as_bytes());
        assert_eq!(
            script.calls[0].normalised(),
            b"tee (gzip | write a) (write 'b)') x=y (tee (write c))"
        );
        assert_eq!(script.calls[0].without_groups().normalised(), b"tee x=y");
    }

    #[test]
    fn groups_that_are_wrong_are_refused() {
        refused(
            "tee () (gzip |) (| write a)",
            str![[r#"
error: the group is empty
  |
1 | tee () (gzip |) (| write a)
  |     ^^
  |
  = help: write a pipeline into it: `(gzip | write a.gz)`

error: no stage after `|`
  |
1 | tee () (gzip |) (| write a)
  |              ^
  |
  = help: remove it, or write a stage behind it

error: no stage before `|`
  |
1 | tee () (gzip |) (| write a)
  |                  ^
  |
  = help: remove it, or write a stage before it
"#]],
        );
        refused(
            "tee (write a | (write b)",
            str![[r#"
error: a group `(` is never closed
  |
1 | tee (write a | (write b)
  |     ^ opened here
  |
  = help: put a `)` behind its last stage, or write `\(` for the character itself

error: `(` where a stage's name is expected
  |
1 | tee (write a | (write b)
  |                ^
  |
  = help: a group is an argument of a stage: `tee (gzip | write a.gz)`
"#]],
        );
        refused(
            "tee (write a",
            str![[r#"
error: a group `(` is never closed
  |
1 | tee (write a
  |     ^ opened here
  |
  = help: put a `)` behind its last stage, or write `\(` for the character itself
"#]],
        );
        refused(
            "(gzip) | write b)",
            str![[r#"
error: `(` where a stage's name is expected
  |
1 | (gzip) | write b)
  | ^
  |
  = help: a group is an argument of a stage: `tee (gzip | write a.gz)`

error: no stage before `|`
  |
1 | (gzip) | write b)
  |        ^
  |
  = help: remove it, or write a stage before it

error: `)` closes no group
  |
1 | (gzip) | write b)
  |                 ^
  |
  = help: take it away, or quote the word: `'b)'`
"#]],
        );
        refused(
            "tee(write a)",
            str![[r#"
error: `(` in a word is not quoted
  |
1 | tee(write a)
  |    ^
  |
  = help: parentheses in a word are quoted: `'tee(write'`; for a group put a space before it

error: `)` closes no group
  |
1 | tee(write a)
  |            ^
  |
  = help: take it away, or quote the word: `'a)'`
"#]],
        );
    }

    #[test]
    fn all_problems_are_reported_together() {
        refused(
            "| read (a) || gzip 'x",
            str![[r#"
error: no stage before `|`
  |
1 | | read (a) || gzip 'x
  | ^
  |
  = help: remove it, or write a stage before it

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
