//! The named models: sizes, gradients, and that a few steps make each better.

use gradus::{DType, Key, Strategy, Tensor, Tree, jit};
use gradus_nn::models::{Batch, Design, Named, Network};
use gradus_nn::optim::cast_floats;
use gradus_nn::{Model, Result, count_parameters, load, save};

fn small() -> Vec<Named> {
    Named::all().iter().map(Named::small).collect()
}

/// The network and a batch, both in double precision.
fn doubled(model: &Named, n: usize) -> (Network, Batch) {
    let network = cast_floats(&model.init(&Key::new(3)), DType::F64);
    let batch = model.batch(&Key::new(4), n);
    (network, cast_floats(&batch, DType::F64))
}

#[test]
fn names_and_letters_find_their_model() -> Result<()> {
    for model in Named::all() {
        assert_eq!(Named::find(model.name)?, model);
        if let Some(letter) = model.letter {
            assert_eq!(Named::find(&letter.to_string())?, model);
        }
    }
    let error = Named::find("resnet").unwrap_err().to_string();
    assert!(Named::all().iter().all(|m| error.contains(m.name)), "{error}");
    Ok(())
}

#[test]
fn parameters_are_counted() -> Result<()> {
    for (name, count) in
        [("a", 669_706), ("c", 3_225_665), ("d", 454_922), ("e", 11_173_962), ("deep-mish", 16_558_090)]
    {
        assert_eq!(Named::find(name)?.parameters(), count, "{name}");
    }
    for model in small() {
        let network = model.init(&Key::new(0));
        let statistics: usize = match &network {
            Network::ResNet(_) => {
                let is_one =
                    |(path, _): &&(String, Tensor)| path.ends_with("mean") || path.ends_with("variance");
                network.leaves().iter().filter(is_one).map(|(_, t)| t.size()).sum()
            }
            _ => 0,
        };
        assert_eq!(count_parameters(&network) - statistics, model.parameters(), "{}", model.name);
    }
    Ok(())
}

#[test]
fn a_key_gives_one_batch() {
    for model in small() {
        let batch = model.batch(&Key::new(7), 5);
        let again = model.batch(&Key::new(7), 5);
        assert_eq!((&batch.inputs, &batch.labels), (&again.inputs, &again.labels), "{}", model.name);
        assert_eq!(batch.inputs.shape()[0], 5);
        let classes = match model.design {
            Design::Gpt { vocabulary, .. } => vocabulary as i64,
            _ => 10,
        };
        assert!(batch.labels.to_vec::<i64>().iter().all(|l| (0..classes).contains(l)));
        assert!(batch.labels != model.batch(&Key::new(8), 5).labels);
    }
}

#[test]
fn every_model_learns_its_batch() {
    for model in small() {
        let batch = model.batch(&Key::new(1), model.batch);
        let step = jit(model.step());
        let mut progress = model.start(&Key::new(0));
        let mut losses = Vec::new();
        for _ in 0..15 {
            let (next, loss) = step.call_owned((progress, batch.clone()));
            progress = next;
            losses.push(loss.item::<f32>());
        }
        assert!(losses.iter().all(|l| l.is_finite()), "{}: {losses:?}", model.name);
        assert!(losses[14] < losses[0], "{}: {losses:?}", model.name);
        assert_eq!(step.programs(), 1, "{}", model.name);
        assert_eq!(progress.state.steps, Tensor::from(15i64));
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for model in small() {
        let (network, batch) = doubled(&model, 4);
        let key = Key::new(9);
        let mut count = 0;
        let direction = network.map(&mut |t| {
            count += 1;
            key.fold_in(count).normal(t.shape(), DType::F64)
        });
        let (_, slope) = model.loss_and_grads()(&(network.clone(), batch.clone()));
        let products = slope.zip_map(&direction, |g, d| (g * d).sum(()));
        let reverse: f64 = products.tensors().iter().map(Tensor::item::<f64>).sum();
        // A short step: these functions have kinks, and norms of little variance bend them a great deal.
        let h = 1e-7;
        let along = |h: f64| network.zip_map(&direction, |p, d| p + d * h).loss(&batch).item::<f64>();
        let difference = (along(h) - along(-h)) / (2.0 * h);
        let error = (reverse - difference).abs() / (1.0 + difference.abs());
        assert!(error < 1e-6, "{}: {reverse:e} against {difference:e}", model.name);
    }
}

#[test]
fn strategies_agree() {
    for model in small() {
        let point = doubled(&model, 4);
        let results = |strategy| jit(model.loss_and_grads()).strategy(strategy).call(&point);
        let (loss, slope) = results(Strategy::Auto);
        for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Nested] {
            let (other, others) = results(strategy);
            let close = |a: &Tensor, b: &Tensor| (a - b).abs().max(()).item::<f64>() < 1e-12;
            assert!(close(&loss, &other), "{} under {strategy:?}", model.name);
            for ((path, a), b) in slope.leaves().iter().zip(others.tensors()) {
                assert!(close(a, &b), "{path} of {} under {strategy:?}", model.name);
            }
        }
    }
}

#[test]
fn softplus_written_out_is_the_same_function() -> Result<()> {
    for name in ["mlp-mish", "deep-mish"] {
        let model = Named::find(name)?.small();
        let (network, batch) = doubled(&model, 3);
        let other = model.written_out().init(&Key::new(3)).with_arrays(model.init(&Key::new(3)).tensors())?;
        let other = cast_floats(&other, DType::F64);
        let difference = (network.loss(&batch) - other.loss(&batch)).abs().item::<f64>();
        assert!(difference < 1e-14, "{name}: {difference:e}");
        assert_ne!(model.written_out(), model);
    }
    let relu = Named::find("mlp-relu")?;
    assert_eq!(relu.written_out(), relu);
    Ok(())
}

#[test]
fn running_statistics_move_in_training_and_serve_outside_it() -> Result<()> {
    let model = Named::find("resnet18")?.small();
    let batch = model.batch(&Key::new(1), 16);
    let step = jit(model.step());
    let mut progress = model.start(&Key::new(0));
    let before = progress.network.leaves();
    for _ in 0..100 {
        progress = step.call_owned((progress, batch.clone())).0;
    }
    for ((path, old), new) in before.iter().zip(progress.network.tensors()) {
        assert!(*old != new, "{path} did not move");
    }
    // The batch has been the same all along, so by now its statistics are the running ones, nearly.
    let Network::ResNet(network) = &progress.network else { panic!("a ResNet") };
    let trained = network.forward(&batch.inputs, Some(&Key::new(0))).argmax(-1);
    let used = network.forward(&batch.inputs, None).argmax(-1);
    let same = trained.equal(&used).cast(DType::F32).mean(()).item::<f32>();
    assert!(same > 0.8, "{same}");
    Ok(())
}

#[test]
fn parameters_go_to_files_and_come_back() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("gradus-models-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(gradus_nn::Error::Write)?;
    for model in small() {
        let file = folder.join(format!("{}.safetensors", model.name));
        let network = model.init(&Key::new(5));
        save(&file, &network)?;
        let read = load(&file, &model.init(&Key::new(6)))?;
        assert_eq!(network.tensors(), read.tensors(), "{}", model.name);
    }
    std::fs::remove_dir_all(&folder).map_err(gradus_nn::Error::Write)
}

#[test]
fn arrays_that_do_not_fit_are_refused() -> Result<()> {
    let network = Named::find("mlp-gelu")?.small().init(&Key::new(0));
    let mut tensors = network.tensors();
    tensors[0] = Tensor::zeros([3, 3], DType::F32);
    let error = network.with_arrays(tensors).unwrap_err().to_string();
    assert!(error.contains("layers.0.weight") && error.contains("[3, 3]"), "{error}");
    Ok(())
}
