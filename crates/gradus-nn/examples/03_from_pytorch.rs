//! Parameters that PyTorch has saved: other names, and matrices the other way round.
//!
//! `data/xor.py` writes the file, as `safetensors.torch.save_file(model.state_dict(), ...)` does for
//! `model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))`.

use std::path::Path;

use gradus::{Key, Tensor};
use gradus_nn::layers::{Activation, Mlp};
use gradus_nn::{Entry, Model, load, load_renamed};

fn main() -> gradus_nn::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/xor.safetensors");
    let template = Mlp::new(&Key::new(0), &[2, 3, 1], Activation::Tanh);

    // Here a layer is `layers.1.weight`, `[inputs, outputs]`; there it is `2.weight`, `[outputs, inputs]`.
    let model = load_renamed(&path, &template, |name| {
        let name = name.replace("layers.0", "0").replace("layers.1", "2");
        if name.ends_with("weight") { Entry::new(name).transposed() } else { Entry::new(name) }
    })?;
    let x = Tensor::from([[0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let y = model.forward(&x, None).squeeze(1);
    println!("exclusive or: {y:.6}");
    let expected = Tensor::from([0f32, 1.0, 1.0, 0.0]);
    assert!((y - expected).abs().max(()).item::<f32>() < 1e-5);

    // A file that does not fit says what it lacks.
    println!("without names: {}", load(&path, &template).expect_err("other names"));
    Ok(())
}
