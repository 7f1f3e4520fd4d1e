//! A curve fitted to a table: the adsorption measured by Misra (1978), from the reference data sets of NIST, with
//! standard errors of the parameters.

use gradus::{Tensor, jacobian, jit};

const TABLE: &str = include_str!("data/misra1a.csv");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cells = TABLE.lines().skip(1).flat_map(|line| line.split(','));
    let cells: Vec<f64> = cells.map(str::parse).collect::<Result<_, _>>()?;
    let table = Tensor::from(&cells).reshape([-1, 2]);
    let (pressure, volume) = (table.index(1, 0), table.index(1, 1));

    // volume = a (1 - exp(-b pressure))
    let misses = |p: &Tensor| &volume - p.at(0) * (1.0 - (-p.at(1) * &pressure).exp());
    let linear = jit(|p: &Tensor| (misses(p), jacobian(misses)(p)));
    // Gauss and Newton: each step solves JᵀJ d = Jᵀr.
    let mut p = Tensor::from([250.0, 5e-4]);
    let mut inverse = Tensor::eye(2, p.dtype());
    for step in 0..10 {
        let (r, j) = linear.call(&p);
        println!("step {step}: parameters {p:.8e}, sum of squares {:.8e}", r.dot(&r));
        let [a, b, c, d] = j.t().matmul(&j).to_vec::<f64>()[..] else { unreachable!("two parameters") };
        inverse = Tensor::from([[d, -b], [-c, a]]) / (a * d - b * c);
        p -= inverse.matmul(&j.t().matmul(&r));
    }

    let r = misses(&p);
    let variance = r.dot(&r).item::<f64>() / (volume.size() - 2) as f64;
    let errors = (inverse.diagonal() * variance).sqrt();
    println!("a = {:.6e} ± {:.1e}", p.at(0), errors.at(0));
    println!("b = {:.6e} ± {:.1e}", p.at(1), errors.at(1));
    // The values that NIST certifies.
    let off =
        |x: &Tensor, certified: [f64; 2]| (x / Tensor::from(certified) - 1.0).abs().max(()).item::<f64>();
    assert!(off(&p, [2.3894212918e2, 5.5015643181e-4]) < 1e-9);
    assert!(off(&errors, [2.7070075241, 7.2668688436e-6]) < 1e-6);
    Ok(())
}
