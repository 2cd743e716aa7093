//! `where`: keeps the records that meet a condition.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::Problem;
use crate::records::{Condition, ConditionError, Record, Search};
use crate::stage::TransformPlan;

use super::per_record::{PerRecord, PerRecordPlan, Takes, Verdict};

/// The definition of `where`.
pub static WHERE: Definition = Definition {
    name: "where",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "keep the JSON records whose field meets a condition",
    details: "The condition is one word: FIELD OP VALUE, with OP one of == != < <= > >= and ~, which finds a regular \
              expression anywhere in the field. FIELD may be nested, as in user.name; a backslash before a dot makes it a \
              part of the name, and so do double quotes around the name.\n\nA VALUE that is a number is compared by \
              value, exactly, with numbers and with strings that are wholly a number; any other with the text of the \
              field, byte by byte. Double quotes around it make it a text in any case. A record without the field does \
              not pass, whatever the operator; an object or an array differs from every value. Of several members with \
              the same name the last one counts.",
    params: &[Param {
        name: "condition",
        kind: Kind::Text,
        place: Place::Positional,
        required: true,
        default: None,
        help: "FIELD OP VALUE, quoted as one word",
    }],
    examples: &[Example {
        text: "read run.jsonl | from-json | where \"event == end\" | write ends.jsonl",
        about: "the records of one kind",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let text = args.text("condition").unwrap_or_default();
    let condition = Condition::parse(text).map_err(|error| {
        const FORM: &str = "write FIELD OP VALUE in one word, as in 'age >= 18'; OP is one of == != < <= > >= ~";
        let (message, help) = match error {
            ConditionError::NoOperator => ("this is no condition: there is no operator".to_owned(), FORM),
            ConditionError::Assignment => ("`=` is no operator".to_owned(), "equality is `==`"),
            ConditionError::UnknownOperator(word) => (
                format!("`{word}` is no operator"),
                "OP is one of == != < <= > >= ~; a space parts it from a value that begins with such a character",
            ),
            ConditionError::NoField => ("the condition names no field".to_owned(), FORM),
            ConditionError::NoValue => ("the condition has no value".to_owned(), FORM),
            ConditionError::BadPattern(why) => (
                format!("the pattern cannot be read: {why}"),
                "regular expressions are those of the Rust regex crate",
            ),
        };
        Problem::at(args.span_of("condition"), message).help(help)
    })?;
    let search = condition.search();
    Ok(PerRecordPlan::on_one_thread(
        Where { condition, search },
        Takes::Json,
        1,
    ))
}

#[derive(Clone)]
struct Where {
    condition: Condition,
    search: Option<Search>,
}

impl PerRecord for Where {
    fn apply(&mut self, record: &[u8], _: &mut Record) -> Verdict {
        if self.condition.is_met(record) {
            Verdict::Keep
        } else {
            Verdict::Drop
        }
    }

    fn state_bytes(&self) -> u64 {
        self.condition.state_bytes()
    }

    fn search(&mut self) -> Option<(&mut Search, Verdict)> {
        self.search.as_mut().map(|search| (search, Verdict::Drop))
    }
}
