//! Families whose values and errors are easiest to state by example; the op table checks the rest.

use gradus_core::ops::{
    ArgReduce, Clamp, Conv, Cumulative, CumulativeKind, FoldIn, Gather, MaxPool, Op, RandomBits, Recurrence,
    ScatterAdd, Sort, SumPool, Window,
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
    check(Gather { axis: 0, batch: 0, from_end: true }, &[x(&[4, 3]), i(&[2, 3])]);
    check(Gather { axis: 1, batch: 0, from_end: true }, &[x(&[2, 4, 3]), i(&[5])]);
    check(Gather { axis: 2, batch: 1, from_end: true }, &[x(&[2, 3, 4, 2]), i(&[2, 3])]);
    check(ScatterAdd { axis: 1, batch: 0, from_end: true }, &[x(&[2, 4, 3]), i(&[5]), x(&[2, 5, 3])]);
    check(
        ScatterAdd { axis: 2, batch: 1, from_end: true },
        &[x(&[2, 3, 4]), i(&[2, 2, 2]), x(&[2, 3, 2, 2])],
    );
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
            check(Recurrence { axis: 1, reverse, linear: false }, &[x, distinct(&[2, 4])]);
        }
    }
    check(Recurrence { axis: 0, reverse: false, linear: true }, &[distinct(&[5]), distinct(&[5])]);
}

#[test]
fn order_counts_nan_as_largest_and_keeps_ties() {
    let x = f(&[2.0, f64::NAN, 1.0, 2.0, -0.0, 0.0]);
    let up = one(Sort { axis: 0, descending: false }, std::slice::from_ref(&x)).unwrap();
    assert_eq!(up[1].to_i64(), [4, 5, 2, 0, 3, 1]);
    let down = one(Sort { axis: 0, descending: true }, std::slice::from_ref(&x)).unwrap();
    assert_eq!(down[1].to_i64(), [1, 0, 3, 2, 4, 5]);
    assert_eq!(one(ArgReduce { max: true, axis: 0 }, std::slice::from_ref(&x)).unwrap()[0].to_i64(), [1]);
    assert_eq!(one(ArgReduce { max: false, axis: 0 }, &[f(&[3.0, 1.0, 1.0])]).unwrap()[0].to_i64(), [1]);
}

#[test]
fn an_index_out_of_range_is_an_error_of_the_data() {
    let at = |i: i64| Array::new([1], vec![i]).unwrap();
    let x = f(&[1.0, 2.0, 3.0]);
    let gather = Gather { axis: 0, batch: 0, from_end: true };
    assert_eq!(one(gather, &[x.clone(), at(-1)]).unwrap()[0].to_f64(), [3.0]);
    for i in [3, -4, i64::MIN, i64::MAX] {
        let error = one(gather, &[x.clone(), at(i)]).unwrap_err();
        assert_eq!(
            error,
            ErrorKind::Index { op: "gather", index: i, at: Some(0), extent: 3, from_end: true }
        );
        let error = one(ScatterAdd { axis: 0, batch: 0, from_end: true }, &[x.clone(), at(i), f(&[1.0])])
            .unwrap_err();
        assert_eq!(
            error,
            ErrorKind::Index { op: "scatter_add", index: i, at: Some(0), extent: 3, from_end: true }
        );
    }
}

#[test]
fn clamp_keeps_its_bounds() {
    let x = Sampled::f64([4], Range::Values(vec![0.0, 1.0, 0.5, 2.0]));
    let bounds = |v| Sampled::f64([4], Range::Values(vec![v]));
    let operands = [x, bounds(0.0), bounds(1.0)];
    let g = graph(Clamp, &operands);
    let back = probe::pullback(&g, &[true, true, true]).unwrap();
    let mut rng = Rng::new(0);
    let mut args: Vec<Array> = operands.iter().map(|s| s.draw(&mut rng)).collect();
    args.push(f(&[1.0; 4]));
    let d: Vec<Vec<f64>> = interpret(&back, &args).unwrap().iter().map(Array::to_f64).collect();
    assert_eq!(d, [[1.0, 1.0, 1.0, 0.0], [0.0; 4], [0.0, 0.0, 0.0, 1.0]]);
}

#[test]
fn derivatives_of_convolutions() {
    let x = |shape: &[usize]| Sampled::f64(shape, Range::Uniform(-1.0, 1.0));
    let line = Conv::new(1);
    check(line.clone(), &[x(&[2, 3, 7]), x(&[4, 3, 3])]);
    let odd = |stride: usize, low: isize, high: isize, lhs: usize, rhs: usize| Conv {
        stride: [stride].into_iter().collect(),
        low: [low].into_iter().collect(),
        high: [high].into_iter().collect(),
        lhs_dilation: [lhs].into_iter().collect(),
        rhs_dilation: [rhs].into_iter().collect(),
        ..line.clone()
    };
    for op in
        [odd(2, 1, 0, 1, 1), odd(3, -1, 2, 2, 1), odd(1, 4, -2, 1, 2), odd(2, 0, 5, 3, 2), odd(5, 0, 0, 1, 1)]
    {
        check(op.clone(), &[x(&[2, 2, 6]), x(&[3, 2, 2])]);
        check(Conv { feature_groups: 2, ..op.clone() }, &[x(&[1, 4, 6]), x(&[4, 2, 2])]);
        check(Conv { batch_groups: 2, ..op.clone() }, &[x(&[4, 2, 6]), x(&[4, 2, 2])]);
        check(Conv { feature_groups: 3, tangents: [true, false], ..op }, &[x(&[2, 3, 6]), x(&[6, 1, 2])]);
    }
    let plane =
        Conv { low: [1, 0].into_iter().collect(), stride: [1, 2].into_iter().collect(), ..Conv::new(2) };
    check(plane, &[x(&[2, 2, 4, 5]), x(&[3, 2, 3, 2])]);
    check(Conv::new(3), &[x(&[1, 1, 3, 2, 2]), x(&[2, 1, 2, 1, 2])]);
    check(Conv::new(0), &[x(&[2, 3]), x(&[4, 3])]);
}

#[test]
fn derivatives_of_pooling() {
    let spread = |shape: &[usize]| Sampled::f64(shape, Range::Distinct);
    let odd = |size: usize, stride: usize, low: usize, high: usize, dilation: usize| Window {
        size: [size].into_iter().collect(),
        stride: [stride].into_iter().collect(),
        low: [low].into_iter().collect(),
        high: [high].into_iter().collect(),
        dilation: [dilation].into_iter().collect(),
    };
    for window in [odd(3, 2, 1, 1, 1), odd(2, 1, 0, 0, 2), odd(2, 3, 0, 1, 1), odd(3, 1, 2, 2, 1)] {
        check(MaxPool { window: window.clone() }, &[spread(&[2, 7])]);
        check(SumPool { window }, &[spread(&[2, 7])]);
    }
    check(SumPool { window: odd(2, 1, 3, 4, 1) }, &[spread(&[2, 7])]);
    let window = Window::tiles(&[2, 2]);
    check(MaxPool { window: window.clone() }, &[spread(&[2, 1, 4, 5])]);
    check(SumPool { window }, &[spread(&[2, 1, 4, 5])]);
    let ties = f(&[1.0, 1.0, f64::NAN, 2.0, 0.0]);
    let out = one(MaxPool { window: odd(2, 1, 0, 0, 1) }, &[ties]).unwrap();
    assert_eq!(out[1].to_i64(), [0, 2, 2, 3]);
}

#[test]
fn windows_that_do_not_fit_say_what_to_try() {
    let x = Array::new([1, 1, 3], vec![1.0f64; 3]).unwrap();
    let k = Array::new([1, 1, 5], vec![1.0f64; 5]).unwrap();
    let mut b = Builder::new();
    let vars: Vec<_> = [&x, &k].map(|a| b.input(gradus_core::Type::new(a.dtype(), a.shape()))).into();
    let error = b.emit(Conv::new(1), &vars).unwrap_err().to_string();
    assert!(error.contains("pad by at least 2 more"), "{error}");
    let error = b.emit(SumPool { window: Window::tiles(&[4]) }, &vars[..1]).unwrap_err().to_string();
    assert!(error.contains("pad by 1 more"), "{error}");
    let mut window = Window::tiles(&[2]);
    window.low[0] = 2;
    let error = b.emit(MaxPool { window }, &vars[..1]).unwrap_err().to_string();
    assert!(error.contains("padding only"), "{error}");
    let error = b.emit(Conv { feature_groups: 2, ..Conv::new(1) }, &vars).unwrap_err().to_string();
    assert!(error.contains("channels / groups"), "{error}");
}

#[test]
fn random_bits_do_not_depend_on_the_cut() {
    let keys = Array::new([2], vec![5i64, -9]).unwrap();
    for bits in [1, 24, 31, 32, 53, 63] {
        let draw = |keys: &Array, n: usize| {
            one(RandomBits { shape: [n].into(), bits }, std::slice::from_ref(keys)).unwrap()[0].to_i64()
        };
        let both = draw(&keys, 11);
        let first = draw(&Array::new([1], vec![5i64]).unwrap(), 7);
        assert_eq!(both[..7], first);
        assert_ne!(both[..11], both[11..]);
        assert!(both.iter().all(|&v| v >= 0 && v >> (bits - 1) <= 1));
    }
    let many = one(RandomBits { shape: [4096].into(), bits: 24 }, &[keys]).unwrap()[0].to_f64();
    let mean = many.iter().sum::<f64>() / many.len() as f64 / (1 << 24) as f64;
    assert!((mean - 0.5).abs() < 0.02, "{mean}");
    let number = Array::new([2], vec![1i64, 1]).unwrap();
    let key = Array::new([2], vec![3i64, 4]).unwrap();
    let derived = |stream| one(FoldIn { stream }, &[key.clone(), number.clone()]).unwrap()[0].to_i64();
    assert_ne!(derived(0)[0], derived(0)[1]);
    assert_ne!(derived(0), derived(1));
}
