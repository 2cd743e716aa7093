//! Replaces drawn signs where the locale has only ASCII.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Text in the character set of the locale.
#[must_use]
pub fn for_locale(text: &str) -> Cow<'_, str> {
    if is_wanted() {
        in_ascii(text).into()
    } else {
        text.into()
    }
}

/// Whether the locale's character set is not UTF-8.
#[must_use]
pub fn is_wanted() -> bool {
    static IS_WANTED: OnceLock<bool> = OnceLock::new();
    *IS_WANTED.get_or_init(|| !is_utf8(|name| std::env::var(name).ok()))
}

/// The text with an ASCII replacement of each drawn sign; columns and carets stay in place. Names are unchanged.
#[must_use]
pub fn in_ascii(text: &str) -> String {
    text.chars()
        .map(|glyph| match glyph {
            '▁' | '─' => '-',
            '━' => '=',
            '▂' | '▃' | '▄' | '·' => '.',
            '▅' | '▆' | '▇' | '█' => '#',
            '▒' => ':',
            '│' | '┤' | '⋮' => '|',
            '└' | '┿' | '┼' | '✓' => '+',
            '╭' => ',',
            '╰' => '`',
            '▶' => '>',
            '×' | '✕' | '✗' => 'x',
            '…' => '~',
            other => other,
        })
        .collect()
}

/// By the variables in their order, see locale(7). If none is set, UTF-8 is assumed.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"].iter();
    let mut said = said.filter_map(|name| variable(name).filter(|value| !value.is_empty()));
    said.next().is_none_or(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_whether_it_is_utf8() {
        let is_utf8 = |all: &'static str, lang: &'static str| {
            is_utf8(|name| match name {
                "LC_ALL" => Some(all.to_owned()),
                "LANG" => Some(lang.to_owned()),
                _ => None,
            })
        };
        assert!(is_utf8("", "de_DE.UTF-8") && is_utf8("", "C.utf8") && is_utf8("", ""));
        assert!(!is_utf8("C", "de_DE.UTF-8") && !is_utf8("", "POSIX"));
    }
}
