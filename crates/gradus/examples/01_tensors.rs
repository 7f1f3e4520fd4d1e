//! Tensors: making them, computing with them, reading them. Names and broadcasting are NumPy's.

use gradus::{Axes, DType, Key, Tensor};

fn main() {
    let x = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    println!("x = {x}");
    println!("row sums = {}", x.sum(1));

    // Numbers take the tensor's dtype; shapes stretch where an extent is 1 or missing.
    let centred = &x - x.mean(Axes::keep(1));
    println!("centred rows = {centred}");
    assert_eq!(centred.sum(()), Tensor::from(0.0));

    // Products, slices, negative axes.
    let gram = x.matmul(&x.t());
    assert_eq!(gram, Tensor::from([[14.0, 32.0], [32.0, 77.0]]));
    assert_eq!(x.slice(-1, 1..).index(0, 0), Tensor::from([2.0, 3.0]));

    // dtypes never mix silently.
    let single = x.cast(DType::F32);
    println!("cast is {} {}", single.dtype(), single.shape());

    // Random numbers come from keys: the same key, the same numbers.
    let noise = Key::new(0).normal([2, 3], DType::F64);
    assert_eq!(noise, Key::new(0).normal([2, 3], DType::F64));
    println!("noise = {noise:.3}");

    let elements: Vec<f64> = x.to_vec();
    assert_eq!(elements[4], 5.0);
}
