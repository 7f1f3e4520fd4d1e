//! Makes a failing case small: fewer transforms, fewer results, steps replaced by arguments that hold their values.

use gradus::Tensor;

use super::check::{Case, Failure, Hits, Outcome, quietly};
use super::step::{Node, Program};
use super::transforms::HELPERS;

/// Runs that shrinking may take.
const RUNS: usize = 400;

/// The smallest case found that fails the same comparison.
pub(crate) fn shrink(case: &Case, failure: &Failure) -> (Case, Failure) {
    let (mut best, mut found, mut runs) = (case.clone(), failure.clone(), 0);
    let mut attempt = |next: Case, best: &mut Case, found: &mut Failure| {
        runs += 1;
        if runs > RUNS {
            return false;
        }
        match next.check(&mut Hits::new()) {
            Outcome::Failed(f) if f.what == found.what => {
                (*best, *found) = (next, f);
                true
            }
            _ => false,
        }
    };
    for i in (0..best.transforms.len()).rev() {
        let mut next = best.clone();
        next.transforms.remove(i);
        attempt(next, &mut best, &mut found);
    }
    loop {
        let before = size(&best);
        // One result instead of several.
        for i in (0..best.program.outputs.len()).rev() {
            if best.program.outputs.len() > 1 {
                let mut next = best.clone();
                next.program.outputs.remove(i);
                next.program = next.program.closed();
                attempt(next, &mut best, &mut found);
            }
        }
        // A value in the middle for the result.
        for i in 0..best.program.nodes.len().saturating_sub(1) {
            if i >= best.program.nodes.len() {
                break;
            }
            let mut next = best.clone();
            next.program.outputs = vec![i];
            next.program = next.program.closed();
            if size(&next) < size(&best) && attempt(next, &mut best, &mut found) {
                break;
            }
        }
        // The first steps as arguments.
        let values = values(&best.program);
        let mut i = best.program.nodes.len();
        while i > 0 {
            i -= 1;
            let (Some(Node::Operation(_)), Some(value)) = (best.program.nodes.get(i), values.get(i)) else {
                continue;
            };
            if values.len() != best.program.nodes.len() && i + 1 == best.program.nodes.len() {
                continue;
            }
            let mut next = best.clone();
            next.program.nodes[i] = Node::Input(value.clone());
            next.program = next.program.closed();
            if attempt(next, &mut best, &mut found) {
                break;
            }
        }
        if size(&best) >= before {
            break;
        }
    }
    (best, found)
}

fn size(case: &Case) -> usize {
    100 * case.program.steps() + 10 * case.program.outputs.len() + case.program.nodes.len()
}

fn values(program: &Program) -> Vec<Tensor> {
    let mut values = Vec::new();
    let _ = quietly(|| program.values(&program.arguments(), |v| values.push(v.clone())));
    values
}

/// A case as a Rust program that shows the failure.
pub(crate) fn source(case: &Case, failure: &Failure) -> String {
    let mut text = format!("// {}: {}\n", failure.what, failure.detail.replace('\n', "\n//   "));
    text += "use gradus::*;\n";
    let Ok(stage) = case.stage() else {
        text +=
            &format!("fn main() {{\n    let x: Vec<Tensor> = vec![{}];\n", list(&case.program.arguments()));
        text += &format!(
            "    let f0 = |x: &Vec<Tensor>| -> Vec<Tensor> {{\n{}    }};\n    f0(&x);\n}}\n",
            case.program.body("        ")
        );
        return text;
    };
    text +=
        "use gradus_core::table::their_tanh;\nuse gradus_nn::loss;\nuse gradus::num::{Real, scalar_fn};\n";
    for helper in HELPERS {
        text += &format!("#[allow(dead_code)]\n{helper}\n");
    }
    text += "fn main() {\n";
    for (i, stage) in stage.text.iter().enumerate() {
        text += &format!("    let f{i} = {stage};\n");
    }
    let last = stage.text.len() - 1;
    text += &format!("    let x: Vec<Tensor> = vec![{}];\n", list(&stage.args));
    text += &format!("    println!(\"{{:?}}\\n{{:?}}\", f{last}(&x), jit(f{last}).call(&x));\n}}\n");
    text
}

fn list(x: &[Tensor]) -> String {
    x.iter().map(super::step::tensor).collect::<Vec<_>>().join(", ")
}
