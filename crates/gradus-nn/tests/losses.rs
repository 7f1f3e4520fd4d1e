//! The cross entropy in a compiled program: picking, placing, and labels that are none.

use gradus::{DType, ErrorKind, Key, Tensor, grad, jit, jvp, value_and_grad};
use gradus_nn::accuracy;
use gradus_nn::loss::{self, cross_entropy, smooth_cross_entropy};

type Labelled = (Tensor, Tensor, Tensor);

/// Loss and gradient of logits with a bias.
fn both(x: &Labelled) -> (Tensor, (Tensor, Tensor)) {
    let (z, b, labels) = x;
    value_and_grad(|(z, b): &(Tensor, Tensor)| cross_entropy(&(z + b), labels))(&(z.clone(), b.clone()))
}

fn labelled(labels: Vec<i64>, classes: usize) -> Labelled {
    let z = Key::new(3).normal([labels.len(), classes], DType::F64) * 4.0;
    (z, Key::new(4).normal([classes], DType::F64), Tensor::new([labels.len()], labels).unwrap())
}

#[test]
fn the_gradient_is_the_softmax_less_the_labels() {
    {
        let x = labelled(vec![0, 4, 2, 2, 1, 3, 4], 5);
        let (loss, (dz, db)) = jit(both).call(&x);
        let logits = &x.0 + &x.1;
        let hot = Tensor::from([0i64, 4, 2, 2, 1, 3, 4]).one_hot(5, DType::F64);
        let want = -(logits.log_softmax(-1) * &hot).sum(()) / 7.0;
        assert!((loss - want).abs().item::<f64>() < 1e-14);
        let dlogits = (logits.softmax(-1) - hot) / 7.0;
        assert!((dz - &dlogits).abs().max(()).item::<f64>() < 1e-15);
        assert!((db - dlogits.sum(0)).abs().max(()).item::<f64>() < 1e-15);
    }
}

#[test]
fn the_same_with_and_without_compilation() {
    let x = labelled(vec![1, 0, 2], 3);
    let (loss, gradient) = both(&x);
    let (compiled, same) = jit(both).call(&x);
    assert!((loss - compiled).abs().item::<f64>() < 1e-15);
    assert!((gradient.0 - same.0).abs().max(()).item::<f64>() < 1e-15);
    assert!((gradient.1 - same.1).abs().max(()).item::<f64>() < 1e-15);
}

#[test]
fn infinite_logits_stay_where_they_are() {
    let z = Tensor::from([[0.0, f64::NEG_INFINITY, 1.0], [2.0, 1.0, f64::NEG_INFINITY]]);
    let x = (z, Tensor::from([0.0, 0.0, 0.0]), Tensor::from([2i64, 0]));
    let (loss, (dz, _)) = jit(both).call(&x);
    assert!(loss.item::<f64>().is_finite());
    assert!(dz.is_finite().all(()).item::<bool>());
}

#[test]
fn a_label_that_is_no_class_is_an_error() {
    for wrong in [5, -1, -5, -6, i64::MAX, i64::MIN] {
        let x = labelled(vec![0, wrong], 5);
        assert!(jit(both).try_call(&x).is_err(), "{wrong}");
        let alone = jit(|(z, b, y): &Labelled| grad(|z: &Tensor| cross_entropy(&(z + b), y))(z));
        assert!(alone.try_call(&x).is_err(), "{wrong}");
    }
}

/// Labels and tokens are named as they were given, with their place, by every loss and layer that reads at them.
#[test]
fn an_index_out_of_range_is_named_as_it_was_given() {
    use gradus_nn::layers::Embedding;
    use gradus_nn::loss::{Over, cross_entropy_over, smooth_cross_entropy, smooth_cross_entropy_over};
    type Loss = fn(&Tensor, &Tensor) -> Tensor;
    #[allow(clippy::redundant_closure)] // a function pointer has no caller's line
    let losses: [Loss; 5] = [
        |z, y| cross_entropy(z, y),
        |z, y| cross_entropy_over(z, y, &Over::all().sum()),
        |z, y| smooth_cross_entropy(z, y, 0.1),
        |z, y| smooth_cross_entropy_over(z, y, 0.1, &Over::all().ignore(-100).each()).sum(()),
        |table, y| Embedding { weight: table.clone() }.forward(y).sum(()),
    ];
    let z = Key::new(1).normal([2, 3, 5], DType::F64);
    for (at, loss) in losses.into_iter().enumerate() {
        let z = if at == 4 { z.index(0, 0) } else { z.clone() };
        let classes = if at == 4 { 3 } else { 5 };
        for wrong in [-1, -classes, classes, i64::MIN, i64::MAX] {
            let labels = Tensor::from([[0i64, 1, 2], [1, wrong, 0]]);
            let pair = (z.clone(), labels);
            let value = jit(|(z, y): &(Tensor, Tensor)| loss(z, y)).try_call(&pair).map(|_| ());
            let slope = jit(|(z, y): &(Tensor, Tensor)| grad(|z: &Tensor| loss(z, y))(z));
            let now = std::panic::catch_unwind(|| loss(&pair.0, &pair.1)).unwrap_err();
            let now = now.downcast_ref::<String>().expect("a message").clone();
            let slope = slope.try_call(&pair).unwrap_err();
            for words in [value.unwrap_err().to_string(), slope.to_string(), now] {
                let want = format!("index {wrong} (element 4 of the indices)");
                assert!(words.contains(&want) && words.contains("valid: 0.."), "{at}: {words}");
                assert!(words.contains("losses.rs"), "{words}");
            }
        }
    }
}

#[test]
fn nothing_is_stretched_to_a_common_shape() {
    let row = Tensor::from([1.0, 2.0, 3.0]);
    let pairs: [(&str, fn(&Tensor, &Tensor) -> Tensor); 6] = [
        ("mse", loss::mse),
        ("mae", loss::mae),
        ("huber", |x, y| loss::huber(x, y, 1.0)),
        ("binary_cross_entropy", loss::binary_cross_entropy),
        ("cross_entropy", cross_entropy),
        ("accuracy", accuracy),
    ];
    for (name, f) in pairs {
        let call = jit(|(x, y): &(Tensor, Tensor)| f(x, y));
        for other in [row.expand_dims(-1), row.expand_dims(0), Tensor::from(1.0), Tensor::from([1.0])] {
            let other =
                if name == "cross_entropy" || name == "accuracy" { other.cast(DType::I64) } else { other };
            // A scalar is a label of a vector of logits.
            if other.rank() == 0 && other.dtype() == DType::I64 {
                continue;
            }
            let error = call.try_call(&(row.clone(), other)).expect_err(name);
            assert!(matches!(error.kind(), ErrorKind::Shape { op, .. } if *op == name), "{error}");
        }
    }
    assert_eq!(
        cross_entropy(&row, &Tensor::from(2i64)),
        cross_entropy(&row.expand_dims(0), &Tensor::from([2i64]))
    );
}

#[test]
fn no_smoothing_leaves_impossible_classes_alone() {
    let z = Tensor::from([[0.0, f64::NEG_INFINITY, 1.0]]);
    let y = Tensor::from([2i64]);
    assert_eq!(smooth_cross_entropy(&z, &y, 0.0), cross_entropy(&z, &y));
    assert!(grad(|z: &Tensor| smooth_cross_entropy(z, &y, 0.0))(&z).is_finite().all(()).item::<bool>());
    assert_eq!(smooth_cross_entropy(&z, &y, 0.1).item::<f64>(), f64::INFINITY);
}

/// An infinite logit costs nothing where it is right, has no slope there, and spoils nothing beside it.
#[test]
fn infinite_logits_of_questions_are_sure() {
    use gradus_nn::loss::{Over, binary_cross_entropy, binary_cross_entropy_over};
    const INF: f64 = f64::INFINITY;
    let z = Tensor::from([INF, -INF, 1e4, -1e4, 0.0]);
    let y = Tensor::from([1.0, 0.0, 1.0, 0.0, 1.0]);
    for dtype in [DType::F64, DType::F32, DType::Bf16] {
        let (z, y) = (z.cast(dtype), y.cast(dtype));
        let each = |z: &Tensor| binary_cross_entropy_over(z, &y, &Over::all().each());
        let bits = |t: &Tensor| t.cast(DType::F64).to_vec::<f64>();
        assert_eq!(bits(&each(&z))[..4], [0.0; 4], "{dtype}");
        let slope = grad(|z: &Tensor| each(z).sum(()));
        for slope in [slope(&z), jit(&slope).call(&z)] {
            assert_eq!(bits(&slope), [0.0, 0.0, 0.0, 0.0, -0.5], "{dtype}");
        }
        let curved = jvp(&slope, &z, &z.ones_like()).1;
        assert_eq!(bits(&curved), [0.0, 0.0, 0.0, 0.0, 0.25], "{dtype}");
    }
    for (z, y) in [(INF, 0.0), (-INF, 1.0), (INF, 0.75), (-INF, 0.75)] {
        assert_eq!(
            binary_cross_entropy(&Tensor::from([z]), &Tensor::from([y])).item::<f64>(),
            INF,
            "{z}, {y}"
        );
    }
    // The slope in a target is there for every finite logit.
    let by_target = grad(|y: &Tensor| binary_cross_entropy(&Tensor::from([3.0]), y));
    assert_eq!(by_target(&Tensor::from([1.0])), Tensor::from([-3.0]));
    assert!(binary_cross_entropy(&Tensor::from([f64::NAN]), &Tensor::from([1.0])).item::<f64>().is_nan());
}

#[test]
fn what_does_not_count_adds_nothing_to_value_and_gradient() {
    use gradus_nn::loss::{Over, cross_entropy_over, mse_over, smooth_cross_entropy_over};
    let z = Key::new(5).normal([4, 3], DType::F64);
    let spoilt = Tensor::concat(&[&z, &Tensor::full([1, 3], DType::F64, f64::NAN)], 0);
    let (known, padded) = (Tensor::from([0i64, 2, 1, 1]), Tensor::from([0i64, 2, 1, 1, -100]));
    let over = Over::all().ignore(-100);
    let close = |x: &Tensor, y: &Tensor| (x - y).abs().max(()).item::<f64>() < 1e-15;
    for smoothing in [0.0, 0.1] {
        let loss = |z: &Tensor| smooth_cross_entropy(z, &known, smoothing);
        let part = |z: &Tensor| smooth_cross_entropy_over(z, &padded, smoothing, &over);
        let ((value, slope), (same, more)) = (value_and_grad(loss)(&z), value_and_grad(part)(&spoilt));
        assert!(close(&value, &same), "{value} and {same}");
        assert!(close(&slope, &more.slice(0, ..4)), "{slope} and {more}");
        assert_eq!(more.index(0, 4), Tensor::zeros([3], DType::F64));
    }
    let mask = Tensor::from([true, false]);
    let (x, y) = (Tensor::from([1.0, f64::INFINITY]), Tensor::from([0.0, 0.0]));
    let masked = |x: &Tensor| mse_over(x, &y, &Over::all().mask(&mask));
    assert_eq!(grad(masked)(&x), Tensor::from([2.0, 0.0]));
    let none = Over::all().mask(&Tensor::from([false, false]));
    assert_eq!(mse_over(&x, &y, &none), Tensor::from(0.0));
    let error = jit(|x: &Tensor| mse_over(x, &y, &Over::all().ignore(0))).try_call(&x).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Argument { op: "mse", .. }), "{error}");
    assert!(jit(|z: &Tensor| cross_entropy_over(z, &padded, &Over::all())).try_call(&spoilt).is_err());
}

#[test]
fn parameters_out_of_range_are_named() {
    let (z, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([1i64]));
    for (given, loss) in [
        ("`smoothing` is 1.5", jit(|z: &Tensor| loss::smooth_cross_entropy(z, &y, 1.5)).try_call(&z)),
        ("`smoothing` is -0.1", jit(|z: &Tensor| loss::smooth_cross_entropy(z, &y, -0.1)).try_call(&z)),
        ("`smoothing` is NaN", jit(|z: &Tensor| loss::smooth_cross_entropy(z, &y, f64::NAN)).try_call(&z)),
        ("`delta` is -1", jit(|z: &Tensor| loss::huber(z, z, -1.0)).try_call(&z)),
        ("`delta` is NaN", jit(|z: &Tensor| loss::huber(z, z, f64::NAN)).try_call(&z)),
    ] {
        let error = loss.unwrap_err().to_string();
        assert!(error.contains(given) && error.contains("losses.rs"), "{error}");
    }
    assert!(loss::smooth_cross_entropy(&z, &y, 1.0).item::<f64>().is_finite());
}
