//! Sets of fields: records with only them, or without them.

use std::ops::Range;

use super::Record;
use super::json::{Member, Members, Path, name_is};

/// Fields of JSON records, nested ones included.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    children: Vec<Field>,
}

#[derive(Debug, Clone)]
struct Field {
    name: Vec<u8>,
    /// `None` for the field itself, and all that is in it.
    within: Option<Fields>,
}

impl Fields {
    /// The fields that the paths lead to.
    #[must_use]
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut fields = Self::default();
        for path in paths {
            fields.add(path.names());
        }
        fields
    }

    fn add(&mut self, names: &[Vec<u8>]) {
        let Some((first, rest)) = names.split_first() else {
            return;
        };
        let known = self.children.iter().position(|field| field.name == *first);
        let at = known.unwrap_or_else(|| {
            self.children.push(Field {
                name: first.clone(),
                within: Some(Self::default()),
            });
            self.children.len() - 1
        });
        let field = &mut self.children[at];
        if rest.is_empty() {
            field.within = None;
        } else if let Some(within) = &mut field.within {
            within.add(rest);
        }
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<&Field> {
        self.children.iter().find(|field| name_is(name, &field.name))
    }

    /// Writes an object with only these fields of `record`, which keep their order and their bytes. It is empty if the
    /// record is not an object.
    pub fn select(&self, record: &[u8], made: &mut Record) {
        made.push(b'{');
        let mut is_first = true;
        for Member { name, value } in Members::new(record, 0) {
            let Some(field) = self.find(&record[name.clone()]) else {
                continue;
            };
            let before = made.as_slice().len();
            if !is_first {
                made.push(b',');
            }
            match &field.within {
                None => made.extend(&record[name.start - 1..value.end]),
                Some(within) => {
                    made.extend(&record[name.start - 1..value.start]);
                    let start = made.as_slice().len();
                    within.select(&record[value], made);
                    if made.as_slice().get(start..) == Some(b"{}") {
                        made.truncate(before);
                        continue;
                    }
                }
            }
            is_first = false;
        }
        made.push(b'}');
    }

    /// Writes `record` without these fields; all else keeps its bytes. Returns false, and writes nothing, if it has none
    /// of them.
    pub fn remove(&self, record: &[u8], made: &mut Record) -> bool {
        let mut holes = Vec::new();
        self.find_holes(record, 0..record.len(), &mut holes);
        let mut kept = 0;
        for hole in &holes {
            made.extend(&record[kept..hole.start]);
            kept = hole.end;
        }
        if !holes.is_empty() {
            made.extend(&record[kept..]);
        }
        !holes.is_empty()
    }

    /// Adds what has to go from the object in `span`: each member with the comma before it, or behind it if all members
    /// before it go, too.
    fn find_holes(&self, record: &[u8], span: Range<usize>, holes: &mut Vec<Range<usize>>) {
        let mut before = None;
        let mut keeps_one = false;
        let mut members = Members::new(&record[..span.end], span.start).peekable();
        while let Some(Member { name, value }) = members.next() {
            let field = self.find(&record[name.clone()]);
            let start = name.start - 1;
            match field {
                Some(Field { within: None, .. }) => {
                    let end = match members.peek() {
                        Some(next) if !keeps_one => next.name.start - 1,
                        _ => value.end,
                    };
                    holes.push(before.filter(|_| keeps_one).unwrap_or(start)..end);
                }
                Some(Field {
                    within: Some(within), ..
                }) => {
                    keeps_one = true;
                    within.find_holes(record, value.clone(), holes);
                }
                None => keeps_one = true,
            }
            before = Some(value.end);
        }
    }

    /// Calls `change` with each value that belongs to these fields, in order; it may belong to several objects in one
    /// another.
    pub fn visit(&self, record: &[u8], change: &mut impl FnMut(Range<usize>)) {
        self.visit_within(record, 0..record.len(), change);
    }

    fn visit_within(&self, record: &[u8], span: Range<usize>, change: &mut impl FnMut(Range<usize>)) {
        for Member { name, value } in Members::new(&record[..span.end], span.start) {
            match self.find(&record[name]) {
                Some(Field { within: None, .. }) => change(value),
                Some(Field {
                    within: Some(within), ..
                }) => within.visit_within(record, value, change),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(paths: &[&str]) -> Fields {
        let paths: Vec<Path> = paths
            .iter()
            .map(|path| Path::parse(path.as_bytes()).expect("a path"))
            .collect();
        Fields::new(&paths)
    }

    fn selected(paths: &[&str], record: &str) -> String {
        let mut made = Record::new(1000);
        fields(paths).select(record.as_bytes(), &mut made);
        String::from_utf8(made.as_slice().to_vec()).expect("UTF-8")
    }

    fn without(paths: &[&str], record: &str) -> String {
        let mut made = Record::new(1000);
        if !fields(paths).remove(record.as_bytes(), &mut made) {
            return record.to_owned();
        }
        String::from_utf8(made.as_slice().to_vec()).expect("UTF-8")
    }

    const RECORD: &str = r#"{"a": 1.00,"b" :{"c":[1, 2],"d":"x\u0041"}, "e":null,"\u0061":2}"#;

    #[test]
    fn selected_fields_keep_their_bytes() {
        assert_eq!(selected(&["e", "a"], RECORD), r#"{"a": 1.00,"e":null,"\u0061":2}"#);
        assert_eq!(selected(&["b.d"], RECORD), r#"{"b" :{"d":"x\u0041"}}"#);
        assert_eq!(selected(&["b.x", "e.f", "e"], RECORD), r#"{"e":null}"#);
        assert_eq!(selected(&["b", "b.c"], RECORD), r#"{"b" :{"c":[1, 2],"d":"x\u0041"}}"#);
        assert_eq!(selected(&["a"], "[1]"), "{}");
    }

    #[test]
    fn dropped_fields_leave_the_others_alone() {
        assert_eq!(without(&["b"], RECORD), r#"{"a": 1.00, "e":null,"\u0061":2}"#);
        assert_eq!(
            without(&["a"], RECORD),
            r#"{"b" :{"c":[1, 2],"d":"x\u0041"}, "e":null}"#
        );
        assert_eq!(without(&["a", "b"], RECORD), r#"{"e":null}"#);
        assert_eq!(without(&["a", "e", "b"], RECORD), "{}");
        assert_eq!(
            without(&["b.c"], RECORD),
            r#"{"a": 1.00,"b" :{"d":"x\u0041"}, "e":null,"\u0061":2}"#
        );
        assert_eq!(
            without(&["b.d", "e"], RECORD),
            r#"{"a": 1.00,"b" :{"c":[1, 2]},"\u0061":2}"#
        );
        assert_eq!(without(&["x", "a.b"], RECORD), RECORD);
    }
}
