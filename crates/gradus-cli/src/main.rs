//! The `gradus` command. Exit codes: 0 all well, 1 something failed, 2 wrong usage, 128 and the signal's number where a
//! signal ended training.

use std::process::ExitCode;

use clap::Parser;
use gradus_cli::{Command, Error, run};

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(code) => code,
        // Whoever reads the output has had enough: that is no failure of ours.
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            gradus_cli::say(&format!("error: {error}"));
            if matches!(error, Error::Environment(_)) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
