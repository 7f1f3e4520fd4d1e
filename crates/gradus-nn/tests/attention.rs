//! Attention under every kind of mask and every transform, compiled: equal to the reference device.

use gradus::prelude::*;
use gradus::{DType, Key, hvp};
use gradus_nn::{Mask, attention};

type Operands = (Tensor, Tensor, Tensor);

/// Examples, heads of queries, heads of keys, queries, keys, features.
const SIZES: [[usize; 6]; 6] = [
    [2, 2, 2, 70, 70, 6],
    [1, 4, 2, 65, 90, 5],
    [1, 3, 1, 90, 65, 4],
    [2, 2, 2, 1, 1, 3],
    [1, 2, 2, 1, 80, 3],
    [1, 1, 1, 130, 130, 8],
];

fn drawn([examples, heads, groups, queries, keys, features]: [usize; 6], seed: u64) -> Operands {
    let draw = |seed, heads, places| Key::new(seed).normal([examples, heads, places, features], DType::F64);
    (draw(seed, heads, queries), draw(seed + 1, groups, keys), draw(seed + 2, groups, keys))
}

fn boolean(shape: &[usize], on: impl Fn(&[usize]) -> bool) -> Tensor {
    let elements: Vec<bool> = (0..shape.iter().product())
        .map(|p: usize| {
            let mut rest = p;
            let mut index: Vec<usize> = shape.iter().rev().map(|&n| (rest % n, rest /= n).0).collect();
            index.reverse();
            on(&index)
        })
        .collect();
    Tensor::from(elements).reshape(shape)
}

/// Masks as tensors, and the kind that says the same if there is one.
fn masks([examples, heads, _, queries, keys, _]: [usize; 6]) -> Vec<(Tensor, Option<Mask<'static>>)> {
    let seen = |i: usize, j: usize| j + queries <= i + keys;
    let near = |i: usize, j: usize| i + keys < j + queries + 20;
    let plane = [queries, keys];
    vec![
        (boolean(&plane, |_| true), Some(Mask::None)),
        (boolean(&plane, |x| seen(x[0], x[1])), Some(Mask::Causal)),
        (boolean(&plane, |x| seen(x[0], x[1])), Some(Mask::Window(1000))),
        (boolean(&plane, |x| seen(x[0], x[1]) && near(x[0], x[1])), Some(Mask::Window(20))),
        (boolean(&plane, |x| x[0] / 24 == x[1] / 24), None),
        (boolean(&plane, |_| false), None),
        (boolean(&[examples, 1, 1, keys], |x| x[3] < 40 + 7 * x[0]), None),
        (boolean(&[heads, queries, keys], |x| (x[1] + x[2]) % (2 + x[0]) == 0), None),
        (boolean(&[examples, 1, queries, keys], |x| x[2] % 3 > 0 && x[3] >= x[0]), None),
    ]
}

fn there(x: &Operands, device: &Device) -> Operands {
    let to = |t: &Tensor| t.to(device).unwrap();
    (to(&x.0), to(&x.1), to(&x.2))
}

fn list(x: Operands) -> [Tensor; 3] {
    [x.0, x.1, x.2]
}

/// Value, gradients, a tangent, a product with the Hessian, of attention under a mask.
fn everything(x: &Operands, along: &Operands, mask: Mask<'_>) -> Vec<Tensor> {
    let f = |(q, k, v): &Operands| attention(q, k, v, mask);
    let loss = |x: &Operands| f(x).sin().sum(());
    let (value, tangent) = jvp(f, x, along);
    let mut all = vec![value, tangent];
    all.extend(list(grad(loss)(x)));
    all.extend(list(hvp(loss, x, along)));
    all
}

fn close(got: &[Tensor], want: &[Tensor], what: &str) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, want) = (got.to_vec::<f64>(), want.to_vec::<f64>());
        for (g, w) in got.iter().zip(&want) {
            let same = g == w || g.is_nan() && w.is_nan() || (g - w).abs() < 1e-10 * (1.0 + w.abs());
            assert!(same, "{what}: result {i} is {g}, should be {w}");
        }
    }
}

#[test]
fn all_masks_in_all_transforms() {
    let reference = Device::reference();
    for sizes in SIZES {
        let (x, along) = (drawn(sizes, 0), drawn(sizes, 3));
        let argument =
            jit(|(x, along, mask): &(Operands, Operands, Tensor)| everything(x, along, Mask::Of(mask)));
        for (n, (mask, kind)) in masks(sizes).into_iter().enumerate() {
            let what = format!("{sizes:?}, mask {n}");
            let on = mask.to(&reference).unwrap();
            let want = everything(&there(&x, &reference), &there(&along, &reference), Mask::Of(&on));
            close(&argument.call(&(x.clone(), along.clone(), mask.clone())), &want, &what);
            let captured = jit(|(x, along): &(Operands, Operands)| everything(x, along, Mask::Of(&mask)));
            close(&captured.call(&(x.clone(), along.clone())), &want, &what);
            if let Some(kind) = kind {
                let said = jit(|(x, along): &(Operands, Operands)| everything(x, along, kind));
                close(&said.call(&(x.clone(), along.clone())), &want, &what);
            }
        }
    }
}

#[test]
fn masks_are_batched() {
    let [examples, heads, queries, keys] = [3, 2, 70, 70];
    let x = drawn([1, heads, heads, queries, keys, 6], 0);
    let mask = boolean(&[examples, 1, queries, keys], |i| i[3] <= i[2] && i[2] < i[3] + 5 + 30 * i[0]);
    let of_masks =
        |mask: &Tensor| grad(|x: &Operands| attention(&x.0, &x.1, &x.2, Mask::Of(mask)).square().sum(()))(&x);
    let all = list(jit(vmap(of_masks)).call(&mask));
    for example in 0..examples as isize {
        let one = list(of_masks(&mask.index(0, example)));
        let got: Vec<Tensor> = all.iter().map(|t| t.index(0, example)).collect();
        close(&got, &one, &format!("example {example}"));
    }
}

#[test]
fn values_that_are_no_numbers_reach_those_that_see_them() {
    let (places, window) = (80, 10);
    let (q, k, v) = drawn([1, 1, 1, places, places, 3], 0);
    let at = 33;
    let row = Tensor::iota([places, 1], 0, DType::I64);
    let v = row.equal(at).select(f64::INFINITY, &v);
    for (mask, end) in [(Mask::Causal, places as i64), (Mask::Window(window), at + window as i64)] {
        let f = jit(|(q, k, v): &Operands| attention(q, k, v, mask));
        let y = f.call(&(q.clone(), k.clone(), v.clone()));
        let finite = y.is_finite().index(-1, 0).to_vec::<bool>();
        let want: Vec<bool> = (0..places as i64).map(|i| i < at || i >= end).collect();
        assert_eq!(finite, want, "{mask:?}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let said = |f: &dyn Fn() -> Tensor| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    };
    let x = |shape: &[usize]| Tensor::ones(shape, DType::F32);
    let q = x(&[2, 4, 5, 8]);
    let cases: [(&str, Tensor, Tensor, Option<Tensor>); 6] = [
        ("all of one rank", x(&[4, 5, 8]), q.clone(), None),
        ("same features", x(&[2, 4, 5, 7]), q.clone(), None),
        ("same heads and places", q.clone(), x(&[2, 4, 6, 8]), None),
        ("a multiple", x(&[2, 3, 5, 8]), x(&[2, 3, 5, 8]), None),
        ("before the heads", x(&[1, 4, 5, 8]), x(&[1, 4, 5, 8]), None),
        ("a mask is boolean", q.clone(), q.clone(), Some(x(&[5, 5]))),
    ];
    for (what, k, v, mask) in cases {
        let mask = mask.as_ref().map_or(Mask::None, Mask::Of);
        let message = said(&|| attention(&q, &k, &v, mask));
        assert!(message.contains(what) && message.contains("attention.rs"), "{what}: {message}");
    }
}

#[test]
fn masks_of_places_take_no_memory() {
    let x = drawn([1, 2, 2, 200, 220, 16], 0);
    for mask in [Mask::Causal, Mask::Window(30)] {
        let told = jit(|(q, k, v): &Operands| attention(q, k, v, mask)).explain(&x);
        assert!(told.contains("without masked columns"), "{mask:?}: {told}");
        assert!(!told.contains("bool[200, 220]"), "{mask:?}: {told}");
    }
}
