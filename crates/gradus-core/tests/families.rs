//! Families whose values and errors are easiest to state by example; the op table checks the rest.

use gradus_core::ops::{
    ArgReduce, Clamp, Cumulative, CumulativeKind, Gather, Op, Recurrence, ScatterAdd, Sort,
};
use gradus_core::table::probe;
use gradus_core::table::{Range, Rng, Sampled};
use gradus_core::{Array, Builder, DType, ErrorKind, Graph, interpret};

fn graph(op: impl Into<Op>, operands: &[Sampled]) -> Graph {
    let mut b = Builder::new();
    let args: Vec<_> = operands.iter().map(|s| b.input(s.ty.clone())).collect();
    let out = b.emit(op, &args).unwrap();
    b.finish(out.to_vec())
}

/// Every derivative cell of a primitive at random samples.
fn check(op: impl Into<Op>, operands: &[Sampled]) {
    let op = op.into();
    let g = graph(op.clone(), operands);
    let mut rng = Rng::new(7);
    let examples: Vec<Vec<Array>> =
        (0..3).map(|_| operands.iter().map(|s| s.draw(&mut rng)).collect()).collect();
    let wrt = probe::floats(&g);
    let forward = probe::forward(&g, &examples[0], &wrt, &mut rng).unwrap();
    assert!(forward < 1e-9, "{op}: forward {forward:e}");
    let reverse = probe::reverse(&g, &examples[0], &wrt, &mut rng).unwrap();
    assert!(reverse < 1e-12, "{op}: reverse {reverse:e}");
    let batched = probe::batched(&g, &examples).unwrap();
    assert!(batched == 0.0, "{op}: batched {batched:e}");
    let second = probe::second_order(&g, &examples[0], &wrt, &mut rng).unwrap();
    assert!(second < 1e-8, "{op}: second {second:e}");
}

fn one(op: impl Into<Op>, args: &[Array]) -> Result<Vec<Array>, ErrorKind> {
    let operands: Vec<Sampled> =
        args.iter().map(|a| Sampled::of(a.dtype(), a.shape(), Range::Flags)).collect();
    interpret(&graph(op, &operands), args).map_err(|e| e.kind().clone())
}

fn f(v: &[f64]) -> Array {
    Array::new([v.len()], v.to_vec()).unwrap()
}

#[test]
fn derivatives_of_indexing() {
    let x = |shape: &[usize]| Sampled::f64(shape, Range::Uniform(-1.0, 1.0));
    let i = |shape: &[usize]| Sampled::of(DType::I32, shape, Range::Integers(-4, 3));
    check(Gather { axis: 0, batch: 0 }, &[x(&[4, 3]), i(&[2, 3])]);
    check(Gather { axis: 1, batch: 0 }, &[x(&[2, 4, 3]), i(&[5])]);
    check(Gather { axis: 2, batch: 1 }, &[x(&[2, 3, 4, 2]), i(&[2, 3])]);
    check(ScatterAdd { axis: 1, batch: 0 }, &[x(&[2, 4, 3]), i(&[5]), x(&[2, 5, 3])]);
    check(ScatterAdd { axis: 2, batch: 1 }, &[x(&[2, 3, 4]), i(&[2, 2, 2]), x(&[2, 3, 2, 2])]);
}

#[test]
fn derivatives_of_order_and_running_reductions() {
    let distinct = |shape: &[usize]| Sampled::f64(shape, Range::Distinct);
    for (axis, descending) in [(0, false), (1, true), (2, false)] {
        check(Sort { axis, descending }, &[distinct(&[2, 4, 3])]);
    }
    check(
        Clamp,
        &[
            Sampled::f64([6], Range::Either((-1.0, -0.6), (0.6, 1.0))),
            Sampled::f64([6], Range::Uniform(-0.5, -0.2)),
            Sampled::f64([6], Range::Uniform(0.2, 0.5)),
        ],
    );
    for kind in CumulativeKind::ALL {
        for reverse in [false, true] {
            let x = Sampled::f64([2, 4], Range::Values(vec![0.5, 0.0, -1.2, 2.0, 0.0, 0.0, 3.0]));
            check(Cumulative { kind, axis: 1, reverse }, std::slice::from_ref(&x));
            check(Recurrence { axis: 1, reverse, strong: false }, &[x, distinct(&[2, 4])]);
        }
    }
    check(Recurrence { axis: 0, reverse: false, strong: true }, &[distinct(&[5]), distinct(&[5])]);
}

#[test]
fn order_puts_nan_last_and_keeps_ties() {
    let x = f(&[2.0, f64::NAN, 1.0, 2.0, -0.0, 0.0]);
    let up = one(Sort { axis: 0, descending: false }, std::slice::from_ref(&x)).unwrap();
    assert_eq!(up[1].to_i64(), [4, 5, 2, 0, 3, 1]);
    let down = one(Sort { axis: 0, descending: true }, std::slice::from_ref(&x)).unwrap();
    assert_eq!(down[1].to_i64(), [0, 3, 2, 4, 5, 1]);
    assert_eq!(one(ArgReduce { max: true, axis: 0 }, std::slice::from_ref(&x)).unwrap()[0].to_i64(), [1]);
    assert_eq!(one(ArgReduce { max: false, axis: 0 }, &[f(&[3.0, 1.0, 1.0])]).unwrap()[0].to_i64(), [1]);
}

#[test]
fn an_index_out_of_range_is_an_error_of_the_data() {
    let at = |i: i64| Array::new([1], vec![i]).unwrap();
    let x = f(&[1.0, 2.0, 3.0]);
    let gather = Gather { axis: 0, batch: 0 };
    assert_eq!(one(gather, &[x.clone(), at(-1)]).unwrap()[0].to_f64(), [3.0]);
    for i in [3, -4, i64::MIN, i64::MAX] {
        let error = one(gather, &[x.clone(), at(i)]).unwrap_err();
        assert_eq!(error, ErrorKind::Index { op: "gather", index: i, extent: 3 });
        let error = one(ScatterAdd { axis: 0, batch: 0 }, &[x.clone(), at(i), f(&[1.0])]).unwrap_err();
        assert_eq!(error, ErrorKind::Index { op: "scatter_add", index: i, extent: 3 });
    }
}

#[test]
fn clamp_shares_a_bound() {
    let x = Sampled::f64([4], Range::Values(vec![0.0, 1.0, 0.5, 2.0]));
    let bounds = |v| Sampled::f64([4], Range::Values(vec![v]));
    let operands = [x, bounds(0.0), bounds(1.0)];
    let g = graph(Clamp, &operands);
    let back = probe::pullback(&g, &[true, true, true]).unwrap();
    let mut rng = Rng::new(0);
    let mut args: Vec<Array> = operands.iter().map(|s| s.draw(&mut rng)).collect();
    args.push(f(&[1.0; 4]));
    let d: Vec<Vec<f64>> = interpret(&back, &args).unwrap().iter().map(Array::to_f64).collect();
    assert_eq!(d, [[0.5, 0.5, 1.0, 0.0], [0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 1.0]]);
}
