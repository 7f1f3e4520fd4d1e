//! Parameters as structs: `#[derive(Tree)]` lets every transform take them and give them back.

use std::collections::BTreeMap;

use gradus::{Tensor, Tree, grad};

#[derive(Clone, Debug, Tree)]
struct Layer {
    weight: Tensor,
    bias: Option<Tensor>,
}

#[derive(Clone, Debug, Tree)]
struct Model {
    layers: Vec<Layer>,
    scales: BTreeMap<String, Tensor>,
    /// Not a tensor: part of the structure.
    power: i32,
}

fn energy(m: &Model) -> Tensor {
    let mut x = Tensor::from([1.0, 2.0]);
    for layer in &m.layers {
        x = x.matmul(&layer.weight);
        if let Some(bias) = &layer.bias {
            x += bias;
        }
        x = x.tanh();
    }
    (x.powi(m.power) * &m.scales["out"]).sum(())
}

fn main() {
    let square = |v: f64| Tensor::from([[v, 0.1], [-0.2, v]]);
    let model = Model {
        layers: vec![
            Layer { weight: square(0.5), bias: Some(Tensor::from([0.0, 0.1])) },
            Layer { weight: square(0.3), bias: None },
        ],
        scales: BTreeMap::from([("out".to_string(), Tensor::from(2.0))]),
        power: 2,
    };
    // The gradient is a `Model` too.
    let slope: Model = grad(energy)(&model);
    for (path, tensor) in slope.leaves() {
        println!("{path:<18} {tensor:.4}");
    }
    let paths: Vec<String> = slope.leaves().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["layers.0.weight", "layers.0.bias", "layers.1.weight", "scales.out"]);

    // Trees are combined leaf by leaf.
    let better = model.zip_map(&slope, |p, g| p - g * 0.1);
    assert!(energy(&better).item::<f64>() < energy(&model).item::<f64>());
}
