//! Properties that hold for every program, on random ones.

use gradus_core::table::probe::{batched, floats, forward, pullback, reverse, second_order, worst};
use gradus_core::table::{Program, Recipe, Rng, random_program};
use gradus_core::transforms::prune;
use gradus_core::{Array, interpret};

fn programs(count: u64, smooth: bool) -> impl Iterator<Item = (u64, Program)> {
    (0..count).map(move |seed| {
        let recipe = Recipe { length: 5 + (seed as usize * 7) % 36, smooth, control: true };
        (seed, random_program(seed, recipe).unwrap_or_else(|e| panic!("program {seed}: {e}")))
    })
}

fn check(what: &str, seed: u64, program: &Program, error: gradus_core::Result<f64>, tolerance: f64) -> f64 {
    let error = error.unwrap_or_else(|e| panic!("{what}, program {seed}: {e}\n{}", program.graph));
    assert!(error <= tolerance, "{what}, program {seed}: {error:e}\n{}", program.graph);
    error
}

#[test]
fn forward_mode_is_the_derivative() {
    let mut most = 0f64;
    for (seed, p) in programs(150, true) {
        let error = forward(&p.graph, &p.args, &floats(&p.graph), &mut Rng::new(seed));
        most = most.max(check("jvp against finite differences", seed, &p, error, 1e-6));
    }
    println!("worst {most:e}");
}

#[test]
fn reverse_mode_is_forward_mode_transposed() {
    let mut most = 0f64;
    for smooth in [true, false] {
        for (seed, p) in programs(150, smooth) {
            let error = reverse(&p.graph, &p.args, &floats(&p.graph), &mut Rng::new(seed));
            most = most.max(check("vjp against jvp", seed, &p, error, 1e-11));
        }
    }
    println!("worst {most:e}");
}

#[test]
fn a_batch_is_a_loop() {
    for (seed, p) in programs(60, false) {
        let mut rng = Rng::new(seed);
        let examples: Vec<Vec<Array>> = (0..3).map(|_| p.draw(&mut rng)).collect();
        check("vmap against a loop", seed, &p, batched(&p.graph, &examples), 1e-12);
    }
}

#[test]
fn a_batch_of_gradients_is_a_loop() {
    for (seed, p) in programs(25, true) {
        let back = pullback(&p.graph, &floats(&p.graph)).unwrap();
        let mut rng = Rng::new(seed);
        let cts = back.input_types().split_off(p.inputs.len());
        let mut example = || -> Vec<Array> {
            let args = p.draw(&mut rng);
            args.into_iter().chain(cts.iter().map(|ty| rng.direction(ty))).collect()
        };
        let examples: Vec<Vec<Array>> = (0..2).map(|_| example()).collect();
        check("vmap of a gradient against a loop", seed, &p, batched(&back, &examples), 1e-10);
    }
}

#[test]
fn derivatives_of_derivatives() {
    let mut most = 0f64;
    for (seed, p) in programs(40, true) {
        let error = second_order(&p.graph, &p.args, &floats(&p.graph), &mut Rng::new(seed));
        most = most.max(check("second order", seed, &p, error, 1e-5));
    }
    println!("worst {most:e}");
}

#[test]
fn dead_code_changes_nothing() {
    for (seed, p) in programs(100, false) {
        let lean = prune(&p.graph);
        assert!(lean.len() <= p.graph.len());
        let (a, b) = (interpret(&p.graph, &p.args).unwrap(), interpret(&lean, &p.args).unwrap());
        assert_eq!(worst(&a, &b), 0.0, "program {seed}");
        assert_eq!(prune(&lean), lean, "pruning twice is pruning once");
        let first = a.iter().take(1).map(|a| a.size()).sum::<usize>();
        assert!(first > 0 || a.len() > 1);
    }
}

#[test]
fn programs_are_of_every_kind() {
    let mut seen = std::collections::BTreeSet::new();
    for (_, p) in programs(150, false) {
        seen.extend(p.graph.eqns().iter().map(|e| e.op.name()));
    }
    for name in
        ["cond", "scan", "checkpoint", "dot", "conv", "gather", "scatter_add", "sort", "max_pool", "select"]
    {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
}
