//! The `gradus` command. Exit codes: 0 all well, 1 something failed, 2 wrong usage.

use std::process::ExitCode;

use clap::Parser;
use gradus_cli::{Command, run};

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(code) => code,
        // Whoever reads the output has had enough: that is no failure of ours.
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
