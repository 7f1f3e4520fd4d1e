//! `gradus bench small`: where tensors are so small that only the way to the arithmetic counts.

use std::time::Instant;

use clap::Args;
use gradus::{Key, Tensor, grad, jit};
use gradus_nn::models::Named;
use serde_json::json;

use super::clock::{self, Plan};
use super::{Common, chain};
use crate::{Error, Output};

/// Options of `gradus bench small`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Leave out compiling the GPT
    #[arg(long)]
    no_compile: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let threads = arguments.common.start()?;
    let output = Output::of(arguments.common.json, false);
    let line = |name: &str, ns: f64, unit: &str, limit: Option<f64>| -> Result<(), Error> {
        output.json(|| json!({"case": name, "lib": "gradus", "threads": threads, "ns": ns, "per": unit, "aim_ns": limit}))?;
        output.text(|| {
            let aim = limit.map_or(String::new(), |l| format!("   (aim {l:.0})"));
            format!("{name:<44} {ns:>14.1} ns {unit}{aim}")
        })
    };
    let time = |f: &mut dyn FnMut()| clock::time(Plan::SHORT, None, f).median * 1e9;
    let (x, w) = chain::operands();
    let per = chain::LENGTH as f64;

    let ns = time(&mut || drop(chain::forward(&x, &w)));
    line("at once: chain on 4 elements", ns / per, "an operation", Some(300.0))?;
    let ns = time(&mut || drop(&x * &w));
    line("at once: one product on 4 elements", ns, "an operation", Some(300.0))?;
    let ns = time(&mut || drop(chain::gradient(&x, &w)));
    line("at once: gradient of the chain", ns / per, "an operation", None)?;
    let small = Tensor::from([[1f32, 2.0], [3.0, 4.0]]);
    let ns = time(&mut || drop(small.matmul(&small)));
    line("at once: matrix product 2x2", ns, "an operation", None)?;

    let one = jit(|x: &Tensor| x * 2.0);
    let ns = time(&mut || drop(one.call(&x)));
    line("compiled: call of one operation", ns, "a call", Some(2000.0))?;
    let ten = jit(|xs: &Vec<Tensor>| xs.iter().map(|x| x * 2.0).collect::<Vec<Tensor>>());
    let many: Vec<Tensor> = (0..10).map(|i| &x + i).collect();
    let ns = time(&mut || drop(ten.call(&many)));
    line("compiled: call with ten arguments and results", ns, "a call", None)?;
    let forward = jit(|(x, w): &(Tensor, Tensor)| chain::forward(x, w));
    let operands = (x.clone(), w.clone());
    let ns = time(&mut || drop(forward.call(&operands)));
    line("compiled: chain on 4 elements", ns / per, "an operation", None)?;
    let gradient = jit(|(x, w): &(Tensor, Tensor)| chain::gradient(x, w));
    let ns = time(&mut || drop(gradient.call(&operands)));
    line("compiled: gradient of the chain", ns / per, "an operation", Some(10.0))?;
    let plain = grad(|x: &Tensor| (x.sin() * x).sum(()));
    let ns = time(&mut || drop(plain(&x)));
    line("not compiled: gradient of sum(x sin x)", ns, "a call", None)?;

    let ns = compile(|| drop(jit(|(x, w): &(Tensor, Tensor)| chain::gradient(x, w)).plan(&operands)));
    line("compiling: gradient of the chain", ns, "a program", None)?;
    if !arguments.no_compile {
        let model = Named::find("gpt-small")?;
        let arguments = (model.start(&Key::new(0)), model.batch(&Key::new(1), model.batch));
        let ns = compile(|| drop(jit(model.step()).plan(&arguments)));
        line("compiling: a training step of the GPT", ns, "a program", Some(200e6))?;
    }
    Ok(())
}

/// The median time of recording, planning and making ready.
fn compile(mut f: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let began = Instant::now();
            f();
            began.elapsed().as_secs_f64() * 1e9
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[2]
}
