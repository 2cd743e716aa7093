//! The shell's own words → stages; nothing is lexed again.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use super::lexer::Lexeme;
use super::parser::Stages;
use super::{Argument, Form, Group, Script, Word, key_length, parse, quote, quote_value};
use crate::error::Problem;

/// The word that stands between two stages.
pub const SEPARATOR: &str = "::";

/// Reads a chain from the shell's words, with [`SEPARATOR`] between stages.
///
/// A word that starts with `KEY=` is named, whatever the shell's quotes were: they are gone by now. The script's text is
/// made up for the carets: the words, quoted where the text form would need it, with single spaces between them.
#[must_use]
pub fn from_words(words: &[OsString]) -> (Script, Vec<Problem>) {
    let mut text = Vec::new();
    let mut stages = Stages::new(SEPARATOR);
    let mut is_name = true;
    for word in words {
        if !text.is_empty() {
            text.push(b' ');
        }
        let bytes = word.as_bytes();
        let start = text.len();
        if bytes == SEPARATOR.as_bytes() {
            text.extend(bytes);
            stages.separator(start..text.len());
            is_name = true;
            continue;
        }
        let key = key_length(bytes).filter(|_| !is_name);
        match key {
            Some(key) => {
                text.extend(&bytes[..=key]);
                text.extend(quote_value(&bytes[key + 1..]));
            }
            None => text.extend(quote(bytes)),
        }
        stages.word(Lexeme {
            word: Word {
                bytes: bytes.to_vec(),
                span: start..text.len(),
            },
            key,
            whole: true,
        });
        is_name = false;
    }
    let mut problems = Vec::new();
    let calls = stages.finish(text.len(), &mut problems);
    let script = Script {
        text,
        form: Form::Words,
        calls,
    };
    (script, problems)
}

/// Reads one of the shell's words as a pipeline of a stage's own. Spans point into the word where it stands in the text of
/// its script.
#[must_use]
pub fn group_from_word(word: &Word) -> (Group, Vec<Problem>) {
    let (script, mut problems) = parse(&word.bytes);
    // The word is quoted in the made-up text; an escape before this place would move it by a byte.
    let quotes = usize::from(word.span.len() > word.bytes.len());
    let moved = |span: &mut Range<usize>| {
        let place = |at: usize| (word.span.start + quotes + at).min(word.span.end);
        *span = place(span.start)..place(span.end);
    };
    let mut group = Group {
        calls: script.calls,
        span: 0..word.bytes.len(),
    };
    move_group(&mut group, &moved);
    group.span = word.span.clone();
    for problem in &mut problems {
        moved(&mut problem.span);
    }
    (group, problems)
}

fn move_group(group: &mut Group, moved: &impl Fn(&mut Range<usize>)) {
    moved(&mut group.span);
    for call in &mut group.calls {
        moved(&mut call.span);
        moved(&mut call.name.span);
        for argument in &mut call.arguments {
            match argument {
                Argument::Positional(word) => moved(&mut word.span),
                Argument::Named { key, value, span } => {
                    [&mut key.span, &mut value.span, span].into_iter().for_each(moved);
                }
                Argument::Group(group) => move_group(group, moved),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Argument;
    use super::*;
    use crate::error::ChainError;
    use proptest::prelude::*;
    use snapbox::{IntoData, str};
    use std::os::unix::ffi::OsStringExt;

    fn words(words: &[&str]) -> (Script, Vec<Problem>) {
        from_words(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[track_caller]
    fn refused(list: &[&str], expected: snapbox::data::Inline) {
        let (script, problems) = words(list);
        let error = ChainError {
            text: script.text,
            problems,
        };
        snapbox::assert_data_eq!(error.to_string(), expected.raw());
    }

    #[test]
    fn the_text_is_what_the_text_form_would_say() {
        let (script, problems) = words(&["read", "a b", "::", "gzip", "level=9", "::", "write", "path=x (1)"]);
        assert_eq!(problems, []);
        assert_eq!(script.text, b"read 'a b' :: gzip level=9 :: write path='x (1)'");
        let as_text: Vec<u8> = String::from_utf8(script.text.clone())
            .unwrap()
            .replace("::", " |")
            .into_bytes();
        assert_eq!(script.calls, parse(&as_text).0.calls);
    }

    #[test]
    fn nothing_is_lexed_again() {
        let (script, problems) = words(&["read", "a|b\\'", "$x"]);
        assert_eq!(problems, []);
        let [Argument::Positional(a), Argument::Positional(x)] = &script.calls[0].arguments[..] else {
            panic!("{script:?}");
        };
        assert_eq!(
            (a.bytes.as_slice(), x.bytes.as_slice()),
            (b"a|b\\'".as_slice(), b"$x".as_slice())
        );
    }

    #[test]
    fn a_missing_stage_is_marked() {
        refused(
            &["read", "a", "::", "::", "write", "b"],
            str![[r#"
error: no stage between `::` and `::`
  |
1 | read a :: :: write b
  |        ^^^^^
  |
  = help: one `::` joins two stages
"#]],
        );
        refused(
            &["::", "gzip", "::"],
            str![[r#"
error: no stage before `::`
  |
1 | :: gzip ::
  | ^^
  |
  = help: take it away, or write a stage before it

error: no stage after `::`
  |
1 | :: gzip ::
  |         ^^
  |
  = help: take it away, or write a stage behind it
"#]],
        );
        refused(
            &[],
            str![[r#"
error: the pipeline is empty
  |
1 |
  | ^
  |
  = help: write stages with `::` between them; `highwater stages` lists them
"#]],
        );
    }

    #[test]
    fn the_spans_of_a_group_point_into_its_word() {
        let (script, _) = words(&["tee", "gzip | write 'a b'", "gzip"]);
        let group = |index: usize| match &script.calls[0].arguments[index] {
            Argument::Positional(word) => group_from_word(word),
            other => panic!("{other:?}"),
        };
        let text = |span: &Range<usize>| String::from_utf8_lossy(&script.text[span.clone()]).into_owned();
        let (quoted, problems) = group(0);
        assert_eq!(problems, []);
        let spans: Vec<String> = quoted.calls.iter().map(|call| text(&call.span)).collect();
        assert_eq!(spans, ["gzip", "write 'a b'"]);
        assert_eq!(text(&quoted.span), "\"gzip | write 'a b'\"");
        assert_eq!(text(&group(1).0.calls[0].span), "gzip");
    }

    proptest! {
        #[test]
        fn no_span_of_a_group_leaves_its_word(word in r#"[ab=|()'"\\ \n]{0,40}"#) {
            let (script, _) = words(&["a", &word]);
            if let [Argument::Positional(word)] = &script.calls[0].arguments[..] {
                let (group, problems) = group_from_word(word);
                let calls = group.calls.iter().map(|call| &call.span);
                for span in calls.chain(problems.iter().map(|problem| &problem.span)) {
                    prop_assert!(word.span.start <= span.start && span.end <= word.span.end);
                }
            }
        }

        #[test]
        fn every_word_survives(list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..6)) {
            prop_assume!(list.iter().all(|word| word != b"::"));
            let given: Vec<OsString> = list.iter().cloned().map(OsString::from_vec).collect();
            let (script, problems) = from_words(&given);
            prop_assert_eq!(problems, []);
            prop_assert_eq!(script.calls.len(), 1);
            let call = &script.calls[0];
            let back = std::iter::once(call.name.bytes.clone()).chain(call.arguments.iter().map(|argument| match argument {
                Argument::Positional(word) => word.bytes.clone(),
                Argument::Named { key, value, .. } => [&key.bytes[..], b"=", &value.bytes].concat(),
                Argument::Group(_) => unreachable!("no word is a group before its stage is known"),
            }));
            prop_assert_eq!(back.collect::<Vec<_>>(), list);
            // The text form of the same words says the same.
            prop_assert_eq!(parse(&script.text).0.calls, script.calls);
        }
    }
}
