//! Formats how a stage is written: `throttle RATE`, `read PATH…`.

use std::collections::HashSet;

use super::{Definition, Kind, LINK_PARAMS, Param, Place, Scheme};

/// All parameters of a stage: its own, those of its endpoints, and those of every stage that feeds a link. One that
/// means something else at another endpoint comes once.
pub fn all_params(def: &Definition) -> impl Iterator<Item = &'static Param> + use<> {
    let common = if def.role.feeds_a_link() { LINK_PARAMS } else { &[] };
    let mut names = HashSet::new();
    let places = of_places(def).map(|(_, param)| param);
    let places: Vec<&Param> = places.filter(|param| names.insert(param.name)).collect();
    def.params.iter().chain(places).chain(common)
}

/// The parameters that only some endpoints support, each with its endpoint.
pub fn of_places(def: &Definition) -> impl Iterator<Item = (&'static Scheme, &'static Param)> + use<> {
    let (role, params) = (def.role, def.params);
    let schemes = params.iter().flat_map(|param| match param.kind {
        Kind::Endpoint(schemes) => schemes,
        _ => &[],
    });
    schemes.flat_map(move |&scheme| {
        let params = scheme.access(role).into_iter().flat_map(|access| access.params);
        params.map(move |param| (scheme, param))
    })
}

/// The parameters that only some endpoints support, each with the forms of those endpoints.
#[must_use]
pub fn place_params(def: &Definition) -> Vec<(&'static Param, Vec<&'static str>)> {
    let mut found: Vec<(&Param, Vec<&str>)> = Vec::new();
    for (scheme, param) in of_places(def) {
        let same = |known: &Param| known.name == param.name && known.help == param.help;
        match found.iter_mut().find(|(known, _)| same(known)) {
            Some((_, forms)) => forms.push(scheme.form),
            None => found.push((param, vec![scheme.form])),
        }
    }
    found
}

/// All parameters under their headings: first the general ones, then those of the same endpoints together.
#[must_use]
pub fn headed_params(def: &Definition) -> Vec<(String, Vec<&'static Param>)> {
    let of_places = place_params(def);
    let is_general = |param: &&Param| !of_places.iter().any(|(known, _)| known.name == param.name);
    let general: Vec<&Param> = all_params(def).filter(is_general).collect();
    let mut groups = vec![("Parameters".to_owned(), general)];
    for (param, forms) in &of_places {
        let heading = format!("Parameters for {}", forms.join(", "));
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, params)) => params.push(*param),
            None => groups.push((heading, vec![*param])),
        }
    }
    groups.retain(|(_, params)| !params.is_empty());
    groups
}

/// The name with its positional and its required parameters: `throttle RATE`.
#[must_use]
pub fn positional_form(def: &Definition) -> String {
    let words = def
        .params
        .iter()
        .filter(|param| param.required || param.place.is_positional())
        .map(word_form);
    std::iter::once(def.name.to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// One parameter as it is written: `RATE`, `PATH…`, `[LEVEL]`, `[burst=SIZE]`.
pub(super) fn word_form(param: &Param) -> String {
    let word = match param.place {
        Place::Positional => param.name.to_uppercase(),
        Place::PositionalMany => param.name.to_uppercase() + "…",
        Place::Rest => param.name.to_uppercase() + " [ARG…]",
        Place::Groups => format!("({})…", param.kind.placeholder()),
        Place::Named | Place::NamedMany => format!("{}={}", param.name, param.kind.placeholder()),
    };
    if param.required { word } else { format!("[{word}]") }
}
