//! Reads the words of a call into [`Args`], or reports all problems.

use std::collections::HashSet;
use std::ops::Range;

use super::arguments::{Args, Entry};
use super::form::{all_params, of_places, place_params, positional_form};
use super::kind::{Kind, Value};
use super::unknown::nearest;
use super::{Definition, LINK_PARAMS, Param, Place, Scheme};
use crate::error::Problem;
use crate::error::{brief, shown};
use crate::grammar::{Argument, Call, Group, Word, quote_value};

/// Reads the words of `call`, whose stage is `def`. `stages` are the names of all stages, to detect one that was
/// written without a separator before it.
///
/// # Errors
/// All problems, in no order.
pub(super) fn read(call: &Call, def: &Definition, stages: &[&str]) -> Result<Args, Vec<Problem>> {
    let (own, is_misnamed) = params_of_places(call, def);
    let params = all_params(def).map(|param| own.iter().find(|own| own.name == param.name).copied().unwrap_or(param));
    let params: Vec<&'static Param> = params.collect();
    let mut reading = Reading {
        def,
        entries: params.iter().map(|param| Entry::of(param)).collect(),
        params,
        problems: Vec::new(),
        is_misnamed,
        has_unknown_key: false,
        has_explained_extra: false,
    };
    let mut last: Option<(&'static Param, &Word)> = None;
    let is_word = |param: &&Param| param.place.is_positional() && param.place != Place::Groups;
    let mut places = def.params.iter().filter(is_word).peekable();
    let mut arguments = call.arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument {
            Argument::Group(group) => reading.group(group),
            Argument::Positional(word) if places.peek().is_some_and(|param| param.place == Place::Rest) => {
                let param = places.next().unwrap_or(&def.params[0]);
                reading.value(param, word, &word.span);
                arguments.by_ref().for_each(|argument| reading.rest(param, argument));
            }
            Argument::Named { key, value, span } => reading.named(key, value, span),
            Argument::Positional(word) => match places.peek().copied() {
                Some(param) => {
                    reading.value(param, word, &word.span);
                    last = Some((param, word));
                    if param.place == Place::Positional {
                        places.next();
                    }
                }
                None => reading.extra(word, last, stages),
            },
        }
    }
    reading.finish(call)
}

/// The parameters of the endpoints that the call names: one of the same name may be something else at another endpoint.
fn params_of_places(call: &Call, def: &Definition) -> (Vec<&'static Param>, bool) {
    let mut params = Vec::new();
    let mut is_misnamed = false;
    for param in def.params {
        let Kind::Endpoint(schemes @ [_, ..]) = param.kind else {
            continue;
        };
        let names = call.arguments.iter().filter_map(|argument| match argument {
            Argument::Positional(word) => Some(word),
            Argument::Named { key, value, .. } => (key.bytes == param.name.as_bytes()).then_some(value),
            Argument::Group(_) => None,
        });
        for name in names {
            match Scheme::find(schemes, &name.bytes) {
                Ok((scheme, _)) => params.extend(scheme.access(def.role).iter().flat_map(|access| access.params)),
                Err(_) => is_misnamed = true,
            }
        }
    }
    (params, is_misnamed)
}

struct Reading<'d> {
    def: &'d Definition,
    params: Vec<&'static Param>,
    /// One for each of `params`, in the same order.
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    /// Whether the scheme of a place is unknown, which is a problem of its own: then so are its parameters.
    is_misnamed: bool,
    has_unknown_key: bool,
    /// Whether a superfluous word was explained: then the words behind it belong to it.
    has_explained_extra: bool,
}

impl Reading<'_> {
    /// Takes a pipeline in parentheses, if the stage has any.
    fn group(&mut self, group: &Group) {
        let groups = self.params.iter().position(|param| param.place == Place::Groups);
        if let Some(index) = groups {
            self.entries[index].span.get_or_insert_with(|| group.span.clone());
            return;
        }
        // What is missing may be what stands in the parentheses.
        self.has_unknown_key = true;
        let problem = Problem::at(group.span.clone(), format!("`{}` takes no pipeline", self.def.name));
        let help = "parentheses that belong to a word are quoted: write `'…'` around them";
        self.problems.push(problem.label("not quoted").help(help));
    }

    /// Takes an argument for a parameter that accepts all that follow, whatever they contain.
    fn rest(&mut self, param: &'static Param, argument: &Argument) {
        match argument {
            Argument::Positional(word) => self.value(param, word, &word.span),
            Argument::Named { key, value, span } => {
                let bytes = [&key.bytes[..], b"=", &value.bytes].concat();
                let span = span.clone();
                self.value(
                    param,
                    &Word {
                        bytes,
                        span: span.clone(),
                    },
                    &span,
                );
            }
            Argument::Group(group) => self.group(group),
        }
    }

    fn named(&mut self, key: &Word, value: &Word, span: &Range<usize>) {
        let name = shown(&key.bytes);
        match self.params.iter().copied().find(|param| param.name == name) {
            Some(param) => self.value(param, value, span),
            None => self.unknown_key(&name, key, value),
        }
    }

    /// Takes `word` for `param`; `whole` is the word with its `KEY=`.
    fn value(&mut self, param: &'static Param, word: &Word, whole: &Range<usize>) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == param.name) else {
            return;
        };
        if entry.span.is_some() && !param.place.is_repeatable() {
            self.problems
                .push(Problem::at(whole.clone(), format!("`{}` is given twice", param.name)).label("the second time"));
            return;
        }
        // Also if it cannot be read: it was given, so it is not missing as well.
        entry.span.get_or_insert_with(|| word.span.clone());
        match param.kind.read(&word.bytes) {
            Ok(value) => entry.values.push(value),
            Err(misread) => {
                let text = brief(&word.bytes);
                let message = format!("`{}` cannot be `{text}`: {}", param.name, misread.message);
                // An empty value has no span to point at but its KEY=.
                let span = if word.span.is_empty() { whole } else { &word.span };
                let problem = Problem::at(span.clone(), message);
                self.problems.push(match misread.suggestion {
                    Some(suggestion) => problem.label(format!("did you mean `{suggestion}`?")),
                    None => problem.help(param.kind.how()),
                });
            }
        }
    }

    fn unknown_key(&mut self, name: &str, key: &Word, value: &Word) {
        self.has_unknown_key = true;
        if self.is_misnamed {
            return;
        }
        let message = format!("`{}` has no parameter `{}`", self.def.name, brief(&key.bytes));
        let mut problem = Problem::at(key.span.clone(), message);
        let near = nearest(name, self.params.iter().map(|param| param.name));
        if let Some(near) = near {
            problem = problem.label(format!("did you mean `{near}`?"));
        }
        let help = if LINK_PARAMS.iter().any(|param| param.name == name) {
            Some("marks belong to the stage before, which feeds the link".to_owned())
        } else if let Some(help) = self.meant_as_a_file(key, value) {
            Some(help)
        } else {
            let takes = || self.condition_form().unwrap_or_else(|| self.what_it_takes());
            near.is_none().then(takes)
        };
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// How to write `KEY=value` as an endpoint, if the stage accepts one as a plain word.
    fn meant_as_a_file(&self, key: &Word, value: &Word) -> Option<String> {
        let mut params = self.def.params.iter();
        let param = params.find(|param| matches!(param.kind, Kind::Endpoint(_)) && param.place.is_positional())?;
        let file = [&key.bytes[..], b"=", &value.bytes].concat();
        let named = shown(&quote_value(&file));
        let dotted = shown(&quote_value(&[b"./", &file[..]].concat()));
        let name = param.name;
        Some(format!("for a file of that name write `{dotted}` or `{name}={named}`"))
    }

    /// Reports a word that no parameter accepts. `last` is the accepted positional word before it.
    fn extra(&mut self, word: &Word, last: Option<(&'static Param, &Word)>, stages: &[&str]) {
        if self.has_explained_extra {
            return;
        }
        let message = format!("`{}` does not take `{}`", self.def.name, brief(&word.bytes));
        let problem = Problem::at(word.span.clone(), message);
        let text = shown(&word.bytes);
        if self.params.iter().any(|param| param.place == Place::Groups) {
            self.has_explained_extra = true;
            // The pipeline was given, if in the wrong form.
            self.has_unknown_key = true;
            let help = format!("write it in parentheses: `{}`", positional_form(self.def));
            self.problems.push(problem.label("a pipeline is expected").help(help));
        } else if stages.contains(&text.as_str()) {
            self.has_explained_extra = true;
            let help = format!("`{text}` is a stage: put `|` before it, or `::` among the shell's own words");
            self.problems.push(problem.label("no separator before it").help(help));
        } else if let Some(meant) = self.meant_as_a_parameter(&text, last) {
            self.has_explained_extra = true;
            self.problems.push(problem.label(format!("did you mean `{meant}`?")));
        } else if text.starts_with("--") {
            self.has_explained_extra = true;
            let help = "options of highwater go before the pipeline, or behind its closing quote";
            self.problems.push(problem.label("no stage has options").help(help));
        } else if let Some(help) = self.condition_form() {
            self.has_explained_extra = true;
            self.problems.push(problem.label("one word too many").help(help));
        } else {
            let help = self.what_it_takes();
            self.problems.push(problem.label("one word too many").help(help));
        }
    }

    /// Recognises a parameter in the style of other programs: `-9`, `--level=9`, `level = 9`, `1 MB/s`.
    fn meant_as_a_parameter(&self, text: &str, last: Option<(&'static Param, &Word)>) -> Option<String> {
        if let Some((param, word)) = last
            && !matches!(param.kind, Kind::Endpoint(_) | Kind::Text)
        {
            let joined = shown(&word.bytes) + text;
            let is_unit = text.starts_with(|c: char| c.is_ascii_alphabetic());
            if is_unit && param.kind.read(joined.as_bytes()).is_ok() {
                return Some(joined);
            }
        }
        let (name, value) = text.trim_start_matches('-').split_once('=').map_or_else(
            || (text.trim_start_matches('-'), None),
            |(name, value)| (name, Some(value)),
        );
        if let Some(param) = self.params.iter().find(|param| param.name == name) {
            let value = value.map_or_else(|| param.kind.placeholder(), str::to_owned);
            return Some(format!("{name}={value}"));
        }
        let takes = |number: &str| {
            let mut numbers = self.def.params.iter();
            let first = numbers.find(|param| matches!(param.kind, Kind::Integer { .. }))?;
            let is_taken = first.kind.read(number.as_bytes()).is_ok();
            is_taken.then(|| format!("{}={number}", first.name))
        };
        takes(name)
    }

    /// How the condition of a stage is written, if it takes one.
    fn condition_form(&self) -> Option<String> {
        let mut params = self.def.params.iter();
        params.find(|param| param.name == "condition")?;
        Some(format!(
            "a condition is one word, as in `{} \"level == error\"`",
            self.def.name
        ))
    }

    fn what_it_takes(&self) -> String {
        let names: Vec<&str> = self.params.iter().map(|param| param.name).collect();
        match names.as_slice() {
            [] => format!("`{}` takes no parameters", self.def.name),
            names => format!(
                "it is written `{}`; its parameters: {}",
                positional_form(self.def),
                names.join(", ")
            ),
        }
    }

    fn finish(mut self, call: &Call) -> Result<Args, Vec<Problem>> {
        self.fill_defaults();
        self.check_missing(call);
        self.check_marks();
        self.check_places();
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        Ok(Args {
            stage: self.def.name,
            role: self.def.role,
            entries: self.entries,
            span: call.span.clone(),
            pipelines: call
                .arguments
                .iter()
                .filter(|argument| matches!(argument, Argument::Group(_)))
                .count(),
            text: shown(&call.without_groups().normalised()),
            state_limit: u64::MAX,
        })
    }

    fn fill_defaults(&mut self) {
        for (param, entry) in self.params.iter().zip(&mut self.entries) {
            let Some(default) = param.default.filter(|_| entry.span.is_none()) else {
                continue;
            };
            let value = param.kind.read(default.as_bytes());
            entry.values.push(value.unwrap_or_else(|misread| {
                panic!(
                    "the default of `{}` in stage `{}`: {misread}",
                    param.name, self.def.name
                )
            }));
        }
    }

    fn check_missing(&mut self, call: &Call) {
        // The missing parameter may be the one with the wrong key, which was reported.
        if self.has_unknown_key {
            return;
        }
        let missing: Vec<String> = self
            .params
            .iter()
            .zip(&self.entries)
            .filter(|(param, entry)| param.required && entry.span.is_none() && entry.values.is_empty())
            .map(|(param, _)| super::form::word_form(param))
            .collect();
        if !missing.is_empty() {
            let message = format!("`{}` needs {}", self.def.name, missing.join(" and "));
            let problem = Problem::at(call.name.span.clone(), message);
            let problem = problem.label(format!("write `{}`", positional_form(self.def)));
            self.problems.push(match self.condition_form() {
                Some(help) => problem.help(help),
                None => problem,
            });
        }
    }

    /// Refuses parameters that none of the given endpoints supports, and removes the defaults of those.
    fn check_places(&mut self) {
        let (mut supported, mut used): (Vec<&str>, Vec<&str>) = Default::default();
        for (param, entry) in self.params.iter().zip(&self.entries) {
            let Kind::Endpoint(schemes) = param.kind else { continue };
            let names = entry.values.iter().filter_map(|value| match value {
                Value::Endpoint(name) if !schemes.is_empty() => Some(name),
                _ => None,
            });
            for name in names {
                let span = entry.span.clone().unwrap_or_default();
                match Scheme::find(schemes, name).map(|(scheme, _)| (scheme, scheme.access(self.def.role))) {
                    Ok((scheme, Some(access))) => {
                        supported.extend(access.params.iter().map(|param| param.name));
                        used.push(scheme.form);
                    }
                    Ok((scheme, None)) => {
                        let message = format!("`{}` cannot {} {}", self.def.name, self.def.name, scheme.form);
                        self.problems.push(Problem::at(span, message));
                    }
                    Err(wrong) => self.problems.push(Problem::at(span, wrong.message).help(wrong.help)),
                }
            }
        }
        if !self.problems.is_empty() {
            return;
        }
        used.dedup();
        let unsupported: HashSet<&str> = of_places(self.def)
            .map(|(_, param)| param.name)
            .filter(|name| !supported.contains(name))
            .collect();
        self.entries.retain(|entry| {
            let is_supported = !unsupported.contains(entry.name);
            if let (false, Some(span)) = (is_supported, entry.span.clone()) {
                let places = place_params(self.def);
                let forms = places.iter().find(|(param, _)| param.name == entry.name);
                let forms = forms.map_or(&[][..], |(_, forms)| forms);
                let message = format!("{} does not support `{}`", used.join(", "), entry.name);
                let help = format!("leave it out; it is for {}", forms.join(", "));
                self.problems.push(Problem::at(span, message).help(help));
            }
            is_supported
        });
    }

    /// Checks the marks of a link: at least a byte each, and low below high.
    fn check_marks(&mut self) {
        if !self.def.role.feeds_a_link() {
            return;
        }
        let mark = |name: &str| {
            let entry = self.entries.iter().find(|entry| entry.name == name)?;
            let value = match entry.values.first()? {
                Value::Size(bytes) => *bytes,
                Value::Integer(records) => u64::try_from(*records).ok()?,
                _ => return None,
            };
            Some((value, entry.span.clone()?))
        };
        let mut problems = Vec::new();
        for (high_name, low_name) in [("high", "low"), ("high-records", "low-records")] {
            match (mark(high_name), mark(low_name)) {
                (Some((0, span)), _) => problems.push(Problem::at(span, format!("`{high_name}` is at least one byte"))),
                (Some((high, _)), Some((low, span))) if low >= high => problems.push(
                    Problem::at(span, format!("`{low_name}` is not below `{high_name}`")).help(format!(
                        "a full link resumes once it has fallen to `{low_name}`; half of `{high_name}` is a good choice"
                    )),
                ),
                (None, Some((_, span))) if low_name == "low-records" => problems.push(
                    Problem::at(span, "`low-records` is nothing without `high-records`")
                        .help("give high-records= as well"),
                ),
                _ => {}
            }
        }
        self.problems.append(&mut problems);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::refused;
    use snapbox::str;

    #[test]
    fn an_unknown_key_suggests_a_near_one() {
        refused(
            "sum 1 levle=9",
            str![[r#"
error: `sum` has no parameter `levle`
  |
1 | sum 1 levle=9
  |       ^^^^^ did you mean `level`?
"#]],
        );
        refused(
            "sum 1 colour=9",
            str![[r#"
error: `sum` has no parameter `colour`
  |
1 | sum 1 colour=9
  |       ^^^^^^
  |
  = help: it is written `sum SIZE`; its parameters: size, rate, wait, label, quiet, level, algo, high, low, high-records, low-records
"#]],
        );
    }

    #[test]
    fn unknown_key_may_be_a_file_name() {
        refused(
            "read a=b",
            str![[r#"
error: `read` has no parameter `a`
  |
1 | read a=b
  |      ^
  |
  = help: for a file of that name write `./a=b` or `path=a=b`
"#]],
        );
        refused(
            "read 'x' hihg='b c'",
            str![[r#"
error: `read` has no parameter `hihg`
  |
1 | read 'x' hihg='b c'
  |          ^^^^ did you mean `high`?
  |
  = help: for a file of that name write `'./hihg=b c'` or `path='hihg=b c'`
"#]],
        );
    }

    #[test]
    fn a_missing_word_is_named() {
        refused(
            "throttle",
            str![[r#"
error: `throttle` needs RATE
  |
1 | throttle
  | ^^^^^^^^ write `throttle RATE`
"#]],
        );
        refused(
            "throttle burst=1K",
            str![[r#"
error: `throttle` needs RATE
  |
1 | throttle burst=1K
  | ^^^^^^^^ write `throttle RATE`
"#]],
        );
        refused(
            "read",
            str![[r#"
error: `read` needs PATH…
  |
1 | read
  | ^^^^ write `read PATH…`
"#]],
        );
    }

    #[test]
    fn a_word_too_many_is_marked() {
        refused(
            "throttle 1K 2K",
            str![[r#"
error: `throttle` does not take `2K`
  |
1 | throttle 1K 2K
  |             ^^ one word too many
  |
  = help: it is written `throttle RATE`; its parameters: rate, burst, high, low, high-records, low-records
"#]],
        );
    }

    #[test]
    fn extra_word_may_be_a_foreign_parameter() {
        for (text, meant) in [
            ("sum 1 -9", "level=9"),
            ("sum 1 9", "level=9"),
            ("sum 1 --level=9", "level=9"),
            ("sum 1 --level 9", "level=1..9"),
            ("sum 1 level = 9", "level=1..9"),
            ("throttle 1 MB/s", "1MB/s"),
        ] {
            let problems = problems(text);
            let labels: Vec<Option<&str>> = problems.iter().map(|problem| problem.label.as_deref()).collect();
            assert_eq!(labels, [Some(format!("did you mean `{meant}`?").as_str())], "{text}");
        }
    }

    #[test]
    fn extra_word_may_be_a_stage() {
        refused(
            "throttle 1K write x",
            str![[r#"
error: `throttle` does not take `write`
  |
1 | throttle 1K write x
  |             ^^^^^ no separator before it
  |
  = help: `write` is a stage: put `|` before it, or `::` among the shell's own words
"#]],
        );
        refused(
            "throttle 1K --memory 4MiB",
            str![[r#"
error: `throttle` does not take `--memory`
  |
1 | throttle 1K --memory 4MiB
  |             ^^^^^^^^ no stage has options
  |
  = help: options of highwater go before the pipeline, or behind its closing quote
"#]],
        );
    }

    fn problems(text: &str) -> Vec<crate::error::Problem> {
        let (script, _) = crate::grammar::parse(text.as_bytes());
        super::super::check_pipeline(&script, super::super::sample::CATALOG).expect_err("is refused")
    }

    #[test]
    fn a_parameter_is_given_once() {
        refused(
            "throttle 1K rate=2K",
            str![[r#"
error: `rate` is given twice
  |
1 | throttle 1K rate=2K
  |             ^^^^^^^ the second time
"#]],
        );
        refused(
            "sum 1 level=1 level=2",
            str![[r#"
error: `level` is given twice
  |
1 | sum 1 level=1 level=2
  |               ^^^^^^^ the second time
"#]],
        );
    }

    #[test]
    fn bad_size_or_rate_gets_a_suggestion() {
        refused(
            "throttle 8Mb/s",
            str![[r#"
error: `rate` cannot be `8Mb/s`: `Mb` is neither bits (`Mbit`) nor bytes (`MB`)
  |
1 | throttle 8Mb/s
  |          ^^^^^ did you mean `8Mbit/s`?
"#]],
        );
        refused(
            "sum 1mb",
            str![[r#"
error: `size` cannot be `1mb`: there is no unit `mb`
  |
1 | sum 1mb
  |     ^^^ did you mean `1MB`?
"#]],
        );
        refused(
            "sum lots",
            str![[r#"
error: `size` cannot be `lots`: a size begins with a digit
  |
1 | sum lots
  |     ^^^^
  |
  = help: a size is bytes: 512, 64K or 64KiB (powers of 1024), 10MB (powers of 1000)
"#]],
        );
    }

    #[test]
    fn bad_duration_gets_a_suggestion() {
        refused(
            "sum 1 wait=5",
            str![[r#"
error: `wait` cannot be `5`: a duration needs a unit
  |
1 | sum 1 wait=5
  |            ^ did you mean `5s`?
"#]],
        );
        refused(
            "sum 1 wait=soon",
            str![[r#"
error: `wait` cannot be `soon`: a duration begins with a digit
  |
1 | sum 1 wait=soon
  |            ^^^^
  |
  = help: a duration is a number with ns, us, ms, s, m, h or d: 500ms, 5s, 1h30m
"#]],
        );
    }

    #[test]
    fn bad_number_or_choice_gets_a_suggestion() {
        refused(
            "sum 1 level=11",
            str![[r#"
error: `level` cannot be `11`: the most is 9
  |
1 | sum 1 level=11
  |             ^^ did you mean `9`?
"#]],
        );
        refused(
            "sum 1 level=high",
            str![[r#"
error: `level` cannot be `high`: it is not a whole number
  |
1 | sum 1 level=high
  |             ^^^^
  |
  = help: a whole number is expected: 1..9
"#]],
        );
        refused(
            "sum 1 quiet=on",
            str![[r#"
error: `quiet` cannot be `on`: it is neither true nor false
  |
1 | sum 1 quiet=on
  |             ^^ did you mean `true`?
"#]],
        );
        refused(
            "sum 1 quiet=maybe",
            str![[r#"
error: `quiet` cannot be `maybe`: it is neither true nor false
  |
1 | sum 1 quiet=maybe
  |             ^^^^^
  |
  = help: a flag is true or false
"#]],
        );
        refused(
            "sum 1 algo=sha265",
            str![[r#"
error: `algo` cannot be `sha265`: there is no such choice
  |
1 | sum 1 algo=sha265
  |            ^^^^^^ did you mean `sha256`?
"#]],
        );
        refused(
            "sum 1 algo=md5",
            str![[r#"
error: `algo` cannot be `md5`: there is no such choice
  |
1 | sum 1 algo=md5
  |            ^^^
  |
  = help: it is one of crc32, sha256
"#]],
        );
    }

    #[test]
    fn nothing_is_no_value() {
        refused(
            "read ''",
            str![[r#"
error: `path` cannot be ``: it is empty
  |
1 | read ''
  |      ^^
  |
  = help: an endpoint is a path, `-`, or a URL
"#]],
        );
        refused(
            "read path=",
            str![[r#"
error: `path` cannot be ``: it is empty
  |
1 | read path=
  |      ^^^^^
  |
  = help: an endpoint is a path, `-`, or a URL
"#]],
        );
        refused(
            "sum ''",
            str![[r#"
error: `size` cannot be ``: a size is expected
  |
1 | sum ''
  |     ^^
  |
  = help: a size is bytes: 512, 64K or 64KiB (powers of 1024), 10MB (powers of 1000)
"#]],
        );
    }

    #[test]
    fn marks_are_ordered_and_not_nothing() {
        refused(
            "gzip high=1K low=1K",
            str![[r#"
error: `low` is not below `high`
  |
1 | gzip high=1K low=1K
  |                  ^^
  |
  = help: a full link resumes once it has fallen to `low`; half of `high` is a good choice
"#]],
        );
        refused(
            "gzip high=0",
            str![[r#"
error: `high` is at least one byte
  |
1 | gzip high=0
  |           ^
"#]],
        );
    }

    #[test]
    fn a_sink_takes_no_marks() {
        refused(
            "write a high=1K",
            str![[r#"
error: `write` has no parameter `high`
  |
1 | write a high=1K
  |         ^^^^
  |
  = help: marks belong to the stage before, which feeds the link
"#]],
        );
    }

    #[test]
    fn everything_wrong_with_a_call_is_told() {
        refused(
            "throttle 1mb burst=x foo=1 2",
            str![[r#"
error: `rate` cannot be `1mb`: there is no unit `mb`
  |
1 | throttle 1mb burst=x foo=1 2
  |          ^^^ did you mean `1MB`?

error: `burst` cannot be `x`: a size begins with a digit
  |
1 | throttle 1mb burst=x foo=1 2
  |                    ^
  |
  = help: a size is bytes: 512, 64K or 64KiB (powers of 1024), 10MB (powers of 1000)

error: `throttle` has no parameter `foo`
  |
1 | throttle 1mb burst=x foo=1 2
  |                      ^^^
  |
  = help: it is written `throttle RATE`; its parameters: rate, burst, high, low, high-records, low-records

error: `throttle` does not take `2`
  |
1 | throttle 1mb burst=x foo=1 2
  |                            ^ one word too many
  |
  = help: it is written `throttle RATE`; its parameters: rate, burst, high, low, high-records, low-records
"#]],
        );
    }
}
