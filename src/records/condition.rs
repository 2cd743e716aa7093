//! Conditions on a field: `user.age >= 18`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::json::{Path, PathError, compare_numbers, content, decode, is_number, is_plain};
use super::{Needle, Pattern, Search};

/// A condition on one field of a JSON record.
#[derive(Debug, Clone)]
pub struct Condition {
    field: Path,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    /// The field compares with the value as one of these.
    Compares(Vec<Ordering>, Operand),
    /// A part of the field's text matches.
    Matches(Pattern),
}

#[derive(Debug, Clone)]
enum Operand {
    /// Compared by value with numbers, and with strings that are wholly a number.
    Number(Vec<u8>),
    Text(Vec<u8>),
}

/// The operators; one that begins with another comes first.
const OPERATORS: &[(&str, &[Ordering])] = &[
    ("==", &[Ordering::Equal]),
    ("!=", &[Ordering::Less, Ordering::Greater]),
    ("<=", &[Ordering::Less, Ordering::Equal]),
    (">=", &[Ordering::Greater, Ordering::Equal]),
    ("<", &[Ordering::Less]),
    (">", &[Ordering::Greater]),
    ("~", &[]),
];

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionError {
    /// There is no operator.
    NoOperator,
    /// A single `=`.
    Assignment,
    /// These characters, which begin with an operator and are none.
    UnknownOperator(String),
    /// Nothing stands before the operator, or no name of a field.
    NoField,
    /// Nothing stands behind it.
    NoValue,
    /// The pattern cannot be compiled, and why.
    BadPattern(String),
}

impl Condition {
    /// Reads `FIELD OP VALUE`. The field is a [`Path`], or a name in double quotes; the value a number, a text, or a text
    /// in double quotes, which is never taken for a number.
    ///
    /// # Errors
    /// What is missing.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let (field, rest) = match quoted(text) {
            Some((name, rest)) => (Path::of_name(name), rest.trim_start()),
            None => {
                let end = text.find(is_of_operator).ok_or(ConditionError::NoOperator)?;
                let field = Path::parse(text[..end].trim_end().as_bytes());
                let field = field.map_err(|_: PathError| ConditionError::NoField)?;
                (field, &text[end..])
            }
        };
        let found = OPERATORS
            .iter()
            .find_map(|(operator, orders)| Some((*operator, *orders, rest.strip_prefix(operator)?)));
        let Some((operator, orders, value)) = found else {
            return Err(if rest.starts_with('=') {
                ConditionError::Assignment
            } else {
                ConditionError::NoOperator
            });
        };
        // As in `a === 1`: it would be a text that begins so, and no field would be equal to it.
        if value.starts_with(is_of_operator) {
            let end = rest.find(|c| !is_of_operator(c)).unwrap_or(rest.len());
            return Err(ConditionError::UnknownOperator(rest[..end].to_owned()));
        }
        let value = value.trim_start();
        let unquoted = quoted(value).filter(|(_, rest)| rest.is_empty()).map(|(text, _)| text);
        if value.is_empty() {
            return Err(ConditionError::NoValue);
        }
        let meaning = if operator == "~" {
            let pattern = unquoted.as_deref().map_or(Ok(value), str::from_utf8).unwrap_or(value);
            Test::Matches(Pattern::compile(pattern).map_err(ConditionError::BadPattern)?)
        } else {
            let operand = match unquoted {
                Some(text) => Operand::Text(text),
                None if is_number(value.as_bytes()) => Operand::Number(value.into()),
                None => Operand::Text(value.into()),
            };
            Test::Compares(orders.to_vec(), operand)
        };
        Ok(Self { field, test: meaning })
    }

    /// Bytes of memory that a thread holds besides records.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        match self.test {
            Test::Matches(_) => Pattern::STATE,
            Test::Compares(..) => 0,
        }
    }

    /// A search that finds every record that may meet it, if there is one that is worth it.
    #[must_use]
    pub fn search(&self) -> Option<Search> {
        let needle = match &self.test {
            Test::Compares(orders, Operand::Text(text)) if orders[..] == [Ordering::Equal] => Needle::bytes(text),
            Test::Matches(pattern) if !pattern.has_anchors => pattern.needle.clone(),
            _ => return None,
        };
        // Where there is an escape, it may stand for anything.
        Some(Search::new(vec![needle, Needle::bytes(br"\")]))
    }

    /// Whether a record meets it. A missing field never does.
    #[must_use]
    pub fn is_met(&self, record: &[u8]) -> bool {
        let Some(value) = self.field.find(record) else {
            return false;
        };
        match &self.test {
            Test::Matches(pattern) => text_of(value).is_some_and(|text| pattern.regex.is_match(&text)),
            Test::Compares(orders, operand) => match compare(value, operand) {
                Some(order) => orders.contains(&order),
                // What has no order is different from everything.
                None => orders.contains(&Ordering::Less) && orders.contains(&Ordering::Greater),
            },
        }
    }
}

fn is_of_operator(character: char) -> bool {
    "=!<>~".contains(character)
}

/// Compares a value with an operand; `None` if they have no order.
fn compare(value: &[u8], operand: &Operand) -> Option<Ordering> {
    let text = text_of(value)?;
    match operand {
        Operand::Number(number) => is_number(&text).then(|| compare_numbers(&text, number)),
        Operand::Text(expected) => Some((*text).cmp(expected)),
    }
}

/// The text of a value: of a string what it stands for, of a number, `true`, `false` and `null` its own; `None` for
/// objects and arrays.
fn text_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match content(value) {
        Some(content) if is_plain(content) => Some(Cow::Borrowed(content)),
        Some(content) => {
            let mut text = Vec::with_capacity(content.len());
            decode(content, &mut text);
            Some(Cow::Owned(text))
        }
        None => (!matches!(value.first(), Some(b'{' | b'['))).then_some(Cow::Borrowed(value)),
    }
}

/// The text in double quotes that begins `text`, and what follows it.
fn quoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut values = serde_json::Deserializer::from_str(text.strip_prefix('"').map(|_| text)?).into_iter::<String>();
    let name = values.next()?.ok()?;
    let rest = &text[values.byte_offset()..];
    Some((name.into_bytes(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(condition: &str, record: &str) -> bool {
        let condition = Condition::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error:?}"));
        condition.is_met(record.as_bytes())
    }

    #[test]
    fn numbers_compare_as_numbers() {
        let record = r#"{"n":10,"s":"10.0","t":"10 apples","big":9007199254740993,"z":-0}"#;
        for met in [
            "n == 1e1",
            "n > 9",
            "n>=10",
            "n < 10.5",
            "s == 10",
            "s <= 1e1",
            "t != 10",
            "big > 9007199254740992",
            "z == 0",
            "t > \"1\"",
            "n == \"10\"",
        ] {
            assert!(is_met(met, record), "{met}");
        }
        for unmet in [
            "n != 10",
            "s < 9",
            "t > 9",
            "t == 10",
            "big == 9007199254740992",
            "n == \"10.0\"",
            "s == \"10\"",
        ] {
            assert!(!is_met(unmet, record), "{unmet}");
        }
    }

    #[test]
    fn texts_compare_as_decoded() {
        let record = r#"{"a":"caf\u00e9","b":true,"c":null,"d":[1],"user":{"first name":"Jo"},"e":"x \"y\""}"#;
        for met in [
            "a == café",
            "b == true",
            "c == null",
            "a > cafe",
            "a ~ ^caf.$",
            "b ~ ru",
            "d != 1",
            r#"user.first\ name == Jo"#,
            r#"e == x "y""#,
            r#"e == "x \"y\"""#,
            r#""a" != b"#,
            r#"user.first name==Jo"#,
            r#"e ~ "\"y""#,
        ] {
            assert!(is_met(met, record), "{met}");
        }
        for unmet in [
            "missing != 1",
            "d == 1",
            "d ~ 1",
            "user.last == Jo",
            "a == cafe",
            "a.b != 1",
        ] {
            assert!(!is_met(unmet, record), "{unmet}");
        }
    }

    #[test]
    fn last_member_of_a_name_counts() {
        assert!(is_met("a == 2", r#"{"a":1,"\u0061":2}"#));
        assert!(!is_met("a == 1", r#"{"a":1,"a":2}"#));
    }

    #[test]
    fn incomplete_conditions_are_refused() {
        let error = |text: &str| Condition::parse(text).err();
        assert_eq!(error("age"), Some(ConditionError::NoOperator));
        assert_eq!(error("age = 3"), Some(ConditionError::Assignment));
        assert_eq!(error("== 3"), Some(ConditionError::NoField));
        assert_eq!(error("a. == 3"), Some(ConditionError::NoField));
        assert_eq!(error("age >= "), Some(ConditionError::NoValue));
        assert_eq!(error("age ! 3"), Some(ConditionError::NoOperator));
        for operator in ["===", ">>", "<>", "~="] {
            let unknown = ConditionError::UnknownOperator(operator.to_owned());
            assert_eq!(error(&format!("age {operator} 3")), Some(unknown));
            assert_eq!(error(&format!("age == {operator}3")), None, "a value");
        }
        assert!(matches!(error("age ~ ("), Some(ConditionError::BadPattern(_))));
    }
}
