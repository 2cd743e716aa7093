//! What messages become: records on one line each.

use bytes::Bytes;
use memchr::memchr;

use crate::records::json::Scanner;

/// A message as one line, without its line end.
///
/// # Errors
/// If there is a newline in it; `otherwise` says what to do.
pub fn line(message: &Bytes, otherwise: &str) -> Result<Bytes, String> {
    let line = message.strip_suffix(b"\n").unwrap_or(message);
    if memchr(b'\n', line).is_some() {
        return Err(format!("there is a newline in it; {otherwise}"));
    }
    Ok(message.slice_ref(line))
}

/// A message that is one JSON value, on one line.
///
/// # Errors
/// If it is not; `otherwise` says what to do with several values.
pub fn json(scanner: &mut Scanner, message: &Bytes, otherwise: &str) -> Result<Bytes, String> {
    let value = message.trim_ascii();
    scanner.restart();
    match scanner.scan(value, true) {
        Ok(Some(end)) if end == value.len() => {}
        Ok(_) if value.is_empty() => return Err("it is empty, and not JSON".to_owned()),
        Ok(_) => return Err(format!("it is more than one JSON value; {otherwise}")),
        Err(wrong) => return Err(format!("it is not JSON: {} (at byte {} of it)", wrong.why, wrong.at)),
    }
    if !scanner.has_newline() {
        return Ok(message.slice_ref(value));
    }
    // A newline in a string is escaped, so each of these is between two tokens.
    let line = value.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte });
    Ok(line.collect())
}
