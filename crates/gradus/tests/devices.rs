//! Tensors of two devices: where functions run, what is copied, and what is refused.

use gradus::backend::{Backend, Executable, Options, Reference, Storage};
use gradus::{Device, ErrorKind, Tensor, cond, grad, hvp, jit, scan, value_and_grad, vmap};
use gradus_core::{Array, Graph};
use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Memory that the host cannot see, and a count of what crosses.
struct Far {
    crossed: Arc<AtomicUsize>,
}

struct Block(gradus_core::Type, Array);

impl gradus::backend::DeviceBuffer for Block {
    fn ty(&self) -> &gradus_core::Type {
        &self.0
    }
}

fn block(array: Array) -> Storage {
    let ty = gradus_core::Type::new(array.dtype(), array.shape().clone());
    Storage::new(Arc::new(Block(ty, array)))
}

fn near(storage: &Storage) -> Array {
    storage.buffer::<Block>().expect("a block of this device").1.clone()
}

impl Backend for Far {
    fn name(&self) -> &str {
        "far"
    }
    fn upload(&self, array: Array) -> Result<Storage, ErrorKind> {
        self.crossed.fetch_add(1, Relaxed);
        Ok(block(array))
    }
    fn download(&self, storage: &Storage) -> gradus::Result<Array> {
        self.crossed.fetch_add(1, Relaxed);
        Ok(near(storage))
    }
    fn compile(&self, graph: &Arc<Graph>, options: &Options) -> gradus::Result<Box<dyn Executable>> {
        Ok(Box::new(FarProgram(Reference.compile(graph, options)?)))
    }
}

struct FarProgram(Box<dyn Executable>);

impl Executable for FarProgram {
    fn run(&self, args: &[&Storage]) -> gradus::Result<Vec<Storage>> {
        let args: Vec<Storage> = args.iter().map(|s| near(s).into()).collect();
        let results = self.0.run(&args.iter().collect::<Vec<_>>())?;
        Ok(results.into_iter().filter_map(Storage::into_host).map(block).collect())
    }
    fn explain(&self) -> String {
        "far away".into()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn far() -> (Device, Arc<AtomicUsize>) {
    let crossed = Arc::new(AtomicUsize::new(0));
    (Device::open(Far { crossed: crossed.clone() }), crossed)
}

/// Every transform on a device whose memory the host cannot see: nothing crosses but arguments, results that are read, and
/// what functions bring with them.
#[test]
fn programs_run_where_their_argument_lies() {
    let (device, crossed) = far();
    let x = Tensor::from([0.5, -1.0, 2.0]);
    let y = x.to(&device).unwrap();
    assert_eq!((y.device(), crossed.load(Relaxed)), (device.clone(), 1));
    let f = |x: &Tensor| (x.tanh() * x).sum(());
    let twice = |x: &Tensor| hvp(f, x, x);
    let loop_of = |x: &Tensor| scan(&x.sum(()), x, |c: &Tensor, x: &Tensor| ((c * x).sin(), c.clone())).1;
    let branch = |x: &Tensor| cond(&x.greater(0.0), x, |x| x.exp(), |x| x * 3.0);
    let all = |x: &Tensor| {
        [f(x), grad(f)(x), twice(x), jit(twice).call(x), vmap(branch)(x), loop_of(x), value_and_grad(f)(x).0]
    };
    let there = all(&y);
    assert_eq!(crossed.load(Relaxed), 2, "the argument, and the number 3");
    let here = all(&x);
    for (there, here) in there.iter().zip(&here) {
        assert_eq!(there.device(), device);
        let far = (there.to(&here.device()).unwrap() - here).abs().max(()).item::<f64>();
        assert!(far < 1e-14, "{there} and {here}");
    }
}

#[test]
fn captures_follow_and_other_tensors_of_two_devices_do_not_meet() {
    let (device, _) = far();
    let (w, x) = (Tensor::from([1.0, 2.0]), Tensor::from([3.0, 4.0]).to(&device).unwrap());
    let f = jit(|x: &Tensor| x * &w + Tensor::ones([2], gradus::DType::F64));
    assert_eq!(f.call(&x).to_vec::<f64>(), [4.0, 9.0]);
    assert_eq!(grad(|x: &Tensor| (x * &w).sum(()))(&x).to_vec::<f64>(), [1.0, 2.0]);
    // The same function on both devices: two programs.
    assert_eq!((f.call(&w).device(), f.programs()), (w.device(), 2));

    let both = jit(|(a, b): &(Tensor, Tensor)| a + b);
    let error = both.try_call(&(w.clone(), x.clone())).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Device { devices, .. } if devices.len() == 2), "{error}");
    let message = std::panic::catch_unwind(|| &w + &x).unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("far") && message.contains("`to`") && message.contains("devices.rs"),
        "{message}"
    );
}

#[test]
fn a_device_without_plans_says_so() {
    let x = Tensor::from([1.0]).to(&Device::reference()).unwrap();
    let f = jit(|x: &Tensor| x.exp());
    assert_eq!(f.call(&x).to_vec::<f64>(), [1f64.exp()]);
    assert!(f.explain(&x).contains("interpreted"));
    let error = f.try_plan(&x).unwrap_err().to_string();
    assert!(error.contains("`reference`") && error.contains("without a plan"), "{error}");
    let error = f.memory_budget(100).try_call(&x).unwrap_err().to_string();
    assert!(error.contains("no memory budget"), "{error}");
}

/// Programs that a device has compiled for itself do not keep it.
#[test]
fn a_device_goes_with_its_last_tensor() {
    let (device, crossed) = far();
    let x = Tensor::from([1.0, 2.0]).to(&device).unwrap();
    let y = grad(|x: &Tensor| x.square().sum(()))(&x);
    let f = jit(|x: &Tensor| x.exp());
    let z = f.call(&x);
    drop((f, x, y, z, device));
    assert_eq!(Arc::strong_count(&crossed), 1, "the back end is there still");
}

#[test]
fn what_compiled_functions_capture_is_compared_where_it_lies() {
    let ((device, _), (other, _)) = (far(), far());
    let on = |device: &Device, x: [f64; 2]| Tensor::from(x).to(device).unwrap();
    let x = on(&device, [1.0, 2.0]);
    let held = RefCell::new(x.clone());
    let f = jit(|x: &Tensor| x * &*held.borrow()).check_captures();
    f.call(&x);
    f.call(&on(&other, [1.0, 2.0]).to(&device).unwrap());
    *held.borrow_mut() = on(&device, [1.0, 3.0]);
    let error = f.try_call(&x).unwrap_err().to_string();
    assert!(error.contains("element 1 of a captured f64[2] was 2.0") && error.contains("is 3.0"), "{error}");

    // A device is a static value, too.
    let g = jit(|(x, on): &(Tensor, Device)| x.to(on).is_ok().then(|| x * 2.0));
    assert!(g.call(&(x.clone(), device.clone())).is_some());
    assert!(g.call(&(x.clone(), other.clone())).is_none());
    g.call(&(on(&other, [1.0, 2.0]), other));
    let wanted =
        ["program 2: `.1` was far, is another one", "program 3: `.0` was on `far`, is on another `far`"];
    assert_eq!(g.why_recompiled(), wanted.join("\n"));
}

#[test]
fn recorded_tensors_stay_where_they_are() {
    let (device, _) = far();
    let x = Tensor::from([1.0, 2.0]).to(&device).unwrap();
    grad(|x: &Tensor| {
        assert_eq!(x.device(), device);
        assert!(x.to(&device).is_ok() && x.to(&Device::reference()).is_err());
        // A value that is read crosses.
        x.sum(()) * x.sum(()).item::<f64>()
    })(&x);
    assert_eq!(format!("{x}"), "[1.0, 2.0]");
}
