//! The pipelines that articles about backpressure describe: highwater beside the same in Node, as it should be written and
//! as it often is.
//!
//!     cargo bench --bench articles                 # all of them
//!     cargo bench --bench articles -- rows tokens  # those whose names have one of these words in them
//!
//! The programs are in tests/articles. Each row has its own data and consumer; a figure is the median of three runs.

use std::io;
use std::process::ExitCode;

mod consumer;
mod data;
mod run;
mod scenario;
mod table;

use scenario::SCENARIOS;

fn main() -> io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if !run::is_there("node") {
        eprintln!("node is missing");
        return Ok(ExitCode::FAILURE);
    }
    let data = data::Data::make()?;
    let mut table = table::Table::default();
    for scenario in SCENARIOS {
        if !words.is_empty() && !words.iter().any(|word| scenario.name.contains(word.as_str())) {
            continue;
        }
        eprintln!("… {}", scenario.name);
        table.add(scenario, &scenario.measure(&data)?);
    }
    table.add_failures(&run::descriptors_after_failure(&data)?);
    print!("{}", table.text());
    Ok(ExitCode::SUCCESS)
}
