//! Checks that cost too much for every run: `GRADUS_CHECK`.

use std::sync::{Mutex, OnceLock};

use gradus_core::{Array, Eqn, ErrorKind, Graph, Op, Site, first_not_finite};

use super::Recorded;
use crate::structure::{Structure, differences};
use crate::{Error, Result, Tensor, Tree};

/// Which checks compiled functions make.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checks {
    /// Every call records anew; reads that detach are named.
    pub(crate) captures: bool,
    /// Every call looks for the first operation whose value is not finite.
    pub(crate) finite: bool,
}

impl Checks {
    /// What the environment variable `GRADUS_CHECK` asks for: names with commas between.
    pub(crate) fn of_environment() -> Result<Checks> {
        let mut checks = Checks::default();
        let Some(text) = std::env::var_os("GRADUS_CHECK") else { return Ok(checks) };
        for name in text.to_string_lossy().split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "captures" => checks.captures = true,
                "nan" => checks.finite = true,
                other => {
                    let detail = format!("there is no check \"{other}\"; there are captures and nan");
                    return Err(ErrorKind::Argument { op: "GRADUS_CHECK", detail }.into());
                }
            }
        }
        Ok(checks)
    }
}

/// Whether lines that read values while differentiating are to be named.
pub(crate) fn names_reads() -> bool {
    Checks::of_environment().is_ok_and(|checks| checks.captures)
}

/// Whether `GRADUS_CHECK` asks for finite results of all programs of this process.
pub(crate) fn finite_everywhere() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| Checks::of_environment().is_ok_and(|checks| checks.finite))
}

/// That the results of a program are finite.
///
/// # Errors
/// The operation that made the first value which is not, at its line.
pub(crate) fn finite(graph: &Graph, args: &[Tensor]) -> Result<()> {
    let arrays: Vec<Array> = args.iter().filter_map(|t| t.array().cloned()).collect();
    // A program that is being recorded has no values yet.
    if arrays.len() != args.len() {
        return Ok(());
    }
    let Some(found) = first_not_finite(graph, &arrays)? else { return Ok(()) };
    let pass =
        if found.phase.is_backward() { "a cotangent, in the backward pass" } else { "in the forward pass" };
    let place =
        if found.ty.shape.rank() == 0 { String::new() } else { format!(" at element {}", found.element) };
    let (value, ty) = (found.value, &found.ty);
    let detail = match &found.op {
        Some(op) => format!("`{op}` gives {value}{place} of {ty}, {pass}; its operands are finite"),
        None => format!("input {} has {value}{place} of {ty}", found.input),
    };
    Err(Error::new(ErrorKind::Argument { op: "check_finite", detail }, found.site))
}

/// Under the check of captures, names a line that reads a value which depends on what is differentiated: no derivative
/// flows through the number. Each line is named once.
pub(crate) fn detaches(op: &str, transform: &str, site: &Site) {
    static NAMED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let place = site.to_string();
    let mut named = NAMED.lock().unwrap_or_else(|e| e.into_inner());
    if !named.contains(&place) {
        eprintln!(
            "gradus: {op} in `{transform}` detaches: no derivative flows through the value read\n  at {place}"
        );
        named.push(place);
    }
}

/// That a function, recorded once more, is the one recorded first.
///
/// # Errors
/// The first capture, number, operation or static part of the result that differs, at its line.
pub(super) fn unchanged<B: Tree>(
    graph: &Graph,
    captures: &[Tensor],
    result: &B,
    again: &Recorded<B>,
) -> Result<()> {
    let now = gradus_core::transforms::prune(again.graph.clone());
    if let Some(error) = first_difference(graph, &now) {
        return Err(error);
    }
    let arguments = now.inputs().len() - again.captures.len();
    for ((was, is), &var) in captures.iter().zip(&again.captures).zip(&now.inputs()[arguments..]) {
        if let Some(difference) = capture_difference(was, is)? {
            let site = now.eqns().iter().find(|e| e.inputs.contains(&var)).map(|e| e.site.clone());
            return Err(changed(difference, &site.unwrap_or_default()));
        }
    }
    let (statics, alone) = differences(&Structure::record(result), &Structure::record(&again.result));
    if let Some(difference) = statics.into_iter().next() {
        let difference = difference.replace("the argument", "the result");
        return Err(changed(format!("a static part of the result: {difference}"), &Site::default()));
    }
    if alone > 0 {
        return Err(changed("the result has other parts than were recorded".into(), &Site::default()));
    }
    Ok(())
}

/// How a captured tensor, wherever it lies, differs.
fn capture_difference(was: &Tensor, is: &Tensor) -> Result<Option<String>> {
    if is.is_traced() {
        // What is recorded anew at each call has no number to go stale.
        let ty = was.ty();
        return Ok(Some(format!("a captured {ty} was a value when it was recorded, is {is}")));
    }
    Ok(array_difference(&was.read("jit")?, &is.read("jit")?))
}

fn changed(what: String, site: &Site) -> Error {
    let detail = format!(
        "{what}; a compiled function goes on with what it recorded first: pass what changes as part of the argument"
    );
    Error::new(ErrorKind::Argument { op: "jit", detail }, site.clone())
}

/// How a captured value differs in any bit.
fn array_difference(was: &Array, is: &Array) -> Option<String> {
    let (at, was_shown, is_shown) = if was.dtype().is_float() {
        let (was, is) = (was.to_f64(), is.to_f64());
        let at = was.iter().zip(&is).position(|(a, b)| a.to_bits() != b.to_bits())?;
        (at, format!("{:?}", was[at]), format!("{:?}", is[at]))
    } else {
        let (was, is) = (was.to_i64(), is.to_i64());
        let at = was.iter().zip(&is).position(|(a, b)| a != b)?;
        (at, was[at].to_string(), is[at].to_string())
    };
    Some(if was.shape().rank() == 0 {
        format!("a captured number was {was_shown} when it was recorded, is {is_shown}")
    } else {
        let ty = format!("{}{}", was.dtype(), was.shape());
        format!("element {at} of a captured {ty} was {was_shown} when it was recorded, is {is_shown}")
    })
}

/// The first equation of two programs that differs.
fn first_difference(was: &Graph, is: &Graph) -> Option<Error> {
    if was == is {
        return None;
    }
    let show = |g: &Graph, e: &Eqn| match &e.op {
        Op::Full(full) => format!("the number {:?}", full.value),
        op => {
            let types: Vec<String> = e.inputs.iter().map(|&v| g.ty(v).to_string()).collect();
            if types.is_empty() { op.to_string() } else { format!("`{op}` of {}", types.join(", ")) }
        }
    };
    if let Some((i, (a, b))) = was.eqns().iter().zip(is.eqns()).enumerate().find(|(_, (a, b))| a != b) {
        let (before, after) = (show(was, a), show(is, b));
        let what = match (a.op.graphs().first(), b.op.graphs().first()) {
            _ if before != after => format!("{before} was recorded, {after} is"),
            (Some(a), Some(b)) => return first_difference(a, b).or_else(|| Some(other_operands(is, after))),
            _ => format!("{after} has other operands than were recorded"),
        };
        // A number has no line of its own: it is that of what reads it.
        let mut lines = is.eqns()[i..].iter().chain(&was.eqns()[i..]).map(|e| &e.site);
        return Some(changed(what, lines.find(|site| site.is_known()).unwrap_or(&b.site)));
    }
    let (before, after) = (was.eqns().len(), is.eqns().len());
    let site = is.eqns().last().map(|e| e.site.clone()).unwrap_or_default();
    Some(changed(
        match (before == after, was.inputs().len() == is.inputs().len()) {
            (false, _) => format!("{before} operations were recorded, {after} are"),
            (true, false) => {
                format!("{} values were captured or given, {} are", was.inputs().len(), is.inputs().len())
            }
            (true, true) => "other values were returned than are now".to_string(),
        },
        &site,
    ))
}

fn other_operands(graph: &Graph, what: String) -> Error {
    let site = graph.eqns().last().map(|e| e.site.clone()).unwrap_or_default();
    changed(format!("{what} has other operands than were recorded"), &site)
}
