//! The back end of this crate: graphs are planned, and plans run by the executor on the pool of the process.

use std::any::Any;
use std::sync::Arc;

use gradus_core::backend::{self, Backend, Storage, Stored, host};
use gradus_core::{Array, DType, Element, ErrorKind, Graph, Op, Result, Shape, Type};
use gradus_plan::{Options, plan};
use smallvec::SmallVec;

use crate::exec::Executable;
use crate::target;
use crate::vmath;

/// The most elements in and out of an operation that is computed at once, without a plan.
const SMALL: usize = 256;

/// The processor that the process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Backend for Cpu {
    fn name(&self) -> &str {
        "cpu"
    }

    fn upload(&self, array: Array) -> Result<Storage, ErrorKind> {
        Ok(array.into())
    }

    fn download(&self, storage: &Storage) -> Result<Array> {
        Ok(host(storage)?.clone())
    }

    fn compile(
        &self,
        graph: &Arc<Graph>,
        options: &backend::Options,
    ) -> Result<Box<dyn backend::Executable>> {
        let &backend::Options { strategy, memory_budget, donate } = options;
        let options = Options { strategy, memory_budget, donate, target: target()? };
        Ok(Box::new(Executable::new(plan(graph, &options)?)))
    }

    fn eval_at_once(&self, op: &Op, operands: &[&Storage]) -> Option<Result<Stored, ErrorKind>> {
        if !op.graphs().is_empty() {
            return None;
        }
        let mut arrays: SmallVec<[&Array; 4]> = SmallVec::new();
        let mut types: SmallVec<[Type; 4]> = SmallVec::new();
        let mut elements = 0;
        for storage in operands {
            let array = storage.host()?;
            elements += array.size();
            if elements > SMALL {
                return None;
            }
            types.push(Type::new(array.dtype(), array.shape().clone()));
            arrays.push(array);
        }
        let results = match op.row().infer(&types) {
            Ok(results) => results,
            Err(error) => return Some(Err(error)),
        };
        if results.iter().fold(elements, |n, ty| n.saturating_add(ty.shape.size())) > SMALL {
            return None;
        }
        let results = op.value(&arrays, &results);
        Some(results.map(|results| results.into_iter().map(Storage::from).collect()))
    }

    fn elementwise_at_once(&self, op: &Op, x: &Storage, y: Option<&Storage>) -> Option<Storage> {
        match x.dtype() {
            DType::F32 => elementwise::<f32>(op, x, y),
            DType::F64 => elementwise::<f64>(op, x, y),
            DType::I32 | DType::I64 | DType::Bool | DType::U8 | DType::Bf16 | DType::F16 => None,
        }
    }

    fn release(&self) {
        crate::release();
    }

    fn keep_within_limit(&self) {
        crate::keep_within();
    }
}

impl backend::Executable for Executable {
    fn run(&self, args: &[&Storage]) -> Result<Vec<Storage>> {
        args.iter().try_for_each(|storage| host(storage).map(drop))?;
        let results = self.run_on(args, |storage| storage.host().expect("all lie on the host"))?;
        Ok(results.into_iter().map(Storage::from).collect())
    }

    fn run_owned(&self, args: Vec<Storage>) -> Result<Vec<Storage>> {
        args.iter().try_for_each(|storage| host(storage).map(drop))?;
        let results = Executable::run_owned(self, args.into_iter().filter_map(Storage::into_host).collect())?;
        Ok(results.into_iter().map(Storage::from).collect())
    }

    fn bytes(&self) -> usize {
        Executable::bytes(self)
    }

    fn explain(&self) -> String {
        Executable::plan(self).explain()
    }

    fn plan(&self) -> Option<&dyn Any> {
        Some(Executable::plan(self))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An element-wise function of few elements, computed by the same functions that programs use: whatever is between a call
/// and its arithmetic would take longer.
fn elementwise<T: Element + vmath::Float>(op: &Op, x: &Storage, y: Option<&Storage>) -> Option<Storage> {
    fn operand<'a, T: Element>(a: &'a Array, shape: &Shape) -> Option<vmath::Operand<'a, T>> {
        let elements = a.elements::<T>()?;
        if a.shape() == shape {
            return Some(vmath::Operand::Slice(elements));
        }
        if a.shape().rank() == 0 { elements.first().map(|&x| vmath::Operand::Scalar(x)) } else { None }
    }
    let x = x.host()?;
    let few = |shape: &Shape| (shape.size() <= SMALL).then(|| vec![T::ZERO; shape.size()]);
    match (op, y) {
        (Op::Unary(f), None) => {
            let mut out = few(x.shape())?;
            vmath::unary(*f, x.elements()?, &mut out);
            Some(Array::new(x.shape(), out).ok()?.into())
        }
        (Op::Binary(f), Some(y)) => {
            let y = y.host()?;
            let larger = |a: &Array| (a.shape().rank(), a.size());
            let shape = if larger(x) > larger(y) { x.shape() } else { y.shape() };
            let mut out = few(shape)?;
            vmath::binary(*f, operand(x, shape)?, operand(y, shape)?, &mut out);
            Some(Array::new(shape, out).ok()?.into())
        }
        _ => None,
    }
}
