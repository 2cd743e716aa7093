//! Prints the parser's errors about the command line, safe to print.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::error::ContextValue;

use crate::error::{shown, shown_lines};
use crate::view::say;

/// Prints the parser's error about these arguments. It quotes them unchanged; if that is not safe, because there is a
/// control character or a credential in one of them, the message is printed without colour, and escaped or redacted.
pub fn print(error: clap::Error, arguments: &[OsString]) {
    let is_safe = |argument: &OsString| shown(argument.as_bytes()).as_bytes() == argument.as_bytes();
    if arguments.iter().all(is_safe) {
        say(&super::rendered(&error, &std::io::stderr()));
    } else {
        say(&text(error));
    }
}

fn text(mut error: clap::Error) -> String {
    let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in context {
        let value = match value {
            ContextValue::String(word) => ContextValue::String(shown(word.as_bytes())),
            ContextValue::Strings(words) => {
                ContextValue::Strings(words.iter().map(|word| shown(word.as_bytes())).collect())
            }
            other => other,
        };
        error.insert(kind, value);
    }
    // Without the parser's colours. The message of a value's parser is not part of the context, and is made safe here.
    shown_lines(error.render().to_string().as_bytes())
}
