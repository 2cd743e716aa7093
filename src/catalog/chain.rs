//! A whole script against a catalog: every call, and every stage's place.

use super::reading::read;
use super::unknown::unknown_stage;
use super::{Args, Definition, Place, Role, positional_form};
use crate::error::Problem;
use crate::error::brief;
use crate::grammar::{Call, Script};

/// Finds the stage of one call and checks its words.
///
/// # Errors
/// All that is wrong with the call, wherever it stands.
pub fn check<'c>(call: &Call, catalog: &[&'c Definition]) -> Result<(&'c Definition, Args), Vec<Problem>> {
    let roles = [Role::Source, Role::Transform, Role::Sink];
    let def = find(call, catalog, &roles).map_err(|problem| vec![problem])?;
    Ok((def, read(call, def, &names(catalog))?))
}

/// Checks every call of a script and the order of its stages.
///
/// A script may lack stages that could not be read; the rest is checked all the same.
pub fn check_chain<'c>(
    script: &Script,
    catalog: &[&'c Definition],
) -> Result<Vec<(&'c Definition, Args)>, Vec<Problem>> {
    let names = names(catalog);
    let mut checked = Vec::new();
    let mut problems = Vec::new();
    for (index, call) in script.calls.iter().enumerate() {
        let is_first = index == 0;
        let is_last = index + 1 == script.calls.len();
        let def = match find(call, catalog, fitting(is_first, is_last)) {
            Ok(def) => def,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        match def.role {
            Role::Source if !is_first => problems.push(late_source(call, def, script)),
            Role::Sink if !is_last => problems.push(early_sink(call, script)),
            _ => {}
        }
        match read(call, def, &names) {
            Ok(args) => checked.push((def, args)),
            Err(mut more) => problems.append(&mut more),
        }
    }
    if problems.is_empty() {
        Ok(checked)
    } else {
        Err(problems)
    }
}

fn names<'c>(catalog: &[&'c Definition]) -> Vec<&'c str> {
    catalog.iter().map(|def| def.name).collect()
}

fn find<'c>(call: &Call, catalog: &[&'c Definition], roles: &[Role]) -> Result<&'c Definition, Problem> {
    catalog
        .iter()
        .find(|def| def.name.as_bytes() == call.name.bytes)
        .copied()
        .ok_or_else(|| unknown_stage(&call.name, catalog, roles))
}

/// The roles that can stand at a place.
fn fitting(is_first: bool, is_last: bool) -> &'static [Role] {
    match (is_first, is_last) {
        (true, true) => &[Role::Source, Role::Transform, Role::Sink],
        (true, false) => &[Role::Source, Role::Transform],
        (false, true) => &[Role::Transform, Role::Sink],
        (false, false) => &[Role::Transform],
    }
}

fn late_source(call: &Call, def: &Definition, script: &Script) -> Problem {
    let first = &script.calls[0];
    let takes_many = def.params.iter().any(|param| param.place == Place::PositionalMany);
    let help = if takes_many && first.name.bytes == call.name.bytes {
        format!("to have one after the other write `{}` once", positional_form(def))
    } else {
        format!("put it first, before `{}`", brief(&first.normalised()))
    };
    Problem::at(call.span.clone(), format!("`{}` is not the first stage", def.name))
        .label("a source takes no input")
        .help(help)
}

fn early_sink(call: &Call, script: &Script) -> Problem {
    let last = script.calls.last().unwrap_or(call);
    let name = brief(&call.name.bytes);
    let help = if last.name.bytes == call.name.bytes {
        format!("keep only one `{name}`, at the end")
    } else {
        format!("put it last, after `{}`", brief(&last.normalised()))
    };
    Problem::at(call.span.clone(), format!("`{name}` is not the last stage"))
        .label("a sink passes nothing on")
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CATALOG, refused};
    use super::*;
    use crate::grammar::parse;
    use snapbox::str;

    #[test]
    fn a_chain_is_checked_stage_by_stage() {
        let (script, problems) = parse(b"read a b | gzip | throttle 1MB/s | write c");
        assert_eq!(problems, []);
        let chain = check_chain(&script, CATALOG).unwrap();
        let names: Vec<_> = chain.iter().map(|(def, _)| def.name).collect();
        assert_eq!(names, ["read", "gzip", "throttle", "write"]);
    }

    #[test]
    fn neither_end_is_needed() {
        assert!(check_chain(&parse(b"gzip").0, CATALOG).is_ok());
        assert!(check_chain(&parse(b"write a").0, CATALOG).is_ok());
    }

    #[test]
    fn one_call_can_be_checked_alone() {
        let (script, _) = parse(b"gzip level=3");
        let (def, args) = check(&script.calls[0], CATALOG).unwrap();
        assert_eq!((def.name, args.normalised()), ("gzip", "gzip level=3"));
    }

    #[test]
    fn an_unknown_stage_suggests_a_near_one() {
        refused(
            "read a | gzp | write b",
            str![[r#"
error: unknown stage `gzp`
  |
1 | read a | gzp | write b
  |          ^^^ did you mean `gzip`?
"#]],
        );
    }

    #[test]
    fn where_none_is_near_those_that_fit_are_listed() {
        refused(
            "cat a | frobnicate | '' x",
            str![[r#"
error: unknown stage `cat`
  |
1 | cat a | frobnicate | '' x
  | ^^^
  |
  = help: stages that can stand here: read, gzip, throttle, sum

error: unknown stage `frobnicate`
  |
1 | cat a | frobnicate | '' x
  |         ^^^^^^^^^^
  |
  = help: stages that can stand here: gzip, throttle, sum

error: unknown stage ``
  |
1 | cat a | frobnicate | '' x
  |                      ^^
  |
  = help: stages that can stand here: gzip, throttle, sum, write
"#]],
        );
    }

    #[test]
    fn a_source_is_first() {
        refused(
            "gzip | read a",
            str![[r#"
error: `read` is not the first stage
  |
1 | gzip | read a
  |        ^^^^^^ a source takes no input
  |
  = help: put it first, before `gzip`
"#]],
        );
        refused(
            "read a | read b",
            str![[r#"
error: `read` is not the first stage
  |
1 | read a | read b
  |          ^^^^^^ a source takes no input
  |
  = help: to have one after the other write `read PATH…` once
"#]],
        );
    }

    #[test]
    fn a_sink_is_last() {
        refused(
            "read a | write b | gzip",
            str![[r#"
error: `write` is not the last stage
  |
1 | read a | write b | gzip
  |          ^^^^^^^ a sink passes nothing on
  |
  = help: put it last, after `gzip`
"#]],
        );
        refused(
            "write a | write b",
            str![[r#"
error: `write` is not the last stage
  |
1 | write a | write b
  | ^^^^^^^ a sink passes nothing on
  |
  = help: keep only one `write`, at the end
"#]],
        );
    }

    #[test]
    fn all_stages_problems_come_together() {
        refused(
            "read a | gzp | throttle | 'oops",
            str![[r#"
error: unknown stage `gzp`
  |
1 | read a | gzp | throttle | 'oops
  |          ^^^ did you mean `gzip`?

error: `throttle` needs RATE
  |
1 | read a | gzp | throttle | 'oops
  |                ^^^^^^^^ write `throttle RATE`

error: a quote `'` is never closed
  |
1 | read a | gzp | throttle | 'oops
  |                           ^ opened here
  |
  = help: close it, or write `\'` for the character itself
"#]],
        );
    }
}
