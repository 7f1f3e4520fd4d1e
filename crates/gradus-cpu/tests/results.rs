//! Memory that results leave is used by later ones, and by nobody while a tensor holds it.

use gradus_core::{Array, Builder, DType, Type, Unary};
use gradus_cpu::{exec::Executable, release};

fn negation(n: usize) -> Executable {
    let mut b = Builder::new();
    let x = b.input(Type::new(DType::F32, [n]));
    let y = b.emit1(Unary::Neg, &[x]).unwrap();
    Executable::new(gradus_plan::plan(&b.finish(vec![y]), &Default::default()).unwrap())
}

fn start(array: &Array) -> *const f32 {
    array.elements::<f32>().unwrap().as_ptr()
}

#[test]
fn results_take_the_memory_of_those_dropped() {
    const N: usize = 1 << 18;
    let program = negation(N);
    let full = |value: f64| [Array::full([N], DType::F32, value)];
    let run = |value: f64| program.run(&full(value)).unwrap().remove(0);
    let holds = |array: &Array, value: f32| array.elements::<f32>().unwrap().iter().all(|&x| x == value);

    let first = run(1.0);
    let at = start(&first);
    // A share keeps the memory, whatever runs meanwhile.
    let share = first.clone();
    drop(first);
    let second = run(2.0);
    assert_ne!(start(&second), at);
    assert!(holds(&share, -1.0) && holds(&second, -2.0));
    drop(share);
    let third = run(3.0);
    assert_eq!(start(&third), at, "the memory is used again");
    assert!(holds(&third, -3.0) && holds(&second, -2.0));

    // Written over in place, and left by its last holder only.
    let mut owned = program.run_owned(vec![third]).unwrap();
    assert_eq!(start(&owned[0]), at);
    assert!(holds(&owned[0], 3.0));
    owned[0].elements_mut::<f32>().unwrap()[0] = 5.0;
    assert_eq!(start(&owned[0]), at, "nobody else holds it");
    let mut copy = owned[0].clone();
    copy.elements_mut::<f32>().unwrap()[0] = 6.0;
    assert_ne!(start(&copy), at, "a shared one is copied before it is written");
    assert_eq!(owned[0].elements::<f32>().unwrap()[0], 5.0);
    drop((owned, copy));
    assert_eq!(start(&run(4.0)), at);

    // Another size finds nothing that fits; what does not fit stays for those it fits.
    let small = negation(N / 2);
    let other = small.run(&[Array::full([N / 2], DType::F32, 1.0)]).unwrap().remove(0);
    assert_ne!(start(&other), at);
    assert!(holds(&other, -1.0));

    release();
    assert!(holds(&run(7.0), -7.0) && holds(&second, -2.0));
}
