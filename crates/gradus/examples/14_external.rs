//! A function of another library as a primitive: linear systems by the LU factorisation of `nalgebra`, differentiated.

use std::sync::Arc;

use gradus::core::ops::{Dot, External, ExternalPrimitive, Permute};
use gradus::core::{Array, Builder, ErrorKind, Operand, Result, Tangents, Type, Var};
use gradus::{Tensor, check_grads, external, grad, hessian, jit, vmap};
use nalgebra::{DMatrix, DVector};

/// `x = A⁻¹ b`
#[derive(Debug)]
struct Solve;

impl ExternalPrimitive for Solve {
    fn name(&self) -> &'static str {
        "lu_solve"
    }
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
        match inputs {
            [a, b] if b.shape.rank() == 1 && a.shape[..] == [b.shape[0]; 2] => Ok(vec![b.clone()]),
            _ => {
                let shapes = inputs.iter().map(|ty| ty.shape.clone()).collect();
                let detail = "it takes a square matrix and a vector with as many elements as rows".into();
                Err(ErrorKind::Shape { op: "lu_solve", shapes, detail })
            }
        }
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
        let n = inputs[1].size();
        let a = DMatrix::from_row_slice(n, n, &inputs[0].to_f64());
        let x = a.lu().solve(&DVector::from_vec(inputs[1].to_f64()));
        let x = x.ok_or_else(|| ErrorKind::Data("lu_solve: the matrix is singular".into()))?;
        Ok(vec![Array::new([n], x.as_slice().to_vec())?])
    }
    /// `dx = A⁻¹ (db - dA x)`
    fn jvp(&self, b: &mut Builder, inputs: &[Var], outputs: &[Var], t: &[Option<Var>]) -> Result<Tangents> {
        let mut right = t[1];
        if let Some(da) = t[0] {
            let moved = b.emit1(Dot { tangents: [true, false], ..Dot::matmul(0) }, &[da, outputs[0]])?;
            let moved = b.negate_tangent(moved)?;
            right = b.add_tangents(right, Some(moved))?;
        }
        let dx = right.map(|right| b.emit1(External::new(Solve), &[inputs[0], right])).transpose()?;
        Ok([dx].into_iter().collect())
    }
    /// Linear in `b`, whose cotangent is `A⁻ᵀ ct`.
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Some(a), Some(ct)) = (inputs[0].residual(), ct[0]) else { return Ok(Tangents::new()) };
        let turned = b.emit1(Permute { axes: [1, 0].into_iter().collect() }, &[a])?;
        Ok([None, Some(b.emit1(External::new(Solve), &[turned, ct])?)].into_iter().collect())
    }
    fn same(&self, other: &dyn ExternalPrimitive) -> bool {
        (other as &dyn std::any::Any).is::<Solve>()
    }
}

fn main() {
    let primitive: Arc<dyn ExternalPrimitive> = Arc::new(Solve);
    let solve = move |a: &Tensor, b: &Tensor| external(&primitive, &[a, b]).remove(0);
    let a = Tensor::from([[4.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.0, 2.0, 5.0]]);
    let b = Tensor::from([1.0, 2.0, 3.0]);
    let x = solve(&a, &b);
    println!("x = {x:.4}");
    assert!((a.matmul(&x) - &b).abs().max(()).item::<f64>() < 1e-14);

    // bᵀ A⁻¹ b: its gradient by A is -A⁻ᵀ b xᵀ, and all modes agree with differences.
    let energy = |a: &Tensor, b: &Tensor| (solve(a, b) * b).sum(());
    let slope = jit(grad(|a: &Tensor| energy(a, &b))).call(&a);
    println!("gradient by A:\n{slope:.4}");
    let expected = -solve(&a.t(), &b).reshape([3, 1]) * x.reshape([1, 3]);
    assert!((slope - expected).abs().max(()).item::<f64>() < 1e-14);
    check_grads(|(a, b): &(Tensor, Tensor)| energy(a, b), &(a.clone(), b.clone()), 2)
        .expect("they are right");

    // Second derivatives by b are A⁻¹ + A⁻ᵀ; batches are loops over the call.
    let curvature = hessian(|b: &Tensor| energy(&a, b))(&b);
    let inverse = vmap(|e: &Tensor| solve(&a, e))(&Tensor::eye(3, gradus::DType::F64)).t();
    assert!((curvature - (&inverse + inverse.t())).abs().max(()).item::<f64>() < 1e-14);

    let error =
        jit(|a: &Tensor| solve(a, &b)).try_call(&Tensor::ones([3, 3], gradus::DType::F64)).unwrap_err();
    println!("{error}");
}
