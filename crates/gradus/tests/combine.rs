//! Products, maxima and minima at places that an index names, against loops; Einstein summation with `...` against letters.

use gradus::{DType, F16, Tensor, check_grads, grad, jacobian, jit, vmap};

/// Numbers between -2 and 2 with ties, without order.
fn numbers(seed: usize, shape: &[usize]) -> Tensor {
    let size: usize = shape.iter().product();
    let elements = (0..size).map(|i| ((i * 7 + seed * 13) * (i + 3) % 17) as f64 / 4.0 - 2.0).collect();
    Tensor::new(shape.to_vec(), elements).unwrap()
}

/// What `combine` makes of the tensor and the updates, one after the other.
fn looped(
    x: &Tensor,
    indices: &[i64],
    updates: &Tensor,
    axis: usize,
    combine: fn(f64, f64) -> f64,
) -> Tensor {
    let n = x.shape()[axis];
    let inner: usize = x.shape()[axis + 1..].iter().product();
    let (mut out, updates) = (x.to_vec::<f64>(), updates.to_vec::<f64>());
    for (at, &u) in updates.iter().enumerate() {
        let (outer, rest) = (at / (indices.len() * inner), at % (indices.len() * inner));
        let place = indices[rest / inner].rem_euclid(n as i64) as usize;
        let own = &mut out[(outer * n + place) * inner + rest % inner];
        *own = combine(*own, u);
    }
    Tensor::new(x.shape(), out).unwrap()
}

type Scatter = fn(&Tensor, &Tensor, &Tensor, isize) -> Tensor;
const ALL: [(Scatter, fn(f64, f64) -> f64); 3] =
    [(Tensor::scatter_mul, |x, y| x * y), (Tensor::scatter_max, f64::max), (Tensor::scatter_min, f64::min)];

#[test]
fn values_are_those_of_a_loop() {
    let indices: [&[i64]; 5] = [&[], &[1], &[2, 0, 2], &[0, 0, 0, 0, -1, 2, -3], &[1, 2, 1, 2, 1, 2, 0]];
    for (shape, axis) in [(vec![3], 0), (vec![3, 2], 0), (vec![2, 3], 1), (vec![2, 3, 2], 1)] {
        for (seed, indices) in indices.iter().enumerate() {
            let x = numbers(seed, &shape);
            let mut taken = shape.clone();
            taken[axis] = indices.len();
            let u = numbers(seed + 5, &taken);
            let at = Tensor::from(indices.to_vec());
            for (scatter, combine) in ALL {
                let want = looped(&x, indices, &u, axis, combine);
                assert_eq!(scatter(&x, &at, &u, axis as isize), want, "{shape:?} {indices:?}");
                let compiled = jit(|(x, u): &(Tensor, Tensor)| scatter(x, &at, u, axis as isize));
                assert_eq!(compiled.call(&(x.clone(), u.clone())), want);
                for dtype in [DType::I64, DType::I32, DType::F32] {
                    let (x, u) = ((&x * 4.0).round().cast(dtype), (&u * 4.0).round().cast(dtype));
                    let want = looped(&x, indices, &u, axis, combine);
                    assert_eq!(scatter(&x, &at, &u, axis as isize).to_vec::<f64>(), want.to_vec::<f64>());
                }
            }
        }
    }
}

#[test]
fn extremes_of_types() {
    let at = Tensor::from([0i64, 0]);
    let one = |x: Tensor, u: Tensor| (x.scatter_max(&at, &u, 0), x.scatter_min(&at, &u, 0));
    let (least, most) = (Tensor::from([i64::MIN]), Tensor::from([i64::MAX]));
    assert_eq!(one(least.clone(), Tensor::from([i64::MIN; 2])), (least.clone(), least));
    assert_eq!(one(most.clone(), Tensor::from([i64::MAX; 2])), (most.clone(), most));
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    assert_eq!(
        one(Tensor::from([low]), Tensor::from([low, high])),
        (Tensor::from([high]), Tensor::from([low]))
    );
    let (above, below) = one(Tensor::from([0.0]), Tensor::from([f64::NAN, 1.0]));
    assert!(above.item::<f64>().is_nan() && below.item::<f64>().is_nan());
    let half = |x: f32| Tensor::from([F16::from_f32(x)]);
    assert_eq!(half(1.0).scatter_max(&Tensor::from([0i64]), &half(2.5), 0), half(2.5));
    assert_eq!(Tensor::from([3u8]).scatter_min(&at, &Tensor::from([7u8, 200]), 0), Tensor::from([3u8]));
}

#[test]
fn derivatives() {
    let at = Tensor::from([2i64, 0, 2, 2, -1]);
    let x = Tensor::from([[0.5, -1.5], [2.0, 0.25], [-0.75, 1.25]]);
    let u = Tensor::from([[1.5, 0.75], [-2.0, 1.0], [0.6, -0.4], [1.1, 0.9], [-1.2, 0.3]]);
    for (scatter, _) in ALL {
        let f = |(x, u): &(Tensor, Tensor)| scatter(x, &at, u, 0);
        check_grads(f, &(x.clone(), u.clone()), 2).unwrap();
        // In a batch, compiled and alone it is one function.
        let whole = |(x, u): &(Tensor, Tensor)| {
            grad(|p: &(Tensor, Tensor)| f(p).sin().sum(()))(&(x.clone(), u.clone())).1
        };
        let batch = (Tensor::stack(&[&x, &(&x * 2.0)], 0), Tensor::stack(&[&u, &(&u * 0.5)], 0));
        let together = vmap(whole)(&batch);
        for i in 0..2 {
            let alone = whole(&(batch.0.at(i), batch.1.at(i)));
            let compiled = jit(whole).call(&(batch.0.at(i), batch.1.at(i)));
            assert!((together.at(i) - &alone).abs().max(()).item::<f64>() < 1e-14);
            assert!((compiled - &alone).abs().max(()).item::<f64>() < 1e-14);
        }
    }
}

#[test]
fn ties_share_evenly_and_zeros_are_exact() {
    let at = Tensor::from([0i64, 1, 0, 0]);
    let shares = |scatter: Scatter, x: [f64; 2], u: [f64; 4]| {
        let f = |(x, u): &(Tensor, Tensor)| scatter(x, &at, u, 0).sum(());
        grad(f)(&(Tensor::from(x), Tensor::from(u)))
    };
    let third = 1.0 / 3.0;
    let tied = shares(Tensor::scatter_max, [5.0, 0.0], [5.0, 1.0, 5.0, 2.0]);
    assert_eq!(tied, (Tensor::from([third, 0.0]), Tensor::from([third, 1.0, third, 0.0])));
    let tied = shares(Tensor::scatter_min, [1.0, 7.0], [1.0, 7.0, 1.0, 1.0]);
    assert_eq!(tied, (Tensor::from([0.25, 0.5]), Tensor::from([0.25, 0.5, 0.25, 0.25])));
    let infinite = shares(Tensor::scatter_max, [f64::NEG_INFINITY; 2], [f64::NEG_INFINITY; 4]);
    assert_eq!(infinite, (Tensor::from([0.25, 0.5]), Tensor::from([0.25, 0.5, 0.25, 0.25])));
    let zeros = shares(Tensor::scatter_mul, [2.0, 3.0], [0.0, 4.0, 5.0, 7.0]);
    assert_eq!(zeros, (Tensor::from([0.0, 4.0]), Tensor::from([70.0, 3.0, 0.0, 0.0])));
    let zeros = shares(Tensor::scatter_mul, [2.0, 3.0], [0.0, 4.0, 0.0, 7.0]);
    assert_eq!(zeros, (Tensor::from([0.0, 4.0]), Tensor::from([0.0, 3.0, 0.0, 0.0])));
    // The second derivative of a product of two zeros is the product of the others.
    let mixed = |u: &Tensor| Tensor::from([2.0]).scatter_mul(&Tensor::from([0i64; 3]), u, 0).sum(());
    let second = jacobian(grad(mixed))(&Tensor::from([0.0, 0.0, 7.0]));
    assert_eq!(second, Tensor::from([[0.0, 14.0, 0.0], [14.0, 0.0, 0.0], [0.0, 0.0, 0.0]]));
}

#[test]
fn einsum_with_dots() {
    let (a, b) = (numbers(1, &[2, 3, 4, 5]), numbers(2, &[3, 5, 2]));
    let one = |spec: &str, operands: &[&Tensor], lettered: &str, others: &[&Tensor]| {
        assert_eq!(Tensor::einsum(spec, operands), Tensor::einsum(lettered, others), "{spec}");
    };
    one("...ij->...ji", &[&a], "abij->abji", &[&a]);
    one("...ij,...jk->...ik", &[&a, &b], "abij,bjk->abik", &[&a, &b]);
    one("i...->...i", &[&a], "iabc->abci", &[&a]);
    one("i...j->...", &[&a], "iabj->ab", &[&a]);
    one("...", &[&a], "abcd", &[&a]);
    // Axes of extent 1 stretch, missing ones are 1.
    let (row, column) = (numbers(3, &[1, 4, 1]), numbers(4, &[2, 1, 5]));
    assert_eq!(Tensor::einsum("...,...->...", &[&row, &column]), &row * &column);
    assert_eq!(Tensor::einsum("...,...", &[&row, &Tensor::from(2.0)]), &row * 2.0);
    assert_eq!(
        Tensor::einsum("...k,...k->...", &[&row, &column.slice(2, ..1)]),
        (&row * column.slice(2, ..1)).sum(2)
    );
    // In the order of NumPy where there is no arrow: `...`, then the letters.
    one("b...a", &[&a], "bcda->cdab", &[&a]);
    one("...ii", &[&numbers(5, &[2, 3, 3])], "aii->a", &[&numbers(5, &[2, 3, 3])]);
    check_grads(
        |(x, y): &(Tensor, Tensor)| Tensor::einsum("...ij,...jk->...ik", &[x, y]),
        &(numbers(6, &[2, 1, 2, 3]), numbers(7, &[3, 3, 2])),
        2,
    )
    .unwrap();
}
