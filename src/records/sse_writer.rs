//! Records as server-sent events.

use memchr::{memchr, memchr2};

use super::Fault;
use super::json::{Member, Members, content, decode, is_plain, name_is};

/// The fields of an event besides its data, in the order in which they are written.
const FIELDS: [&str; 3] = ["event", "id", "retry"];

/// An event that a record stands for. Its values are JSON, except for the data of a record that is no event itself.
#[derive(Debug)]
pub struct SseEvent<'a> {
    fields: [Option<&'a [u8]>; 3],
    data: &'a [u8],
    /// Whether `data` is the record itself.
    is_record: bool,
}

impl<'a> SseEvent<'a> {
    /// The event of a JSON record. An object with the member `data` is one, of whose members with the same name the last
    /// one counts; any other record is the data of one. `text` is memory for a text without its escapes.
    ///
    /// # Errors
    /// If a member cannot be part of an event.
    pub fn of_json(record: &'a [u8], text: &mut Vec<u8>) -> Result<Self, Fault> {
        let (mut fields, mut data, mut unknown) = ([const { None }; 3], None, None);
        for Member { name, value } in Members::new(record, 0) {
            let is = |field: &&str| name_is(&record[name.clone()], field.as_bytes());
            if is(&"data") {
                data = Some(value);
            } else if let Some(field) = FIELDS.iter().position(is) {
                fields[field] = Some(value);
            } else {
                unknown = unknown.or(Some(name));
            }
        }
        let Some(data) = data else {
            return Ok(Self::of_line(record));
        };
        let fault = |at, why: String| Fault { at, why: why.into() };
        if let Some(name) = unknown {
            let at = name.start;
            let name = String::from_utf8_lossy(&record[name]);
            return Err(fault(
                at,
                format!("`{name}` is not among the members of an event: event, id, retry and data"),
            ));
        }
        for (field, value) in FIELDS.iter().zip(&mut fields) {
            value.take_if(|value| record[value.clone()] == *b"null");
            if let Some(value) = value {
                check(field, &record[value.clone()], text).map_err(|why| fault(value.start, why))?;
            }
        }
        Ok(Self {
            fields: fields.map(|value| value.map(|value| &record[value])),
            data: &record[data],
            is_record: false,
        })
    }

    /// An event whose data is a record, without the CR of a line that ends in CRLF.
    #[must_use]
    pub fn of_line(record: &'a [u8]) -> Self {
        Self {
            fields: [None; 3],
            data: record.strip_suffix(b"\r").unwrap_or(record),
            is_record: true,
        }
    }

    /// Passes the event to `put`, with the blank line that ends it. Each line of its data has a field of its own.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn write<E>(&self, text: &mut Vec<u8>, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        for (field, value) in FIELDS.iter().zip(self.fields) {
            if let Some(value) = value {
                put(field.as_bytes())?;
                put(b": ")?;
                put(text_of(value, text))?;
                put(b"\n")?;
            }
        }
        let data = if self.is_record {
            self.data
        } else {
            text_of(self.data, text)
        };
        let mut rest = Some(data);
        while let Some(line) = rest {
            let end = memchr2(b'\n', b'\r', line);
            put(b"data: ")?;
            put(&line[..end.unwrap_or(line.len())])?;
            put(b"\n")?;
            rest = end.map(|end| match &line[end..] {
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => &[],
            });
        }
        put(b"\n")
    }
}

/// Checks that a value can stand in a field.
fn check(field: &str, value: &[u8], text: &mut Vec<u8>) -> Result<(), String> {
    let text = text_of(value, text);
    if matches!(value.first(), Some(b'{' | b'[')) {
        return Err(format!("`{field}` is an object or an array"));
    }
    if field == "retry" && (text.is_empty() || !text.iter().all(u8::is_ascii_digit)) {
        return Err("`retry` is not a whole number of milliseconds".to_owned());
    }
    if memchr2(b'\n', b'\r', text).is_some() {
        return Err(format!(
            "`{field}` has a line end, which an event stream has no way to write"
        ));
    }
    if field == "id" && memchr(0, text).is_some() {
        return Err("`id` has a NUL, for which receivers ignore it".to_owned());
    }
    Ok(())
}

/// The text of a string, or any other value as it is.
fn text_of<'a>(value: &'a [u8], text: &'a mut Vec<u8>) -> &'a [u8] {
    match content(value) {
        Some(content) if !is_plain(content) => {
            text.clear();
            // What an escape stands for is shorter.
            text.reserve_exact(content.len());
            decode(content, text);
            text
        }
        Some(content) => content,
        None => value,
    }
}
