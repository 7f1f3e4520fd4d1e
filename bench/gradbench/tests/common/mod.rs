//! The tool as a child process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A running tool.
pub struct Tool {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Tool {
    pub fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus-gradbench"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tool starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Tool { child, input, output }
    }

    /// Sends one line and returns the answer.
    pub fn ask(&mut self, line: &[u8]) -> Value {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(line).and_then(|()| input.write_all(b"\n")).expect("the tool reads");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the tool writes");
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("the answer is no JSON ({e}): {answer:?}"))
    }

    /// Ends the input; the tool must end with success and say nothing more.
    pub fn finish(mut self) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_line(&mut rest).expect("the tool's output ends");
        assert_eq!(rest, "");
        assert!(self.child.wait().expect("the tool ends").success());
    }
}
