//! Composed functions of tensors at their edges: nothing, one, ties, NaN, infinities, negative and wrong indices, in every transform.

use gradus::{DType, ErrorKind, Tensor, associative_scan, fori_loop, grad, jit, switch, vmap};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// Equal numbers, a NaN equal to a NaN, zeros by their signs.
fn same(name: &str, got: &Tensor, want: &Tensor) {
    assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()), "{name}");
    let bits = |t: &Tensor| t.cast(DType::F64).to_vec::<f64>();
    for (g, w) in bits(got).into_iter().zip(bits(want)) {
        let equal = g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan());
        assert!(equal, "{name}: {got} and {want}");
    }
}

#[test]
fn order_statistics() {
    let x = Tensor::from([3.0, 1.0, 2.0, 2.0]);
    for (q, want) in [(0.0, 1.0), (1.0, 3.0), (0.5, 2.0), (1.0 / 6.0, 1.5)] {
        let got = x.quantile(q, 0).item::<f64>();
        assert!((got - want).abs() < 1e-15, "{q}: {got}");
    }
    same("one", &Tensor::from([7.0]).quantile(0.3, 0), &Tensor::from(7.0));
    same("infinite", &Tensor::from([1.0, INF]).quantile(0.0, 0), &Tensor::from(1.0));
    same("infinite above", &Tensor::from([INF, INF, 0.0]).median(0), &Tensor::from(INF));
    let rows = Tensor::from([[1.0, NAN, 0.0], [4.0, 2.0, 3.0]]);
    same("a row with NaN", &rows.median(1), &Tensor::from([NAN, 3.0]));
    same("f32", &Tensor::from([1f32, 2.0]).median(-1), &Tensor::from(1.5f32));
    let slope = grad(|x: &Tensor| x.median(0))(&Tensor::from([5.0, 1.0, 2.0, 9.0]));
    same("slope", &slope, &Tensor::from([0.5, 0.0, 0.5, 0.0]));
    for q in [-0.1, 1.1, NAN] {
        let error = jit(move |x: &Tensor| x.quantile(q, 0)).try_call(&x).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Argument { op: "quantile", .. }), "{error}");
    }
    let nothing = Tensor::zeros([2, 0], DType::F64);
    let error = jit(|x: &Tensor| x.median(1)).try_call(&nothing).unwrap_err();
    assert!(error.to_string().contains("median: there is none of nothing"), "{error}");
    same("rows of none", &Tensor::zeros([0, 3], DType::F64).median(1), &Tensor::zeros([0], DType::F64));
}

#[test]
fn running_extrema_and_sums() {
    let x = Tensor::from([2.0, 5.0, 5.0, 1.0, 7.0, NAN, 9.0]);
    same("cummax", &x.cummax(0), &Tensor::from([2.0, 5.0, 5.0, 5.0, 7.0, NAN, NAN]));
    same("cummin", &x.cummin(0), &Tensor::from([2.0, 2.0, 2.0, 1.0, 1.0, NAN, NAN]));
    same("integers", &Tensor::from([3i64, 1, 4]).cummax(0), &Tensor::from([3i64, 3, 4]));
    same("none", &Tensor::zeros([0, 2], DType::F64).cummax(0), &Tensor::zeros([0, 2], DType::F64));
    let columns = Tensor::from([[1.0, 9.0], [3.0, 2.0], [2.0, 10.0]]);
    same("columns", &columns.cummax(0), &Tensor::from([[1.0, 9.0], [3.0, 9.0], [3.0, 10.0]]));
    // The first of equal ones has the derivative.
    let slope = grad(|x: &Tensor| x.cummax(0).sum(()))(&Tensor::from([2.0, 5.0, 5.0, 1.0]));
    same("slope", &slope, &Tensor::from([1.0, 3.0, 0.0, 0.0]));
    let low = Tensor::from([-INF, -INF, 0.0, 0.0]);
    let want = Tensor::from([-INF, -INF, 0.0, 2f64.ln()]);
    same("logcumsumexp", &low.logcumsumexp(0), &want);
    let slope = grad(|x: &Tensor| x.logcumsumexp(0).index(0, -1))(&Tensor::from([0.0, 0.0, 0.0, 0.0, 0.0]));
    let far = (&slope - 0.2).abs().max(()).item::<f64>();
    assert!(far < 1e-15, "{slope}");
    same(
        "from the end",
        &Tensor::from([[1i64, 2], [3, 4]]).reverse_cumsum(0),
        &Tensor::from([[4i64, 6], [3, 4]]),
    );
}

#[test]
fn searching_and_counting() {
    let edges = Tensor::from([-1.0, 0.0, 0.0, 2.0, NAN]);
    let values = Tensor::from([[-2.0, 0.0, 3.0], [NAN, INF, 2.0]]);
    same("left", &edges.searchsorted(&values), &Tensor::from([[0i64, 1, 4], [4, 4, 3]]));
    same("right", &edges.searchsorted_right(&values), &Tensor::from([[0i64, 3, 4], [5, 4, 4]]));
    let none = Tensor::from(Vec::<f64>::new());
    same("no edges", &none.searchsorted(&Tensor::from([1.0])), &Tensor::from([0i64]));
    for n in 1..40 {
        let edges = Tensor::arange(n, DType::I64);
        let values = Tensor::arange(n + 2, DType::I64) - 1i64;
        let want = (0..n as i64 + 2).map(|v| (v - 1).clamp(0, n as i64)).collect::<Vec<i64>>();
        same("places", &edges.searchsorted(&values), &Tensor::from(want));
    }
    same("bytes", &Tensor::from([1u8, 1, 0]).bincount(3), &Tensor::from([1i64, 2, 0]));
    same("no numbers", &Tensor::from(Vec::<i64>::new()).bincount(2), &Tensor::from([0i64, 0]));
    for wrong in [-1i64, 3] {
        let error = jit(|x: &Tensor| x.bincount(3)).try_call(&Tensor::from([0i64, wrong])).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Index { index, extent: 3, .. } if *index == wrong),
            "{error}"
        );
    }
}

#[test]
fn rounding_signs_and_quotients() {
    let x = Tensor::from([1.5, -1.5, -0.5, NAN, -INF]);
    same("trunc", &x.trunc(), &Tensor::from([1.0, -1.0, -0.0, NAN, -INF]));
    let signs = Tensor::from([-0.0, 0.0, -INF, -1.0, NAN]);
    same("copysign", &x.copysign(&signs), &Tensor::from([-1.5, 1.5, -0.5, NAN, INF]));
    for (a, b) in [(7i64, 2i64), (-7, 2), (7, -2), (-7, -2), (6, -3), (0, -3), (i64::MIN, 3)] {
        let (ta, tb) = (Tensor::from(a), Tensor::from(b));
        let quotient = a.div_euclid(b) - i64::from(b < 0 && a.rem_euclid(b) != 0);
        same("floor_divide", &ta.floor_divide(&tb), &Tensor::from(quotient));
        same("remainder", &ta.remainder(&tb), &Tensor::from(a.wrapping_sub(b.wrapping_mul(quotient))));
    }
    let slopes = grad(|(x, y): &(Tensor, Tensor)| x.remainder(y).sum(()))(&(
        Tensor::from([-7.0]),
        Tensor::from([4.0]),
    ));
    same("by x", &slopes.0, &Tensor::from([1.0]));
    same("by y", &slopes.1, &Tensor::from([2.0]));
    same("numbers", &Tensor::from([NAN, INF, 2.0]).nan_to_num(-1.0), &Tensor::from([-1.0, f64::MAX, 2.0]));
    same("f32", &Tensor::from([f32::NEG_INFINITY]).nan_to_num(0.0), &Tensor::from([f32::MIN]));
    let slope = grad(|x: &Tensor| x.nan_to_num(0.0).sum(()))(&Tensor::from([NAN, INF, 2.0]));
    same("slope", &slope, &Tensor::from([0.0, 0.0, 1.0]));
}

#[test]
fn places_known_when_a_program_runs() {
    let x = Tensor::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    same("slice", &x.dynamic_slice(&Tensor::from(1i64), 2, 0), &x.slice(0, 1..));
    same("of nothing", &x.dynamic_slice(&Tensor::from(3i64), 0, 0), &x.slice(0, 3..));
    let rows = vmap(|i: &Tensor| x.dynamic_slice(i, 1, 0).squeeze(0))(&Tensor::from([2i64, -3]));
    same("batch", &rows, &Tensor::from([[5.0, 6.0], [1.0, 2.0]]));
    for (start, size) in [(2i64, 2usize), (-4, 1), (3, 1), (i64::MAX, 1), (i64::MIN, 1)] {
        let cut = jit(move |(x, i): &(Tensor, Tensor)| x.dynamic_slice(i, size, 0));
        let error = cut.try_call(&(x.clone(), Tensor::from(start))).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Index { .. }), "{start}: {error}");
    }
    let written =
        x.dynamic_update_slice(&Tensor::from([[8.0], [9.0]]).broadcast_to([2, 2]), &Tensor::from(-2i64), 0);
    same("update", &written, &Tensor::from([[1.0, 2.0], [8.0, 8.0], [9.0, 9.0]]));
    // Not a number and infinities elsewhere are left alone, and have no part in what is written.
    let strange = Tensor::from([NAN, INF, 2.0]);
    let written = strange.scatter(&Tensor::from([0i64, 2, -3]), &Tensor::from([INF, 5.0, 7.0]), 0);
    same("scatter", &written, &Tensor::from([7.0, INF, 5.0]));
    let at = Tensor::from([[0i64, 1], [1, -1]]);
    let updates = Tensor::from([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0], [70.0, 80.0]]).reshape([2, 2, 2]);
    same("of rows", &x.scatter(&at, &updates, 0), &Tensor::from([[10.0, 20.0], [50.0, 60.0], [70.0, 80.0]]));
    let slopes = grad(|(x, u): &(Tensor, Tensor)| x.scatter(&Tensor::from([1i64, 1]), u, 0).square().sum(()));
    let (by_x, by_updates) = slopes(&(Tensor::from([1.0, 2.0]), Tensor::from([3.0, 4.0])));
    same("by the tensor", &by_x, &Tensor::from([2.0, 0.0]));
    same("by the updates", &by_updates, &Tensor::from([0.0, 8.0]));
    // An index is named as it was given, in its place among those given.
    let wrong = jit(|(x, i): &(Tensor, Tensor)| x.scatter(i, &Tensor::from([[1.0, 2.0], [3.0, 4.0]]), 0));
    for (indices, index, at) in
        [([[0i64, 2], [-3, 3]], 3, 3), ([[0, -4], [2, 1]], -4, 1), ([[2, 1], [i64::MIN, 0]], i64::MIN, 2)]
    {
        let error = wrong.try_call(&(strange.clone(), Tensor::from(indices))).unwrap_err();
        let expected = ErrorKind::Index { op: "gather", index, at: Some(at), extent: 3, from_end: true };
        assert_eq!(*error.kind(), expected);
    }
    same(
        "several indices",
        &x.gather_nd(&Tensor::from([[-1i64], [0]])),
        &Tensor::from([[5.0, 6.0], [1.0, 2.0]]),
    );
    let error = jit(|(x, i): &(Tensor, Tensor)| x.gather_nd(i));
    // Within the tensor as a whole, but not along its axis.
    let error = error.try_call(&(x.clone(), Tensor::from([[0i64, 2]]))).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Index { index: 2, extent: 2, .. }), "{error}");
    same("nothing chosen", &x.masked_select(&x.less(0.0)), &Tensor::from(Vec::<f64>::new()));
    let slope =
        grad(|x: &Tensor| x.masked_select(&x.greater(2.0)).square().sum(()))(&Tensor::from([1.0, 3.0]));
    same("slope of what is chosen", &slope, &Tensor::from([0.0, 6.0]));
    let error = jit(|x: &Tensor| x.masked_select(&x.less(0.0))).try_call(&x).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReadInTrace { .. }), "{error}");
}

#[test]
fn grids_choices_and_loops() {
    same("steps", &Tensor::arange_step(0.0, 1.0, 0.3, DType::F64), &Tensor::from([0.0, 0.3, 0.6, 0.3 * 3.0]));
    same("no step", &Tensor::arange_step(1.0, 1.0, 2.0, DType::I64), &Tensor::from(Vec::<i64>::new()));
    same("away", &Tensor::arange_step(1.0, 5.0, -2.0, DType::F64), &Tensor::from(Vec::<f64>::new()));
    for (start, stop, step) in [(0.0, 1.0, 0.0), (0.0, INF, 1.0), (0.0, 1.0, NAN), (NAN, 1.0, 1.0)] {
        let made = std::panic::catch_unwind(|| Tensor::arange_step(start, stop, step, DType::F64));
        assert!(made.is_err(), "{start} {stop} {step}");
    }
    assert!(Tensor::meshgrid(&[]).is_empty());
    let functions: [&dyn Fn(&Tensor) -> Tensor; 5] =
        [&|x| x + 1.0, &|x| x * 2.0, &|x| x.square(), &|x| x.sin(), &|x| -x];
    let x = Tensor::from(3.0);
    for (i, want) in [(-1i64, 4.0), (0, 4.0), (1, 6.0), (2, 9.0), (3, 3f64.sin()), (4, -3.0), (9, -3.0)] {
        same("switch", &switch(&Tensor::from(i), &x, &functions), &Tensor::from(want));
        let slope = jit(grad(|x: &Tensor| switch(&Tensor::from(i), x, &functions))).call(&x).item::<f64>();
        assert!(slope.is_finite());
    }
    same("no step at all", &fori_loop(3..3, &x, |_, y| y * 2.0), &x);
    let (from, to) = (3, 1);
    same("backwards", &fori_loop(from..to, &x, |_, y| y * 2.0), &x);
    same("from", &fori_loop(2..5, &Tensor::from(0i64), |i, s| s + i), &Tensor::from(9i64));
    for n in 0..9usize {
        let x = Tensor::arange(n, DType::F64) + 1.0;
        let sums = associative_scan(|a: &Tensor, b: &Tensor| a + b, &x);
        same("sums", &sums, &x.cumsum(0));
        let slope = grad(|x: &Tensor| associative_scan(|a: &Tensor, b: &Tensor| a * b, x).sum(()))(&x);
        let want = grad(|x: &Tensor| x.cumprod(0).sum(()))(&x);
        assert!((slope - want).abs().sum(()).item::<f64>() < 1e-8);
    }
}

#[test]
fn what_reads_like_rust() {
    let x = Tensor::arange(6, DType::F64);
    same("missing", &x.reshape([-1, 2]), &x.reshape([3, 2]));
    same("a vector", &x.reshape([2, 3]).reshape([-1]), &x);
    same("of a scalar", &Tensor::from(1.0).reshape([-1, 1]), &Tensor::from([[1.0]]));
    same(
        "of nothing",
        &Tensor::zeros([0, 3], DType::F64).reshape([-1, 3]),
        &Tensor::zeros([0, 3], DType::F64),
    );
    type Shaped = fn(&Tensor) -> Tensor;
    let wrong: [(Shaped, &str); 4] = [
        (|x| x.reshape([-1, -1]), "more than one extent is -1"),
        (|x| x.reshape([-2, 3]), "extents are not negative"),
        (|x| x.reshape([4, -1]), "does not follow from the others"),
        (|x| x.reshape([0, -1]), "does not follow from the others"),
    ];
    for (f, want) in wrong {
        let error = jit(f).try_call(&x).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(error.site().to_string().contains("library.rs"), "{error}");
    }
    let mut y = x.clone();
    y += &x;
    y -= 1.0;
    y *= Tensor::from(2.0);
    y /= 4.0;
    same("assigned", &y, &((&x + &x - 1.0) * 2.0 / 4.0));
    let mut mask = x.greater(1.0);
    mask &= x.less(4.0);
    same("masks", &mask.cast(DType::F64), &Tensor::from([0.0, 0.0, 1.0, 1.0, 0.0, 0.0]));
    let parts = [x.clone(), x.square(), x.sin()];
    same("sum", &parts.iter().sum(), &(&parts[0] + &parts[1] + &parts[2]));
    same("product", &parts.iter().cloned().product(), &(&parts[0] * &parts[1] * &parts[2]));
    same("empty sum", &Vec::<Tensor>::new().into_iter().sum(), &Tensor::from(0.0));
    let blocks = Tensor::from([[[[1i64, 2]], [[3, 4]]]]);
    assert_eq!(blocks.shape(), &[1, 2, 1, 2].into());
    same("a vector's elements", &Tensor::from(&vec![1.0, 2.0]), &Tensor::from([1.0, 2.0]));
    let rows: Vec<Tensor> = blocks.at(0).iter().collect();
    same("rows", &Tensor::stack(&rows, 0), &blocks.at(0));
    assert_eq!(Tensor::from(1.0).iter().len(), 0);
    let f = |x: &Tensor| {
        let mut total = Tensor::from(0.0);
        for row in x.iter() {
            total += row.square();
        }
        total
    };
    same("recorded", &jit(grad(f)).call(&x), &(&x * 2.0));
}

#[test]
fn what_does_not_fit_is_an_error_that_names_the_function() {
    let x = Tensor::ones([3, 4], DType::F64);
    type Wrong = (&'static str, fn(&Tensor) -> Tensor, &'static str);
    let cases: [Wrong; 12] = [
        // As many updates as there should be, in another shape.
        (
            "scatter",
            |x| x.scatter(&Tensor::from([0i64, 1]), &Tensor::ones([4, 2], DType::F64), 0),
            "shape [2, 4]",
        ),
        (
            "scatter",
            |x| x.scatter(&Tensor::from([0.0]), &Tensor::ones([1, 4], DType::F64), 0),
            "indices are integers",
        ),
        ("dynamic_slice", |x| x.dynamic_slice(&Tensor::from(0.0), 1, 0), "an integer scalar"),
        ("dynamic_slice", |x| x.dynamic_slice(&Tensor::from(0i64), 4, 0), "4 elements of an axis that has 3"),
        ("gather_nd", |x| x.gather_nd(&Tensor::from([[0i64, 1, 2]])), "the first axes"),
        ("masked_select", |x| x.masked_select(&Tensor::from([true])), "one shape"),
        ("switch", |x| switch(&Tensor::from(0.5), x, &[&|x| x.clone(), &|x| -x]), "an integer scalar"),
        ("switch", |x| switch(&Tensor::from(0i64), x, &[]), "no function to choose"),
        ("copysign", |x| x.cast(DType::I64).copysign(1), "copysign"),
        ("trunc", |x| x.cast(DType::I64).trunc(), "trunc"),
        ("nan_to_num", |x| x.cast(DType::I64).nan_to_num(0), "nan_to_num"),
        ("bincount", |x| x.bincount(3), "counts integers"),
    ];
    for (name, f, want) in cases {
        let error = jit(f).try_call(&x).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(want) && error.contains("library.rs"), "{error}");
    }
}

#[test]
fn functions_stay_on_the_device_of_their_argument() {
    let there = gradus::Device::reference();
    let x = Tensor::from([3.0, 1.0, 2.0]).to(&there).unwrap();
    let at = Tensor::from([0i64, 2]).to(&there).unwrap();
    let results = [
        x.median(0),
        x.cummax(0),
        x.searchsorted(&x),
        at.bincount(3),
        x.scatter(&at, &x.slice(0, ..2), 0),
        x.gather_nd(&at.reshape([-1, 1])),
        x.masked_select(&x.greater(1.5)),
        x.dynamic_slice(&at.at(0), 2, 0),
        fori_loop(0..3, &x, |i, y| y + i.cast(DType::F64)),
        switch(&at.at(1), &x, &[&|x| x.clone(), &|x| -x]),
        associative_scan(|a: &Tensor, b: &Tensor| a + b, &x),
    ];
    for result in results {
        assert_eq!(result.device(), there, "{result:?}");
    }
}
