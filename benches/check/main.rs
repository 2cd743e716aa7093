//! Whether `highwater check` is right about real programs and servers: `cargo bench --bench check [-- FILTER…]`. What is
//! not installed is skipped by name. Nothing is contacted but servers that are started here, on the loopback address.

mod case;
mod commands;
mod run;
mod servers;
mod table;

use std::io;
use std::process::ExitCode;

use run::{Said, Scratch};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("skipped: this is measured by `cargo bench --bench check`");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    match run(&filters) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Checks what is wanted; returns whether every verdict was right.
fn run(filters: &[&String]) -> io::Result<bool> {
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let mut skipped = Vec::new();
    let mut rows = Vec::new();
    println!("{}", table::HEAD);
    let mut add = |row: table::Row| {
        println!("{row}");
        rows.push(row);
    };
    for case in commands::COMMANDS.iter().filter(|case| is_wanted(case.name)) {
        if run::is_installed(case.command[0]) {
            let scratch = Scratch::new()?;
            add(table::Row::new(case.name, case.truth, run::command(case, &scratch)?));
        } else {
            skipped.push(case.name);
        }
    }
    for case in servers::SERVERS.iter().filter(|case| is_wanted(case.name)) {
        if case.needs.iter().all(|program| run::is_installed(program)) {
            let scratch = Scratch::new()?;
            add(table::Row::new(case.name, case.truth, run::server(case, &scratch)?));
        } else {
            skipped.push(case.name);
        }
    }
    let wrong = rows.iter().filter(|row| !row.is_right()).count();
    println!("\n{} of {} right", rows.len() - wrong, rows.len());
    if !skipped.is_empty() {
        println!("skipped, not installed: {}", skipped.join(", "));
    }
    Ok(wrong == 0)
}
