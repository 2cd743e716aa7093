//! The little of XML that S3's responses need, read leniently: servers differ in namespaces, prefixes and order.

/// The text of the first element of that name, whatever its prefix and depth; `None` if there is none.
#[must_use]
pub fn element(text: &str, name: &str) -> Option<String> {
    elements(text, name).next()
}

/// The texts of all elements of that name.
pub fn elements<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = String> + 't {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find('<')? + 1;
            rest = &rest[start..];
            let end = rest.find('>')?;
            let tag = &rest[..end];
            rest = &rest[end + 1..];
            let found = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
            let found = found.rsplit(':').next().unwrap_or_default();
            if found == name && !tag.starts_with('/') {
                if tag.ends_with('/') {
                    return Some(String::new());
                }
                return Some(unescaped(rest.split('<').next().unwrap_or_default().trim()));
            }
        }
    })
}

/// A text without its entities and references; unknown ones stay.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').unwrap_or(0);
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        let meant = match &rest[..end] {
            "&amp" => Some('&'),
            "&lt" => Some('<'),
            "&gt" => Some('>'),
            "&quot" => Some('"'),
            "&apos" => Some('\''),
            other => match (other.strip_prefix("&#x"), other.strip_prefix("&#")) {
                (Some(digits), _) => number(digits, 16),
                (None, Some(digits)) => number(digits, 10),
                (None, None) => None,
            },
        };
        plain.push(meant.unwrap_or('&'));
        rest = &rest[if meant.is_some() { end + 1 } else { 1 }..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_leniently() {
        let text = "<?xml version=\"1.0\"?>\n<s3:Error xmlns:s3='x'><Code >SlowDown</Code>\n<Message>a &lt;b&gt; &#38;&#x21; &c \
                    &amp;amp;</Message><Empty/><ETag>&quot;a-1&quot;</ETag><ETag>2</ETag></s3:Error>";
        assert_eq!(element(text, "Code").as_deref(), Some("SlowDown"));
        assert_eq!(element(text, "Message").as_deref(), Some("a <b> &! &c &amp;"));
        assert_eq!(element(text, "Empty").as_deref(), Some(""));
        assert_eq!(elements(text, "ETag").collect::<Vec<_>>(), ["\"a-1\"", "2"]);
        assert!(element(text, "Error").is_some());
        for cut in [
            "",
            "<",
            "<Code",
            "<Code>",
            "</Code>",
            "Code",
            "<Codes>x</Codes>",
            "&#;",
            "<>",
        ] {
            let found = element(cut, "Code");
            assert!(found.is_none_or(|text| text.is_empty()), "{cut}");
        }
    }
}
