//! Problems of a pipeline's text: what is wrong, and where.
//!
//! Every layer that checks a pipeline collects [`Problem`]s instead of stopping at the first one. In the end they are
//! combined in one [`ChainError`], which shows each of them under the source text.

mod credentials;
mod shown;

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::wrapping;

use shown::Shown;
pub use shown::{brief, shown, shown_lines};

/// The largest width of an error, in columns, even on a wider terminal; longer source lines are cut to what surrounds
/// the caret.
const COLUMNS: usize = 100;

/// Columns of the prefix of a help: `  = help: `.
const HELP: usize = 10;

/// One problem of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, in bytes of the pipeline's text. An empty range marks the place between two bytes.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// A few words beside the caret.
    pub label: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at the byte range `span` of the pipeline's text, with neither label nor help.
    pub fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            label: None,
            help: None,
        }
    }

    /// Adds a few words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds below the source what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, safe to print, and without the words of its span if that begins inside a secret: a password with an
    /// unquoted `|` in it is two words, and the second alone does not show that it has to be hidden.
    fn safe(&self, secrets: &[Range<usize>], text: &[u8]) -> Self {
        let plain = |words: &String| shown_lines(words.as_bytes());
        let mut safe = Self {
            span: self.span.clone(),
            message: plain(&self.message),
            label: self.label.as_ref().map(plain),
            help: self.help.as_ref().map(plain),
        };
        let is_cut = |secret: &&Range<usize>| secret.start < self.span.start && self.span.start < secret.end;
        if let Some(secret) = secrets.iter().find(is_cut)
            && let Some(words) = text.get(self.span.start..self.span.end.max(secret.end).min(text.len()))
        {
            for word in [shown(words), brief(words)] {
                safe.message = safe.message.replace(&word, "***");
                safe.label = safe.label.map(|label| label.replace(&word, "***"));
                safe.help = safe.help.map(|help| help.replace(&word, "***"));
            }
        }
        safe
    }

    fn render(&self, source: &Shown, renderer: &Renderer, help_columns: usize) -> String {
        let mut annotation = AnnotationKind::Primary.span(source.span_on_one_line(&self.span));
        if let Some(label) = &self.label {
            annotation = annotation.label(label.as_str());
        }
        let snippet = Snippet::source(source.text()).annotation(annotation);
        let mut group = Group::with_title(Level::ERROR.primary_title(self.message.as_str())).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(textwrap::fill(help, wrapping(help_columns))));
        }
        renderer.render(&[group])
    }
}

/// All problems of one pipeline. Its `Display` is [`render`](Self::render) without colour or a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainError {
    /// The pipeline's text, which the problems' spans point into: bytes, because file names may hold any.
    pub text: Vec<u8>,
    /// The problems, in any order.
    pub problems: Vec<Problem>,
}

impl ChainError {
    /// Renders every problem in source order, each with its source line, a caret line and its help.
    ///
    /// The result has no newline at its end. Control characters and bytes that are not UTF-8 are escaped.
    ///
    /// With `columns`, the width of a terminal, no line is wider: a caret below a wrapped line would point at nothing.
    /// Without it, a help stays on one line, so that it can be searched for.
    #[must_use]
    pub fn render(&self, color: bool, columns: Option<usize>) -> String {
        let width = columns.map_or(COLUMNS, |columns| columns.min(COLUMNS));
        let help_columns = columns.map_or(usize::MAX, |_| width.saturating_sub(HELP));
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(width);
        let source = Shown::lines(&self.text);
        let secrets = credentials::find(&self.text);
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|problem| problem.span.start);
        let drawn: Vec<String> = problems
            .iter()
            .map(|problem| {
                problem
                    .safe(&secrets, &self.text)
                    .render(&source, &renderer, help_columns)
            })
            .collect();
        drawn.join("\n\n")
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false, None))
    }
}

impl std::error::Error for ChainError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snapbox::{IntoData, str};
    use unicode_width::UnicodeWidthStr;

    fn error(text: impl AsRef<[u8]>, problems: Vec<Problem>) -> ChainError {
        ChainError {
            text: text.as_ref().to_vec(),
            problems,
        }
    }

    #[track_caller]
    fn check(error: &ChainError, expected: snapbox::data::Inline) {
        snapbox::assert_data_eq!(error.to_string(), expected.raw());
    }

    #[test]
    fn label_and_help_are_placed() {
        let problem = Problem::at(9..12, "unknown stage `gzp`")
            .label("did you mean `gzip`?")
            .help("`highwater stages` lists all stages");
        check(
            &error("read a | gzp | write b", vec![problem]),
            str![[r#"
error: unknown stage `gzp`
  |
1 | read a | gzp | write b
  |          ^^^ did you mean `gzip`?
  |
  = help: `highwater stages` lists all stages
"#]],
        );
    }

    #[test]
    fn terminal_width_bounds_every_line() {
        let text = format!("read {} | gzp | write b", "長い名前".repeat(9));
        let at = text.find("gzp").unwrap();
        let problem = Problem::at(at..at + 3, "unknown stage `gzp`")
            .label("did you mean `gzip`?")
            .help("stages that are possible here: gzip, gunzip, zstd, unzstd, throttle, take, skip");
        let drawn = error(&text, vec![problem]).render(false, Some(50));
        assert!(drawn.lines().all(|line| line.width() <= 50), "{drawn}");
        let line = |start: &str| drawn.lines().find(|line| line.starts_with(start)).unwrap();
        let column = |line: &str, mark: &str| line[..line.find(mark).unwrap()].width();
        let caret = drawn.lines().find(|line| line.contains("^^^")).unwrap();
        assert_eq!(column(line("1 |"), "gzp"), column(caret, "^^^"), "{drawn}");
        assert!(
            drawn.contains("\n          gunzip, zstd, unzstd, throttle, take,\n"),
            "{drawn}"
        );
    }

    #[test]
    fn problems_come_in_source_order() {
        let problems = vec![Problem::at(4..5, "second"), Problem::at(0..1, "first")];
        check(
            &error("a | b", problems),
            str![[r#"
error: first
  |
1 | a | b
  | ^

error: second
  |
1 | a | b
  |     ^
"#]],
        );
    }

    #[test]
    fn multi_line_pipeline_shows_the_right_line() {
        let text = "read a\n| gzp\n| write b";
        check(
            &error(text, vec![Problem::at(9..12, "unknown")]),
            str![[r#"
error: unknown
  |
2 | | gzp
  |   ^^^
"#]],
        );
    }

    #[test]
    fn multi_line_span_marks_its_first_line() {
        let text = "read a\n| gzp\n| write b";
        check(
            &error(text, vec![Problem::at(0..12, "wide")]),
            str![[r#"
error: wide
  |
1 | read a
  | ^^^^^^
"#]],
        );
    }

    #[test]
    fn escaped_bytes_keep_the_caret_aligned() {
        let text = b"read \x1b[2J\xff\t | gzp";
        check(
            &error(text, vec![Problem::at(14..17, "unknown")]),
            str![[r#"
error: unknown
  |
1 | read \x1b[2J\xff\t | gzp
  |                      ^^^
"#]],
        );
    }

    #[test]
    fn end_of_text_can_be_marked() {
        check(
            &error("a |", vec![Problem::at(3..3, "no stage")]),
            str![[r#"
error: no stage
  |
1 | a |
  |    ^
"#]],
        );
    }

    #[test]
    fn an_empty_text_can_be_marked() {
        check(
            &error("", vec![Problem::at(0..0, "empty")]),
            str![[r#"
error: empty
  |
1 |
  | ^
"#]],
        );
    }

    #[test]
    fn long_line_is_cut_around_the_caret() {
        let text = format!("read {} | gzp | write {}", "a".repeat(400), "b".repeat(400));
        let problem = Problem::at(408..411, "unknown stage `gzp`").label("did you mean `gzip`?");
        check(
            &error(text, vec![problem]),
            str![[r#"
error: unknown stage `gzp`
  |
1 | ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | gzp | write bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...
  |                                     ^^^ did you mean `gzip`?
"#]],
        );
    }

    #[test]
    fn a_very_long_span_stays_short() {
        let text = format!("read {} | gzip", "a".repeat(4000));
        check(
            &error(text, vec![Problem::at(5..4005, "long").label("this")]),
            str![[r#"
error: long
  |
1 | read aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | ...
  |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^...^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this
"#]],
        );
    }

    #[test]
    fn colour_only_adds_escapes() {
        let error = error("a | b", vec![Problem::at(4..5, "no")]);
        assert!(error.render(true, None).contains("\u{1b}["));
        assert!(!error.render(false, None).contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_raw_gets_out(
            text in proptest::collection::vec(any::<u8>(), 0..300),
            spans in proptest::collection::vec((0..400_usize, 0..400_usize), 0..4),
        ) {
            let problems = spans.into_iter().map(|(a, b)| Problem::at(a..b, "m").label("l")).collect();
            let drawn = error(text, problems).to_string();
            prop_assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
