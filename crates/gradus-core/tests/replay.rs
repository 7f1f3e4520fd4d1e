//! Loops of unknown length in reverse mode: any order, any transform, from any number of slots.

use std::sync::Arc;

use gradus_core::ops::{Compare, Reduce, ReduceKind, Scan, Stepper, Sweep, While};
use gradus_core::table::probe;
use gradus_core::table::{Rng, Row};
use gradus_core::transforms::{checkpoint_loops, jvp, value_and_grad, vmap};
use gradus_core::{Array, Binary, Builder, DType, Graph, Op, Type, Unary, Var, interpret};

/// A replay checked step by step: every state that a step reads is the right one, and no slot is overwritten that is
/// still needed.
struct Checked {
    levels: usize,
    reverse: bool,
    trips: usize,
    /// For each buffer, the level and the number of steps that its state has behind it.
    held: Vec<Option<(usize, usize)>>,
    taken: Vec<u64>,
}

impl Checked {
    fn behind(&self, level: usize, t: usize) -> usize {
        if level.is_multiple_of(2) != self.reverse { t } else { self.trips - 1 - t }
    }
}

impl Stepper for Checked {
    type Error = String;
    fn step(&mut self, level: usize, t: usize, states: &[usize], to: usize) -> Result<(), String> {
        if states.len() != level + 1 || states.contains(&to) {
            return Err(format!("level {level} step {t}: from {states:?} to {to}"));
        }
        for (l, &s) in states.iter().enumerate() {
            let want = Some((l, self.behind(l, t)));
            if self.held[s] != want {
                return Err(format!("level {level} step {t}: level {l} is {:?}, not {want:?}", self.held[s]));
            }
        }
        self.held[to] = Some((level, self.behind(level, t) + 1));
        self.taken[level] += 1;
        Ok(())
    }
}

#[test]
fn every_step_reads_the_right_states() {
    for levels in 1..5 {
        for slots in 1..7 {
            for trips in (1..20).chain([40]) {
                for reverse in [false, true] {
                    let sweep = Sweep::new(levels, reverse, slots);
                    let buffers = sweep.buffers();
                    let mut held = vec![None; levels + 1 + buffers.len()];
                    for (level, held) in held.iter_mut().take(levels).enumerate() {
                        *held = Some((level, 0));
                    }
                    let mut checked = Checked { levels, reverse, trips, held, taken: vec![0; levels] };
                    let what = format!("{levels} levels, {slots} slots, {trips} trips");
                    sweep.run(trips, &mut checked).unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_eq!(checked.held[sweep.result()], Some((levels - 1, trips)), "{what}");
                    assert_eq!(checked.taken[levels - 1], trips as u64, "{what}");
                    assert_eq!(checked.taken, sweep.count(trips), "{what}");
                    assert_eq!(checked.levels, levels);
                }
            }
        }
    }
}

#[test]
fn two_levels_take_the_fewest_steps_possible() {
    for slots in 1..9 {
        for trips in 1..60 {
            let least = gradus_num::checkpoint::least_advances(trips, slots);
            assert_eq!(
                Sweep::new(2, false, slots).count(trips)[0],
                least as u64,
                "{trips} trips, {slots} slots"
            );
        }
    }
}

#[test]
fn higher_orders_stay_near_linear() {
    // Within the slots each level goes through the steps about once for every level above it.
    let counts = Sweep::new(4, false, 64).count(60);
    assert!(counts[0] <= 6 * 60 && counts[1] <= 4 * 60, "{counts:?}");
    let counts = Sweep::new(4, false, 64).count(1000);
    assert!(counts[0] <= 24_000, "{counts:?}");
    for (levels, slots, trips) in [(3, 64, 60), (4, 64, 60), (3, 64, 1000), (4, 64, 1000), (4, 8, 1000)] {
        println!(
            "{levels} levels, {slots} slots, {trips} trips: {:?}",
            Sweep::new(levels, false, slots).count(trips)
        );
    }
}

fn f64s(shape: &[usize]) -> Type {
    Type::new(DType::F64, shape)
}

fn graph(types: &[Type], f: impl FnOnce(&mut Builder, &[Var]) -> gradus_core::Result<Vec<Var>>) -> Graph {
    let mut b = Builder::new();
    let args: Vec<Var> = types.iter().map(|ty| b.input(ty.clone())).collect();
    let results = f(&mut b, &args).expect("well typed");
    b.finish(results)
}

/// `x ← sin(w x) + x / 2, k ← k - 1 while k > 0`, with an integer count carried along, and then `Σ x`.
fn wave(n: usize, checkpoints: Option<usize>) -> Graph {
    let count = Type::new(DType::I32, []);
    let types = [f64s(&[n]), f64s(&[n]), count];
    let cond = graph(&types, |b, a| {
        let zero = b.zeros_like(a[2]);
        Ok(vec![b.emit1(Compare::Gt, &[a[2], zero])?])
    });
    let body = graph(&types, |b, a| {
        let wx = b.emit1(Binary::Mul, &[a[0], a[1]])?;
        let s = b.emit1(Unary::Sin, &[wx])?;
        let half = b.full(&f64s(&[n]), 0.5);
        let x = b.emit1(Binary::Mul, &[a[1], half])?;
        let x = b.emit1(Binary::Add, &[s, x])?;
        let one = b.full(&Type::new(DType::I32, []), 1.0);
        Ok(vec![x, b.emit1(Binary::Sub, &[a[2], one])?])
    });
    graph(&types, |b, a| {
        let w = While { constants: 1, cond: Arc::new(cond), body: Arc::new(body), checkpoints };
        let out = b.emit(w, a)?;
        let sum = Reduce { kind: ReduceKind::Sum, axes: [0].into_iter().collect() };
        Ok(vec![b.emit1(sum, &[out[0]])?])
    })
}

fn arguments(n: usize, trips: i32) -> Vec<Array> {
    let mut rng = Rng::new(3);
    vec![rng.direction(&f64s(&[n])), rng.direction(&f64s(&[n])), Array::scalar(trips)]
}

#[test]
fn gradients_are_the_same_bits_from_any_number_of_slots() {
    for trips in [0, 1, 2, 7, 30] {
        let args = arguments(3, trips);
        let run = |checkpoints| {
            let grad = value_and_grad(&wave(3, checkpoints), &[true, true, false]).expect("reverse mode");
            interpret(&grad, &args).expect("it runs")
        };
        let all = run(Some(1000));
        for slots in [None, Some(1), Some(2), Some(3), Some(5)] {
            assert_eq!(run(slots), all, "{slots:?} slots, {trips} trips");
        }
        // Against the loop written out.
        let (w, x) = (args[0].to_f64(), args[1].to_f64());
        for i in 0..3 {
            let (mut x, mut dw, mut dx) = (x[i], 0.0, 1.0);
            for _ in 0..trips {
                let c = (w[i] * x).cos();
                dw = c * (x + w[i] * dw) + dw / 2.0;
                dx = c * w[i] * dx + dx / 2.0;
                x = (w[i] * x).sin() + x / 2.0;
            }
            assert!((all[1].to_f64()[i] - dw).abs() < 1e-12 && (all[2].to_f64()[i] - dx).abs() < 1e-12);
        }
    }
}

#[test]
fn a_count_that_changes_with_the_data() {
    let grad = value_and_grad(&wave(2, Some(3)), &[true, true, false]).unwrap();
    let norm = |trips| interpret(&grad, &arguments(2, trips)).unwrap()[1].to_f64()[0];
    assert_eq!(norm(0), 0.0);
    assert!(norm(4) != norm(5) && norm(5) != norm(6));
}

#[test]
fn second_and_third_order() {
    let mut rng = Rng::new(5);
    for slots in [None, Some(1), Some(2)] {
        let g = wave(2, slots);
        let args = arguments(2, 6);
        let wrt = probe::floats(&g);
        assert!(probe::reverse(&g, &args, &wrt, &mut rng).unwrap() < 1e-12);
        assert!(probe::second_order(&g, &args, &wrt, &mut rng).unwrap() < 1e-7);
        let grad = value_and_grad(&g, &wrt).unwrap();
        let second = probe::pullback(&grad, &wrt).unwrap();
        let mut all = args.clone();
        all.extend(grad.output_types().iter().map(|ty| rng.direction(ty)));
        let wrt = probe::floats(&second);
        assert!(probe::reverse(&second, &all, &wrt, &mut rng).unwrap() < 1e-11);
    }
}

#[test]
fn every_example_takes_its_own_number_of_steps() {
    let g = wave(2, Some(3));
    let grad = value_and_grad(&g, &[true, true, false]).unwrap();
    let (mut rng, counts) = (Rng::new(8), [0, 5, 1, 9]);
    let examples: Vec<Vec<Array>> = counts
        .iter()
        .map(|&c| vec![rng.direction(&f64s(&[2])), rng.direction(&f64s(&[2])), Array::scalar(c)])
        .collect();
    // The gradient batched, against a loop.
    assert!(probe::batched(&grad, &examples).unwrap() < 1e-14);
    // The gradient of what is batched: `Σ` over examples.
    let many = vmap(&g, &[true; 3], 4).unwrap();
    let types = many.input_types();
    let total = graph(&types, |b, a| {
        let out = b.inline(&many, a)?;
        let sum = Reduce { kind: ReduceKind::Sum, axes: [0].into_iter().collect() };
        Ok(vec![b.emit1(sum, &out)?])
    });
    let grad_many = value_and_grad(&total, &[true, true, false]).unwrap();
    let stacked: Vec<Array> =
        (0..3).map(|i| probe::stack(&examples.iter().map(|e| &e[i]).collect::<Vec<_>>())).collect();
    let got = interpret(&grad_many, &stacked).unwrap();
    for (e, example) in examples.iter().enumerate() {
        let one = interpret(&grad, example).unwrap();
        for k in 1..3 {
            let own = probe::unstack(&got[k], e);
            assert!(probe::worst(&[own], &one[k..=k]) < 1e-14, "example {e}");
        }
    }
    // A second derivative of the batch.
    let wrt = probe::floats(&grad_many);
    assert!(probe::reverse(&grad_many, &stacked, &wrt, &mut rng).unwrap() < 1e-11);
    let batched_second = probe::pullback(&grad, &probe::floats(&grad)).unwrap();
    let with_directions: Vec<Vec<Array>> = examples
        .iter()
        .map(|e| e.iter().cloned().chain(grad.output_types().iter().map(|ty| rng.direction(ty))).collect())
        .collect();
    assert!(probe::batched(&batched_second, &with_directions).unwrap() < 1e-12);
}

#[test]
fn a_predicate_that_is_nan_ends_the_loop() {
    // x ← √x - 1 while x > -2: the third value is NaN.
    let types = [f64s(&[])];
    let cond = graph(&types, |b, a| {
        let low = b.full(&f64s(&[]), -2.0);
        Ok(vec![b.emit1(Compare::Gt, &[a[0], low])?])
    });
    let body = graph(&types, |b, a| {
        let r = b.emit1(Unary::Sqrt, &[a[0]])?;
        let one = b.full(&f64s(&[]), 1.0);
        Ok(vec![b.emit1(Binary::Sub, &[r, one])?])
    });
    let g = graph(&types, |b, a| {
        let w = While { constants: 0, cond: Arc::new(cond), body: Arc::new(body), checkpoints: None };
        Ok(b.emit(w, a)?.to_vec())
    });
    let out = interpret(&value_and_grad(&g, &[true]).unwrap(), &[Array::scalar(0.5)]).unwrap();
    assert!(out[0].to_f64()[0].is_nan() && out[1].to_f64()[0].is_nan());
}

#[test]
fn loops_in_loops() {
    // The outer loop runs an inner one whose number of steps is the outer count.
    let inner = wave(2, Some(2));
    let types = [f64s(&[2]), f64s(&[2]), Type::new(DType::I32, [])];
    let cond = graph(&types, |b, a| {
        let zero = b.zeros_like(a[2]);
        Ok(vec![b.emit1(Compare::Gt, &[a[2], zero])?])
    });
    let body = graph(&types, |b, a| {
        let s = b.inline(&inner, a)?[0];
        let s = b.emit1(gradus_core::ops::Broadcast { shape: [2].into(), axes: Default::default() }, &[s])?;
        let x = b.emit1(Binary::Mul, &[s, a[1]])?;
        let x = b.emit1(Unary::Tanh, &[x])?;
        let one = b.full(&Type::new(DType::I32, []), 1.0);
        Ok(vec![x, b.emit1(Binary::Sub, &[a[2], one])?])
    });
    let g = graph(&types, |b, a| {
        let w = While { constants: 1, cond: Arc::new(cond), body: Arc::new(body), checkpoints: Some(2) };
        let out = b.emit(w, a)?;
        let sum = Reduce { kind: ReduceKind::Sum, axes: [0].into_iter().collect() };
        Ok(vec![b.emit1(sum, &out[..1])?])
    });
    let (mut rng, wrt) = (Rng::new(4), [true, true, false]);
    let args = arguments(2, 4);
    assert!(probe::forward(&g, &args, &wrt, &mut rng).unwrap() < 1e-7);
    assert!(probe::reverse(&g, &args, &wrt, &mut rng).unwrap() < 1e-12);
    assert!(probe::second_order(&g, &arguments(2, 3), &wrt, &mut rng).unwrap() < 1e-6);
    let examples: Vec<Vec<Array>> = [2, 0, 3].iter().map(|&c| arguments(2, c)).collect();
    assert!(probe::batched(&value_and_grad(&g, &wrt).unwrap(), &examples).unwrap() < 1e-13);
}

#[test]
fn a_linear_loop_is_transposed_and_back() {
    // A rule linear in its second operand: y ← w y, three times.
    let types = [f64s(&[]), f64s(&[]), Type::new(DType::I64, [])];
    let cond = graph(&types, |b, a| {
        let zero = b.zeros_like(a[2]);
        Ok(vec![b.emit1(Compare::Gt, &[a[2], zero])?])
    });
    let body = graph(&types, |b, a| {
        let one = b.full(&Type::new(DType::I64, []), 1.0);
        Ok(vec![b.emit1(Binary::Mul, &[a[0], a[1]])?, b.emit1(Binary::Sub, &[a[2], one])?])
    });
    let g = graph(&types, |b, a| {
        let w = While { constants: 1, cond: Arc::new(cond), body: Arc::new(body), checkpoints: None };
        Ok(b.emit(w, a)?[..1].to_vec())
    });
    let marks = [false, true, false];
    let back = gradus_core::transforms::transpose(&g, &marks).unwrap();
    let value = |v: f64| Array::scalar(v);
    let run = |g: &Graph, last: Array| interpret(g, &[value(2.0), Array::scalar(3i64), last]).unwrap();
    assert_eq!(run(&back, value(5.0))[0].to_f64(), [40.0]);
    let again = gradus_core::transforms::transpose(&back, &[false, false, true]).unwrap();
    assert_eq!(run(&again, value(5.0))[0].to_f64(), [40.0]);
    // It is a loop forward again: one level.
    let one_level = |e: &gradus_core::Eqn| matches!(&e.op, Op::Replay(replay) if replay.levels.len() == 1);
    assert!(again.eqns().iter().any(one_level), "{again}");
}

#[test]
fn forward_mode_keeps_its_one_loop() {
    let forward = jvp(&wave(2, None), &[true, true, false]).unwrap();
    assert!(!forward.eqns().iter().any(|e| matches!(e.op, Op::Replay(_))), "{forward}");
}

#[test]
fn wrong_numbers_are_told() {
    let rows: Vec<Row> = gradus_core::table::rows();
    let row = rows.iter().find(|r| r.name == "replay").unwrap();
    let case = &row.cases[0];
    let mut rng = Rng::new(1);
    let mut args: Vec<Array> = case.operands.iter().map(|o| o.draw(&mut rng)).collect();
    args[0] = Array::scalar(6i64);
    let error = interpret(&case.graph().unwrap(), &args).unwrap_err().to_string();
    assert!(error.contains("6 steps over 5 rows"), "{error}");
    let mut b = Builder::new();
    let x = b.input(f64s(&[2]));
    let w = b.input(f64s(&[2]));
    let k = b.input(Type::new(DType::I32, []));
    let Op::While(w0) = wave(2, None).eqns()[0].op.clone() else { panic!("the loop comes first") };
    let error = b.emit(While { checkpoints: Some(0), ..w0 }, &[w, x, k]).unwrap_err().to_string();
    assert!(error.contains("at least one checkpoint"), "{error}");
}

/// `s ← sin(w s + x)` over rows, giving `s²` each step, and then the sum of everything.
fn rows(length: usize, reverse: bool, checkpoints: Option<usize>) -> Graph {
    let (v, xs) = (f64s(&[2]), f64s(&[length, 2]));
    let body = graph(&[v.clone(), v.clone(), v.clone()], |b, a| {
        let ws = b.emit1(Binary::Mul, &[a[0], a[1]])?;
        let s = b.emit1(Binary::Add, &[ws, a[2]])?;
        let s = b.emit1(Unary::Sin, &[s])?;
        Ok(vec![s, b.emit1(Binary::Mul, &[s, s])?])
    });
    graph(&[v.clone(), v, xs], |b, a| {
        let scan = Scan { constants: 1, carry: 1, length, reverse, body: Arc::new(body), checkpoints };
        let out = b.emit(scan, a)?;
        let all = |n: usize| Reduce { kind: ReduceKind::Sum, axes: (0..n).collect() };
        let (s, ys) = (b.emit1(all(1), &[out[0]])?, b.emit1(all(2), &[out[1]])?);
        Ok(vec![b.emit1(Binary::Add, &[s, ys])?])
    })
}

fn stacked_bytes(graph: &Graph) -> usize {
    let scans = graph.eqns().iter().filter_map(|e| match &e.op {
        Op::Scan(scan) => Some(&e.outputs[scan.carry..]),
        _ => None,
    });
    scans.flatten().map(|&v| graph.ty(v).bytes()).sum()
}

#[test]
fn a_scan_with_checkpoints_has_the_same_gradient() {
    let mut rng = Rng::new(2);
    for (length, reverse) in [(1, false), (2, true), (9, false), (12, true)] {
        let args: Vec<Array> =
            rows(length, reverse, None).input_types().iter().map(|ty| rng.direction(ty)).collect();
        let run = |checkpoints| {
            let grad = value_and_grad(&rows(length, reverse, checkpoints), &[true; 3]).unwrap();
            (interpret(&grad, &args).unwrap(), grad)
        };
        let (want, grad) = run(None);
        for slots in [1, 2, 3, 20] {
            assert_eq!(run(Some(slots)).0, want, "{slots} slots, {length} steps");
            // The same by rewriting the gradient that stores everything.
            match checkpoint_loops(&grad, slots).unwrap() {
                Some(less) => {
                    assert_eq!(interpret(&less, &args).unwrap(), want, "{slots} slots, {length} steps");
                    // What is left is what the function itself stacks, and the gradient of its rows.
                    assert!(stacked_bytes(&less) < stacked_bytes(&grad), "{less}");
                }
                None => assert_eq!(length, 1),
            }
        }
        let g = rows(length, reverse, Some(2));
        assert!(probe::second_order(&g, &args, &[true; 3], &mut rng).unwrap() < 1e-6);
        let batched = value_and_grad(&g, &[true; 3]).unwrap();
        let examples: Vec<Vec<Array>> =
            (0..3).map(|_| g.input_types().iter().map(|ty| rng.direction(ty)).collect()).collect();
        assert!(probe::batched(&batched, &examples).unwrap() < 1e-13);
    }
}

#[test]
fn rewriting_lowers_the_slots_left_open() {
    let grad = value_and_grad(&wave(3, None), &[true, true, false]).unwrap();
    let less = checkpoint_loops(&grad, 2).unwrap().expect("there is a replay");
    let slots = less.eqns().iter().find_map(|e| match &e.op {
        Op::Replay(r) => r.slots,
        _ => None,
    });
    assert_eq!(slots, Some(2));
    let args = arguments(3, 11);
    assert_eq!(interpret(&less, &args).unwrap(), interpret(&grad, &args).unwrap());
    let fixed = value_and_grad(&wave(3, Some(5)), &[true, true, false]).unwrap();
    assert!(checkpoint_loops(&fixed, 2).unwrap().is_none());
}
