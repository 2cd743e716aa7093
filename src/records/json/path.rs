//! Names of fields, which may be nested: `user.name`.

use super::{Members, name_is};

/// The names that lead to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    names: Vec<Vec<u8>>,
}

/// Why a text names no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// A name is empty, as in `a..b`.
    EmptyName,
    /// It ends in a backslash.
    OpenEscape,
}

impl Path {
    /// Reads a path: names with a dot between them. A backslash makes a dot or a backslash a part of the name.
    ///
    /// # Errors
    /// If a name is empty, or a backslash ends it.
    pub fn parse(text: &[u8]) -> Result<Self, PathError> {
        let (mut names, mut name) = (Vec::new(), Vec::new());
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'\\' => name.push(*bytes.next().ok_or(PathError::OpenEscape)?),
                b'.' => names.push(std::mem::take(&mut name)),
                _ => name.push(byte),
            }
        }
        names.push(name);
        if names.iter().any(Vec::is_empty) {
            return Err(PathError::EmptyName);
        }
        Ok(Self { names })
    }

    /// The path of one name, dots included.
    #[must_use]
    pub fn of_name(name: Vec<u8>) -> Self {
        Self { names: vec![name] }
    }

    /// The names, the outermost first. There is at least one.
    #[must_use]
    pub fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// The value of the field in a record; of several with its name the last.
    #[must_use]
    pub fn find<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let mut object = record;
        for name in &self.names {
            let named = Members::new(object, 0).filter(|member| name_is(&object[member.name.clone()], name));
            object = &object[named.last()?.value];
        }
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_nested_fields() {
        let record = br#"{"a":1,"b":{"c.d":{"e":"x"},"a":2},"\u0061":3,"f":[{"a":4}]}"#;
        let find = |path: &str| Path::parse(path.as_bytes()).expect("a path").find(record);
        assert_eq!(find("a"), Some(&b"3"[..]), "the last one counts");
        assert_eq!(find("b.a"), Some(&b"2"[..]));
        assert_eq!(find(r"b.c\.d.e"), Some(&b"\"x\""[..]));
        assert_eq!((find("b.x"), find("a.b"), find("f.a")), (None, None, None));
    }

    #[test]
    fn empty_names_are_refused() {
        for text in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(Path::parse(text.as_bytes()), Err(PathError::EmptyName), "{text}");
        }
        assert_eq!(Path::parse(br"a\"), Err(PathError::OpenEscape));
    }
}
