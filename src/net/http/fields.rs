//! Header fields that users add to a request, and credentials from files.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use rustix::fs::{Mode, OFlags};

use crate::catalog::Misnamed;
use crate::error::{Failure, Kind, brief, shown};
use crate::platform::files;

/// The largest file of headers, credentials or a request's body, in bytes.
pub const LARGEST_FILE: u64 = 1 << 20;

/// Fields that the client itself decides on, because they say where a message ends or what a response means.
const OWN: &[HeaderName] = &[
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::IF_RANGE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that are not taken from the command line, because they are secrets.
const SECRET: &[HeaderName] = &[header::AUTHORIZATION, header::COOKIE];

/// The header fields that a user gives: `NAME: VALUE`, or `@FILE` with one a line.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    given: HeaderMap,
    files: Vec<PathBuf>,
}

impl Fields {
    /// Adds what the user wrote.
    ///
    /// # Errors
    /// If it is not a field, or one that is not the user's to set, or a secret. The value is not repeated.
    pub fn add(&mut self, text: &[u8]) -> Result<(), Misnamed> {
        if let Some(file) = text.strip_prefix(b"@") {
            self.files.push(path(file));
            return Ok(());
        }
        let (name, value) = field(text)?;
        if SECRET.contains(&name) {
            let message = format!("the header `{name}` is not taken from the command line, where others may see it");
            return Err(Misnamed::new(
                message,
                "write the line into a file and name that with header=@FILE",
            ));
        }
        self.given.append(name, value);
        Ok(())
    }

    /// All fields, with those of the files, whose values are marked as sensitive.
    ///
    /// # Errors
    /// [`Kind::Usage`] if a file cannot be read, or a line of it is not a field.
    pub fn read(&self) -> Result<HeaderMap, Failure> {
        let mut fields = self.given.clone();
        for file in &self.files {
            let text = read_file(file)?;
            let lines = text.split(|byte| *byte == b'\n').enumerate();
            for (at, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
                let (name, mut value) = field(line).map_err(|wrong| {
                    let why = format!("line {}: {}; {}", at + 1, wrong.message, wrong.help);
                    Failure::because(Kind::Usage, unusable(file), why)
                })?;
                value.set_sensitive(true);
                fields.append(name, value);
            }
        }
        Ok(fields)
    }
}

/// Parses `NAME: VALUE`.
fn field(text: &[u8]) -> Result<(HeaderName, HeaderValue), Misnamed> {
    let form = "write NAME: VALUE, such as header='Accept: text/csv', or @FILE for secrets";
    let Some(colon) = text.iter().position(|byte| *byte == b':') else {
        return Err(Misnamed::new("a header without a colon", form));
    };
    let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
    let name = HeaderName::from_bytes(name)
        .map_err(|_| Misnamed::new(format!("`{}` is not the name of a header", brief(name)), form))?;
    if OWN.contains(&name) {
        let message = format!("the header `{name}` is set by highwater itself");
        return Err(Misnamed::new(message, "leave it out"));
    }
    let value = HeaderValue::from_bytes(value).map_err(|_| {
        let message = format!("the value of the header `{name}` has control characters");
        Misnamed::new(message, "remove them")
    })?;
    Ok((name, value))
}

/// A file's name as users write it.
#[must_use]
pub fn path(name: &[u8]) -> PathBuf {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(OsStr::from_bytes(name))
}

fn unusable(file: &Path) -> String {
    format!("cannot use {}", shown(file.as_os_str().as_encoded_bytes()))
}

/// Reads a small file whole.
///
/// # Errors
/// [`Kind::Usage`] if that fails, or it is larger than [`LARGEST_FILE`].
pub fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::io(Kind::Usage, unusable(file), error);
    let mut text = Vec::new();
    let opened = files::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(|error| failed(error.into()))?;
    let mut opened = files::Stream(&opened).take(LARGEST_FILE + 1);
    opened.read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(Failure::because(Kind::Usage, unusable(file), "it is larger than 1 MiB"));
    }
    Ok(text)
}

/// The `Authorization` header of a file whose first line is `NAME:PASSWORD`.
///
/// # Errors
/// [`Kind::Usage`] if it cannot be read, or has another form.
pub fn authorization_of(file: &Path) -> Result<HeaderValue, Failure> {
    let text = read_file(file)?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.contains(&b':') {
        let why = "its first line is not NAME:PASSWORD";
        return Err(Failure::because(Kind::Usage, unusable(file), why));
    }
    Ok(basic(line))
}

/// The Basic form of `NAME:PASSWORD` (RFC 7617).
pub(super) fn basic(credentials: &[u8]) -> HeaderValue {
    let text = format!("Basic {}", STANDARD.encode(credentials));
    let mut value = HeaderValue::from_str(&text).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, "X-Key: s3cret\r\n\nCookie:a=b\n").expect("written");
        let mut fields = Fields::default();
        for text in ["Accept: text/csv", "accept:  text/plain "] {
            fields.add(text.as_bytes()).expect(text);
        }
        fields
            .add(format!("@{}", file.path().display()).as_bytes())
            .expect("a file");
        let fields = fields.read().expect("read");
        let accepted: Vec<_> = fields.get_all("accept").iter().collect();
        assert_eq!(accepted, ["text/csv", "text/plain"]);
        let secrets = fields.iter().filter(|(_, value)| value.is_sensitive());
        let secrets: Vec<_> = secrets.map(|(name, _)| name.as_str()).collect();
        assert_eq!(secrets, ["x-key", "cookie"]);
        assert!(!format!("{fields:?}").contains("s3cret"));
    }

    #[test]
    fn wrong_headers_are_refused() {
        for (text, message) in [
            ("secret", "a header without a colon"),
            (
                "Cookie: secret",
                "the header `cookie` is not taken from the command line, where others may see it",
            ),
            ("X Y: secret", "`X Y` is not the name of a header"),
            ("X: secret\u{1}", "the value of the header `x` has control characters"),
            (
                "Content-Length: 5",
                "the header `content-length` is set by highwater itself",
            ),
        ] {
            let wrong = Fields::default().add(text.as_bytes()).expect_err(text);
            assert_eq!(wrong.message, message);
        }
    }

    #[test]
    fn first_line_of_a_file_authorizes() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, "Aladdin:open sesame\r\nmore").expect("written");
        let value = authorization_of(file.path()).expect("credentials");
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        std::fs::write(&file, "token").expect("written");
        let failure = authorization_of(file.path()).expect_err("no colon");
        assert!(
            failure.to_string().ends_with("its first line is not NAME:PASSWORD"),
            "{failure}"
        );
    }
}
