//! The first value that is not finite is named, with its line, forward and backward, inside of loops as well.

use gradus::{DType, Tensor, cond, grad, jit, scan};

fn says<A: gradus::Tree>(words: &[&str], result: gradus::Result<A>) {
    let text = result.map(drop).unwrap_err().to_string();
    for word in words.iter().chain(&["check_finite", "finite.rs:"]) {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn the_operation_is_named() {
    let x = Tensor::from([1.0, 0.0]);
    let line = line!() + 1;
    let f = jit(|x: &Tensor| x.log().exp().sum(()) + x.sum(()).log() * 0.0 - x.log().sum(())).check_finite();
    says(&["`log` gives -inf at element 1", "forward", &format!("finite.rs:{line}:")], f.try_call(&x));
    let f = jit(|x: &Tensor| x.exp().sum(()).log()).check_finite();
    says(&["`exp` gives inf"], f.try_call(&(&x * 1000.0)));
    assert!(f.try_call(&x).is_ok());
    // A derivative.
    let f = jit(grad(|x: &Tensor| x.sqrt().sum(()))).check_finite();
    says(&["gives inf"], f.try_call(&x));
    assert!(jit(|x: &Tensor| x.sqrt().sum(())).check_finite().try_call(&x).is_ok());
    // A cotangent.
    let f = jit(grad(|x: &Tensor| (x * 1e200).sum(()) * 1e200)).check_finite();
    says(&["gives inf", "backward"], f.try_call(&Tensor::from([1e-300])));
}

#[test]
fn what_is_left_out_is_no_fault() {
    let x = Tensor::from([0.0, 4.0]);
    let f = jit(grad(|x: &Tensor| x.greater(0.0).select(x.sqrt(), 0.0).sum(()))).check_finite();
    assert_eq!(f.call(&x), Tensor::from([0.0, 0.25]));
    let masked = |x: &Tensor| {
        let hidden = x.greater(1.0).select(x, f64::NEG_INFINITY);
        hidden.softmax(0).square().sum(())
    };
    assert!(jit(grad(masked)).check_finite().try_call(&x).is_ok());
    let given = Tensor::from([f64::INFINITY]);
    assert!(jit(|x: &Tensor| x * 2.0).check_finite().try_call(&given).is_ok());
    let nan = Tensor::from([1.0, f64::NAN]);
    let text = jit(|x: &Tensor| x * 2.0).check_finite().try_call(&nan).unwrap_err().to_string();
    assert!(text.contains("input 0 has NaN at element 1"), "{text}");
}

#[test]
fn loops_and_branches_name_the_line_inside() {
    let x = Tensor::from([1.0, 0.0, 2.0]);
    let line = line!() + 1;
    let step = |c: &Tensor, x: &Tensor| (c + x.log(), ());
    let f = jit(|x: &Tensor| scan(&Tensor::zeros([], DType::F64), x, step).0).check_finite();
    says(&["`log` gives -inf", &format!("finite.rs:{line}:")], f.try_call(&x));
    let f = jit(|x: &Tensor| cond(&x.sum(()).greater(0.0), x, |x| x.recip(), |x| x.clone())).check_finite();
    says(&["`recip` gives inf"], f.try_call(&x));
    assert!(f.try_call(&-x).is_ok());
}
