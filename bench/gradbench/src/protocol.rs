//! The GradBench protocol: one JSON message a line in, one answer a line out, in order, whatever comes.

use std::any::Any;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::evals;
use crate::input::Repeat;
use crate::output::Output;
use crate::task::time;

/// The fields of any message; what a kind needs is checked when it is answered.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    module: Option<String>,
    #[serde(default)]
    function: Option<String>,
    #[serde(default)]
    input: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Timing {
    name: &'static str,
    nanoseconds: u64,
}

#[derive(Serialize, Default)]
struct Answer {
    id: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Vec<Timing>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Answer {
    fn failed(id: Option<Box<RawValue>>, error: &Error) -> Self {
        Answer { id, success: Some(false), error: Some(error.to_string()), ..Answer::default() }
    }
}

/// Answers every line of `input` until it ends. Only a failure to read or write ends it earlier.
pub fn serve(mut input: impl BufRead, mut output: impl Write) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        serde_json::to_writer(&mut output, &answer(&line))?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
}

fn answer(line: &[u8]) -> Answer {
    let message: Message = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => return Answer::failed(salvage_id(line), &Error::Message(error.to_string())),
    };
    let id = message.id.clone();
    match message.kind.as_deref() {
        Some("start") => Answer { id, tool: Some("gradus"), ..Answer::default() },
        Some("define") => match define(&message) {
            Ok(()) => Answer { id, success: Some(true), ..Answer::default() },
            Err(error) => Answer::failed(id, &error),
        },
        Some("evaluate") => match guarded(|| evaluate(&message)) {
            Ok((output, timings)) => {
                let evaluate = |nanoseconds| Timing { name: "evaluate", nanoseconds };
                let timings = timings.into_iter().map(evaluate).collect();
                Answer {
                    id,
                    success: Some(true),
                    output: Some(output),
                    timings: Some(timings),
                    ..Answer::default()
                }
            }
            Err(error) => Answer::failed(id, &error),
        },
        Some(_) => Answer { id, ..Answer::default() },
        None => Answer::failed(id, &Error::Message("field 'kind' is missing".into())),
    }
}

fn define(message: &Message) -> Result<()> {
    evals::find(field("module", message.module.as_ref())?).map(|_| ())
}

fn evaluate(message: &Message) -> Result<(Output, Vec<u64>)> {
    let module = field("module", message.module.as_ref())?;
    let function = field("function", message.function.as_ref())?;
    let input = field("input", message.input.as_ref())?;
    let eval = evals::find(module)?;
    let repeat = if eval.bare_input { Repeat::ONCE } else { Repeat::of(input)? };
    let mut task = (eval.prepare)(function, input)?;
    let timings = time(&mut *task, repeat)?;
    let output = task.output();
    output.check_finite()?;
    Ok((output, timings))
}

fn field<'a, T>(name: &str, value: Option<&'a T>) -> Result<&'a T> {
    value.ok_or_else(|| Error::Message(format!("field '{name}' is missing")))
}

/// Turns a panic into an error: a bug in one evaluation must not end the tool.
fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| Err(Error::Internal(panic_text(&*payload))))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".into())
}

/// The `id` of a line that is no JSON as a whole (it may hold NaN, or be cut off), so that the sender can
/// still tell which message failed.
fn salvage_id(line: &[u8]) -> Option<Box<RawValue>> {
    let text = String::from_utf8_lossy(&line[..line.len().min(1 << 16)]);
    let after = &text[text.find("\"id\"")? + 4..];
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    let end = value.find(|c: char| !(c.is_ascii_digit() || c == '-'))?;
    RawValue::from_string(value[..end].to_string()).ok()
}
