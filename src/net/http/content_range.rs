//! Which part of a resource a response has.

/// The part of a resource that a `Content-Range` header states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The offset of the first byte; `None` for a part that cannot be given.
    pub start: Option<u64>,
    /// The size of the whole resource in bytes; `None` if that is not known.
    pub size: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes 0-99/200`, `bytes 0-99/*` or `bytes */200`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let size = match size.trim() {
            "*" => None,
            size => Some(number(size)?),
        };
        if range.trim() == "*" {
            return Some(Self { start: None, size });
        }
        let (start, end) = range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let fits = start <= end && size.is_none_or(|size| end < size);
        fits.then_some(Self {
            start: Some(start),
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        let range = |start, size| Some(ContentRange { start, size });
        for (text, expected) in [
            ("bytes 5-99/100", range(Some(5), Some(100))),
            ("bytes 5-99/*", range(Some(5), None)),
            ("bytes */100", range(None, Some(100))),
            ("bytes 5-100/100", None),
            ("bytes 6-5/100", None),
            ("bytes -5/100", None),
            ("bytes 5-/100", None),
            ("lines 5-9/100", None),
            ("bytes 5-99", None),
            ("bytes 5-99/18446744073709551616", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }
}
