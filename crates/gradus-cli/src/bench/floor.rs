//! The floor of a step: its matrix products and convolutions, each alone, by the same kernels.
//!
//! Every different product of the plan becomes a program of its own, which leaves its result in the arena and returns one
//! element of it, so that neither memory for results nor anything around the product counts.

use std::time::Instant;

use gradus_core::ops::{Op, Slice};
use gradus_core::{Array, Builder, DType, Type};
use gradus_cpu::exec::Executable;
use gradus_cpu::target;
use gradus_plan::{Options, Plan};

use crate::Error;

/// A floor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// Seconds for all products of a step.
    pub seconds: f64,
    /// Their floating-point operations.
    pub flops: f64,
}

/// One product, and how often the step has it.
struct Product {
    times: usize,
    flops: f64,
    executable: Executable,
    arguments: Vec<Array>,
}

/// What is measured is repeated for about so many seconds, and at least three times.
const ENOUGH: f64 = 1.5;

/// Times the products and convolutions of a plan.
///
/// # Errors
/// If one of them cannot be planned or run.
pub fn floor(plan: &Plan) -> Result<Floor, Error> {
    let products = products(plan).map_err(|e| Error::Usage(e.to_string()))?;
    let round = || -> Result<f64, gradus::Error> {
        let mut seconds = 0.0;
        for p in &products {
            let began = Instant::now();
            p.executable.run(&p.arguments)?;
            seconds += p.times as f64 * began.elapsed().as_secs_f64();
        }
        Ok(seconds)
    };
    let mut times = Vec::new();
    let warm = round().and_then(|_| round());
    warm.map_err(|e| Error::Usage(e.to_string()))?;
    let began = Instant::now();
    while times.len() < 3 || (began.elapsed().as_secs_f64() < ENOUGH && times.len() < 400) {
        times.push(round().map_err(|e| Error::Usage(e.to_string()))?);
    }
    times.sort_by(f64::total_cmp);
    let flops = products.iter().map(|p| p.times as f64 * p.flops).sum();
    Ok(Floor { seconds: times[times.len() / 2], flops })
}

fn products(plan: &Plan) -> gradus::Result<Vec<Product>> {
    let graph = plan.graph();
    let mut kinds: Vec<(&Op, Vec<Type>, usize)> = Vec::new();
    for eqn in graph.eqns().iter().filter(|e| matches!(e.op, Op::Dot(_) | Op::Conv(_))) {
        let types: Vec<Type> = eqn.inputs.iter().map(|&v| graph.ty(v).clone()).collect();
        match kinds.iter_mut().find(|k| *k.0 == eqn.op && k.1 == types) {
            Some(kind) => kind.2 += 1,
            None => kinds.push((&eqn.op, types, 1)),
        }
    }
    kinds.into_iter().map(|(op, types, times)| product(op, types, times)).collect()
}

fn product(op: &Op, types: Vec<Type>, times: usize) -> gradus::Result<Product> {
    let mut b = Builder::new();
    let arguments: Vec<_> = types.iter().map(|ty| b.input(ty.clone())).collect();
    let mut out = b.emit1(op.clone(), &arguments)?;
    for axis in 0..b.shape(out).rank() {
        let slice = Slice::along(b.shape(out), axis, 0, 1.min(b.shape(out)[axis]));
        out = b.emit1(slice, &[out])?;
    }
    let row = op.row();
    let flops = row.cost(&types, &row.infer(&types)?).flops;
    let options = Options { target: target()?, ..Options::default() };
    let executable = Executable::new(gradus_plan::plan(&b.finish(vec![out]), &options)?);
    let arguments = types.iter().enumerate().map(|(k, ty)| numbers(ty, k)).collect::<gradus::Result<_>>()?;
    Ok(Product { times, flops, executable, arguments })
}

/// Small numbers of both signs.
fn numbers(ty: &Type, seed: usize) -> gradus::Result<Array> {
    let value = |i: usize| ((i * 37 + seed * 11) % 101) as f32 / 1010.0 - 0.05;
    let array = Array::new(ty.shape.clone(), (0..ty.shape.size()).map(value).collect::<Vec<f32>>())?;
    Ok(if ty.dtype == DType::F32 { array } else { array.cast(ty.dtype) })
}

#[cfg(test)]
mod tests {
    use gradus::{Key, jit};
    use gradus_nn::models::Named;

    #[test]
    fn the_products_of_a_step_are_found() {
        let model = Named::find("a").unwrap().small();
        let batch = model.batch(&Key::new(1), model.batch);
        let plan = jit(model.step()).plan(&(model.start(&Key::new(0)), batch));
        let floor = super::floor(&plan).unwrap();
        // Three layers 12-16-16-10 on 8 examples; the first has no gradient of its inputs.
        let one = [12 * 16, 16 * 16, 16 * 10].map(|n| 2.0 * 8.0 * n as f64);
        assert_eq!(floor.flops, 2.0 * one[0] + 3.0 * (one[1] + one[2]));
        assert!(floor.seconds > 0.0);
    }
}
