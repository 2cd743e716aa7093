//! Unknown names: suggests the nearest one, or lists all.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{Definition, Place, Role};
use crate::error::Problem;
use crate::error::brief;
use crate::grammar::Word;
use crate::platform::find_program;

/// The name nearest to `given`, if it is near: every third letter may be wrong, but at least one; case does not count.
/// Otherwise the only name that begins with `given`.
#[must_use]
pub fn nearest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_lowercase();
    let names: Vec<&str> = names.into_iter().collect();
    similar(&given, &names).or_else(|| begun(&given, &names))
}

/// The one name that begins with `given`; a single letter is not enough.
fn begun<'n>(given: &str, names: &[&'n str]) -> Option<&'n str> {
    let mut longer = names.iter().filter(|name| given.len() > 1 && name.starts_with(given));
    let first = longer.next()?;
    longer.next().is_none().then_some(first)
}

fn similar<'n>(given: &str, names: &[&'n str]) -> Option<&'n str> {
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), *name))
        .filter(|(distance, name)| {
            let longer = given.chars().count().max(name.len());
            // One letter in a name of one or two would match almost anything.
            *distance == 0 || (longer > 2 && *distance <= (longer / 3).max(1))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The definition of the stage `name`.
///
/// # Errors
/// If there is none, with a sentence that names the nearest, or all.
pub fn find_by_name<'c>(name: &str, catalog: &[&'c Definition]) -> Result<&'c Definition, String> {
    catalog.iter().find(|def| def.name == name).copied().ok_or_else(|| {
        let names = catalog.iter().map(|def| def.name);
        let hint = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
        };
        format!("unknown stage `{}`: {hint}", brief(name.as_bytes()))
    })
}

/// The problem of an unknown stage. If no name is near, those of `roles` are listed.
pub(super) fn unknown_stage(name: &Word, catalog: &[&Definition], roles: &[Role]) -> Problem {
    let text = brief(&name.bytes);
    let mut problem = Problem::at(name.span.clone(), format!("unknown stage `{text}`"));
    let runs = catalog.iter().find(|def| runs_programs(def) && is_program(&name.bytes));
    if let Some(runs) = runs {
        problem = problem.help(format!("for the program write `{} {text} …`", runs.name));
    }
    if let Some((stage, value)) = text.split_once('=')
        && let Some(near) = nearest(stage, catalog.iter().map(|def| def.name))
    {
        return problem.label(format!("did you mean `{near} {value}`?"));
    }
    if let Some(near) = nearest(&text, catalog.iter().map(|def| def.name)) {
        return problem.label(format!("did you mean `{near}`?"));
    }
    if runs.is_some() {
        return problem;
    }
    if text.contains(['.', '/'])
        && let Some(end) = catalog
            .iter()
            .find(|def| matches!(def.role, Role::Source | Role::Sink) && roles.contains(&def.role))
    {
        return problem.help(format!("a stage comes first; for the file write `{} {text}`", end.name));
    }
    let fitting: Vec<&str> = catalog
        .iter()
        .filter(|def| roles.contains(&def.role))
        .map(|def| def.name)
        .collect();
    if fitting.is_empty() {
        return problem;
    }
    problem.help(format!("stages that are possible here: {}", fitting.join(", ")))
}

fn runs_programs(def: &Definition) -> bool {
    def.params.iter().any(|param| param.place == Place::Rest)
}

/// Whether a shell would run something of that name.
fn is_program(name: &[u8]) -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    find_program(OsStr::from_bytes(name), None, &search).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_in_place_of_stage_suggests_read() {
        let told = |text: &str| {
            let (script, _) = crate::grammar::parse(text.as_bytes());
            let problems =
                super::super::check_pipeline(&script, super::super::sample::CATALOG).expect_err("is refused");
            problems.into_iter().find_map(|problem| problem.help.or(problem.label))
        };
        let file = "a stage comes first; for the file write";
        assert_eq!(told("a.iso | write b"), Some(format!("{file} `read a.iso`")));
        assert_eq!(told("read a | ./b"), Some(format!("{file} `write ./b`")));
        assert_eq!(
            told("throttle=1K | write b"),
            Some("did you mean `throttle 1K`?".to_owned())
        );
    }

    #[test]
    fn a_program_where_a_stage_stands_is_told_its_stage() {
        let told = |text: &str| {
            let (script, _) = crate::grammar::parse(text.as_bytes());
            let problems =
                super::super::check_pipeline(&script, super::super::sample::CATALOG).expect_err("is refused");
            problems.into_iter().next().map(|problem| (problem.label, problem.help))
        };
        let run = |name: &str| Some(format!("for the program write `run {name} …`"));
        assert_eq!(told("read a | cat -n | write b"), Some((None, run("cat"))));
        assert_eq!(told("read a | /bin/sh x | write b"), Some((None, run("/bin/sh"))));
        let near = Some("did you mean `read`?".to_owned());
        assert_eq!(told("head -c 5 | write b"), Some((near, run("head"))));
    }

    #[test]
    fn near_names_are_found() {
        let names = ["gzip", "gunzip", "throttle", "take"];
        for (given, found) in [
            ("gzp", Some("gzip")),
            ("GZIP", Some("gzip")),
            ("unzip", Some("gunzip")),
            ("thotle", Some("throttle")),
            ("tkae", Some("take")),
            ("gz", Some("gzip")),
            ("g", None),
            ("t", None),
            ("copy", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, names), found, "{given}");
        }
    }
}
