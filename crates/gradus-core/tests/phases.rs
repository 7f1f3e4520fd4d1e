//! The phase of every equation: set by the transform that made it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use gradus_core::ops::{Axes, Call, CallKind, Compare, Cond, Custom, Op, Reduce, ReduceKind, Scan, While};
use gradus_core::transforms::{
    jvp, linear_form, linearize, settled, transpose, transposed, value_and_grad, vjp, vmap,
};
use gradus_core::{Binary, Builder, DType, Graph, Phase, PhaseKind, Type, Unary, Var};

fn scalar() -> Type {
    Type::new(DType::F64, [])
}

/// A program of one number.
fn function(f: impl FnOnce(&mut Builder, Var) -> Var) -> Graph {
    let mut b = Builder::new();
    let x = b.input(scalar());
    let y = f(&mut b, x);
    b.finish(vec![y])
}

fn sin_exp() -> Graph {
    function(|b, x| {
        let y = b.emit1(Unary::Sin, &[x]).unwrap();
        b.emit1(Unary::Exp, &[y]).unwrap()
    })
}

fn grad(graph: &Graph) -> Graph {
    let mut wrt = vec![false; graph.inputs().len()];
    wrt[0] = true;
    value_and_grad(graph, &wrt).unwrap()
}

/// The gradient alone, as a program to go on with.
fn gradient(graph: &Graph) -> Graph {
    let both = grad(graph);
    let mut b = Builder::new();
    let args: Vec<Var> = both.input_types().into_iter().map(|ty| b.input(ty)).collect();
    let out = b.inline(&both, &args).unwrap();
    b.finish(vec![*out.last().unwrap()])
}

/// The phases of all equations but constants.
fn phases(graph: &Graph) -> Vec<Phase> {
    graph.eqns().iter().filter(|e| !matches!(e.op, Op::Full(_))).map(|e| e.phase).collect()
}

/// Those of the programs inside, too.
fn all_phases(graph: &Graph) -> BTreeSet<Phase> {
    let inside = graph.eqns().iter().flat_map(|e| e.op.graphs().into_iter().cloned().collect::<Vec<_>>());
    phases(graph).into_iter().chain(inside.flat_map(|g| all_phases(&g))).collect()
}

#[test]
fn a_gradient_goes_forward_and_back() {
    let graph = grad(&sin_exp());
    let found = phases(&graph);
    let first = found.iter().position(|p| p.is_backward()).unwrap();
    assert!(found[..first].iter().all(|&p| p == Phase::FORWARD), "{found:?}");
    assert!(first > 0 && found[first..].iter().all(|&p| p == Phase::backward(1)), "{found:?}");
    assert_eq!(graph.levels(), 1);
}

#[test]
fn given_cotangents_are_prepared_before_the_backward_pass() {
    let graph = vjp(&sin_exp(), &[true]).unwrap();
    let found = phases(&graph);
    assert!(found.is_sorted() && found.last() == Some(&Phase::backward(1)), "{found:?}");
    let linear = linearize(&sin_exp(), &[true]).unwrap();
    assert_eq!(all_phases(&linear.forward), [Phase::FORWARD].into());
    assert_eq!(all_phases(&linear.linear), [Phase::FORWARD].into());
    let marks: Vec<bool> =
        (0..linear.linear.inputs().len()).map(|i| i + 1 == linear.linear.inputs().len()).collect();
    assert_eq!(transpose(&linear.linear, &marks).unwrap().levels(), 1);
}

#[test]
fn a_tangent_has_the_phase_of_its_primal() {
    assert_eq!(all_phases(&jvp(&sin_exp(), &[true]).unwrap()), [Phase::FORWARD].into());
    let over_reverse = jvp(&grad(&sin_exp()), &[true]).unwrap();
    assert_eq!(all_phases(&over_reverse), [Phase::FORWARD, Phase::backward(1)].into());
    // What the tangent of the gradient depends on in the backward pass is not forward.
    let last = over_reverse.outputs()[3];
    let maker = over_reverse.eqns().iter().find(|e| e.outputs.contains(&last)).unwrap();
    assert!(maker.phase.is_backward(), "{over_reverse}");
    // The gradient of a tangent has one backward pass.
    let tangent = jvp(&sin_exp(), &[true]).unwrap();
    assert_eq!(
        all_phases(&value_and_grad(&tangent, &[true, true]).unwrap()),
        [Phase::FORWARD, Phase::backward(1)].into()
    );
}

#[test]
fn what_reads_a_gradient_is_an_update_and_forward_for_the_level_above() {
    let penalty = {
        let inner = gradient(&sin_exp());
        function(|b, x| {
            let g = b.inline(&inner, &[x]).unwrap()[0];
            b.emit1(Binary::Mul, &[g, g]).unwrap()
        })
    };
    assert_eq!(phases(&penalty).last(), Some(&Phase::update(1)));
    let twice = gradient(&penalty);
    let mut b = Builder::new();
    let x = b.input(scalar());
    let g = b.inline(&twice, &[x]).unwrap()[0];
    let new = b.emit1(Binary::Sub, &[x, g]).unwrap();
    let other = b.emit1(Unary::Cos, &[x]).unwrap();
    let step = b.finish(vec![new, other]);
    let all = [Phase::FORWARD, Phase::backward(1), Phase::update(1), Phase::backward(2), Phase::update(2)];
    assert_eq!(all_phases(&step), all.into());
    assert_eq!(step.eqns().last().unwrap().phase, Phase::FORWARD, "it reads no gradient");
    assert!(all.is_sorted(), "phases follow each other");
}

#[test]
fn every_level_of_a_tower_of_gradients() {
    let mut graph = sin_exp();
    for level in 1..5 {
        graph = gradient(&graph);
        assert_eq!(graph.levels(), level);
        let levels: BTreeSet<u8> = phases(&graph).iter().map(|p| p.level).collect();
        assert_eq!(levels, (0..=level).collect());
        assert!(phases(&graph).iter().all(|p| p.kind != PhaseKind::Update));
    }
}

/// A loop that squashes a number three times.
fn looped(checkpoints: Option<usize>) -> Graph {
    let body = function(|b, x| b.emit1(Unary::Tanh, &[x]).unwrap());
    let scan = Scan { constants: 0, carry: 1, length: 3, reverse: false, body: Arc::new(body), checkpoints };
    function(|b, x| b.emit1(scan, &[x]).unwrap())
}

fn branched() -> Graph {
    let on_true = Arc::new(function(|b, x| b.emit1(Unary::Tanh, &[x]).unwrap()));
    let on_false = Arc::new(function(|b, x| b.emit1(Unary::Exp, &[x]).unwrap()));
    function(|b, x| {
        let zero = b.zeros_like(x);
        let positive = b.emit1(Compare::Gt, &[x, zero]).unwrap();
        b.emit1(Cond { on_true, on_false }, &[positive, x]).unwrap()
    })
}

fn checkpointed() -> Graph {
    let body = Arc::new(sin_exp());
    function(|b, x| b.emit1(Call { kind: CallKind::Checkpoint, body }, &[x]).unwrap())
}

fn while_small() -> Graph {
    let cond = Arc::new(function(|b, x| {
        let one = b.full(&scalar(), 1.0);
        b.emit1(Compare::Lt, &[x, one]).unwrap()
    }));
    let body = Arc::new(function(|b, x| {
        let y = b.emit1(Unary::Exp, &[x]).unwrap();
        b.emit1(Binary::Add, &[x, y]).unwrap()
    }));
    let rule = While { constants: 0, cond, body, checkpoints: Some(4) };
    function(|b, x| b.emit1(rule, &[x]).unwrap())
}

/// In every program that carries others, what comes back inside of an equation is of the level of that equation.
fn assert_inside(graph: &Graph) {
    for eqn in graph.eqns() {
        let inside = eqn.op.graphs().into_iter().flat_map(|g| all_phases(g)).collect::<BTreeSet<_>>();
        if eqn.phase.is_backward() && !eqn.op.graphs().is_empty() {
            assert_eq!(inside.into_iter().filter(|p| p.is_backward()).max(), Some(eqn.phase), "{graph}");
        }
        eqn.op.graphs().into_iter().for_each(|g| assert_inside(g));
    }
}

#[test]
fn bodies_of_loops_branches_and_calls() {
    let programs = [looped(None), looped(Some(2)), branched(), checkpointed(), while_small()];
    for graph in programs {
        let once = gradient(&graph);
        assert!(
            once.eqns().iter().any(|e| e.phase == Phase::backward(1) && !e.op.graphs().is_empty()),
            "{once}"
        );
        assert_inside(&once);
        let twice = gradient(&once);
        assert_eq!(twice.levels(), 2);
        assert_inside(&twice);
        let batch = vmap(&twice, &[true], 3).unwrap();
        assert_eq!(batch.levels(), 2);
        assert_inside(&batch);
        assert_inside(&jvp(&once, &[true]).unwrap());
    }
}

#[test]
fn a_batch_keeps_phases() {
    let graph = gradient(&gradient(&sin_exp()));
    let batch = vmap(&graph, &[true], 4).unwrap();
    assert_eq!(all_phases(&batch), all_phases(&graph));
    assert_eq!(phases(&batch).last(), phases(&graph).last());
}

#[test]
fn rules_are_forward() {
    // dy = cos(x) dx, as a program of (x, y, dx).
    let mut b = Builder::new();
    let [x, _, dx] = [(); 3].map(|()| b.input(scalar()));
    let slope = b.emit1(Unary::Cos, &[x]).unwrap();
    let dy = b.emit1(Binary::Mul, &[slope, dx]).unwrap();
    let rule = b.finish(vec![dy]);
    let marks = [false, false, true];
    for form in [transposed(&rule, &marks).unwrap(), linear_form(&rule, &marks).unwrap()] {
        assert_eq!(all_phases(&form), [Phase::FORWARD].into(), "{form}");
    }
    let rule = Arc::new(linear_form(&rule, &marks).unwrap());
    let body = Arc::new(function(|b, x| b.emit1(Unary::Sin, &[x]).unwrap()));
    let custom = CallKind::Custom(Custom { rule, args: 1, results: 1 });
    let graph = function(|b, x| b.emit1(Call { kind: custom, body }, &[x]).unwrap());
    assert_eq!(all_phases(&jvp(&graph, &[true]).unwrap()), [Phase::FORWARD].into());
    assert_eq!(all_phases(&grad(&graph)), [Phase::FORWARD, Phase::backward(1)].into());
}

#[test]
fn phases_count_for_equality_and_not_for_what_is_computed() {
    let make = |level: u8| {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F64, [3]));
        b.set_origin(gradus_core::Origin { phase: Phase::backward(level), ..Default::default() });
        let y =
            b.emit1(Reduce { kind: ReduceKind::Sum, axes: [0].into_iter().collect::<Axes>() }, &[x]).unwrap();
        b.finish(vec![y])
    };
    let hash = |g: &Graph| {
        let mut hasher = DefaultHasher::new();
        g.hash(&mut hasher);
        hasher.finish()
    };
    let (one, two) = (make(1), make(2));
    assert_eq!(one, make(1));
    assert_ne!(one, two);
    assert!(one.computes_the_same(&two) && hash(&one) == hash(&two));
    // The same of programs that carry them.
    let call = |g: Graph| Op::from(Call { kind: CallKind::Checkpoint, body: Arc::new(g) });
    let (one, two) = (call(one), call(two));
    assert_ne!(one, two);
    assert!(one.computes_the_same(&two) && !one.computes_the_same(&call(sin_exp())));
}

#[test]
fn an_update_of_no_gradient_is_none() {
    let mut b = Builder::new();
    let x = b.input(scalar());
    let y = b.emit1(Unary::Sin, &[x]).unwrap();
    b.set_origin(gradus_core::Origin { phase: Phase::update(1), ..Default::default() });
    let z = b.emit1(Unary::Exp, &[y]).unwrap();
    let graph = b.finish(vec![z]);
    assert_eq!(phases(&graph), [Phase::FORWARD, Phase::update(1)]);
    assert_eq!(phases(&settled(graph)), [Phase::FORWARD; 2]);
}
