//! This machine as the planner sees it: the requirements of its kernels and the costs of its work.
//!
//! Costs are those that Gradus comes with, or those of the file that `GRADUS_COSTS` names: a line for each, a name and seconds.
//! [`Peaks::costs`](crate::peaks::Peaks::costs) measures them. They change what a plan keeps and what it computes again, never a
//! result.

use std::path::Path;
use std::sync::OnceLock;

use gradus_core::{ErrorKind, Result};
use gradus_plan::{Costs, Target};

use crate::exec::requirements;

const VARIABLE: &str = "GRADUS_COSTS";

/// The target of plans for this machine; the environment is read once.
///
/// # Errors
/// If `GRADUS_COSTS` names a file that cannot be read, or that does not hold costs.
pub fn target() -> Result<Target> {
    static COSTS: OnceLock<Result<Costs, String>> = OnceLock::new();
    let of_env = || match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        None => Ok(Costs::default()),
        Some(path) => read(Path::new(&path)),
    };
    match COSTS.get_or_init(of_env) {
        Ok(costs) => Ok(Target { requirements, costs: *costs, ..Target::default() }),
        Err(detail) => Err(ErrorKind::Argument { op: VARIABLE, detail: detail.clone() }.into()),
    }
}

fn read(path: &Path) -> Result<Costs, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The names of costs, and their seconds.
pub fn entries(costs: &Costs) -> [(&'static str, f64); 6] {
    let &Costs { product_flop, product_byte, flop, byte, element, kernel } = costs;
    [
        ("product_flop", product_flop),
        ("product_byte", product_byte),
        ("flop", flop),
        ("byte", byte),
        ("element", element),
        ("kernel", kernel),
    ]
}

/// The cost of that name.
fn named<'a>(costs: &'a mut Costs, name: &str) -> Option<&'a mut f64> {
    Some(match name {
        "product_flop" => &mut costs.product_flop,
        "product_byte" => &mut costs.product_byte,
        "flop" => &mut costs.flop,
        "byte" => &mut costs.byte,
        "element" => &mut costs.element,
        "kernel" => &mut costs.kernel,
        _ => return None,
    })
}

/// Costs as `GRADUS_COSTS` reads them.
///
/// ```
/// use gradus_cpu::target;
/// use gradus_plan::Costs;
/// let costs = Costs { byte: 4e-11, ..Costs::default() };
/// assert_eq!(target::parse(&target::written(&costs)), Ok(costs));
/// ```
pub fn written(costs: &Costs) -> String {
    entries(costs).iter().map(|(name, seconds)| format!("{name} {seconds:e}\n")).collect()
}

/// Costs from lines of a name and seconds; `#` begins a comment, and what is not named is as by default.
///
/// # Errors
/// A message, where a line is malformed, a name is unknown or its seconds are not a positive number.
pub fn parse(text: &str) -> Result<Costs, String> {
    let mut costs = Costs::default();
    for (i, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split('#').next().unwrap_or("").split_whitespace().collect();
        let (name, seconds) = match words[..] {
            [] => continue,
            [name, seconds] => (name, seconds),
            _ => return Err(format!("line {}: a line is a name and seconds, as in `byte 5e-11`", i + 1)),
        };
        let Some(cost) = named(&mut costs, name) else {
            let names = entries(&costs).map(|(name, _)| name).join(", ");
            return Err(format!("line {}: `{name}` is no cost; those are {names}", i + 1));
        };
        let number = seconds.parse().ok().filter(|s: &f64| *s > 0.0 && *s < 1.0);
        *cost = number
            .ok_or_else(|| format!("line {}: `{seconds}` is no number of seconds between 0 and 1", i + 1))?;
    }
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_costs_says_what_is_wrong_with_it() {
        let only = parse("# measured\n\nbyte 4e-11 # of memory\n").unwrap();
        assert_eq!(only, Costs { byte: 4e-11, ..Costs::default() });
        for (text, wanted) in [
            ("byte", "line 1: a line is a name and seconds"),
            ("\nbytes 1e-11", "line 2: `bytes` is no cost; those are product_flop"),
            ("flop -1", "`-1` is no number of seconds"),
            ("flop NaN", "`NaN` is no number"),
            ("flop 0", "`0` is no number"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let error = read(Path::new("/nowhere/costs")).unwrap_err();
        assert!(error.contains("/nowhere/costs"), "{error}");
    }
}
