//! A branch that is not taken never disturbs a derivative, in either mode.

use gradus::{Tensor, grad, jvp};

/// Gradient by reverse mode, which must equal forward mode's along every coordinate.
fn gradient(f: impl Fn(&Tensor) -> Tensor, x: &Tensor) -> Vec<f64> {
    let g = grad(&f)(x).to_vec::<f64>();
    for (i, &r) in g.iter().enumerate() {
        let mut e = vec![0.0; x.size()];
        e[i] = 1.0;
        let d = jvp(&f, x, &Tensor::from(e).reshape(x.shape())).1.item::<f64>();
        assert!(d == r || (d - r).abs() < 1e-14, "forward {d}, reverse {r} at {i}");
    }
    g
}

#[test]
fn where_beside_a_singularity() {
    let x = Tensor::from([0.0, 4.0]);
    assert_eq!(gradient(|x| x.greater(0.0).select(x.sqrt(), 0.0).sum(()), &x), [0.0, 0.25]);
    assert_eq!(gradient(|x| x.greater(0.0).select(x.log(), 0.0).sum(()), &x), [0.0, 0.25]);
    assert_eq!(gradient(|x| x.less(1.0).select(x, x.sqrt()).sum(()), &x), [1.0, 0.25]);
    let m = Tensor::from(false);
    assert_eq!(gradient(|x| m.select(x.sum(()).log(), 0.0), &Tensor::from([0.0, 0.0])), [0.0, 0.0]);
    assert_eq!(gradient(|x| x.greater(0.0).select(x.recip(), 7.0).sum(()), &x), [0.0, -1.0 / 16.0]);
}

#[test]
fn with_an_operation_between() {
    let x = Tensor::from([0.0, 4.0]);
    // A reduction between the branch and the singularity.
    let mask = x.greater(0.0);
    assert_eq!(gradient(|x| Tensor::from(false).select(x.sqrt().sum(()), 1.0), &x), [0.0, 0.0]);
    // A matrix product.
    let a = Tensor::from([[1.0, 0.0], [0.0, 1.0]]);
    assert_eq!(gradient(|x| mask.select(a.matmul(&x.sqrt()), 0.0).sum(()), &x), [0.0, 0.25]);
    assert_eq!(
        gradient(|x| mask.select(a.matmul(&x.log()), 0.0).sum(()), &Tensor::from([0.0, 4.0])),
        [0.0, 0.25]
    );
    // The infinite factor belongs to the other operand.
    let inf = Tensor::from([[f64::INFINITY, 0.0], [0.0, 1.0]]);
    assert_eq!(gradient(|x| mask.select(inf.matmul(x), 0.0).sum(()), &x), [0.0, 1.0]);
    // A gather.
    let i = Tensor::from([0i64, 1]);
    assert_eq!(gradient(|x| mask.select(x.sqrt().take(&i, 0), 0.0).sum(()), &x), [0.0, 0.25]);
}

#[test]
fn norms_at_zero() {
    let x = Tensor::from([0.0, 0.0]);
    assert_eq!(gradient(|x| x.norm(()), &x), [0.0, 0.0]);
    assert_eq!(gradient(|x| x.index(0, 0).hypot(x.index(0, 1)), &x), [0.0, 0.0]);
}

#[test]
fn primal_nans_show() {
    let x = Tensor::from([-1.0, 4.0]);
    assert!(gradient_value(&x).is_nan());
    assert!((x.sqrt() * 0.0).sum(()).item::<f64>().is_nan());
}

fn gradient_value(x: &Tensor) -> f64 {
    gradus::value_and_grad(|x: &Tensor| x.sqrt().sum(()))(x).0.item::<f64>()
}

/// One convention at kinks, whatever the spelling.
#[test]
fn kinks_agree_between_spellings() {
    let at = |f: fn(&Tensor) -> Tensor| gradient(f, &Tensor::from(0.0))[0];
    for f in [
        |x: &Tensor| x.maximum(0.0),
        |x: &Tensor| Tensor::from(0.0).maximum(x),
        |x: &Tensor| -((-x).minimum(0.0)),
        |x: &Tensor| (x + x.abs()) * 0.5,
        |x: &Tensor| Tensor::stack(&[x, &Tensor::from(0.0)], 0).max(()),
    ] {
        assert_eq!(at(f), 0.5);
    }
    for f in [|x: &Tensor| x.relu(), |x: &Tensor| x.relu6(), |x: &Tensor| x.exp().log().leaky_relu(0.0)] {
        assert_eq!(at(f), 0.0);
    }
    for f in [|x: &Tensor| x.clamp(0.0, 9.0), |x: &Tensor| x.clamp(-9.0, 0.0), |x: &Tensor| x.elu(1.0)] {
        assert_eq!(at(f), 1.0);
    }
    assert_eq!((at(|x| x.leaky_relu(0.1)), at(|x| x.hard_swish())), (0.1, 0.5));
    let corner = |f: fn(&Tensor) -> Tensor, x: f64| gradient(f, &Tensor::from(x))[0];
    assert_eq!(
        [corner(|x| x.relu6(), 6.0), corner(|x| x.hard_tanh(), 1.0), corner(|x| x.hard_tanh(), -1.0)],
        [0.0; 3]
    );
    assert_eq!([corner(|x| x.hard_sigmoid(), -3.0), corner(|x| x.hard_sigmoid(), 3.0)], [0.0; 2]);
    assert_eq!(at(|x| x.abs()), 0.0);
    assert_eq!(at(|x| x.maximum(-x)), 0.0);
    let ties = Tensor::from([2.0, 1.0, 2.0]);
    assert_eq!(gradient(|x| x.max(()), &ties), [0.5, 0.0, 0.5]);
    assert_eq!(
        gradient(|x| x.reshape([1, 1, 3]).max_pool(&[3], &gradus::Stencil::new(1)).sum(()), &ties),
        [1.0, 0.0, 0.0]
    );
}

#[test]
fn rectifiers_keep_nan_and_agree_with_recorded_ones() {
    let x = Tensor::from([f64::NAN, -1.0, -0.0, 0.0, 3.0, 7.0]);
    let all: [fn(&Tensor) -> Tensor; 8] = [
        |x| x.relu(),
        |x| x.leaky_relu(0.1),
        |x| x.relu6(),
        |x| x.elu(1.0),
        |x| x.selu(),
        |x| x.hard_tanh(),
        |x| x.hard_sigmoid(),
        |x| x.hard_swish(),
    ];
    for f in all {
        let (now, recorded) = (f(&x).to_vec::<f64>(), gradus::jit(f).call(&x).to_vec::<f64>());
        assert!(now[0].is_nan());
        assert_eq!(
            now.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            recorded.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
    }
}

/// Where an image is black and the bias zero, the unit is off: its bias gets no gradient from there.
#[test]
fn a_black_border_gives_no_gradient_to_the_bias() {
    let inside = |i: usize| (9..19).contains(&i);
    let pixels: Vec<f64> =
        (0..28 * 28).map(|p| if inside(p / 28) && inside(p % 28) { 1.0 } else { 0.0 }).collect();
    let image = Tensor::new([1, 1, 28, 28], pixels).unwrap();
    let kernel = Tensor::ones([1, 1, 1, 1], gradus::DType::F64);
    let loss = |b: &Tensor| (image.conv(&kernel, &gradus::Stencil::new(2)) + b).relu().sum(());
    assert_eq!(gradus::grad(loss)(&Tensor::from(0.0)), Tensor::from(100.0));
    assert_eq!(gradus::jit(gradus::grad(loss)).call(&Tensor::from(0.0)), Tensor::from(100.0));
}

/// An infinite logit makes weights and derivatives NaN; one of -∞ has no weight, and spoils none.
#[test]
fn infinite_logits_are_seen() {
    let z = Tensor::from([f64::INFINITY, 0.0, 1.0]);
    let all_nan = |x: &Tensor| x.is_nan().all(()).item::<bool>();
    assert!(all_nan(&z.softmax(0)) && all_nan(&grad(|z: &Tensor| z.softmax(0).index(0, 1))(&z)));
    let logs = z.log_softmax(0).to_vec::<f64>();
    assert!(logs[0].is_nan() && logs[1..] == [f64::NEG_INFINITY; 2], "{logs:?}");
    assert!(all_nan(&grad(|z: &Tensor| z.log_softmax(0).index(0, 1))(&z)));
    let z = Tensor::from([f64::NEG_INFINITY, 1e4, 0.0]);
    assert_eq!(z.softmax(0), Tensor::from([0.0, 1.0, 0.0]));
    assert_eq!(z.log_softmax(0), Tensor::from([f64::NEG_INFINITY, 0.0, -1e4]));
    for chosen in [1, 2] {
        let slope = grad(|z: &Tensor| z.log_softmax(0).index(0, chosen));
        let expected = if chosen == 1 { [0.0; 3] } else { [0.0, -1.0, 1.0] };
        assert_eq!(slope(&z), Tensor::from(expected));
        let second = jvp(&slope, &z, &z.ones_like()).1;
        assert_eq!(second, Tensor::from([0.0; 3]));
    }
}
