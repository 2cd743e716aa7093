//! Checks a whole script against a catalog: every call, including those in groups, and every stage's position.

use super::reading::read;
use super::unknown::unknown_stage;
use super::{Args, Build, Definition, Place, Role, positional_form};
use crate::error::Problem;
use crate::error::{brief, shown};
use crate::grammar::{Argument, Call, Form, Script, group_from_word};

/// A valid call, with the pipelines in it.
#[derive(Debug)]
pub struct Checked<'c> {
    /// Its stage.
    pub definition: &'c Definition,
    /// Its arguments.
    pub args: Args,
    /// The pipelines in it, in order.
    pub groups: Vec<Vec<Self>>,
    /// The same as they are written, for a stage that plans them itself.
    pub scripts: Vec<Script>,
    /// The whole call, pipelines included, as [`Args::normalised`] writes it.
    pub text: String,
}

/// Finds the stage of one call and checks its words.
///
/// # Errors
/// All problems of the call, at any position.
pub fn check<'c>(call: &Call, catalog: &[&'c Definition]) -> Result<(&'c Definition, Args), Vec<Problem>> {
    let roles = [Role::Source, Role::Transform, Role::Branch, Role::Sink];
    let def = find(call, catalog, &roles).map_err(|problem| vec![problem])?;
    Ok((def, read(call, def, &names(catalog))?))
}

/// Checks every call of a script and the order of its stages.
///
/// A script may lack stages that could not be read; the rest is still checked.
///
/// # Errors
/// All problems.
pub fn check_pipeline<'c>(script: &Script, catalog: &[&'c Definition]) -> Result<Vec<Checked<'c>>, Vec<Problem>> {
    let mut checker = Checker {
        catalog,
        names: names(catalog),
        form: script.form,
        text: &script.text,
        problems: Vec::new(),
    };
    let pipeline = checker.pipeline(&script.calls, None);
    if checker.problems.is_empty() {
        Ok(pipeline)
    } else {
        Err(checker.problems)
    }
}

/// How deep groups may be nested: deeper than any real pipeline, and within a thread's stack.
const DEEPEST: usize = 64;

struct Checker<'c, 'l> {
    catalog: &'l [&'c Definition],
    names: Vec<&'c str>,
    form: Form,
    text: &'l [u8],
    problems: Vec<Problem>,
}

/// The stage that a group belongs to, and its depth.
#[derive(Clone, Copy)]
struct Owner<'a> {
    call: &'a Call,
    depth: usize,
}

impl<'c> Checker<'c, '_> {
    /// Checks the stages of the main pipeline, or of a group of `owner`.
    fn pipeline(&mut self, calls: &[Call], owner: Option<Owner>) -> Vec<Checked<'c>> {
        let mut checked = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let is_first = index == 0 && owner.is_none();
            let is_last = index + 1 == calls.len();
            let def = match find(call, self.catalog, fitting(is_first, is_last, owner.is_some())) {
                Ok(def) => def,
                Err(problem) => {
                    self.problems.push(problem);
                    continue;
                }
            };
            self.problems.extend(match (def.role, owner) {
                (Role::Source, None) if !is_first => Some(late_source(call, def, &calls[0])),
                (Role::Source, Some(owner)) => Some(source_in_group(call, def, owner.call)),
                (Role::Sink, _) if !is_last => Some(early_sink(call, calls)),
                (_, Some(owner)) if is_last && !can_end_group(def) => Some(open_end(call, owner.call)),
                _ => None,
            });
            checked.extend(self.call(call, def, owner.map_or(0, |owner| owner.depth)));
        }
        checked
    }

    fn call(&mut self, call: &Call, def: &'c Definition, depth: usize) -> Option<Checked<'c>> {
        let call = &self.with_groups(call, def);
        let args = match read(call, def, &self.names) {
            Ok(args) => Some(args),
            Err(mut more) => {
                self.problems.append(&mut more);
                None
            }
        };
        let (mut groups, mut scripts) = (Vec::new(), Vec::new());
        for argument in &call.arguments {
            let Argument::Group(group) = argument else { continue };
            if !takes_groups(def) {
                continue;
            }
            if depth == DEEPEST {
                let problem = Problem::at(group.span.clone(), "groups are nested too deeply");
                self.problems
                    .push(problem.help(format!("at most {DEEPEST} levels are allowed")));
                continue;
            }
            let owner = Owner { call, depth: depth + 1 };
            groups.push(self.pipeline(&group.calls, Some(owner)));
            scripts.push(Script {
                text: self.text.to_vec(),
                form: self.form,
                calls: group.calls.clone(),
            });
        }
        Some(Checked {
            definition: def,
            args: args?,
            groups,
            scripts,
            text: shown(&call.normalised()),
        })
    }

    /// The call with its plain words as groups, if the shell's own words were given and its stage takes groups.
    fn with_groups(&mut self, call: &Call, def: &Definition) -> Call {
        let mut call = call.clone();
        if self.form == Form::Words && takes_groups(def) {
            for argument in &mut call.arguments {
                if let Argument::Positional(word) = argument {
                    let (group, problems) = group_from_word(word);
                    self.problems.extend(problems);
                    *argument = Argument::Group(group);
                }
            }
        }
        call
    }
}

fn takes_groups(def: &Definition) -> bool {
    def.params.iter().any(|param| param.place == Place::Groups)
}

/// Whether it has no output.
fn can_end_group(def: &Definition) -> bool {
    matches!(def.role, Role::Sink | Role::Branch) || matches!(def.build, Build::Anywhere { .. })
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

/// The roles that are possible at a position.
fn fitting(is_first: bool, is_last: bool, is_in_group: bool) -> &'static [Role] {
    match (is_first, is_last) {
        (true, true) => &[Role::Source, Role::Transform, Role::Branch, Role::Sink],
        (true, false) => &[Role::Source, Role::Transform, Role::Branch],
        (false, true) if is_in_group => &[Role::Branch, Role::Sink],
        (false, true) => &[Role::Transform, Role::Branch, Role::Sink],
        (false, false) => &[Role::Transform, Role::Branch],
    }
}

fn late_source(call: &Call, def: &Definition, first: &Call) -> Problem {
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

fn source_in_group(call: &Call, def: &Definition, owner: &Call) -> Problem {
    let owner = brief(&owner.name.bytes);
    Problem::at(call.span.clone(), format!("`{}` cannot be in `{owner}`", def.name))
        .label("a source takes no input")
        .help(format!("leave it out: what reaches `{owner}` goes into its pipelines"))
}

fn early_sink(call: &Call, calls: &[Call]) -> Problem {
    let last = calls.last().unwrap_or(call);
    let name = brief(&call.name.bytes);
    let help = if last.name.bytes == call.name.bytes {
        format!(
            "keep only one `{name}`, at the end, or write `tee ({})` here",
            brief(&call.normalised())
        )
    } else {
        format!("put it last, after `{}`", brief(&last.normalised()))
    };
    Problem::at(call.span.clone(), format!("`{name}` is not the last stage"))
        .label("a sink passes nothing on")
        .help(help)
}

fn open_end(call: &Call, owner: &Call) -> Problem {
    let message = format!("a pipeline in `{}` ends in a sink", brief(&owner.name.bytes));
    Problem::at(call.span.clone(), message)
        .label("this is not one")
        .help(format!(
            "say where it goes: `{} | write PATH`",
            brief(&call.normalised())
        ))
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
        let chain = check_pipeline(&script, CATALOG).unwrap();
        let names: Vec<_> = chain.iter().map(|checked| checked.definition.name).collect();
        assert_eq!(names, ["read", "gzip", "throttle", "write"]);
    }

    #[test]
    fn neither_end_is_needed() {
        assert!(check_pipeline(&parse(b"gzip").0, CATALOG).is_ok());
        assert!(check_pipeline(&parse(b"write a").0, CATALOG).is_ok());
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
    fn unknown_stage_lists_fitting_ones() {
        refused(
            "frob a | frobnicate | '' x",
            str![[r#"
error: unknown stage `frob`
  |
1 | frob a | frobnicate | '' x
  | ^^^^
  |
  = help: stages that are possible here: read, gzip, throttle, sum, tee, run

error: unknown stage `frobnicate`
  |
1 | frob a | frobnicate | '' x
  |          ^^^^^^^^^^
  |
  = help: stages that are possible here: gzip, throttle, sum, tee, run

error: unknown stage ``
  |
1 | frob a | frobnicate | '' x
  |                       ^^
  |
  = help: stages that are possible here: gzip, throttle, sum, tee, run, write
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
  = help: keep only one `write`, at the end, or write `tee (write a)` here
"#]],
        );
    }

    #[test]
    fn branches_are_checked_as_pipelines() {
        let checked = |text: &str| {
            let (script, problems) = parse(text.as_bytes());
            assert_eq!(problems, []);
            check_pipeline(&script, CATALOG).unwrap_or_else(|problems| panic!("{problems:?}"))
        };
        let pipeline = checked("read a | tee (gzip | tee (write b)) (write c) | write d");
        let tee = &pipeline[1];
        assert_eq!(tee.args.normalised(), "tee");
        assert_eq!(tee.text, "tee (gzip | tee (write b)) (write c)");
        assert_eq!(tee.groups.len(), 2);
        assert_eq!(tee.groups[0][1].groups[0][0].args.normalised(), "write b");
        let words = ["tee", "gzip | write b", "::", "write", "c"].map(std::ffi::OsString::from);
        let (script, _) = crate::grammar::from_words(&words);
        let pipeline = check_pipeline(&script, CATALOG).unwrap();
        assert_eq!(pipeline[0].text, "tee (gzip | write b)");
    }

    #[test]
    fn errors_in_branches_point_into_them() {
        refused(
            "tee (read a | write b) (gzip) (write c | gzip | write d)",
            str![[r#"
error: `read` cannot be in `tee`
  |
1 | tee (read a | write b) (gzip) (write c | gzip | write d)
  |      ^^^^^^ a source takes no input
  |
  = help: leave it out: what reaches `tee` goes into its pipelines

error: a pipeline in `tee` ends in a sink
  |
1 | tee (read a | write b) (gzip) (write c | gzip | write d)
  |                         ^^^^ this is not one
  |
  = help: say where it goes: `gzip | write PATH`

error: `write` is not the last stage
  |
1 | tee (read a | write b) (gzip) (write c | gzip | write d)
  |                                ^^^^^^^ a sink passes nothing on
  |
  = help: keep only one `write`, at the end, or write `tee (write c)` here
"#]],
        );
        refused(
            "tee write a",
            str![[r#"
error: `tee` does not take `write`
  |
1 | tee write a
  |     ^^^^^ a pipeline is expected
  |
  = help: write it in parentheses: `tee (PIPELINE)…`
"#]],
        );
        refused(
            "tee | gzip (write b)",
            str![[r#"
error: `tee` needs (PIPELINE)…
  |
1 | tee | gzip (write b)
  | ^^^ write `tee (PIPELINE)…`

error: `gzip` takes no pipeline
  |
1 | tee | gzip (write b)
  |            ^^^^^^^^^ not quoted
  |
  = help: parentheses that belong to a word are quoted: write `'…'` around them
"#]],
        );
        refused(
            "tee (gzp | write b) branch=x",
            str![[r#"
error: unknown stage `gzp`
  |
1 | tee (gzp | write b) branch=x
  |      ^^^ did you mean `gzip`?

error: `branch` cannot be `x`: it is not in parentheses
  |
1 | tee (gzp | write b) branch=x
  |                            ^
  |
  = help: a pipeline is written in parentheses: `(gzip | write a.gz)`
"#]],
        );
    }

    #[test]
    fn rest_parameter_accepts_anything() {
        let (script, _) = parse(b"run env=A=b env=C=d tar if=x -x -- level='1 2'");
        let (_, args) = check(&script.calls[0], CATALOG).unwrap();
        assert_eq!(
            args.words("program"),
            [&b"tar"[..], b"if=x", b"-x", b"--", b"level=1 2"]
        );
        assert_eq!(args.words("env"), [b"A=b", b"C=d"]);
        refused(
            "run grep (a|b)",
            str![[r#"
error: `run` takes no pipeline
  |
1 | run grep (a|b)
  |          ^^^^^ not quoted
  |
  = help: parentheses that belong to a word are quoted: write `'…'` around them
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
