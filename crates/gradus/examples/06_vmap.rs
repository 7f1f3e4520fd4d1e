//! `vmap` turns a function of one example into a function of a batch.

use gradus::{Tensor, grad, vmap, vmap_axes};

fn main() {
    // Written for one vector ...
    let normalize = |x: &Tensor| x / x.norm(());
    // ... applied to each row.
    let rows = Tensor::from([[3.0, 4.0], [0.0, 2.0], [5.0, 12.0]]);
    let units = vmap(normalize)(&rows);
    println!("unit rows {units:.3}");
    assert_eq!(units.index(0, 0), Tensor::from([0.6, 0.8]));

    // Per-example gradients: one batched program instead of a loop.
    let w = Tensor::from([0.5, -0.5]);
    let loss = |w: &Tensor, x: &Tensor| (x * w).sum(()).square();
    let each = vmap(|x: &Tensor| grad(|w: &Tensor| loss(w, x))(&w))(&rows);
    for i in 0..3 {
        let alone = grad(|w: &Tensor| loss(w, &rows.index(0, i)))(&w);
        assert_eq!(each.index(0, i), alone);
    }
    println!("gradients {each:.3}");

    // Over other axes: columns of the first, the second whole.
    let weighted = vmap_axes(|(x, k): &(Tensor, Tensor)| (x * k).sum(()), &[Some(1), None], 0);
    let sums = weighted(&(rows.clone(), Tensor::from([1.0, 10.0, 100.0])));
    assert_eq!(sums, Tensor::from([503.0, 1224.0]));

    // Nested: all pairs.
    let distance = |x: &Tensor, y: &Tensor| (x - y).norm(());
    let table = vmap(|x: &Tensor| vmap(|y: &Tensor| distance(x, y))(&rows))(&rows);
    assert_eq!(table.diagonal(), Tensor::from([0.0, 0.0, 0.0]));
    println!("distances {table:.3}");
}
