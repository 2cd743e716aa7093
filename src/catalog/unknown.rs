//! Names that nobody knows: the nearest that is known, or all there are.

use super::{Role, StageDef};
use crate::error::Problem;
use crate::error::brief;
use crate::grammar::Word;

/// The name nearest to `given`, if it is near: every third letter may be wrong, one at least; case does not count.
pub(super) fn nearest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, name), name))
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
/// If there is none: a sentence that names the nearest, or all.
pub fn find_by_name<'c, B>(name: &str, catalog: &[&'c StageDef<B>]) -> Result<&'c StageDef<B>, String> {
    catalog.iter().find(|def| def.name == name).copied().ok_or_else(|| {
        let names = catalog.iter().map(|def| def.name);
        let hint = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
        };
        format!("unknown stage `{}`: {hint}", brief(name.as_bytes()))
    })
}

/// The problem of a stage that is not in the catalog. Where no name is near, those of `roles` are listed.
pub(super) fn unknown_stage<B>(name: &Word, catalog: &[&StageDef<B>], roles: &[Role]) -> Problem {
    let text = brief(&name.bytes);
    let problem = Problem::at(name.span.clone(), format!("unknown stage `{text}`"));
    if let Some(near) = nearest(&text, catalog.iter().map(|def| def.name)) {
        return problem.label(format!("did you mean `{near}`?"));
    }
    let fitting: Vec<&str> = catalog
        .iter()
        .filter(|def| roles.contains(&def.role))
        .map(|def| def.name)
        .collect();
    if fitting.is_empty() {
        return problem;
    }
    problem.help(format!("stages that can stand here: {}", fitting.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let names = ["gzip", "gunzip", "throttle", "take"];
        for (given, found) in [
            ("gzp", Some("gzip")),
            ("GZIP", Some("gzip")),
            ("unzip", Some("gunzip")),
            ("thotle", Some("throttle")),
            ("tkae", Some("take")),
            ("copy", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, names), found, "{given}");
        }
    }
}
