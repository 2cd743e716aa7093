//! How a stage is written, as a form to fill in: `throttle RATE`, `read PATH…`.

use super::{Definition, LINK_PARAMS, Param, Place};

/// All parameters of a stage: its own, then those that every stage that feeds a link takes.
pub fn all_params(def: &Definition) -> impl Iterator<Item = &'static Param> + use<> {
    let common = if def.role.feeds_a_link() { LINK_PARAMS } else { &[] };
    def.params.iter().chain(common)
}

/// The name and the words that belong to it without a `KEY=`, and those without which it cannot be: `throttle RATE`.
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
