//! Credentials in `.netrc`, which FTP clients introduced and curl and wget read.

use std::path::PathBuf;

use http::header::HeaderValue;

use crate::error::Failure;

use super::fields::{basic, read_file};

/// The `Authorization` header for a host, from `$NETRC` or `~/.netrc`; `None` if there is no such file, or nothing in it
/// for the host.
///
/// # Errors
/// If the file that `$NETRC` names cannot be read.
pub fn authorization_for(host: &str) -> Result<Option<HeaderValue>, Failure> {
    let text = match (std::env::var_os("NETRC"), std::env::var_os("HOME")) {
        (Some(named), _) => read_file(&PathBuf::from(named))?,
        (None, Some(home)) => read_file(&PathBuf::from(home).join(".netrc")).unwrap_or_default(),
        (None, None) => return Ok(None),
    };
    let text = String::from_utf8_lossy(&text);
    Ok(find(&text, host).map(|(login, password)| basic(format!("{login}:{password}").as_bytes())))
}

/// The login and the password of the first entry for `host`, or of the default entry. A macro, which ends with an empty
/// line, is skipped.
#[must_use]
pub fn find(text: &str, host: &str) -> Option<(String, String)> {
    let mut words = Words(text);
    let mut entry = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" | "default" if entry.is_some() => break,
            "machine" => {
                let is_wanted = words.next().is_some_and(|name| name.eq_ignore_ascii_case(host));
                entry = is_wanted.then(<(String, String)>::default);
            }
            "default" => entry = Some(<(String, String)>::default()),
            "macdef" => words.skip_macro(),
            "login" | "password" | "account" => {
                let value = words.next().unwrap_or_default();
                match (&mut entry, word.as_str()) {
                    (Some((login, _)), "login") => *login = value,
                    (Some((_, password)), "password") => *password = value,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    entry.filter(|(login, _)| !login.is_empty())
}

/// The words of the rest of a text: separated by blanks, with quotes and backslashes as curl reads them. A `#` where a
/// word could begin starts a comment.
struct Words<'t>(&'t str);

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0 = self.0.trim_start();
        while self.0.starts_with('#') {
            self.0 = self.0.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        }
        let mut word = String::new();
        let mut rest = self.0.chars();
        let is_quoted = self.0.starts_with('"');
        if is_quoted {
            rest.next();
        }
        self.0.chars().next()?;
        loop {
            let before = rest.as_str();
            match rest.next() {
                None => break,
                Some('"') if is_quoted => break,
                Some(c) if c.is_whitespace() && !is_quoted => {
                    // It may begin the empty line that ends a macro.
                    rest = before.chars();
                    break;
                }
                Some('\\') => word.extend(rest.next()),
                Some(c) => word.push(c),
            }
        }
        self.0 = rest.as_str();
        Some(word)
    }
}

impl Words<'_> {
    fn skip_macro(&mut self) {
        let lines = self.0.split_inclusive('\n').skip(1);
        let ends = lines.scan(self.0.find('\n').map_or(self.0.len(), |at| at + 1), |at, line| {
            *at += line.len();
            Some((*at, line))
        });
        let end = ends.filter(|(_, line)| line.trim().is_empty()).map(|(at, _)| at).next();
        self.0 = &self.0[end.unwrap_or(self.0.len())..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_host() {
        let text = "# machine h login comment\nmachine a login u password p\n\
                    machine b.example\n  login \"x y\"\n  account z\n  password q\\\"r#s\n\
                    macdef init\n  machine c login macro password macro\n\n\
                    machine c login l\n\
                    default login anonymous password me@here\nmachine late login never password never";
        for (host, found) in [
            ("a", ("u", "p")),
            ("B.Example", ("x y", "q\"r#s")),
            ("c", ("l", "")),
            ("late", ("anonymous", "me@here")),
        ] {
            let found = (found.0.to_owned(), found.1.to_owned());
            assert_eq!(find(text, host), Some(found), "{host}");
        }
    }

    #[test]
    fn torn_entries_give_nothing() {
        for text in [
            "",
            "machine",
            "machine h",
            "machine h login",
            "machine h password p",
            "macdef x",
            "login l",
        ] {
            assert_eq!(find(text, "h"), None, "{text:?}");
        }
        let all = "machine h login l password p";
        for end in 0..all.len() {
            let _ = find(&all[..end], "h");
        }
    }
}
