//! The command line tool; see the library for the map.

use std::process::ExitCode;

fn main() -> ExitCode {
    highwater::cli::run(std::env::args_os())
}
