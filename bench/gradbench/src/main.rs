//! The GradBench tool of Gradus.
//!
//! GradBench measures automatic-differentiation tools: an *eval* sends messages, a *tool* answers them. This
//! program answers all twelve evals. Each eval's function is written once, in a file of its own under `evals/`,
//! over the number type; its derivative is what the drivers of `gradus-num` make of it.
//!
//! A message comes in through [`protocol`], its input is decoded and checked by the eval ([`input`]), the
//! resulting [`task`] is run and timed, and its [`output`] goes back.

mod error;
mod evals;
mod input;
mod output;
mod protocol;
mod task;

use std::io::{BufReader, BufWriter, stdin, stdout};
use std::process::ExitCode;

const HELP: &str = "\
gradus-gradbench: the GradBench tool of Gradus

usage: gradus-gradbench [--help | --version | --list]

Reads one JSON message a line from standard input and writes one answer a line to standard output, until
the input ends. Kinds of messages: start, define, evaluate, analysis; any other is acknowledged by its id.

    {\"id\":0,\"kind\":\"start\",\"eval\":\"hello\"}
    {\"id\":1,\"kind\":\"define\",\"module\":\"hello\"}
    {\"id\":2,\"kind\":\"evaluate\",\"module\":\"hello\",\"function\":\"square\",\"input\":3.0}

An evaluation is run at least min_runs times and until min_seconds have passed (fields of the input); decoding
and printing are not timed. A malformed message or input is answered with \"success\": false and an error.

  --list      the evals and their functions
  --version   the version
  --help      this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        ["--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["--version" | "-V"] => {
            println!("gradus-gradbench {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        ["--list"] => {
            for eval in evals::EVALS {
                println!("{:<10} {}", eval.name, eval.functions.join(", "));
            }
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("unknown arguments: {}\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    }
    let input = BufReader::with_capacity(1 << 20, stdin().lock());
    let output = BufWriter::with_capacity(1 << 20, stdout().lock());
    match protocol::serve(input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gradus-gradbench: cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}
