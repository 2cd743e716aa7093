//! How true the shares and the bottleneck are: `cargo bench --bench accuracy [-- --quick] [-- FILTER]`. The real program,
//! real clocks, and chains whose shares follow from their construction. BENCHMARKS.md says how it is measured.

mod chains;
mod observe;
mod pacing;
mod table;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("skipped: this is measured by `cargo bench --bench accuracy`");
        return ExitCode::SUCCESS;
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    match run(is_quick, &filters) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the chains that are wanted; answers whether the promise was kept in all of them.
fn run(is_quick: bool, filters: &[&String]) -> io::Result<bool> {
    let length = Duration::from_secs(if is_quick { 14 } else { 28 });
    let mut kept = true;
    println!("{}", table::HEAD);
    for chain in chains::all()? {
        if !filters.is_empty() && !filters.iter().any(|filter| chain.name.contains(filter.as_str())) {
            continue;
        }
        let seen = observe::observe(&chain, length)?;
        let row = table::Row::new(&chain, &seen);
        println!("{row}");
        kept &= row.keeps_the_promise();
    }
    Ok(kept)
}
