//! Structures of tensors through transforms.

use std::collections::{BTreeMap, HashMap};

use gradus::{Key, Tensor, Tree, grad, jit, vmap};

#[derive(Clone, Debug, Tree)]
struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NotATree(u8);

#[derive(Clone, Debug, Tree)]
enum Activation {
    Identity,
    Scaled(Tensor),
    Named { scale: Tensor, name: String },
}

#[derive(Clone, Debug, Tree)]
struct Model<T> {
    layers: Vec<Linear>,
    act: Activation,
    by_name: BTreeMap<String, Tensor>,
    unordered: HashMap<u32, Tensor>,
    pair: (Tensor, [Tensor; 2]),
    width: usize,
    boxed: Box<Linear>,
    extra: T,
    #[tree(skip)]
    tag: NotATree,
}

fn model() -> Model<Tensor> {
    let layer = |bias: bool| Linear {
        weight: Tensor::from([1.0, 2.0]),
        bias: bias.then(|| Tensor::from([0.5, 0.5])),
    };
    Model {
        layers: vec![layer(true), layer(false)],
        act: Activation::Named { scale: Tensor::from(2.0), name: "gelu".into() },
        by_name: [("b".to_string(), Tensor::from(1.0)), ("a".to_string(), Tensor::from(2.0))].into(),
        unordered: [(7, Tensor::from(1.0)), (3, Tensor::from(2.0))].into(),
        pair: (Tensor::from(1.0), [Tensor::from(2.0), Tensor::from(3.0)]),
        width: 2,
        boxed: Box::new(layer(false)),
        extra: Tensor::from(1.0),
        tag: NotATree(9),
    }
}

#[test]
fn paths_name_every_leaf_in_a_fixed_order() {
    let paths: Vec<String> = model().leaves().into_iter().map(|l| l.0).collect();
    assert_eq!(
        paths,
        [
            "layers.0.weight",
            "layers.0.bias",
            "layers.1.weight",
            "act.scale",
            "by_name.a",
            "by_name.b",
            "unordered.3",
            "unordered.7",
            "pair.0",
            "pair.1.0",
            "pair.1.1",
            "boxed.weight",
            "extra"
        ]
    );
}

#[test]
fn gradients_come_back_in_the_same_structure() {
    let loss = |m: &Model<Tensor>| {
        let sums = m.tensors().iter().fold(Tensor::from(0.0), |s, t| s + t.square().sum(()));
        sums * m.width as f64
    };
    let m = model();
    for g in [grad(loss)(&m), jit(grad(loss)).call(&m)] {
        assert_eq!((g.width, &g.tag), (2, &NotATree(9)));
        assert!(matches!(&g.act, Activation::Named { name, .. } if name == "gelu"));
        for (g, x) in g.tensors().iter().zip(m.tensors()) {
            assert_eq!(g, &(x * 4.0));
        }
    }
}

#[test]
fn structure_is_part_of_the_compiled_key() {
    let f = jit(|m: &Model<Tensor>| m.layers[0].weight.sum(()) * m.width as f64);
    let mut m = model();
    f.call(&m);
    f.call(&m);
    assert_eq!(f.programs(), 1);
    m.width = 3;
    assert_eq!(f.call(&m).item::<f64>(), 9.0);
    m.layers[0].bias = None;
    f.call(&m);
    m.act = Activation::Scaled(Tensor::from(1.0));
    f.call(&m);
    m.act = Activation::Identity;
    f.call(&m);
    assert_eq!(f.programs(), 5);
}

#[test]
fn keys_are_trees() {
    let keys = Key::new(0).split_n(3);
    let draws = vmap(|k: &Tensor| k * 1)(&Tensor::stack(
        &keys.iter().map(|k| k.tensors().remove(0)).collect::<Vec<_>>().iter().collect::<Vec<_>>(),
        0,
    ));
    assert_eq!(draws.size(), 3);
}

#[test]
fn tensors_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Tensor>();
    crosses::<Key>();
    let x = Tensor::from([1.0, 2.0]);
    let there = x.clone();
    let g = std::thread::spawn(move || grad(|x: &Tensor| x.square().sum(()))(&there)).join().unwrap();
    assert_eq!(g, x * 2.0);
}
