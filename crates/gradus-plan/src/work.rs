//! Planning time must grow with the program, not with its square: passes have limits and report here when they reach
//! one; tests count their steps.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static SIMPLER: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Records that a limit has simplified the plan, and how.
pub(crate) fn simpler(how: &'static str) {
    SIMPLER.with_borrow_mut(|all| all.insert(how));
}

/// The records of this thread since the last call.
pub(crate) fn take_simpler() -> BTreeSet<&'static str> {
    SIMPLER.take()
}

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts steps of a search, in tests only.
#[inline(always)]
pub(crate) fn count(steps: usize) {
    #[cfg(test)]
    STEPS.set(STEPS.get() + steps);
    let _ = steps;
}

/// The steps that `f` takes.
#[cfg(test)]
pub(crate) fn steps_of<T>(f: impl FnOnce() -> T) -> (usize, T) {
    let before = STEPS.get();
    let out = f();
    (STEPS.get() - before, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Options, plan};
    use gradus_core::ops::{Axes, Broadcast, Concat, Dot, Reduce, ReduceKind, Slice};
    use gradus_core::transforms::{value_and_grad, vjp};
    use gradus_core::{Binary, Builder, DType, Graph, Type, Unary, Var};

    fn axes(range: std::ops::Range<usize>) -> Axes {
        range.collect()
    }

    fn input(b: &mut Builder) -> Var {
        b.input(Type::new(DType::F32, [300]))
    }

    fn scaled(b: &mut Builder, x: Var, k: usize) -> Var {
        let ty = b.ty(x).clone();
        let k = b.full(&ty, k as f64 + 2.0);
        let y = b.emit1(Binary::Mul, &[x, k]).unwrap();
        b.emit1(Unary::Sin, &[y]).unwrap()
    }

    fn sum(b: &mut Builder, y: Var) -> Var {
        let axes = axes(0..b.shape(y).rank());
        b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap()
    }

    fn added(b: &mut Builder, terms: &[Var]) -> Var {
        terms.iter().copied().reduce(|x, y| b.emit1(Binary::Add, &[x, y]).unwrap()).unwrap()
    }

    /// The results of a program of about `4 n` equations, written to a builder.
    type Program = fn(&mut Builder, usize) -> Vec<Var>;

    const PROGRAMS: [(&str, Program); 13] = [
        ("chain", |b, n| {
            let x = input(b);
            let y = (0..4 * n).fold(x, |y, _| b.emit1(Unary::Sin, &[y]).unwrap());
            vec![sum(b, y)]
        }),
        ("recurrence", |b, n| {
            let x = input(b);
            let y = (0..2 * n).fold(x, |y, _| {
                let s = b.emit1(Unary::Sin, &[y]).unwrap();
                b.emit1(Binary::Add, &[y, s]).unwrap()
            });
            vec![sum(b, y)]
        }),
        ("gated recurrence", |b, n| {
            let x = input(b);
            let y = (0..n).fold(x, |y, _| {
                let t = b.emit1(Unary::Tanh, &[y]).unwrap();
                let t = b.emit1(Binary::Mul, &[y, t]).unwrap();
                b.emit1(Binary::Add, &[y, t]).unwrap()
            });
            vec![sum(b, y)]
        }),
        ("fan", |b, n| {
            let x = input(b);
            let terms: Vec<Var> = (0..n).map(|k| scaled(b, x, k)).collect();
            let y = added(b, &terms);
            vec![sum(b, y)]
        }),
        ("wide sum", |b, n| {
            let terms: Vec<Var> = (0..4 * n).map(|_| input(b)).collect();
            let y = added(b, &terms);
            vec![sum(b, y)]
        }),
        ("sum of terms", |b, n| {
            let terms: Vec<Var> = (0..n)
                .map(|k| {
                    let x = input(b);
                    let y = scaled(b, x, k);
                    sum(b, y)
                })
                .collect();
            vec![added(b, &terms)]
        }),
        ("sums of one", |b, n| {
            let x = input(b);
            let terms: Vec<Var> = (0..n)
                .map(|k| {
                    let y = scaled(b, x, k);
                    sum(b, y)
                })
                .collect();
            vec![added(b, &terms)]
        }),
        ("results", |b, n| {
            let x = input(b);
            (0..2 * n).map(|k| scaled(b, x, k)).collect()
        }),
        ("concatenation", |b, n| {
            let x = input(b);
            let parts: Vec<Var> = (0..n).map(|k| scaled(b, x, k)).collect();
            let y = b.emit1(Concat { axis: 0 }, &parts).unwrap();
            let y = b.emit1(Unary::Sin, &[y]).unwrap();
            vec![sum(b, y)]
        }),
        ("slices", |b, n| {
            let x = b.input(Type::new(DType::F32, [n * 300]));
            let parts: Vec<Var> = (0..n)
                .map(|k| {
                    let slice = Slice::along(b.shape(x), 0, k * 300, (k + 1) * 300);
                    let y = b.emit1(slice, &[x]).unwrap();
                    b.emit1(Unary::Sin, &[y]).unwrap()
                })
                .collect();
            let y = added(b, &parts);
            vec![sum(b, y)]
        }),
        ("rows", |b, n| {
            let x = b.input(Type::new(DType::F32, [300, 40]));
            let y = (0..n).fold(x, |y, _| {
                let max = b.emit1(Reduce { kind: ReduceKind::Max, axes: axes(1..2) }, &[y]).unwrap();
                let like = Broadcast { shape: b.shape(y).clone(), axes: axes(0..1) };
                let max = b.emit1(like, &[max]).unwrap();
                let y = b.emit1(Binary::Sub, &[y, max]).unwrap();
                b.emit1(Unary::Exp, &[y]).unwrap()
            });
            vec![sum(b, y)]
        }),
        ("layers", |b, n| {
            let x = b.input(Type::new(DType::F32, [64, 64]));
            let y = (0..n).fold(x, |y, _| {
                let w = b.input(Type::new(DType::F32, [64, 64]));
                let z = b.emit1(Dot::matmul(0), &[y, w]).unwrap();
                b.emit1(Unary::Tanh, &[z]).unwrap()
            });
            vec![sum(b, y)]
        }),
        ("one layer again", |b, n| {
            let x = b.input(Type::new(DType::F32, [64, 64]));
            let w = b.input(Type::new(DType::F32, [64, 64]));
            let y = (0..n).fold(x, |y, _| {
                let z = b.emit1(Dot::matmul(0), &[y, w]).unwrap();
                let z = b.emit1(Unary::Tanh, &[z]).unwrap();
                b.emit1(Binary::Add, &[y, z]).unwrap()
            });
            vec![sum(b, y)]
        }),
    ];

    fn written(program: Program, n: usize, transform: &str) -> Graph {
        let mut b = Builder::new();
        let results = program(&mut b, n);
        let graph = b.finish(results);
        let wrt = vec![true; graph.inputs().len()];
        match transform {
            "grad" => value_and_grad(&graph, &wrt).unwrap(),
            "vjp" => vjp(&graph, &wrt).unwrap(),
            _ => graph,
        }
    }

    /// Steps of planning, on a small stack: nothing recurses along equations.
    fn steps(program: Program, n: usize, transform: &str, options: &Options) -> f64 {
        let graph = written(program, n, transform);
        std::thread::scope(|s| {
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            let run = || steps_of(|| plan(&graph, options)).0;
            thread.spawn_scoped(s, run).unwrap().join().unwrap() as f64
        })
    }

    /// Steps of planning a program that is four times as long, against those of the shorter one: as an exponent.
    fn exponent(program: Program, transform: &str, n: usize, options: &Options) -> f64 {
        (steps(program, 4 * n, transform, options) / steps(program, n, transform, options)).log2() / 2.0
    }

    #[test]
    fn steps_of_planning_grow_with_the_program() {
        let mut worst: (f64, String) = (0.0, String::new());
        for (name, program) in PROGRAMS {
            for transform in ["value", "grad", "vjp"] {
                if name == "results" && transform == "grad" {
                    continue;
                }
                // Lists of bounded length, which fill up first, are most of what the shortest programs take.
                let n = if transform == "value" { 800 } else { 100 };
                let grows = exponent(program, transform, n, &Options::default());
                println!("{name}, {transform}: {grows:.2}");
                if grows > worst.0 {
                    worst = (grows, format!("{name}, {transform}"));
                }
            }
        }
        assert!(worst.0 < 1.15, "{}: steps grow with the power {:.2}", worst.1, worst.0);
    }

    #[test]
    fn a_budget_takes_a_few_times_the_steps() {
        let options = Options { memory_budget: Some(Budget::Share(0.6)), ..Options::default() };
        for (name, program) in
            PROGRAMS.iter().filter(|p| matches!(p.0, "layers" | "one layer again" | "rows"))
        {
            let free = steps(*program, 400, "grad", &Options::default());
            let within = steps(*program, 400, "grad", &options);
            let grows = (steps(*program, 1600, "grad", &options) / within).log2() / 2.0;
            println!("{name}: {:.1} times, {grows:.2}", within / free);
            assert!(within < 10.0 * free, "{name}: {within} steps, {free} without a budget");
            assert!(grows < 1.15, "{name}: steps grow with the power {grows:.2}");
        }
    }
}
