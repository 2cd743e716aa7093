//! The manual pages: one for the program, with a section for each stage, and one for each subcommand.

use std::io;

use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use crate::catalog::{Definition, Param, Place, Topic, all_params, headed_params};
use crate::cli::{help, options};
use crate::endpoints::SCHEMES;
use crate::plan;
use crate::view::live::{KEYS, NO_KEYS};

/// All pages.
pub fn pages() -> io::Result<Vec<super::Generated>> {
    let mut command = options::command().after_long_help("");
    command.build();
    let mut pages = vec![("man/highwater.1".to_owned(), program(&command))];
    for sub in command.get_subcommands() {
        let name = format!("highwater-{}", sub.get_name());
        let sub = sub
            .clone()
            // A page has room for them.
            .mut_args(|arg| arg.hide_short_help(false))
            .name(leaked(&name))
            .bin_name(format!("highwater {}", sub.get_name()));
        pages.push((format!("man/{name}.1"), subcommand(sub)));
    }
    pages.push(("man/highwater-backpressure.7".to_owned(), Ok(backpressure())));
    pages
        .into_iter()
        .map(|(path, page)| page.map(|page| (path, page)))
        .collect()
}

/// The document of that name.
fn backpressure() -> String {
    super::topic::page(
        "highwater-backpressure",
        "backpressure, for people who come from Node",
        include_str!("../../../docs/BACKPRESSURE.md"),
    )
}

/// clap keeps names forever, which is acceptable in a process that writes a few pages and ends.
fn leaked(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

fn program(command: &clap::Command) -> io::Result<String> {
    let man = man(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    let mut roff = Roff::new();
    grammar(&mut roff);
    section(&mut roff, "STAGES");
    for topic in Topic::ALL {
        roff.control("SS", [topic.heading()]);
        for stage in plan::catalog().into_iter().filter(|stage| stage.topic == topic) {
            self::stage(&mut roff, stage);
        }
    }
    section(&mut roff, "ENDPOINTS");
    for scheme in SCHEMES {
        entry(&mut roff, [bold(scheme.form)], scheme.summary);
    }
    section(&mut roff, "EXIT STATUS");
    for (code, meaning) in help::exit_codes() {
        entry(&mut roff, [bold(code)], meaning);
    }
    section(&mut roff, "ENVIRONMENT");
    entry(
        &mut roff,
        [bold("NO_COLOR")],
        "if not empty, no colour is used unless --color says so",
    );
    entry(&mut roff, [bold("TERM")], "dumb, or none: no colour and no live view");
    entry(
        &mut roff,
        [bold("COLORFGBG")],
        "what is behind the text, for the colours of the live view: 15;0 is dark, 0;15 is light",
    );
    section(&mut roff, "SIGNALS");
    entry(
        &mut roff,
        [bold("SIGUSR1")],
        "prints one line of progress to standard error",
    );
    entry(
        &mut roff,
        [
            bold("SIGINT"),
            roman(", "),
            bold("SIGTERM"),
            roman(", "),
            bold("SIGHUP"),
        ],
        "end the run; what is not complete is rolled back",
    );
    section(&mut roff, "KEYS");
    for (key, meaning) in KEYS {
        entry(&mut roff, [bold(*key)], meaning);
    }
    paragraph(&mut roff, NO_KEYS);
    section(&mut roff, "SEE ALSO");
    roff.text([bold("highwater-backpressure"), roman("(7)")]);
    page.extend(roff.to_roff().bytes());
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn subcommand(command: clap::Command) -> io::Result<String> {
    let mut page = Vec::new();
    man(command).render(&mut page)?;
    let mut roff = Roff::new();
    section(&mut roff, "SEE ALSO");
    roff.text([bold("highwater"), roman("(1)")]);
    page.extend(roff.to_roff().bytes());
    let page = String::from_utf8_lossy(&page);
    // What stands behind a command's options is about its exit codes.
    Ok(page.replace(".SH EXTRA", ".SH \"EXIT STATUS\""))
}

fn man(command: clap::Command) -> Man {
    // No date: the page must not change with the day.
    Man::new(command)
        .date("")
        .source(concat!("highwater ", env!("CARGO_PKG_VERSION")))
        .manual("highwater")
}

fn section(roff: &mut Roff, name: &str) {
    roff.control("SH", [name]);
}

fn entry(roff: &mut Roff, name: impl Into<Vec<Inline>>, what: &str) {
    roff.control("TP", []);
    roff.text(name);
    roff.text([roman(what)]);
}

fn grammar(roff: &mut Roff) {
    section(roff, "PIPELINE");
    roff.control("nf", []);
    for line in help::GRAMMAR.lines().skip(1).take(2) {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
    let rest: Vec<&str> = help::GRAMMAR.lines().skip(3).map(str::trim).collect();
    paragraph(roff, &rest.join(" "));
}

fn paragraph(roff: &mut Roff, text: &str) {
    roff.control("PP", []);
    let words: Vec<&str> = text.split_whitespace().collect();
    roff.text([roman(words.join(" "))]);
}

/// The catalog's description of a stage.
fn stage(roff: &mut Roff, stage: &Definition) {
    roff.control("SS", [stage.name]);
    let mut usage = vec![bold(stage.name)];
    for param in all_params(stage) {
        usage.push(roman(" "));
        usage.extend(form(param));
    }
    roff.text(usage);
    paragraph(roff, &format!("{}.", stage.summary));
    for text in stage.details.split("\n\n").filter(|text| !text.trim().is_empty()) {
        paragraph(roff, text);
    }
    for (at, (heading, params)) in headed_params(stage).into_iter().enumerate() {
        if at > 0 {
            paragraph(roff, &format!("{heading}:"));
        }
        for param in params {
            let name = [bold(param.name), roman("="), italic(param.kind.placeholder())];
            let default = param
                .default
                .map_or_else(String::new, |default| format!(" (default: {default})"));
            entry(roff, name, &format!("{}{default}", param.help));
        }
    }
    for example in stage.examples {
        paragraph(roff, &format!("Example: {}:", example.about));
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        roff.text([bold(format!("highwater '{}'", example.text.replace('\'', r"'\''")))]);
        roff.control("fi", []);
        roff.control("RE", []);
    }
}

/// `RATE`, `[burst=SIZE]`
fn form(param: &Param) -> Vec<Inline> {
    let mut form = match param.place {
        Place::Positional => vec![italic(param.name.to_uppercase())],
        Place::PositionalMany => vec![italic(param.name.to_uppercase()), roman("…")],
        Place::Rest => vec![
            italic(param.name.to_uppercase()),
            roman(" ["),
            italic("ARG"),
            roman("…]"),
        ],
        Place::Groups => vec![roman("("), italic(param.kind.placeholder()), roman(")…")],
        Place::Named | Place::NamedMany => vec![roman(format!("{}=", param.name)), italic(param.kind.placeholder())],
    };
    if !param.required {
        form.insert(0, roman("["));
        form.push(roman("]"));
    }
    form
}
