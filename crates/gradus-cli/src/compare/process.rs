//! The processes that measure, seen from the one that compares.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::worker::Order;
use crate::Error;

/// A process that measures one configuration; it ends when this is dropped.
pub struct Worker {
    name: String,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts the process; the first answer is what its plan says.
    pub fn start(order: &Order) -> Result<(Worker, Value), Error> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.arg("compare-worker");
        command.args(["--model", &order.model, "--strategy", &order.strategy.to_string()]);
        command.args(["--batch", &order.batch.to_string(), "--seed", &order.seed.to_string()]);
        if order.small {
            command.arg("--small");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Usage("a process has no standard streams".into()));
        };
        let name = order.strategy.to_string();
        let mut worker = Worker { name, child, to: Some(to), from: BufReader::new(from) };
        let plan = worker.answer()?;
        Ok((worker, plan))
    }

    /// Sends a line and waits for the answer.
    pub fn ask(&mut self, line: &str) -> Result<Value, Error> {
        if let Some(to) = &mut self.to {
            // A process that has ended is told of below.
            let _ = writeln!(to, "{line}").and_then(|()| to.flush());
        }
        self.answer()
    }

    fn answer(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        serde_json::from_str(&line)
            .map_err(|_| Error::Usage(format!("the process that measures \"{}\" has ended early", self.name)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.wait();
    }
}
