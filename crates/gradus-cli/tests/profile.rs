//! Profiles of a training step: phases, rates, JSON and trace.

use gradus::{DType, Key, PhaseKind, Tensor, Tree, jit, value_and_grad};
use gradus_nn::layers::{Activation, Mlp};
use gradus_nn::{Adam, Model, Optimizer, State, loss};
use serde_json::Value;

type Step = (Mlp, State<Mlp>, (Tensor, Tensor));

fn step((model, state, (x, y)): &Step) -> (Tensor, Mlp, State<Mlp>) {
    let (loss, slope) = value_and_grad(|m: &Mlp| loss::cross_entropy(&m.forward(x, None), y))(model);
    let (model, state) = Adam::default().update(model, &slope, state, &Tensor::from(1e-3f32));
    (loss, model, state)
}

fn arguments() -> Step {
    let model = Mlp::new(&Key::new(0), &[20, 30, 10], Activation::Tanh);
    let x = Key::new(1).normal([64, 20], DType::F32);
    let y = Tensor::new([64], (0..64i64).map(|i| i % 10).collect()).unwrap();
    let state = State::new(&Adam::default(), &model);
    (model, state, (x, y))
}

#[test]
fn a_training_step_has_three_phases() {
    let profile = jit(step).profile(&arguments());
    let products = |kind| profile.kernels.iter().filter(|k| k.phase.kind == kind && k.is_product()).count();
    // Two layers: two products forward; two for the weights and one for the hidden layer in the backward pass.
    assert_eq!(PhaseKind::ALL.map(products), [2, 3, 0], "{profile}");
    assert!(profile.kernels.iter().any(|k| k.phase.kind == PhaseKind::Update), "{profile}");
    assert!(profile.kernels.iter().all(|k| k.seconds > 0.0 && k.gflops().is_finite()));
    let inside: f64 = PhaseKind::ALL.iter().map(|&p| profile.phase_seconds(p)).sum();
    assert!((inside - profile.seconds_in(|_| true)).abs() < 1e-12);
    let rest: f64 = PhaseKind::ALL.iter().map(|&p| profile.elementwise_seconds(p)).sum();
    assert!((inside - rest - profile.product_seconds()).abs() < 1e-12);
}

#[test]
fn a_function_without_gradient_is_forward() {
    let x = Tensor::full([300, 300], DType::F32, 0.5);
    let profile = jit(|x: &Tensor| (x.matmul(x).tanh() + x).sum(-1).exp()).profile(&x);
    assert!(profile.kernels.iter().all(|k| k.phase.kind == PhaseKind::Forward), "{profile}");
    let peaks = profile.peaks;
    assert!(
        peaks.f32_gflops > 0.0 && peaks.f64_gflops > 0.0 && peaks.read_gbps > 0.0 && peaks.copy_gbps > 0.0
    );
}

#[test]
fn json_holds_every_kernel() {
    let profile = jit(step).profile_owned(&arguments());
    let json: Value = serde_json::from_str(&profile.to_json()).unwrap();
    assert_eq!(json["kernels"].as_array().unwrap().len(), profile.kernels.len());
    assert_eq!(json["threads"], profile.threads());
    assert!(json["phases"]["backward"]["elementwise_ms"].as_f64().unwrap() > 0.0);
    for field in ["kind", "operations", "shape", "phase", "source"] {
        assert!(json["kernels"][0][field].is_string(), "{field}");
    }
    for field in ["ms", "gflops", "gbps", "share_of_peak"] {
        assert!(json["kernels"][0][field].is_f64(), "{field}");
    }
}

#[test]
fn the_trace_has_complete_events_in_order() {
    let x = Tensor::full([500, 500], DType::F32, 0.01);
    let profile = jit(value_and_grad(|x: &Tensor| x.matmul(x).tanh().sum(()))).profile(&x);
    let trace: Value = serde_json::from_str(&profile.chrome_trace()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |kind: &str| events.iter().filter(|e| e["ph"] == kind).collect::<Vec<_>>();
    let kernels: Vec<_> = of("X").into_iter().filter(|e| e["tid"] == 0).collect();
    assert_eq!(kernels.len(), profile.kernels.len());
    let mut last = 0.0;
    for event in kernels {
        let (begin, length) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        assert!(begin >= last && length >= 0.0, "{event}");
        // Three digits after the point: nanoseconds, rounded.
        last = begin + length - 0.002;
    }
    // Products of this size are cut into tasks, and somebody took them.
    assert!(of("X").iter().any(|e| e["tid"] != 0 && e["args"]["tasks"].as_u64() > Some(0)));
    assert_eq!(of("M").len(), 1 + profile.threads());
    assert_eq!(of("C").len(), profile.kernels.len());
}

#[test]
fn the_table_groups_kernels_that_do_the_same() {
    let x = Tensor::full([100, 100], DType::F32, 0.1);
    let profile = jit(|x: &Tensor| x.matmul(x).matmul(x).matmul(x)).profile(&x);
    let table = profile.to_string();
    assert_eq!(profile.kernels.len(), 3);
    assert_eq!(table.lines().filter(|l| l.contains("100×100 · 100×100")).count(), 1, "{table}");
    assert!(table.contains("    3 "), "{table}");
}

#[test]
fn results_are_those_of_a_call() {
    // A profile gives tensors away only as copies: the caller's stay what they were.
    let args = arguments();
    let before: Vec<Vec<f32>> = args.0.tensors().iter().map(Tensor::to_vec).collect();
    let f = jit(step);
    let first = f.call(&args).tensors();
    f.profile_owned(&args);
    assert_eq!(args.0.tensors().iter().map(Tensor::to_vec::<f32>).collect::<Vec<_>>(), before);
    assert_eq!(f.call(&args).tensors(), first);
    assert_eq!(f.programs(), 1);
}
